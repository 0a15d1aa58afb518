//! Changes of a type's fields: readers see them at once, and they never decrypt.

use super::world::{pair, plain_count, shown};
use super::*;
use crate::access::authorize_type_creation;
use crate::error::Kind;
use crate::vault::credentials::StoredForm;
use crate::vault::draft::TypeDraft;
use crate::vault::types::TypeView;

#[tokio::test]
async fn a_field_that_became_secure_is_secure_at_once_and_sealed_soon() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = world
        .create(credential_type.id, "C", &[("user", Some("a")), ("token", Some("hunter22"))])
        .await;
    world.change_fields(credential_type.id, vec![field("user"), secure("token")]).await.unwrap();

    let flipped = world.fetch(made.id).await.unwrap();
    assert_eq!(flipped.values, [pair("user", "a")]);
    assert!(flipped.version > made.version, "what clients keep of it is out of date");
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")]);
    assert_eq!(plain_count(&world, made.id).await, 2);
    world.work().await;
    assert_eq!(plain_count(&world, made.id).await, 1);
    assert_eq!(world.fetch(made.id).await.unwrap(), flipped, "nothing that a reader sees moved");
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")]);
    assert_eq!(world.store.dump("reseal/").len(), 0);
    assert_eq!(
        world.events_of("change").await,
        ["change [] done fields", "change [] done values sealed"]
    );
}

/// A caller who fetches stored values before the job has run gets the ciphertext.
#[tokio::test]
async fn the_stored_form_of_an_unsealed_value_is_its_envelope() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("token")]).await;
    let made = world.create(credential_type.id, "C", &[("token", Some("hunter22"))]).await;
    world.change_fields(credential_type.id, vec![secure("token")]).await.unwrap();
    let flipped = world.fetch(made.id).await.unwrap();
    let (version, values) =
        world.vault.fetch_values(world.authorized(made.id).await.unwrap()).await.unwrap();
    assert_eq!(version, flipped.version);
    assert!(
        matches!(&values[0].form, StoredForm::Sealed(envelope) if !envelope.windows(8).any(|part| part == b"hunter22"))
    );
    assert_eq!(plain_count(&world, made.id).await, 0);
}

#[tokio::test]
async fn an_unsealed_value_counts_as_secure_in_an_update() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = world.create(credential_type.id, "C", &[("token", Some("hunter22"))]).await;
    world.change_fields(credential_type.id, vec![field("user"), secure("token")]).await.unwrap();
    let flipped = world.fetch(made.id).await.unwrap();
    let renamed = world.rename(made.id, "D").await.unwrap();
    assert!(renamed.version > flipped.version);
    let changed = world.change(made.id, &[("user", Some("a"))]).await.unwrap();
    assert!(changed.version > renamed.version);
    assert_eq!(plain_count(&world, made.id).await, 1);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")]);
    assert_eq!(world.events_of("use").await, ["use [token] done"]);
}

#[tokio::test]
async fn a_field_with_secure_values_never_becomes_plain() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("user"), secure("token")]).await;
    let made = world
        .create(credential_type.id, "C", &[("user", Some("a")), ("token", Some("hunter22"))])
        .await;
    let opened = vec![field("user"), field("token")];
    let refused = world.change_fields(credential_type.id, opened.clone()).await;
    assert_eq!(
        places(refused),
        ["fields.1.secure: There are secure values of this field: it stays secure."]
    );
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")]);
    assert!(
        world
            .vault
            .types()
            .await
            .unwrap()
            .by_id(credential_type.id)
            .unwrap()
            .value
            .closing
            .is_empty(),
        "no mark is left"
    );

    // A hidden value counts as well: the field is removed, and returns plain.
    world.change_fields(credential_type.id, vec![field("user")]).await.unwrap();
    assert_eq!(world.reveal(made.id).await.unwrap(), []);
    world.change(made.id, &[("user", Some("b"))]).await.unwrap();
    assert_eq!(kind(world.change_fields(credential_type.id, opened.clone()).await), Kind::Conflict);
    world.change_fields(credential_type.id, vec![field("user"), secure("token")]).await.unwrap();
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")], "kept all along");

    world.change(made.id, &[("token", None)]).await.unwrap();
    world.change_fields(credential_type.id, opened).await.unwrap();
    let plain = world.change(made.id, &[("token", Some("now plain"))]).await.unwrap();
    assert_eq!(plain.values, [pair("user", "b"), pair("token", "now plain")]);
}

#[tokio::test]
async fn a_hidden_plain_value_returns_as_its_field_does() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("a"), field("b")]).await;
    let made = world.create(credential_type.id, "C", &[("a", Some("1")), ("b", Some("2"))]).await;
    world.change_fields(credential_type.id, vec![]).await.unwrap();
    assert_eq!(shown(&world, made.id).await, []);
    assert_eq!(world.fetch_values(made.id).await.unwrap(), []);
    world.change_fields(credential_type.id, vec![field("a"), secure("b")]).await.unwrap();
    assert_eq!(shown(&world, made.id).await, [pair("a", "1")]);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("b", "2")]);
    world.work().await;
    assert_eq!(plain_count(&world, made.id).await, 1);
}

