//! Credentials: their values, who sees which, what is refused, what is told.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::access::vault::{ChangeValues, Delete, Rename, Reveal};
use crate::doubles::{Gate, NormaliseStep};
use crate::error::{FieldProblem, Kind};
use crate::ids::CredentialId;
use crate::ports::plugins::BrokenHow;
use crate::records::credentials::CredentialChange;
use crate::vault::Shown;
use crate::vault::credential::CredentialView;
use crate::vault::draft::{CredentialDraft, ValueDraft};
use crate::vault::types::TypeView;

fn required(draft: Draft) -> Draft {
    Draft { required: Some(true), ..draft }
}

/// `user` is required, `note` is plain, `password` and `pin` are secure.
async fn login(world: &World) -> TypeView {
    world
        .create_type("Login", vec![required(field("user")), secure("password"), field("note"), secure("pin")])
        .await
}

fn plain(view: &CredentialView) -> Vec<(&str, &str)> {
    view.values.iter().map(|(field, value)| (field.as_str(), value.as_str())).collect()
}

fn pair(field: &str, value: &str) -> (String, String) {
    (field.into(), value.into())
}

#[tokio::test]
async fn secure_values_are_shown_when_revealed_and_nowhere_else() {
    let mut world = World::new().await;
    let of = login(&world).await;
    let made =
        world.create(of.id, " Prod ", &[("password", Some("hunter22")), ("user", Some("alice"))]).await;
    assert_eq!((made.name.as_str(), made.of.id, made.company.id), ("Prod", of.id, world.acme));
    assert_eq!(plain(&made), [("user", "alice")]);
    world.crash().await;
    assert_eq!(world.fetch(made.id).await.unwrap(), made);
    let revealed = world.reveal(made.id).await.unwrap();
    assert_eq!(revealed, [pair("password", "hunter22")]);

    let shown = world.fetch_values(made.id).await.unwrap();
    assert_eq!((shown.len(), shown[0].id.clone()), (2, format!("{}-user", made.id)));
    assert_eq!(shown[0].value, Shown::Plain("alice".into()));
    let Shown::Sealed(envelope) = &shown[1].value else { panic!("a secure value in the open") };
    assert!(shown[1].id.starts_with('c') && shown[1].id.len() == 25);
    assert_eq!(envelope.len(), "hunter22".len() + crate::envelope::OVERHEAD);
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
async fn every_reveal_is_told_before_it_answers() {
    let world = World::new().await;
    let of = login(&world).await;
    let bare = world.create(of.id, "Bare", &[("user", Some("x"))]).await;
    assert_eq!(world.reveal(bare.id).await.unwrap(), []);
    assert_eq!(world.events_of("reveal").await, ["reveal [] done"]);
    // What cannot be told is not revealed.
    let full = world.create(of.id, "Full", &[("user", Some("x")), ("pin", Some("1234"))]).await;
    let at = world.at::<Reveal>(full.id).await.unwrap();
    world.store.fail_next(crate::doubles::Fault::Unavailable);
    assert_eq!(kind(world.vault.reveal(at).await), Kind::Internal);
}

#[tokio::test]
async fn an_update_sets_what_it_names_and_keeps_the_rest() {
    let world = World::new().await;
    let of = login(&world).await;
    let made = world
        .create(of.id, "Prod", &[("user", Some("alice")), ("password", Some("one")), ("pin", Some("22"))])
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
    assert_ne!(renewed[1].value, after[1].value);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("password", "two")]);
    // An empty text counts as missing, and takes an optional value away.
    assert_eq!(plain(&world.change(made.id, &[("note", Some(""))]).await.unwrap()), [("user", "alice")]);
}

#[tokio::test]
async fn a_use_is_told_when_the_plugin_saw_stored_secrets_whatever_it_said() {
    let world = World::new().await;
    let of = login(&world).await;
    let made = world.create(of.id, "Prod", &[("user", Some("a")), ("password", Some("one"))]).await;
    world.change(made.id, &[("note", Some("n"))]).await.unwrap();
    world.change(made.id, &[("password", Some("two"))]).await.unwrap();
    world.plugins.next(NormaliseStep::Invalid(vec![FieldProblem::new(["note".into()], "no")]));
    world.change(made.id, &[("note", Some("m"))]).await.unwrap_err();
    world.plugins.next(NormaliseStep::Broken(BrokenHow::Trap));
    assert_eq!(kind(world.change(made.id, &[("note", Some("m"))]).await), Kind::PluginFailed);
    let told = world.events_of("use").await;
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0], "use [password] done");
    assert!(told[1].starts_with("use [password] refused") && told[2].starts_with("use [password] failed"));
    assert_eq!(world.events_of("change").await, ["change [note] done", "change [password] done"]);
    assert_eq!(world.plugins.calls().last().unwrap().values.len(), 3);
}

