//! Credentials: their values, what is refused, what is audited.

use super::world::{login, pair, plain, plain_count, required};
use super::*;
use crate::access::vault::{Delete, Rename, Reveal};
use crate::doubles::{Gate, NormaliseStep};
use crate::error::{FieldProblem, Kind};
use crate::ports::plugins::BrokenHow;
use crate::vault::credentials::StoredForm;
use crate::vault::draft::{CredentialDraft, ValueDraft};

#[tokio::test]
async fn secure_values_are_shown_when_revealed_and_nowhere_else() {
    let mut world = World::new().await;
    let credential_type = login(&world).await;
    let made = world
        .create(
            credential_type.id,
            " Prod ",
            &[("password", Some("hunter22")), ("user", Some("alice"))],
        )
        .await;
    assert_eq!(
        (made.name.as_str(), made.credential_type.id, made.company.id),
        ("Prod", credential_type.id, world.acme)
    );
    assert_eq!(plain(&made), [("user", "alice")]);
    world.crash().await;
    assert_eq!(world.fetch(made.id).await.unwrap(), made);
    let revealed = world.reveal(made.id).await.unwrap();
    assert_eq!(revealed, [pair("password", "hunter22")]);

    let shown = world.fetch_values(made.id).await.unwrap();
    assert_eq!((shown.len(), shown[0].id.clone()), (2, format!("{}-user", made.id)));
    assert_eq!(shown[0].form, StoredForm::Plain("alice".into()));
    let StoredForm::Sealed(envelope) = &shown[1].form else {
        panic!("a secure value is not sealed")
    };
    assert!(shown[1].id.starts_with('c') && shown[1].id.len() == 25);
    let padded = crate::envelope::PADDED_TO + crate::envelope::OVERHEAD;
    assert_eq!(envelope.len(), padded, "the length of the value does not show");
    assert!(!format!("{made:?}{shown:?}").contains("hunter22"));
    assert_eq!(
        world
            .events()
            .await
            .into_iter()
            .filter(|event| !event.starts_with("synchronise"))
            .collect::<Vec<_>>(),
        ["create [] done", "create [password,user] done", "reveal [password] done"]
    );
}

#[tokio::test]
async fn every_reveal_is_audited_before_it_answers() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let bare = world.create(credential_type.id, "Bare", &[("user", Some("x"))]).await;
    assert_eq!(world.reveal(bare.id).await.unwrap(), []);
    assert_eq!(world.events_of("reveal").await, ["reveal [] done"]);
    // What cannot be audited is not revealed.
    let full = world
        .create(credential_type.id, "Full", &[("user", Some("x")), ("pin", Some("1234"))])
        .await;
    let authorized = world.authorized::<Reveal>(full.id).await.unwrap();
    world.store.fail_next(crate::doubles::Fault::Unavailable);
    assert_eq!(kind(world.vault.reveal(authorized).await), Kind::Internal);
}

#[tokio::test]
async fn an_update_sets_what_it_names_and_keeps_the_rest() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world
        .create(
            credential_type.id,
            "Prod",
            &[("user", Some("alice")), ("password", Some("one")), ("pin", Some("22"))],
        )
        .await;
    let before = world.fetch_values(made.id).await.unwrap();
    let changed = world.change(made.id, &[("note", Some("n")), ("pin", None)]).await.unwrap();
    assert_eq!(plain(&changed), [("user", "alice"), ("note", "n")]);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("password", "one")]);
    let after = world.fetch_values(made.id).await.unwrap();
    assert_eq!(before[1], after[1], "an envelope stays when what is in it stays");

    world.change(made.id, &[("password", Some("two"))]).await.unwrap();
    let renewed = world.fetch_values(made.id).await.unwrap();
    assert_eq!(renewed[1].id, after[1].id);
    assert_ne!(renewed[1].form, after[1].form);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("password", "two")]);
    // An empty text counts as missing, and removes an optional value.
    assert_eq!(
        plain(&world.change(made.id, &[("note", Some(""))]).await.unwrap()),
        [("user", "alice")]
    );
}