/// Attack: a value that was secure for a moment is shown again, because it was not sealed in that
/// moment.
#[tokio::test]
async fn a_value_that_was_secure_for_a_moment_stays_secure() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("token")]).await;
    let made = world.create(credential_type.id, "C", &[("token", Some("hunter22"))]).await;
    world.change_fields(credential_type.id, vec![secure("token")]).await.unwrap();
    assert_eq!(
        kind(world.change_fields(credential_type.id, vec![field("token")]).await),
        Kind::Conflict
    );
    assert_eq!(plain_count(&world, made.id).await, 0);

    let other = world.create_type("U", vec![field("token")]).await;
    let made = world.create(other.id, "C", &[("token", Some("hunter22"))]).await;
    world.change_fields(other.id, vec![secure("token")]).await.unwrap();
    world.change_fields(other.id, vec![]).await.unwrap();
    assert_eq!(kind(world.change_fields(other.id, vec![field("token")]).await), Kind::Conflict);
    assert_eq!(shown(&world, made.id).await, []);
}

/// A deleted credential does not prevent that a field becomes plain: no caller can see it. The
/// value that a restoration brings back stays hidden.
#[tokio::test]
async fn a_restored_secure_value_of_a_plain_field_is_not_shown() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![secure("token")]).await;
    let made = world.create(credential_type.id, "C", &[("token", Some("hunter22"))]).await;
    world.delete(made.id).await.unwrap();
    world.change_fields(credential_type.id, vec![field("token")]).await.unwrap();
    world.vault.restore(crate::access::operator(), made.id.as_str()).await.unwrap();
    assert_eq!(shown(&world, made.id).await, []);
    assert_eq!(world.reveal(made.id).await.unwrap(), []);
    assert_eq!(world.fetch_values(made.id).await.unwrap(), []);
    let named = world.change(made.id, &[("token", Some("other"))]).await.unwrap();
    assert_eq!(named.values, [pair("token", "other")]);
    assert_eq!(
        world.plugins.calls().last().unwrap().values,
        [("token".into(), "other".into(), true)]
    );
    world.change_fields(credential_type.id, vec![secure("token")]).await.unwrap();
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "other")]);
}

/// What was deleted before a field became secure is sealed as well.
#[tokio::test]
async fn a_deleted_credential_is_sealed_too() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("token")]).await;
    let made = world.create(credential_type.id, "C", &[("token", Some("hunter22"))]).await;
    world.delete(made.id).await.unwrap();
    world.change_fields(credential_type.id, vec![secure("token")]).await.unwrap();
    world.work().await;
    assert_eq!(plain_count(&world, made.id).await, 0);
    world.vault.restore(crate::access::operator(), made.id.as_str()).await.unwrap();
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")]);
}

#[tokio::test]
async fn a_newly_required_field_is_required_by_the_next_update() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("a")]).await;
    let made = world.create(credential_type.id, "C", &[("a", Some("1"))]).await;
    let url = Draft { required: Some(true), ..field("url") };
    world.change_fields(credential_type.id, vec![field("a"), url]).await.unwrap();
    assert_eq!(shown(&world, made.id).await, [pair("a", "1")]);
    world.rename(made.id, "D").await.unwrap();
    let refused = world.change(made.id, &[("a", Some("2"))]).await;
    assert_eq!(places(refused), ["fields.url: This field is required."]);
    world.change(made.id, &[("url", Some("x"))]).await.unwrap();
}

fn by_plugin(name: &str) -> TypeDraft {
    TypeDraft { plugin: Some(name.into()), ..TypeDraft::default() }
}

const PLUGIN_STAYS: &str =
    "plugin: There are secure values of this type, deleted credentials included: its plugin stays.";