#[tokio::test]
async fn every_fault_of_a_new_credential_is_told_at_its_place() {
    let world = World::new().await;
    let number = Draft { value_type: Some("number".into()), ..field("port") };
    let computed = Draft { computed: Some(true), ..field("sum") };
    let of =
        world.create_type("Host", vec![required(field("host")), number, computed, secure("password")]).await;
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
        of: Some(of.id.to_string()),
        company: Some("nobody".into()),
        values: Some(drafts),
    };
    let met = vec![FieldProblem::new(["fields".into(), 5.into()], "Expected an object.")];
    let grant = crate::access::authorize_creation(&admin()).unwrap();
    let told = places(world.vault.create_credential(grant, &draft, met).await);
    let at: Vec<_> = told.iter().map(|told| told.split(':').next().unwrap()).collect();
    assert_eq!(
        at,
        [
            "fields.5",
            "name",
            "companyId",
            "fields.0.fieldId",
            "fields.2.value",
            "fields.3.value",
            "fields.4.fieldId",
            "fields.1.value"
        ]
    );
    let missing = world.create_as(&admin(), (of.id, world.acme), "x", &[("host", Some(""))]).await;
    assert_eq!(places(missing), ["fields.host: This field is required."]);
}

#[tokio::test]
async fn a_required_value_cannot_be_taken_away() {
    let world = World::new().await;
    let of = login(&world).await;
    let made = world.create(of.id, "Prod", &[("user", Some("alice"))]).await;
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
    let of =
        world.create_type("Key", vec![field("a"), computed(field("sum")), computed(secure("print"))]).await;
    let made = world.create(of.id, "Key", &[("a", Some("x"))]).await;
    assert_eq!(plain(&made), [("a", "x"), ("sum", "sum from 1 values")]);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("print", "print from 1 values")]);
    let sent = world.change(made.id, &[("sum", Some("sum from 1 values"))]).await;
    assert_eq!(places(sent), ["fields.0.value: This field is computed; no value is taken for it."]);
    // What is computed again is neither opened nor shown to the plugin.
    world.change(made.id, &[("a", Some("y"))]).await.unwrap();
    assert_eq!(world.events_of("use").await, [""; 0]);
    assert_eq!(world.plugins.calls().last().unwrap().values, [("a".into(), "y".into(), true)]);
}

/// Attack: whoever may change values, but not reveal them, asks what is stored by what an update has against it.
#[tokio::test]
async fn an_update_is_no_oracle() {
    let world = World::new().await;
    let of = login(&world).await;
    let made = world.create(of.id, "Prod", &[("user", Some("alice")), ("password", Some("hunter22"))]).await;
    let problem = |field: &str, text: &str| FieldProblem::new([field.to_owned().into()], text.to_owned());
    for (found, told) in [
        (
            problem("password", "is shorter than the note"),
            "fields.password: A value that was not part of the request does not fit.",
        ),
        (problem("note", "is not hunter22"), "fields.0.value: This value does not fit."),
        (problem("note", "nothing like xhunter22x"), "fields.0.value: This value does not fit."),
        (problem("note", "expected a date"), "fields.0.value: expected a date"),
        (problem("note", "line\nfeed"), "fields.0.value: line feed"),
        (problem("note", "my-note is bad"), "fields.0.value: This value does not fit."),
        (
            FieldProblem::new([], "starts with h"),
            "fields: A value that was not part of the request does not fit.",
        ),
        (
            problem("elsewhere", "starts with h"),
            "fields: A value that was not part of the request does not fit.",
        ),
        (
            problem("pin", "is required, for the password is short"),
            "fields.pin: A value that was not part of the request does not fit.",
        ),
    ] {
        world.plugins.next(NormaliseStep::Invalid(vec![found]));
        let refused = world.change(made.id, &[("note", Some("my-note"))]).await;
        assert_eq!(places(refused), [told]);
    }
    world.plugins.next(NormaliseStep::Invalid(Vec::new()));
    assert_eq!(kind(world.change(made.id, &[]).await), Kind::Invalid);
    assert!(world.events().await.iter().all(|event| !event.contains("hunter22")));
}