#[tokio::test]
async fn a_use_is_audited_when_the_plugin_saw_stored_secrets_whatever_it_answered() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world
        .create(credential_type.id, "Prod", &[("user", Some("a")), ("password", Some("one"))])
        .await;
    world.change(made.id, &[("note", Some("n"))]).await.unwrap();
    world.change(made.id, &[("password", Some("two"))]).await.unwrap();
    world.plugins.next(NormaliseStep::Invalid(vec![FieldProblem::new(["note".into()], "no")]));
    world.change(made.id, &[("note", Some("m"))]).await.unwrap_err();
    world.plugins.next(NormaliseStep::Broken(BrokenHow::Trap));
    assert_eq!(kind(world.change(made.id, &[("note", Some("m"))]).await), Kind::PluginFailed);
    let events = world.events_of("use").await;
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(events[0], "use [password] done");
    assert!(
        events[1].starts_with("use [password] refused")
            && events[2].starts_with("use [password] failed")
    );
    assert_eq!(world.events_of("change").await, ["change [note] done", "change [password] done"]);
    assert_eq!(world.plugins.calls().last().unwrap().values.len(), 3);
}

#[tokio::test]
async fn every_problem_of_a_new_credential_is_reported_with_its_path() {
    let world = World::new().await;
    let number = Draft { value_type: Some("number".into()), ..field("port") };
    let computed = Draft { computed: Some(true), ..field("sum") };
    let credential_type = world
        .create_type("Host", vec![required(field("host")), number, computed, secure("password")])
        .await;
    let huge = "x".repeat(16 * 1024 + 1);
    let mut drafts = values(&[
        ("unknown", Some("x")),
        ("port", Some("lots")),
        ("sum", Some("1")),
        ("password", Some(&huge)),
        ("port", Some("1")),
    ]);
    drafts.push(None);
    drafts.push(Some(ValueDraft { field: Some("host".into()), value: None }));
    let draft = CredentialDraft {
        name: Some("\u{202e}".into()),
        type_id: Some(credential_type.id.to_string()),
        company_id: Some("unknown".into()),
        values: Some(drafts),
    };
    let found = vec![FieldProblem::new(["fields".into(), 5.into()], "Expected an object.")];
    let grant = crate::access::authorize_creation(&admin()).unwrap();
    let refused = places(world.vault.create_credential(grant, draft, found).await);
    let paths: Vec<_> = refused.iter().map(|place| place.split(':').next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "fields.5",
            "name",
            "company",
            "fields.0.field",
            "fields.2.value",
            "fields.3.value",
            "fields.4.field",
            "fields.1.value"
        ]
    );
    // The plugin's repetition of that problem is left out: to the plugin, an empty value is one
    // that the request did not name.
    for given in [&[][..], &[("host", Some(""))]] {
        let again = FieldProblem::new(["host".into()], "is required");
        let other = FieldProblem::new(["password".into()], "is missing, too");
        world.plugins.next(NormaliseStep::Invalid(vec![again, other]));
        let missing = world.create_as(&admin(), (credential_type.id, world.acme), "x", given).await;
        assert_eq!(
            places(missing),
            ["fields.host: This field is required.", "fields.password: is missing, too"]
        );
    }
}

#[tokio::test]
async fn a_required_value_cannot_be_removed() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world.create(credential_type.id, "Prod", &[("user", Some("alice"))]).await;
    let refused = world.change(made.id, &[("note", Some("n")), ("user", None)]).await;
    assert_eq!(places(refused), ["fields.1.value: This field is required."]);
    let emptied = world.change(made.id, &[("user", Some(""))]).await;
    assert_eq!(places(emptied), ["fields.user: This field is required."]);
    assert_eq!(world.fetch(made.id).await.unwrap(), made, "all or nothing");
}

#[tokio::test]
async fn computed_fields_are_the_plugins() {
    let world = World::new().await;
    let computed = |draft: Draft| Draft { computed: Some(true), ..draft };
    let credential_type = world
        .create_type("Key", vec![field("a"), computed(field("sum")), computed(secure("print"))])
        .await;
    let made = world.create(credential_type.id, "Key", &[("a", Some("x"))]).await;
    assert_eq!(plain(&made), [("a", "x"), ("sum", "sum from 1 values")]);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("print", "print from 1 values")]);
    let sent = world.change(made.id, &[("sum", Some("sum from 1 values"))]).await;
    assert_eq!(places(sent), ["fields.0.value: This field is computed; no value is taken for it."]);
    // What is computed again is neither opened nor shown to the plugin.
    world.change(made.id, &[("a", Some("y"))]).await.unwrap();
    assert_eq!(world.events_of("use").await, [""; 0]);
    assert_eq!(world.plugins.calls().last().unwrap().values, [("a".into(), "y".into(), true)]);
}

#[tokio::test]
async fn a_value_that_comes_back_for_a_secure_field_is_sealed() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world.create(credential_type.id, "Prod", &[("user", Some("a"))]).await;
    world.plugins.next(NormaliseStep::Return(vec![pair("user", "a"), pair("pin", "1234")]));
    let changed = world.change(made.id, &[]).await.unwrap();
    assert_eq!(plain(&changed), [("user", "a")]);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("pin", "1234")]);
}

