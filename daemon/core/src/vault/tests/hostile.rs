//! Attacks on credentials: by updates that probe, plugins that disclose, and writes to the disk.

use std::sync::Arc;

use super::world::{login, pair, plain};
use super::*;
use crate::audit::AuditLog;
use crate::doubles::{MemoryFile, NormaliseStep, RecordingAudit};
use crate::error::{FieldProblem, Kind};
use crate::ids::CredentialId;
use crate::records::credentials::CredentialChange;

/// Attack: a caller who may change values, but not reveal them, finds out what is stored from the
/// problems that an update reports.
#[tokio::test]
async fn an_update_is_no_oracle() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world
        .create(
            credential_type.id,
            "Prod",
            &[("user", Some("alice")), ("password", Some("hunter22"))],
        )
        .await;
    let problem =
        |field: &str, text: &str| FieldProblem::new([field.to_owned().into()], text.to_owned());
    for (found, reported) in [
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
        assert_eq!(places(refused), [reported]);
    }
    world.plugins.next(NormaliseStep::Invalid(Vec::new()));
    assert_eq!(kind(world.change(made.id, &[]).await), Kind::Invalid);
    assert!(world.events().await.iter().all(|event| !event.contains("hunter22")));
}

/// Attack: a plugin discloses a secret in a plain field, or breaks the definition.
#[tokio::test]
async fn what_a_plugin_returns_is_checked() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world
        .create(credential_type.id, "Prod", &[("user", Some("a")), ("password", Some("hunter22"))])
        .await;
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
    // A secret that a client itself writes into a plain field is accepted.
    let same = world.change(made.id, &[("note", Some("hunter22"))]).await.unwrap();
    assert_eq!(plain(&same), [("user", "a"), ("note", "hunter22")]);
}

/// Attack: a writer to the store moves the secure values of one credential to another, whose values
/// they may reveal.
#[tokio::test]
async fn sealed_values_swapped_on_disk_are_refused() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let given = [("user", Some("a")), ("password", Some("victim's")), ("pin", Some("7777"))];
    let (one, two) = (
        world.create(credential_type.id, "One", &given).await,
        world.create(credential_type.id, "Two", &given).await,
    );
    let parts = world.store.dump("sealed/");
    assert_eq!(parts.len(), 2);
    world.store.tamper(&parts[0].0, Some(parts[1].1.clone()));
    world.store.tamper(&parts[1].0, Some(parts[0].1.clone()));
    for id in [one.id, two.id] {
        assert_eq!(kind(world.reveal(id).await), Kind::Internal);
        assert_eq!(kind(world.fetch_values(id).await), Kind::Internal);
        assert_eq!(kind(world.change(id, &[]).await), Kind::Internal);
    }
    // The failed reveals are audited: they show that the store was tampered with.
    let events = world.events_of("reveal").await;
    assert_eq!(events.len(), 2);
    let failed = |event: &String| event.starts_with("reveal [password,pin] failed");
    assert!(events.iter().all(failed), "{events:?}");
}

/// Attack: the same with single envelopes, by a writer who can make records but not open envelopes:
/// between fields, values, credentials.
#[tokio::test]
async fn envelopes_swapped_within_and_between_credentials_are_refused() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let given = [("user", Some("a")), ("password", Some("victim's")), ("pin", Some("7777"))];
    let (one, two) = (
        world.create(credential_type.id, "One", &given).await,
        world.create(credential_type.id, "Two", &given).await,
    );
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
    let mut version = stored.value.version;
    for swapped in [by_field, by_envelope, by_credential] {
        let (before, _) = sealed_of(one.id).await;
        version += 1;
        let after = before.value.with_values(version, before.value.plain.clone(), &swapped);
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

/// Attack: a reader of the audit log looks for values of credentials.
#[tokio::test]
async fn no_value_is_in_the_audit_log() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let stored = [
        ("user", Some("canary-user")),
        ("password", Some("canary-pass")),
        ("note", Some("canary-note")),
    ];
    let made = world.create(credential_type.id, "Prod", &stored).await;
    world.reveal(made.id).await.unwrap();
    world
        .change(made.id, &[("password", Some("canary-new")), ("pin", Some("canary-pin"))])
        .await
        .unwrap();
    world
        .plugins
        .next(NormaliseStep::Invalid(vec![FieldProblem::new(["note".into()], "not canary-new")]));
    assert!(world.change(made.id, &[("note", Some("canary-bad"))]).await.is_err());
    world.delete(made.id).await.unwrap();
    world.vault.purge_now(crate::access::operator(), &made.id.to_string()).await.unwrap();

    let file = MemoryFile::default();
    let (ground, echo) = (Arc::clone(&world.vault.ground), Arc::new(RecordingAudit::new()));
    AuditLog::new(ground, Arc::new(file.clone()), echo).finish().await.unwrap();
    let log = file.lines().join("\n");
    assert!(!log.contains("canary"), "{log}");
    for action in ["create", "reveal", "use", "change", "delete", "purge"] {
        assert!(log.contains(&format!("\"action\":\"{action}\"")), "{action}: {log}");
    }
    assert!(log.contains(r#""fields":["password"]"#), "the fields are named: {log}");
}