/// Attack: a plugin hands a secret out through a field that everybody is shown, or breaks the definition.
#[tokio::test]
async fn what_a_plugin_returns_is_checked() {
    let world = World::new().await;
    let of = login(&world).await;
    let made = world.create(of.id, "Prod", &[("user", Some("a")), ("password", Some("hunter22"))]).await;
    let long = "x".repeat(16 * 1024 + 1);
    for returned in [
        &[("user", "hunter22"), ("password", "hunter22")][..],
        &[("user", "a"), ("note", "it is hunter22"), ("password", "hunter22")],
        &[("user", "a"), ("note", "hunter22")],
        &[("user", "new-secret"), ("password", "new-secret")],
        &[("user", "a"), ("user", "b")],
        &[("user", "a"), ("elsewhere", "b")],
        &[("user", long.as_str())],
        &[("user", "")],
        &[("password", "hunter22")],
    ] {
        let returned = returned.iter().map(|(field, value)| pair(field, value)).collect();
        world.plugins.next(NormaliseStep::Return(returned));
        assert_eq!(kind(world.change(made.id, &[("note", Some("n"))]).await), Kind::PluginFailed);
    }
    assert_eq!(world.fetch(made.id).await.unwrap(), made);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("password", "hunter22")]);
    // What a client puts into a plain field itself is theirs to show.
    let same = world.change(made.id, &[("note", Some("hunter22"))]).await.unwrap();
    assert_eq!(plain(&same), [("user", "a"), ("note", "hunter22")]);
}

#[tokio::test]
async fn a_value_that_comes_back_for_a_secure_field_is_sealed() {
    let world = World::new().await;
    let of = login(&world).await;
    let made = world.create(of.id, "Prod", &[("user", Some("a"))]).await;
    world.plugins.next(NormaliseStep::Return(vec![pair("user", "a"), pair("pin", "1234")]));
    let changed = world.change(made.id, &[]).await.unwrap();
    assert_eq!(plain(&changed), [("user", "a")]);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("pin", "1234")]);
}

#[tokio::test]
async fn a_plugin_that_has_no_time_or_breaks_is_told_apart() {
    let world = World::new().await;
    let of = login(&world).await;
    for (step, expected) in [
        (NormaliseStep::Busy, Kind::Busy),
        (NormaliseStep::Broken(BrokenHow::Timeout), Kind::PluginTimeout),
        (NormaliseStep::Broken(BrokenHow::BadOutput), Kind::PluginFailed),
    ] {
        world.plugins.next(step);
        let refused = world.create_as(&admin(), (of.id, world.acme), "x", &[("user", Some("a"))]).await;
        assert_eq!(kind(refused), expected);
    }
    assert_eq!(world.of_type(&admin(), of.id).await.unwrap(), [""; 0]);
}

/// Attack: whoever can write to the store puts the secure values of one credential under another, whose values they may see.
#[tokio::test]
async fn sealed_values_swapped_on_disk_are_refused() {
    let world = World::new().await;
    let of = login(&world).await;
    let given = [("user", Some("a")), ("password", Some("victim's")), ("pin", Some("7777"))];
    let (one, two) = (world.create(of.id, "One", &given).await, world.create(of.id, "Two", &given).await);
    let parts = world.store.dump("sealed/");
    assert_eq!(parts.len(), 2);
    world.store.tamper(&parts[0].0, Some(parts[1].1.clone()));
    world.store.tamper(&parts[1].0, Some(parts[0].1.clone()));
    for id in [one.id, two.id] {
        assert_eq!(kind(world.reveal(id).await), Kind::Internal);
        assert_eq!(kind(world.fetch_values(id).await), Kind::Internal);
        assert_eq!(kind(world.change(id, &[]).await), Kind::Internal);
    }
    assert_eq!(world.events_of("reveal").await, [""; 0]);
}