#[tokio::test]
async fn a_plugin_that_is_busy_is_told_apart_from_one_that_breaks() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    for (step, expected) in [
        (NormaliseStep::Busy, Kind::Busy),
        (NormaliseStep::Broken(BrokenHow::Timeout), Kind::PluginTimeout),
        (NormaliseStep::Broken(BrokenHow::BadOutput), Kind::PluginFailed),
    ] {
        world.plugins.next(step);
        let refused = world
            .create_as(&admin(), (credential_type.id, world.acme), "x", &[("user", Some("a"))])
            .await;
        assert_eq!(kind(refused), expected);
    }
    assert_eq!(world.credentials_of_type(&admin(), credential_type.id).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_write_that_expects_another_version_is_stale() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world.create(credential_type.id, "Prod", &[("user", Some("a"))]).await;
    let changed =
        world.change_at(made.id, &[("note", Some("n"))], Some(&[made.version])).await.unwrap();
    assert!(changed.version > made.version);
    let expected = [made.version, 77];
    assert_eq!(
        kind(world.change_at(made.id, &[("note", Some("m"))], Some(&expected)).await),
        Kind::Stale
    );
    assert_eq!(kind(world.change_at(made.id, &[], Some(&[])).await), Kind::Stale);
    let authorized = world.authorized::<Rename>(made.id).await.unwrap();
    assert_eq!(
        kind(world.vault.rename(authorized, Some("x"), Vec::new(), Some(&expected)).await),
        Kind::Stale
    );
    let authorized = world.authorized::<Delete>(made.id).await.unwrap();
    assert_eq!(kind(world.vault.delete_credential(authorized, Some(&expected)).await), Kind::Stale);
    let values = world.vault.fetch_values(world.authorized(made.id).await.unwrap()).await.unwrap();
    assert_eq!(values.0, world.fetch(made.id).await.unwrap().version, "one version for all views");
    assert_eq!(world.fetch(made.id).await.unwrap(), changed);
}

#[tokio::test]
async fn a_rename_to_the_same_name_writes_nothing() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world
        .create(credential_type.id, "Prod", &[("user", Some("a")), ("pin", Some("1234"))])
        .await;
    let commits = world.store.commits();
    assert_eq!(world.rename(made.id, " Prod ").await.unwrap(), made);
    let authorized = world.authorized::<Rename>(made.id).await.unwrap();
    assert_eq!(world.vault.rename(authorized, None, Vec::new(), None).await.unwrap(), made);
    assert_eq!(world.store.commits(), commits);
    let renamed = world.rename(made.id, "Production").await.unwrap();
    assert!(renamed.version > made.version);
    assert_eq!(world.fetch(made.id).await.unwrap(), renamed);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("pin", "1234")]);
    assert_eq!(world.events_of("change").await, ["change [] done name"]);
}

#[tokio::test]
async fn lists_are_ordered_by_name_ignoring_case() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    for name in ["beta", "Alpha", "alpha", "Ärger", "Zulu"] {
        world.create(credential_type.id, name, &[("user", Some("a"))]).await;
    }
    let names = world.credentials_of_company(&admin(), world.acme).await.unwrap();
    assert_eq!(names[2..], ["beta", "Zulu", "Ärger"]);
    assert_eq!(world.credentials_of_type(&admin(), credential_type.id).await.unwrap(), names);
    assert_eq!(world.credentials_of_company(&admin(), world.globex).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn the_largest_credential_fits_and_one_byte_more_is_refused() {
    let world = World::new().await;
    for is_secure in [true, false] {
        let draft = |n: usize| {
            if is_secure {
                secure(&format!("{}{n:02}", "f".repeat(62)))
            } else {
                field(&format!("{}{n:02}", "g".repeat(62)))
            }
        };
        let credential_type =
            world.create_type(&format!("Large {is_secure}"), (0..64).map(draft).collect()).await;
        let value = "x".repeat(2048);
        let names: Vec<String> =
            credential_type.fields.iter().map(|field| field.id.clone()).collect();
        let given: Vec<_> =
            names.iter().map(|name| (name.as_str(), Some(value.as_str()))).collect();
        let made = world.create(credential_type.id, "Large", &given).await;
        let longer = format!("{value}y");
        let refused = world.change(made.id, &[(&names[0], Some(&longer))]).await;
        assert!(places(refused)[0].starts_with("fields: All values"), "{is_secure}");
        // All of them anew, in one batch, beside the old ones.
        let other = "y".repeat(2048);
        let anew: Vec<_> = names.iter().map(|name| (name.as_str(), Some(other.as_str()))).collect();
        let changed = world.change(made.id, &anew).await.unwrap();
        let seen = if is_secure { world.reveal(made.id).await.unwrap() } else { changed.values };
        assert!(seen.len() == 64 && seen.iter().all(|(_, value)| *value == other));
        let refused = world
            .create_as(
                &admin(),
                (credential_type.id, world.acme),
                "x",
                &[(&names[0], Some(&"x".repeat(16 * 1024 + 1)))],
            )
            .await;
        assert_eq!(places(refused), ["fields.0.value: Expected at most 16 KiB."]);
    }
}

/// A plugin has seen stored secrets also when the update then loses against another change, and
/// comes to nothing.
#[tokio::test]
async fn a_use_is_audited_when_another_change_came_first() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world
        .create(credential_type.id, "Prod", &[("user", Some("a")), ("password", Some("one"))])
        .await;
    let gate = Gate::shut();
    world.plugins.next(NormaliseStep::Wait(gate.clone()));
    let slow = world.change(made.id, &[("note", Some("n"))]);
    let meanwhile = async {
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        world.delete(made.id).await.unwrap();
        gate.open();
    };
    let (slow, ()) = tokio::join!(slow, meanwhile);
    assert_eq!(kind(slow), Kind::NotFound);
    assert_eq!(world.events_of("use").await, ["use [password] done"]);
    assert_eq!(world.events_of("change").await, [""; 0]);
}