/// Attack: without the right to reveal, hand what is sealed to another plugin, and read what that
/// computes of it.
#[tokio::test]
async fn a_plugin_stays_while_there_are_sealed_values() {
    let world = World::new().await;
    world.plugins.configure("totp", None);
    let credential_type = world.create_type("T", vec![field("a"), secure("b")]).await;
    let id = credential_type.id;
    let made = world.create(id, "C", &[("a", Some("1")), ("b", Some("hunter22"))]).await;
    let calls = world.plugins.calls().len();
    let change = async || world.change_type(&admin(), id, by_plugin("totp")).await;
    assert_eq!(places(change().await), [PLUGIN_STAYS]);
    // Nor with the field out of sight, plain after that, or the credential deleted.
    world.change_fields(id, vec![field("a")]).await.unwrap();
    assert_eq!(places(change().await), [PLUGIN_STAYS]);
    world.delete(made.id).await.unwrap();
    assert_eq!(places(change().await), [PLUGIN_STAYS]);
    world.change_fields(id, vec![field("a"), field("b")]).await.unwrap();
    assert_eq!(places(change().await), [PLUGIN_STAYS]);
    let types = world.vault.types().await.unwrap();
    assert!(types.by_id(id).unwrap().value.closing.is_empty(), "no mark is left");
    assert_eq!(world.plugins.calls().len(), calls, "no plugin is asked");

    world.vault.purge_now(crate::access::operator(), made.id.as_str()).await.unwrap();
    assert_eq!(change().await.unwrap().plugin.as_str(), "totp");
    let plain = world.create(id, "D", &[("a", Some("1"))]).await;
    let back = world.change_type(&admin(), id, by_plugin("generic")).await;
    assert_eq!(back.unwrap().plugin.as_str(), "generic", "plain values lock nothing");
    assert_eq!(shown(&world, plain.id).await, [pair("a", "1")]);
}

/// Attack: a writer seals a value while a change of the plugin searches for some.
#[tokio::test]
async fn a_value_that_is_sealed_meanwhile_keeps_the_plugin() {
    for round in 0..40 {
        let world = World::new().await;
        world.plugins.configure("totp", None);
        let id = world.create_type("T", vec![field("a"), secure("b")]).await.id;
        let made = world.create(id, "C", &[("a", Some("1"))]).await;
        let late = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            world.change(made.id, &[("b", Some("hunter22"))]).await
        };
        let administrator = admin();
        let (changed, written) =
            tokio::join!(world.change_type(&administrator, id, by_plugin("totp")), late);
        written.unwrap();
        let last = world.plugins.calls().last().unwrap().clone();
        match changed {
            Ok(_) => assert_eq!(last.plugin.as_str(), "totp", "sealed under the new one"),
            Err(error) => assert_eq!(error.kind(), Kind::Conflict),
        }
    }
}

/// Attack: without the right to reveal, have the plugin compute a plain field of what is sealed:
/// issuer and account of a TOTP secret, or the secret in another coding.
#[tokio::test]
async fn no_further_plain_field_is_computed_of_sealed_values() {
    let world = World::new().await;
    let computed = |draft: Draft| Draft { computed: Some(true), ..draft };
    let fields = || vec![field("a"), secure("b"), computed(field("sum"))];
    let id = world.create_type("T", fields()).await.id;
    let made = world.create(id, "C", &[("b", Some("hunter22"))]).await;
    let stays = "There are secure values of this type, deleted credentials included: no further plain field is computed of them.";
    for (place, more) in [
        (3, [fields(), vec![computed(field("more"))]].concat()),
        (0, vec![computed(field("a")), secure("b"), computed(field("sum"))]),
    ] {
        let changed = world.change_fields(id, more).await;
        assert_eq!(places(changed), [format!("fields.{place}.computed: {stays}")]);
    }
    // What was computed before any secret was there, a plugin may go on computing.
    let renamed = Draft { name: Some("Sum".into()), ..computed(field("sum")) };
    world.change_fields(id, vec![field("a"), secure("b"), renamed]).await.unwrap();
    // A computed field that is secure itself tells nothing.
    let sealed = [fields(), vec![computed(secure("print"))]].concat();
    world.change_fields(id, sealed).await.unwrap();
    world.delete(made.id).await.unwrap();
    world.vault.purge_now(crate::access::operator(), made.id.as_str()).await.unwrap();
    world.change_fields(id, [fields(), vec![computed(field("more"))]].concat()).await.unwrap();
}

/// A plugin that does not come with the daemon fills the plain fields that the configuration lists.
#[tokio::test]
async fn a_foreign_plugin_fills_listed_plain_fields_only() {
    let world = World::new().await;
    world.plugins.configure("foreign", None);
    let computed = |id: &str| Draft { computed: Some(true), ..field(id) };
    let of = |fields: Vec<Draft>| TypeDraft {
        name: Some("F".into()),
        fields: Some(fields.into_iter().map(Some).collect()),
        permission_scope: Some("demo.login".into()),
        ..by_plugin("foreign")
    };
    let create = async |fields| {
        let grant = authorize_type_creation(&admin()).unwrap();
        world.vault.create_type(grant, &of(fields), Vec::new()).await
    };
    let refused = create(vec![secure("b"), computed("hidden"), computed("shown")]).await;
    let why = "The plugin foreign may not fill the plain field hidden: the configuration does not list it in computed_plain.";
    assert_eq!(places(refused), [format!("fields.1.computed: {why}")]);
    let made = create(vec![secure("b"), computed("shown")]).await.unwrap();
    // Nor by taking over a type that a trusted plugin checked.
    let other = world.create_type("T", vec![field("a"), computed("hidden")]).await;
    let taken = world.change_type(&admin(), other.id, by_plugin("foreign")).await;
    assert_eq!(places(taken), [format!("plugin: {why}")]);

    // A definition of an earlier version may have such a field: it stays empty.
    let stored = world.vault.types().await.unwrap().by_id(made.id).unwrap().clone();
    let mut older = stored.value.clone();
    older.fields[1].id = "hidden".to_owned();
    let change = crate::records::credential_types::TypeChange {
        before: Some(&stored),
        after: Some(&older),
        ..Default::default()
    };
    world.vault.records().commit_type(&change).await.unwrap();
    let made = world.create(made.id, "C", &[("b", Some("hunter22"))]).await;
    assert_eq!(made.values, []);
}