/// Attack: the same with single envelopes, by somebody who can make records but not open envelopes: between fields, values, credentials.
#[tokio::test]
async fn envelopes_swapped_within_and_between_credentials_are_refused() {
    let world = World::new().await;
    let of = login(&world).await;
    let given = [("user", Some("a")), ("password", Some("victim's")), ("pin", Some("7777"))];
    let (one, two) = (world.create(of.id, "One", &given).await, world.create(of.id, "Two", &given).await);
    let records = world.vault.records();
    let sealed_of = async |id: CredentialId| {
        let stored = records.credential(id).await.unwrap().unwrap();
        let sealed = records.sealed_values(&stored).await.unwrap().unwrap();
        (stored, sealed)
    };
    let (stored, sealed) = sealed_of(one.id).await;
    let (_, foreign) = sealed_of(two.id).await;
    let (password, pin) = (sealed["password"].clone(), sealed["pin"].clone());
    let mut by_field = sealed.clone();
    by_field.insert("password".into(), pin.clone());
    by_field.insert("pin".into(), password.clone());
    let mut by_envelope = sealed.clone();
    by_envelope.get_mut("password").unwrap().envelope = pin.envelope.clone();
    let mut by_credential = sealed.clone();
    by_credential.insert("password".into(), foreign["password"].clone());
    let mut version = stored.credential.version;
    for swapped in [by_field, by_envelope, by_credential] {
        let (before, _) = sealed_of(one.id).await;
        version += 1;
        let after = before.credential.with_values(version, before.credential.plain.clone(), &swapped);
        let change = CredentialChange {
            before: Some(&before),
            after: Some(&after),
            values: Some(&swapped),
            ..CredentialChange::default()
        };
        records.commit_credential(&change).await.unwrap();
        assert_eq!(kind(world.reveal(one.id).await), Kind::Internal);
    }
    assert_eq!(world.reveal(two.id).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_write_that_expects_another_version_is_stale() {
    let world = World::new().await;
    let of = login(&world).await;
    let made = world.create(of.id, "Prod", &[("user", Some("a"))]).await;
    let changed = world.change_at(made.id, &[("note", Some("n"))], Some(&[made.version])).await.unwrap();
    assert!(changed.version > made.version);
    let expected = [made.version, 77];
    assert_eq!(kind(world.change_at(made.id, &[("note", Some("m"))], Some(&expected)).await), Kind::Stale);
    assert_eq!(kind(world.change_at(made.id, &[], Some(&[])).await), Kind::Stale);
    let at = world.at::<Rename>(made.id).await.unwrap();
    assert_eq!(kind(world.vault.rename(at, Some("x"), Vec::new(), Some(&expected)).await), Kind::Stale);
    let at = world.at::<Delete>(made.id).await.unwrap();
    assert_eq!(kind(world.vault.delete_credential(at, Some(&expected)).await), Kind::Stale);
    let values = world.vault.fetch_values(world.at(made.id).await.unwrap()).await.unwrap();
    assert_eq!(values.0, world.fetch(made.id).await.unwrap().version, "one version for all views");
    assert_eq!(world.fetch(made.id).await.unwrap(), changed);
}

#[tokio::test]
async fn a_rename_to_the_same_name_writes_nothing() {
    let world = World::new().await;
    let of = login(&world).await;
    let made = world.create(of.id, "Prod", &[("user", Some("a")), ("pin", Some("1234"))]).await;
    let commits = world.store.commits();
    assert_eq!(world.rename(made.id, " Prod ").await.unwrap(), made);
    let at = world.at::<Rename>(made.id).await.unwrap();
    assert_eq!(world.vault.rename(at, None, Vec::new(), None).await.unwrap(), made);
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
    let of = login(&world).await;
    for name in ["beta", "Alpha", "alpha", "Ärger", "Zulu"] {
        world.create(of.id, name, &[("user", Some("a"))]).await;
    }
    let names = world.of_company(&admin(), world.acme).await.unwrap();
    assert_eq!(names[2..], ["beta", "Zulu", "Ärger"]);
    assert_eq!(world.of_type(&admin(), of.id).await.unwrap(), names);
    assert_eq!(world.of_company(&admin(), world.globex).await.unwrap(), [""; 0]);
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
        let of = world.create_type(&format!("Large {is_secure}"), (0..64).map(draft).collect()).await;
        let value = "x".repeat(2048);
        let names: Vec<String> = of.fields.iter().map(|field| field.id.clone()).collect();
        let given: Vec<_> = names.iter().map(|name| (name.as_str(), Some(value.as_str()))).collect();
        let made = world.create(of.id, "Large", &given).await;
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
            .create_as(&admin(), (of.id, world.acme), "x", &[(&names[0], Some(&"x".repeat(16 * 1024 + 1)))])
            .await;
        assert_eq!(places(refused), ["fields.0.value: Expected at most 16 KiB."]);
    }
}

/// What is deleted, restored and purged leaves and takes exactly its keys.
#[tokio::test]
async fn what_is_deleted_can_be_restored_for_a_while() {
    let mut world = World::new().await;
    let of = login(&world).await;
    let made = world.create(of.id, "Prod", &[("user", Some("a")), ("pin", Some("1234"))]).await;
    world.delete(made.id).await.unwrap();
    assert_eq!(kind(world.fetch(made.id).await), Kind::NotFound);
    assert_eq!(kind(world.reveal(made.id).await), Kind::NotFound);
    assert_eq!(world.fetch_type(&admin(), "Login").await.unwrap().credential_count, 0);
    world.crash().await;
    world.work().await;
    let deleted = world.vault.deleted(crate::access::operator()).await.unwrap();
    assert_eq!((deleted.len(), deleted[0].name.as_str(), deleted[0].company), (1, "Prod", Some(world.acme)));
    assert_eq!(deleted[0].until.since(deleted[0].since), world.window);

    let id = made.id.to_string();
    world.vault.restore(crate::access::operator(), &id).await.unwrap();
    let back = world.fetch(made.id).await.unwrap();
    assert_eq!((plain(&back), back.name.as_str()), (plain(&made), "Prod"));
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("pin", "1234")]);
    assert_eq!(world.fetch_type(&admin(), "Login").await.unwrap().credential_count, 1);
    assert_eq!(kind(world.vault.restore(crate::access::operator(), &id).await), Kind::NotFound);

    world.delete(made.id).await.unwrap();
    world.clock.advance(world.window + std::time::Duration::from_secs(2));
    world.work().await;
    for space in ["credential/", "sealed/", "values/", "of-type/", "of-company/", "gone/", "gone-of-type/"] {
        assert_eq!(world.store.dump(space).len(), 0, "{space}");
    }
    assert_eq!(kind(world.vault.restore(crate::access::operator(), &id).await), Kind::NotFound);
    let told = ["delete", "restore", "purge"].map(async |action| world.events_of(action).await.len());
    assert_eq!(futures_util::future::join_all(told).await, [2, 1, 1]);
}

