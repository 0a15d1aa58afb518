//! Types: created, found, changed, deleted, declared by plugins.

use std::sync::Arc;

use super::*;
use crate::doubles::ScriptedTypePlugins;
use crate::error::{FieldProblem, Kind};
use crate::field::{Field, ValueType};
use crate::ids::PluginName;
use crate::ports::types::DeclaredType;
use crate::vault::draft::TypeDraft;

#[tokio::test]
async fn a_type_is_found_by_id_and_by_name_ignoring_case() {
    let world = World::new().await;
    let made = world.create_type("  Straße ", vec![field("user"), secure("password")]).await;
    assert_eq!(
        (made.name.as_str(), made.plugin.as_str(), made.credential_count),
        ("Straße", "generic", 0)
    );
    for identifier in [made.id.as_str(), "Straße", "STRASSE", "strasse"] {
        assert_eq!(world.fetch_type(&admin(), identifier).await.unwrap(), made, "{identifier}");
    }
    for other in ["", "Stra", "c0000000000000000000000000"] {
        assert_eq!(kind(world.fetch_type(&admin(), other).await), Kind::NotFound);
    }
}

#[tokio::test]
async fn lists_are_ordered_by_name_ignoring_case() {
    let world = World::new().await;
    for name in ["beta", "Alpha", "éclair", "Zulu", "alpine"] {
        world.create_type(name, Vec::new()).await;
    }
    let names = world.type_names(&admin()).await.unwrap();
    assert_eq!(names, ["Alpha", "alpine", "beta", "Zulu", "éclair"]);
}

#[tokio::test]
async fn names_are_unique_ignoring_case_also_at_once() {
    let world = World::new().await;
    let (one, other) =
        (world.create_type("AWS", Vec::new()).await, world.create_type("Azure", Vec::new()).await);
    let again = world.create_type_as(&admin(), "aws", "a.b", Vec::new()).await;
    assert_eq!(places(again), ["name: There is a type of this name already."]);
    let renamed = TypeDraft { name: Some("ＡＷＳ".into()), ..TypeDraft::default() };
    assert_eq!(kind(world.change_type(&admin(), other.id, renamed).await), Kind::Conflict);
    // Its own name in another spelling is no conflict, and a name that is given up is free.
    let spelled = TypeDraft { name: Some("aws".into()), ..TypeDraft::default() };
    assert_eq!(world.change_type(&admin(), one.id, spelled).await.unwrap().name, "aws");
    let given_up = TypeDraft { name: Some("Amazon".into()), ..TypeDraft::default() };
    world.change_type(&admin(), one.id, given_up).await.unwrap();
    world.create_type("AWS", Vec::new()).await;

    let second = world.second_daemon().await;
    let draft = TypeDraft {
        name: Some("Race".into()),
        permission_scope: Some("a.b".into()),
        fields: Some(vec![]),
        ..TypeDraft::default()
    };
    let make = |vault: Arc<crate::vault::Vault>| {
        let draft = draft.clone();
        async move {
            let grant = crate::access::authorize_type_creation(&admin()).unwrap();
            vault.create_type(grant, &draft, Vec::new()).await
        }
    };
    let (a, b) = tokio::join!(make(world.vault.clone()), make(second));
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1);
}