/// Values of former fields count: their number is bounded, and the bound is reported as a problem
/// of the request, not as a failure of the store.
#[tokio::test]
async fn former_values_fit_up_to_a_number() {
    let world = World::new().await;
    let fields = |generation: usize, is_secure: bool| -> Vec<Draft> {
        let draft = |n| {
            let id = format!("{}{generation}x{n:02}", "f".repeat(60));
            if is_secure { secure(&id) } else { field(&id) }
        };
        (0..64).map(draft).collect()
    };
    let value = "x".repeat(512);
    let credential_type = world.create_type("T", Vec::new()).await;
    let made = world.create(credential_type.id, &"\"".repeat(200), &[]).await;
    // The first of them are plain, as many as fit into the record itself, and the others secure.
    for generation in 0..5 {
        let fields = fields(generation, generation > 0);
        let ids: Vec<String> = fields.iter().map(|field| field.id.clone().unwrap()).collect();
        let length = if generation == 0 { 55 } else { 512 };
        let given: Vec<_> = ids.iter().map(|id| (id.as_str(), Some(&value[..length]))).collect();
        world.change_fields(credential_type.id, fields).await.unwrap();
        if generation < 4 {
            world.change(made.id, &given).await.unwrap();
            continue;
        }
        for given in [&given[..], &given[..1]] {
            let refused = world.change(made.id, given).await;
            assert!(places(refused)[0].starts_with("fields: All values"));
        }
    }
    // All that is there can become secure.
    world.change_fields(credential_type.id, fields(0, true)).await.unwrap();
    world.work().await;
    assert_eq!(world.reveal(made.id).await.unwrap().len(), 64);
    assert_eq!(plain_count(&world, made.id).await, 0);
    world.rename(made.id, "Renamed").await.unwrap();
    world.delete(made.id).await.unwrap();
    world.vault.restore(crate::access::operator(), made.id.as_str()).await.unwrap();
}

/// Attack: an insider reads through the plain fields of all customers, and no line says so.
#[tokio::test]
async fn reading_plain_fields_is_an_event_where_that_is_configured() {
    let mut world = World::new().await;
    let type_id = login(&world).await.id;
    let values = [("user", Some("alice")), ("password", Some("hunter22"))];
    let made = world.create(type_id, "Prod", &values).await.id;
    let read = async |world: &World| {
        world.fetch(made).await.unwrap();
        world.fetch_values(made).await.unwrap();
        world.credentials_of_company(&admin(), world.acme).await.unwrap();
        world.credentials_of_type(&admin(), type_id).await.unwrap();
    };
    read(&world).await;
    assert_eq!(world.events_of("read").await, [""; 0]);
    world.audit_reads().await;
    read(&world).await;
    let events = world.events_of("read").await;
    assert_eq!(events.len(), 4, "{events:?}");
    assert!(events.iter().any(|event| event.contains("user") && event.contains("password")));
    assert!(events.iter().all(|event| !event.contains("alice") && !event.contains("hunter22")));
    // An answer that is not accounted for does not leave.
    world.store.stop_after(0);
    assert_eq!(kind(world.fetch(made).await), Kind::Internal);
}