#[tokio::test]
async fn a_purge_need_not_wait_for_its_time() {
    let world = World::new().await;
    let of = login(&world).await;
    let made = world.create(of.id, "Prod", &[("user", Some("a"))]).await;
    let operator = crate::access::operator;
    assert_eq!(
        kind(world.vault.purge_now(operator(), made.id.as_str()).await),
        Kind::NotFound,
        "it is not deleted"
    );
    world.delete(made.id).await.unwrap();
    world.vault.purge_now(operator(), made.id.as_str()).await.unwrap();
    assert_eq!(world.vault.deleted(operator()).await.unwrap(), []);
    assert_eq!(world.store.dump("credential/").len(), 0);
}

#[tokio::test]
async fn a_deleted_type_comes_back_with_what_went_along() {
    let mut world = World::new().await;
    let of = login(&world).await;
    let (kept, gone) = (
        world.create(of.id, "Kept", &[("user", Some("a")), ("pin", Some("1234"))]).await,
        world.create(of.id, "Gone", &[("user", Some("b"))]).await,
    );
    world.delete(gone.id).await.unwrap();
    world.delete_type(&admin(), of.id).await.unwrap();
    let operator = crate::access::operator;
    assert_eq!(
        kind(world.vault.restore(operator(), gone.id.as_str()).await),
        Kind::Conflict,
        "its type is deleted"
    );
    let listed = world.vault.deleted(operator()).await.unwrap();
    assert_eq!(listed.iter().map(|view| view.credentials).max(), Some(1));

    let taken = world.create_type("login", Vec::new()).await;
    assert_eq!(kind(world.vault.restore(operator(), of.id.as_str()).await), Kind::Conflict);
    world.delete_type(&admin(), taken.id).await.unwrap();
    world.vault.restore(operator(), of.id.as_str()).await.unwrap();
    assert_eq!(world.of_type(&admin(), of.id).await.unwrap(), ["Kept"]);
    assert_eq!(world.reveal(kept.id).await.unwrap(), [pair("pin", "1234")]);

    world.delete_type(&admin(), of.id).await.unwrap();
    world.clock.advance(world.window + std::time::Duration::from_secs(2));
    world.crash().await;
    world.work().await;
    for space in [
        "type/",
        "type-name/",
        "credential/",
        "sealed/",
        "of-type/",
        "of-company/",
        "gone/",
        "gone-of-type/",
        "reseal/",
    ] {
        assert_eq!(world.store.dump(space).len(), 0, "{space}");
    }
}