#[tokio::test]
async fn every_problem_is_reported_with_those_found_before() {
    let world = World::new().await;
    let draft = TypeDraft {
        name: Some(String::new()),
        permission_scope: Some("nodots".into()),
        icon: Some(Some("ftp://x".into())),
        plugin: Some("hologram".into()),
        fields: Some(vec![Some(Draft { value_type: Some("x".into()), ..field("a") }), None]),
    };
    let found = vec![FieldProblem::new(["fields".into(), 1.into()], "Expected an object.")];
    let grant = crate::access::authorize_type_creation(&admin()).unwrap();
    let refused = world.vault.create_type(grant, &draft, found).await;
    let paths: Vec<_> =
        places(refused).iter().map(|place| place.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(
        paths,
        ["fields.1", "name", "permission_scope", "icon", "plugin", "fields.0.value_type"]
    );
}

#[tokio::test]
async fn a_definition_that_no_record_takes_is_refused() {
    let world = World::new().await;
    let choices =
        |n: usize| (0..180).map(|c| Some(format!("{n}-{c}-{}", "x".repeat(180)))).collect();
    let fat = |n: usize| Draft {
        value_type: Some("choice".into()),
        choices: Some(choices(n)),
        ..field(&format!("f{n}"))
    };
    let refused = world.create_type_as(&admin(), "Fat", "a.b", vec![fat(1), fat(2)]).await;
    assert_eq!(
        places(refused),
        [
            "fields: All names and choices together, those of former secure fields included, are too long."
        ]
    );
}

#[tokio::test]
async fn an_empty_change_changes_nothing_and_is_not_audited() {
    let world = World::new().await;
    let made = world.create_type("AWS", vec![field("user")]).await;
    let (before, events) = (world.store.commits(), world.events().await.len());
    world.clock.advance(std::time::Duration::from_secs(5));
    assert_eq!(world.change_type(&admin(), made.id, TypeDraft::default()).await.unwrap(), made);
    let same = TypeDraft {
        name: Some("AWS".into()),
        fields: Some(vec![Some(field("user"))]),
        ..TypeDraft::default()
    };
    assert_eq!(world.change_type(&admin(), made.id, same).await.unwrap(), made);
    assert_eq!((world.store.commits(), world.events().await.len()), (before, events));
}

#[tokio::test]
async fn what_a_change_names_is_replaced() {
    let mut world = World::new().await;
    let made = world.create_type("GitHub", vec![field("user")]).await;
    world.clock.advance(std::time::Duration::from_secs(5));
    let draft = TypeDraft {
        name: Some("GitHub Enterprise".into()),
        icon: Some(Some("https://github.example/favicon.ico".into())),
        fields: Some(vec![Some(secure("token")), Some(field("user"))]),
        ..TypeDraft::default()
    };
    let changed = world.change_type(&admin(), made.id, draft).await.unwrap();
    assert_eq!(changed.icon.as_deref(), Some("https://github.example/favicon.ico"));
    assert_eq!(changed.permission_scope, made.permission_scope);
    assert!(changed.updated > made.updated && changed.created == made.created);
    world.crash().await;
    assert_eq!(world.fetch_type(&admin(), "github enterprise").await.unwrap(), changed);
    let cleared = TypeDraft { icon: Some(None), ..TypeDraft::default() };
    assert_eq!(world.change_type(&admin(), made.id, cleared).await.unwrap().icon, None);
    assert_eq!(
        world.events_of("change").await,
        ["change [] done name, icon, fields", "change [] done icon"]
    );
}

#[tokio::test]
async fn a_deleted_type_takes_its_credentials_along_at_once() {
    let world = World::new().await;
    let made = world.create_type("AWS", vec![field("user")]).await;
    let credential = world.create(made.id, "Prod", &[("user", Some("alice"))]).await;
    assert_eq!(world.fetch_type(&admin(), "AWS").await.unwrap().credential_count, 1);
    world.delete_type(&admin(), made.id).await.unwrap();
    assert_eq!(kind(world.fetch_type(&admin(), "AWS").await), Kind::NotFound);
    assert_eq!(kind(world.fetch(credential.id).await), Kind::NotFound);
    assert_eq!(kind(world.change(credential.id, &[]).await), Kind::NotFound);
    assert_eq!(world.credentials_of_company(&admin(), world.acme).await.unwrap(), [""; 0]);
    assert_eq!(kind(world.credentials_of_type(&admin(), made.id).await), Kind::NotFound);
    let again = world.create_as(&admin(), (made.id, world.acme), "x", &[]).await;
    assert_eq!(places(again), ["type: There is no such type."]);
    // Its name is free.
    world.create_type("AWS", Vec::new()).await;
}

fn declared(secure: bool) -> DeclaredType {
    let field = Field {
        id: "key".into(),
        name: "Key".into(),
        required: true,
        secure,
        value_type: ValueType::PlainText,
        choices: Vec::new(),
        computed: false,
    };
    DeclaredType {
        name: "AWS".into(),
        icon: Some("key".into()),
        permission_scope: Some("aws.credentials".into()),
        fields: vec![field],
    }
}

#[tokio::test]
async fn a_declared_type_is_there_from_the_start_and_stays_itself() {
    let plugins = Arc::new(ScriptedTypePlugins::new());
    plugins.configure("aws", Some(declared(true)));
    let mut world = World::with(plugins).await;
    let made = world.fetch_type(&admin(), "AWS").await.unwrap();
    assert_eq!((made.plugin.as_str(), made.icon.as_deref()), ("aws", None));
    assert_eq!(made.permission_scope.as_deref(), Some("aws.credentials"));
    let commits = world.store.commits();
    world.vault.declare_types().await.unwrap();
    assert_eq!(world.store.commits(), commits, "nothing is written when nothing changed");

    let renamed = TypeDraft { name: Some("Mine".into()), ..TypeDraft::default() };
    assert_eq!(kind(world.change_type(&admin(), made.id, renamed).await), Kind::Conflict);
    assert_eq!(world.change_type(&admin(), made.id, TypeDraft::default()).await.unwrap(), made);
    assert_eq!(kind(world.delete_type(&admin(), made.id).await), Kind::Conflict);

    world.plugins.configure("aws", Some(DeclaredType { name: "Amazon".into(), ..declared(true) }));
    world.crash().await;
    let now = world.fetch_type(&admin(), "Amazon").await.unwrap();
    assert_eq!(now.id, made.id);
    assert_eq!(kind(world.fetch_type(&admin(), "AWS").await), Kind::NotFound);
}

#[tokio::test]
async fn a_declared_type_never_decrypts_by_an_update() {
    let plugins = Arc::new(ScriptedTypePlugins::new());
    plugins.configure("aws", Some(declared(true)));
    let mut world = World::with(plugins).await;
    let credential_type = world.fetch_type(&admin(), "AWS").await.unwrap();
    let credential = world.create(credential_type.id, "Prod", &[("key", Some("hunter22"))]).await;
    world.plugins.configure("aws", Some(declared(false)));
    world.crash().await;
    assert!(
        world.fetch_type(&admin(), "AWS").await.unwrap().fields[0].secure,
        "it stays as it was"
    );
    assert_eq!(world.fetch(credential.id).await.unwrap().values, []);
    assert_eq!(world.reveal(credential.id).await.unwrap(), [("key".into(), "hunter22".into())]);
}

#[tokio::test]
async fn a_declared_type_gives_way_to_a_name_that_is_taken() {
    let mut world = World::new().await;
    world.create_type("aws", Vec::new()).await;
    world.plugins.configure("aws", Some(declared(true)));
    world.crash().await;
    assert_eq!(world.type_names(&admin()).await.unwrap(), ["aws", "AWS (aws)"]);
}

/// Attack: a user takes every name that a declared type could get, and the daemon never starts
/// again.
#[tokio::test]
async fn no_choice_of_names_keeps_the_daemon_from_starting() {
    for long in [false, true] {
        let mut world = World::new().await;
        let name = if long { "Ä".repeat(200) } else { "AWS".to_owned() };
        let declared = DeclaredType { name: name.clone(), ..declared(true) };
        let short: String = name.chars().take(194).collect();
        for taken in [name.to_lowercase(), format!("{short} (aws)")] {
            world.create_type(&taken, Vec::new()).await;
        }
        world.plugins.configure("aws", Some(declared.clone()));
        world.crash().await;
        let of_plugin = async |world: &World| {
            let records = world.vault.records();
            let name = PluginName::parse("aws").unwrap();
            let id = records.type_of_plugin(&name).await.unwrap().unwrap();
            (id, world.fetch_type(&admin(), id.as_str()).await.unwrap().name)
        };
        let (id, given) = of_plugin(&world).await;
        assert!(given.ends_with(&format!(" ({id})")), "{given}");
        assert!(given.chars().count() <= 200);
        // The plugin wants another name, and that is taken in every form, too.
        let other: String = "Other".into();
        for taken in ["Other".to_owned(), "Other (aws)".into(), format!("Other ({id})")] {
            world.create_type(&taken, Vec::new()).await;
        }
        world.plugins.configure("aws", Some(DeclaredType { name: other, ..declared }));
        world.crash().await;
        assert_eq!(of_plugin(&world).await, (id, format!("Other ({id} 2)")));
        world.crash().await;
        assert_eq!(of_plugin(&world).await.1, format!("Other ({id} 2)"), "and it stays");
    }
}

#[tokio::test]
async fn two_daemons_declare_one_type() {
    let world = World::new().await;
    world.plugins.configure("aws", Some(declared(true)));
    let second = world.second_daemon().await;
    let (a, b) = tokio::join!(world.vault.declare_types(), second.declare_types());
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(world.type_names(&admin()).await.unwrap(), ["AWS"]);
}

#[tokio::test]
async fn a_type_whose_plugin_is_gone_is_readable_and_takes_no_values() {
    let plugins = Arc::new(ScriptedTypePlugins::new());
    plugins.configure("aws", Some(declared(true)));
    let mut world = World::with(plugins).await;
    let credential_type = world.fetch_type(&admin(), "AWS").await.unwrap();
    let credential = world.create(credential_type.id, "Prod", &[("key", Some("hunter22"))]).await;
    world.plugins.remove("aws");
    world.crash().await;
    assert_eq!(world.fetch(credential.id).await.unwrap().name, "Prod");
    assert_eq!(world.reveal(credential.id).await.unwrap().len(), 1);
    assert_eq!(world.rename(credential.id, "Production").await.unwrap().name, "Production");
    let refused = world.change(credential.id, &[("key", Some("x"))]).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.fields()[0].message.contains("aws"));
    world.plugins.configure("aws", Some(declared(true)));
    world.change(credential.id, &[("key", Some("x"))]).await.unwrap();
}