fn with_type(value_type: &str, draft: Draft) -> Draft {
    Draft { value_type: Some(value_type.into()), ..draft }
}

fn one_of(choices: &[&str], draft: Draft) -> Draft {
    let choices = choices.iter().map(|choice| Some((*choice).to_owned())).collect();
    Draft { choices: Some(choices), ..with_type("choice", draft) }
}

const TYPE_STAYS: &str = "fields.1.value_type: There are secure values of this field, deleted credentials included: its type stays.";

/// Attack: without the right to reveal, narrow down what a secret may be, and see whether the next
/// update is refused.
#[tokio::test]
async fn a_secret_cannot_be_guessed_by_changing_what_its_field_takes() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("user"), secure("pin")]).await;
    let made =
        world.create(credential_type.id, "C", &[("user", Some("a")), ("pin", Some("1234"))]).await;
    let guesses = || vec![field("user"), one_of(&["1233", "1234"], secure("pin"))];
    let refused = |result| assert_eq!(places::<TypeView>(result), [TYPE_STAYS]);
    refused(world.change_fields(credential_type.id, guesses()).await);
    refused(
        world
            .change_fields(
                credential_type.id,
                vec![field("user"), with_type("number", secure("pin"))],
            )
            .await,
    );
    let closing = &world
        .vault
        .types()
        .await
        .unwrap()
        .by_id(credential_type.id)
        .unwrap()
        .value
        .closing
        .clone();
    assert!(closing.is_empty(), "no mark is left");

    // With the field absent in between.
    world.change_fields(credential_type.id, vec![field("user")]).await.unwrap();
    refused(world.change_fields(credential_type.id, guesses()).await);
    // A deleted credential can be restored, and is checked then.
    world.delete(made.id).await.unwrap();
    refused(world.change_fields(credential_type.id, guesses()).await);
    // With the field plain in between, which a deleted credential does not prevent.
    world.change_fields(credential_type.id, vec![field("user"), field("pin")]).await.unwrap();
    refused(world.change_fields(credential_type.id, guesses()).await);

    world.change_fields(credential_type.id, vec![field("user"), secure("pin")]).await.unwrap();
    world.vault.restore(crate::access::operator(), made.id.as_str()).await.unwrap();
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("pin", "1234")]);
    world.change(made.id, &[("user", Some("b"))]).await.unwrap();
    world.delete(made.id).await.unwrap();
    world.vault.purge_now(crate::access::operator(), made.id.as_str()).await.unwrap();
    world.change_fields(credential_type.id, guesses()).await.unwrap();
}

#[tokio::test]
async fn choices_of_a_secret_stay_while_there_is_one() {
    let world = World::new().await;
    let credential_type =
        world.create_type("T", vec![field("user"), one_of(&["1", "2", "3"], secure("pin"))]).await;
    let made = world.create(credential_type.id, "C", &[("pin", Some("2"))]).await;
    let fewer = || vec![field("user"), one_of(&["1", "2"], secure("pin"))];
    assert_eq!(
        places(world.change_fields(credential_type.id, fewer()).await),
        [
            "fields.1.choices: There are secure values of this field, deleted credentials included: its choices stay."
        ]
    );
    // What the value is not checked against may change.
    let renamed = Draft { name: Some("PIN".into()), ..one_of(&["1", "2", "3"], secure("pin")) };
    world.change_fields(credential_type.id, vec![field("user"), renamed]).await.unwrap();
    world.change(made.id, &[("pin", None)]).await.unwrap();
    world.change_fields(credential_type.id, fewer()).await.unwrap();
}

#[tokio::test]
async fn what_plain_values_are_checked_against_may_change() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("port"), secure("pin")]).await;
    world.create(credential_type.id, "C", &[("port", Some("22"))]).await;
    let changed = vec![with_type("number", field("port")), with_type("number", secure("pin"))];
    world.change_fields(credential_type.id, changed).await.unwrap();
    world.change_fields(credential_type.id, vec![one_of(&["22"], secure("port"))]).await.unwrap();
}