/// Writers of one credential, each of which sets two fields to one value: whoever reads meets both of one writer.
#[tokio::test]
async fn concurrent_updates_never_mix() {
    let world = World::new().await;
    let of =
        world.create_type("Pair", vec![field("a"), field("b"), secure("c"), secure("d"), field("own")]).await;
    // Long enough to stand in parts of their own, so that reading is no single look.
    let long = |n: usize| format!("{n}:{}", "x".repeat(10_000));
    let made = world
        .create(
            of.id,
            "Pair",
            &[("a", Some(&long(0))), ("b", Some(&long(0))), ("c", Some(&long(0))), ("d", Some(&long(0)))],
        )
        .await;
    let (world, second) = (Arc::new(world), 3);
    let other = world.second_daemon().await;
    let writers = (1..=8).map(|n| {
        let (world, other, long) = (world.clone(), other.clone(), long(n));
        async move {
            for _ in 0..4 {
                let vault = if n % second == 0 { &other } else { &world.vault };
                let at = vault.authorize::<ChangeValues>(&admin(), made.id).await.unwrap();
                let given = ["a", "b", "c", "d"].map(|field| (field, Some(long.as_str())));
                vault.change_values(at, Some(&values(&given)), Vec::new(), None).await.unwrap();
            }
        }
    });
    let reader = async {
        for _ in 0..60 {
            let view = world.fetch(made.id).await.unwrap();
            assert_eq!(view.values[0].1, view.values[1].1);
            let secrets = world.reveal(made.id).await.unwrap();
            assert_eq!(secrets[0].1, secrets[1].1);
        }
    };
    tokio::join!(futures_util::future::join_all(writers), reader);
    assert_eq!(
        world.store.dump("values/").len() + world.store.dump("sealed/").len(),
        2,
        "nothing is left of old versions"
    );
    assert_eq!(world.fetch(made.id).await.unwrap().version, made.version + 32, "nobody's change was lost");
}

/// Two updates of different fields at once: both happened.
#[tokio::test]
async fn updates_of_different_fields_both_stay() {
    let world = World::new().await;
    let of = login(&world).await;
    let made = world.create(of.id, "Prod", &[("user", Some("a"))]).await;
    let (gate, second) = (Gate::shut(), world.second_daemon().await);
    world.plugins.next(NormaliseStep::Wait(gate.clone()));
    let slow = world.change(made.id, &[("note", Some("n"))]);
    let fast = async {
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let at = second.authorize::<ChangeValues>(&admin(), made.id).await.unwrap();
        second.change_values(at, Some(&values(&[("pin", Some("1234"))])), Vec::new(), None).await.unwrap();
        gate.open();
    };
    let (slow, ()) = tokio::join!(slow, fast);
    assert_eq!(plain(&slow.unwrap()), [("user", "a"), ("note", "n")]);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("pin", "1234")]);
}

/// A write whose credential is deleted under it, or whose rights are taken by a change of the type, does not happen.
#[tokio::test]
async fn a_slow_update_is_judged_again() {
    let world = World::new().await;
    let of = login(&world).await;
    let made = world.create(of.id, "Prod", &[("user", Some("a"))]).await;
    let clerk = member(&["credential.*", "demo.login"], None);
    let gate = Gate::shut();
    world.plugins.next(NormaliseStep::Wait(gate.clone()));
    let at = world.vault.authorize::<ChangeValues>(&clerk, made.id).await.unwrap();
    let given = values(&[("note", Some("n"))]);
    let slow = world.vault.change_values(at, Some(&given), Vec::new(), None);
    let meanwhile = async {
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let narrowed = crate::vault::draft::TypeDraft {
            permission_scope: Some("other.scope".into()),
            ..Default::default()
        };
        world.change_type(&admin(), of.id, narrowed).await.unwrap();
        gate.open();
    };
    let (slow, ()) = tokio::join!(slow, meanwhile);
    assert_eq!(kind(slow), Kind::Forbidden);
    assert_eq!(plain(&world.fetch(made.id).await.unwrap()), [("user", "a")]);
}