#[tokio::test]
async fn a_plugin_that_declares_nonsense_is_refused_at_start() {
    let world = World::new().await;
    let twice = declared(true).fields[0].clone();
    world.plugins.configure(
        "aws",
        Some(DeclaredType { fields: vec![twice.clone(), twice], ..declared(true) }),
    );
    let refused = world.vault.declare_types().await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert!(
        refused.public().contains("aws") && refused.public().contains("fields.1.id"),
        "{refused}"
    );
}

/// The largest definition that is accepted still fits its record while all of its fields are
/// marked.
#[tokio::test]
async fn the_largest_definition_can_be_replaced_and_deleted() {
    let world = World::new().await;
    let long = |start: &str, n: usize| Draft {
        name: Some("n".repeat(200)),
        ..field(&format!("{start}{}{n:02}", "f".repeat(61)))
    };
    let definition = |choices: usize| -> Vec<Draft> {
        let choices = (0..choices).map(|n| Some(format!("{n:0100}"))).collect();
        let choice =
            Draft { value_type: Some("choice".into()), choices: Some(choices), ..field("choice") };
        (0..63).map(|n| long("a", n)).chain([choice]).collect()
    };
    let mut largest = 1;
    let credential_type = world.create_type("T", definition(largest)).await;
    while world.change_fields(credential_type.id, definition(largest + 1)).await.is_ok() {
        largest += 1;
    }
    assert!((2..190).contains(&largest), "{largest}");
    world.change_fields(credential_type.id, (0..64).map(|n| long("b", n)).collect()).await.unwrap();
    world.change_fields(credential_type.id, definition(largest)).await.unwrap();
    world.delete_type(&admin(), credential_type.id).await.unwrap();
    world.vault.restore(crate::access::operator(), credential_type.id.as_str()).await.unwrap();
}