/// kill -9 after every commit of a life of a credential: what was acknowledged is there, whole, and nothing else.
#[tokio::test]
async fn a_kill_at_any_step_loses_nothing_acknowledged_and_halves_nothing() {
    for stop in 0..12 {
        let mut world = World::new().await;
        let of = login(&world).await;
        let made = world.create(of.id, "Prod", &[("user", Some("v0")), ("pin", Some("v0"))]).await;
        world.store.stop_after(stop);
        let mut acknowledged = 0;
        for n in 1..=4_usize {
            let value = format!("v{n}");
            if world.change(made.id, &[("user", Some(&value)), ("pin", Some(&value))]).await.is_err() {
                break;
            }
            acknowledged = n;
        }
        let deleted = acknowledged == 4 && world.delete(made.id).await.is_ok();
        world.crash().await;
        world.work().await;
        if deleted {
            assert_eq!(kind(world.fetch(made.id).await), Kind::NotFound);
            continue;
        }
        match world.fetch(made.id).await {
            Ok(view) => {
                let n: usize = view.values[0].1.trim_start_matches('v').parse().unwrap();
                assert!(n == acknowledged || n == acknowledged + 1, "{stop}: {n} {acknowledged}");
                assert_eq!(world.reveal(made.id).await.unwrap(), [pair("pin", &view.values[0].1)]);
                assert_eq!(
                    world.events_of("change").await.len(),
                    n,
                    "an event for each change, and for nothing else"
                );
            }
            Err(error) => assert_eq!((error.kind(), acknowledged), (Kind::NotFound, 4)),
        }
    }
}

/// A commit of unknown fate happens once.
#[tokio::test]
async fn an_unknown_fate_makes_no_second_change() {
    for applied in [true, false] {
        let world = World::new().await;
        let of = login(&world).await;
        let made = world.create(of.id, "Prod", &[("user", Some("a"))]).await;
        world.store.fail_next(crate::doubles::Fault::Unknown { applied });
        let changed = world.change(made.id, &[("note", Some("n"))]).await.unwrap();
        assert_eq!(changed.version, made.version + 1);
        assert_eq!(world.events_of("change").await.len(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Any run of updates, renames, deletions and restores leaves what a simple model says.
    #[test]
    fn a_credential_is_what_its_changes_made_of_it(steps in proptest::collection::vec((0_u8..8, 0_usize..4, 0_usize..3), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let of = world.create_type("Any", vec![field("a"), secure("b"), field("c"), secure("d")]).await;
            let made = world.create(of.id, "n", &[]).await;
            let fields = ["a", "b", "c", "d"];
            let sizes = [3, 9_000, 15_000];
            let mut model: std::collections::BTreeMap<&str, String> = Default::default();
            let (mut name, mut is_deleted) = ("n".to_owned(), false);
            for (step, (what, which, size)) in steps.into_iter().enumerate() {
                let field = fields[which];
                let value = format!("{step}").repeat(sizes[size] / format!("{step}").len());
                let result = match what {
                    0..=3 => world.change(made.id, &[(field, Some(&value))]).await.map(|_| { model.insert(field, value); }),
                    4 => world.change(made.id, &[(field, None)]).await.map(|_| { model.remove(field); }),
                    5 => { let to = format!("n{step}"); world.rename(made.id, &to).await.map(|_| name = to) }
                    6 => world.delete(made.id).await.map(|()| is_deleted = true),
                    _ => {
                        let restored = world.vault.restore(crate::access::operator(), made.id.as_str()).await;
                        assert_eq!(restored.is_ok(), is_deleted);
                        is_deleted = false;
                        Ok(())
                    }
                };
                assert!(result.is_ok() || is_deleted);
                match world.fetch(made.id).await {
                    Ok(view) => {
                        let secrets = world.reveal(made.id).await.unwrap();
                        let seen: std::collections::BTreeMap<&str, String> =
                            view.values.iter().chain(&secrets).map(|(field, value)| (field.as_str(), value.clone())).collect();
                        assert_eq!((&seen, view.name.as_str(), is_deleted), (&model, name.as_str(), false));
                    }
                    Err(error) => assert!(is_deleted && error.kind() == Kind::NotFound),
                }
            }
        });
    }
}
