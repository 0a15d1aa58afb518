//! Changes of a type's fields while credentials are read and written, and crashes during them.

use std::sync::Arc;

use futures_util::FutureExt as _;

use super::world::{pair, plain_count, shown};
use super::*;
use crate::access::vault::{ChangeValues, Fetch, Reveal};
use crate::doubles::{Gate, NormaliseStep};
use crate::error::Kind;
use crate::ids::{CredentialId, TypeId};
use crate::vault::draft::TypeDraft;

/// Yields to other tasks that many times.
async fn pause(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// A credential that was checked by the old definition is not written under the new one.
#[tokio::test]
async fn no_write_straddles_a_change_of_the_type() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("token")]).await;
    let gate = Gate::shut();
    world.plugins.next(NormaliseStep::Wait(gate.clone()));
    let creator = admin();
    let slow = world.create_as(
        &creator,
        (credential_type.id, world.acme),
        "C",
        &[("token", Some("hunter22"))],
    );
    let meanwhile = async {
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        world.change_fields(credential_type.id, vec![secure("token")]).await.unwrap();
        gate.open();
    };
    let (slow, ()) = tokio::join!(slow, meanwhile);
    let made = slow.unwrap();
    assert_eq!(made.values, []);
    assert_eq!(
        plain_count(&world, made.id).await,
        0,
        "it was checked and sealed by the new definition"
    );
    assert_eq!(world.plugins.calls().len(), 2);
}

/// Attack: a secure value is written while a change searches for one, so that it ends up in a plain
/// field.
#[tokio::test]
async fn a_value_that_is_written_while_its_field_becomes_plain_is_never_exposed() {
    let (mut opened, mut refused) = (0, 0);
    for round in 0..120 {
        let world = World::new().await;
        let credential_type = world.create_type("T", vec![secure("token")]).await;
        for n in 0..3 {
            world.create(credential_type.id, &format!("{n}"), &[]).await;
        }
        let creator = admin();
        let create = async {
            pause(round % 12 * 4).await;
            let given = [("token", Some("hunter22"))];
            world.create_as(&creator, (credential_type.id, world.acme), "C", &given).await.unwrap()
        };
        let change = async {
            pause(round / 12 * 4).await;
            world.change_fields(credential_type.id, vec![field("token")]).await
        };
        let (made, change) = tokio::join!(create, change);
        match change {
            Ok(_) => {
                opened += 1;
                // It was written after the change, into a field that its creator saw as plain.
                assert_eq!(made.values, [pair("token", "hunter22")]);
                assert_eq!(plain_count(&world, made.id).await, 1);
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), Kind::Conflict);
                assert_eq!(made.values, []);
                assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")]);
            }
        }
    }
    assert!(opened > 0 && refused > 0, "both orders were met: {opened} {refused}");
}

async fn many(world: &World, type_id: TypeId, count: usize) -> Vec<CredentialId> {
    let mut made = Vec::new();
    for n in 0..count {
        let value = format!("secret-{n}");
        made.push(
            world
                .create(
                    type_id,
                    &format!("C{n:05}"),
                    &[("user", Some("u")), ("token", Some(&value))],
                )
                .await
                .id,
        );
    }
    made
}

/// Every value is there, shown or revealed by the definition that the type has now; no secure value
/// is shown.
async fn assert_whole(world: &World, type_id: TypeId, made: &[CredentialId]) -> bool {
    let now = world.fetch_type(&admin(), type_id.as_str()).await.unwrap();
    let is_secure = now.fields.iter().any(|field| field.id == "token" && field.secure);
    for (n, id) in made.iter().enumerate() {
        let (plain, secrets) = (shown(world, *id).await, world.reveal(*id).await.unwrap());
        let token = pair("token", &format!("secret-{n}"));
        if is_secure {
            assert_eq!((plain, secrets), (vec![pair("user", "u")], vec![token]));
        } else {
            assert_eq!((plain, secrets), (vec![pair("user", "u"), token], vec![]));
        }
    }
    assert_eq!(now.credential_count, made.len() as u64);
    is_secure
}

/// kill -9 after every commit of a change and of the background work that it leaves.
#[tokio::test]
async fn a_kill_at_any_step_of_a_change_leaves_all_or_nothing() {
    let mut changed = 0;
    for stop in 0..14 {
        let mut world = World::new().await;
        let credential_type = world.create_type("T", vec![field("user"), field("token")]).await;
        let made = many(&world, credential_type.id, 8).await;
        world.store.stop_after(stop);
        let change =
            world.change_fields(credential_type.id, vec![field("user"), secure("token")]).await;
        let _ = world.vault.work_once().await;
        world.crash().await;
        let is_secure = assert_whole(&world, credential_type.id, &made).await;
        assert!(is_secure || change.is_err(), "what was acknowledged happened");
        changed += usize::from(is_secure);
        world.work().await;
        assert_eq!(assert_whole(&world, credential_type.id, &made).await, is_secure);
        for id in made {
            assert_eq!(plain_count(&world, id).await, if is_secure { 1 } else { 2 });
        }
        assert_eq!(world.store.dump("reseal/").len(), 0);
    }
    assert_eq!(changed, 13);
}

/// kill -9 between the steps by which a field becomes plain: it does or does not, and a mark that
/// is left behind prevents nothing.
#[tokio::test]
async fn a_kill_while_a_field_becomes_plain_is_harmless() {
    for stop in 0..4 {
        let mut world = World::new().await;
        let credential_type = world.create_type("T", vec![field("user"), secure("token")]).await;
        world.store.stop_after(stop);
        let opened = world
            .change_fields(credential_type.id, vec![field("user"), field("token")])
            .await
            .is_ok();
        world.crash().await;
        let now = world.fetch_type(&admin(), "T").await.unwrap();
        assert!(!opened || !now.fields[1].secure);
        let made = world.create(credential_type.id, "C", &[("token", Some("hunter22"))]).await;
        assert_eq!(made.values.len(), usize::from(!now.fields[1].secure));
        let again =
            world.change_fields(credential_type.id, vec![field("user"), field("token")]).await;
        assert_eq!(again.is_ok(), !now.fields[1].secure);
    }
}

/// Ten thousand credentials: the change answers at once, readers see it at once, a kill in the
/// middle of the work loses nothing.
#[tokio::test]
async fn a_change_over_ten_thousand_credentials() {
    let mut world = World::new().await;
    let credential_type = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = many(&world, credential_type.id, 10_000).await;
    let before = world.store.commits();
    world.change_fields(credential_type.id, vec![field("user"), secure("token")]).await.unwrap();
    assert_eq!(world.store.commits() - before, 1, "one commit");
    assert_eq!(world.reveal(made[9_999]).await.unwrap(), [pair("token", "secret-9999")]);
    world.store.stop_after(4_321);
    assert!(world.vault.work_once().await.is_err());
    world.crash().await;
    let sealed = world.store.dump("sealed/").len();
    assert!((4_000..=4_321).contains(&sealed), "{sealed}");
    let grant = crate::access::authorize_list_of_type(&admin()).unwrap();
    let paging = crate::paging::Paging::longest();
    let page = world.vault.list_of_type(grant, credential_type.id, paging).await.unwrap();
    assert_eq!((page.items.len(), page.total), (1000, 10_000));
    for id in made.iter().step_by(997) {
        assert_eq!(shown(&world, *id).await, [pair("user", "u")]);
    }
    world.work().await;
    assert_eq!(world.store.dump("sealed/").len(), 10_000);
    assert_eq!(world.store.dump("reseal/").len(), 0);

    // The same for the deletion, and the work that it leaves.
    let before = world.store.commits();
    world.delete_type(&admin(), credential_type.id).await.unwrap();
    assert_eq!(world.store.commits() - before, 1, "one commit");
    assert_eq!(world.credentials_of_company(&admin(), world.acme).await.unwrap().len(), 0);
    world.clock.advance(world.window + std::time::Duration::from_secs(2));
    world.store.stop_after(5_000);
    assert!(world.vault.work_once().await.is_err());
    world.crash().await;
    assert_eq!(
        kind(world.vault.restore(crate::access::operator(), credential_type.id.as_str()).await),
        Kind::Conflict
    );
    world.work().await;
    for space in ["type/", "credential/", "sealed/", "of-type/", "of-company/", "gone/"] {
        assert_eq!(world.store.dump(space).len(), 0, "{space}");
    }
}

/// Readers, writers and a change of the type at the same time: no reader sees a token after it
/// became secure, and no value is lost.
#[tokio::test]
async fn readers_and_writers_meet_one_definition_at_a_time() {
    let world = Arc::new(World::new().await);
    let credential_type = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = many(&world, credential_type.id, 6).await;
    let change = async {
        world
            .change_fields(credential_type.id, vec![field("user"), secure("token")])
            .await
            .unwrap();
        world.work().await;
    };
    let writers = made.iter().map(|id| {
        let (world, id) = (world.clone(), *id);
        async move {
            for n in 0..6 {
                let user = format!("u{n}");
                let authorized = world.vault.authorize::<ChangeValues>(&admin(), id).await.unwrap();
                world
                    .vault
                    .change_values(
                        authorized,
                        Some(values(&[("user", Some(&user))])),
                        Vec::new(),
                        None,
                    )
                    .await
                    .unwrap();
            }
        }
    });
    let readers = made.iter().map(|id| {
        let (world, id) = (world.clone(), *id);
        async move {
            let mut was_hidden = false;
            for _ in 0..40 {
                let is_hidden = world.fetch(id).await.unwrap().values.len() == 1;
                assert!(is_hidden || !was_hidden, "what was hidden stays hidden");
                was_hidden = is_hidden;
                let authorized = world.vault.authorize::<Reveal>(&admin(), id).await.unwrap();
                let revealed = world.vault.reveal(authorized).await.unwrap().len();
                assert!(revealed == 1 || !was_hidden);
            }
            assert!(was_hidden);
        }
    });
    let (writers, readers) =
        (futures_util::future::join_all(writers), futures_util::future::join_all(readers));
    tokio::join!(change, writers, readers);
    world.work().await;
    for (n, id) in made.into_iter().enumerate() {
        assert_eq!(shown(&world, id).await, [pair("user", "u5")]);
        assert_eq!(world.reveal(id).await.unwrap(), [pair("token", &format!("secret-{n}"))]);
        assert_eq!(plain_count(&world, id).await, 1);
    }
}

/// A type gets another name while its values are sealed: that goes on at once.
#[tokio::test]
async fn sealing_goes_on_when_the_type_changes_meanwhile() {
    for round in 0..5 {
        let world = World::new().await;
        world.vault.start().await.unwrap();
        let credential_type = world.create_type("T", vec![field("user"), field("token")]).await;
        many(&world, credential_type.id, 300).await;
        let rename = async {
            while world.store.dump("reseal/").is_empty() {
                tokio::task::yield_now().await;
            }
            pause(round).await;
            let draft = TypeDraft { name: Some("Another".into()), ..TypeDraft::default() };
            world.change_type(&admin(), credential_type.id, draft).await.unwrap();
        };
        let change = world.change_fields(credential_type.id, vec![field("user"), secure("token")]);
        let ((), changed) = tokio::join!(rename, change);
        changed.unwrap();
        world.clock.run(std::time::Duration::ZERO).await;
        assert_eq!(world.store.dump("reseal/").len(), 0, "round {round}");
    }
}

/// Work that becomes due is done at once, without a request and without waiting for the next sweep.
/// A stopped vault begins no more work.
#[tokio::test]
async fn background_work_runs_until_the_vault_is_stopped() {
    let world = World::new().await;
    world.vault.start().await.unwrap();
    let credential_type = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = many(&world, credential_type.id, 3).await;
    world.change_fields(credential_type.id, vec![field("user"), secure("token")]).await.unwrap();
    world.clock.run(std::time::Duration::ZERO).await;
    assert_eq!((world.store.dump("reseal/").len(), plain_count(&world, made[0]).await), (0, 1));

    world.delete(made[0]).await.unwrap();
    world.clock.advance(world.window - std::time::Duration::from_secs(60));
    world.clock.run(std::time::Duration::ZERO).await;
    assert_eq!(world.store.dump("credential/").len(), 3);
    world.clock.run(std::time::Duration::from_secs(120)).await;
    assert_eq!(world.store.dump("credential/").len(), 2);
    assert_eq!(world.vault.readiness(), [""; 0]);

    world.vault.stop();
    world.clock.run(std::time::Duration::ZERO).await;
    world.change_fields(credential_type.id, vec![secure("user"), secure("token")]).await.unwrap();
    world.clock.run(std::time::Duration::from_secs(120)).await;
    assert_eq!(world.store.dump("reseal/").len(), 1);
}

/// A record that cannot be read delays no other, and is reported to operators.
#[tokio::test]
async fn a_broken_record_is_reported_and_delays_no_other() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = many(&world, credential_type.id, 2).await;
    let (key, value) = world.store.dump("credential/")[0].clone();
    world.delete(made[0]).await.unwrap();
    world.delete(made[1]).await.unwrap();
    world.store.tamper(&key, Some(value.slice(1..)));
    world.vault.start().await.unwrap();
    world.clock.advance(world.window + std::time::Duration::from_secs(60));
    world.clock.run(std::time::Duration::ZERO).await;
    assert_eq!(world.store.dump("credential/").len(), 1, "the other one is gone");
    assert_eq!(world.vault.readiness().len(), 1);
}

/// Attack: a caller reads a credential at the moment when a change of the type's scope takes it
/// from them, to be judged by the old scope and get a value that was written after the change.
#[tokio::test]
async fn a_caller_is_never_judged_by_an_older_type_than_what_they_read() {
    let (mut old, mut refused) = (0, 0);
    for polls in 0..24 {
        let world = World::new().await;
        let credential_type = world.create_type("T", vec![field("token")]).await;
        let made = world.create(credential_type.id, "C", &[("token", Some("old"))]).await;
        let reader = member(&["credential.fetch", "demo.login"], None);
        let mut reading = std::pin::pin!(world.vault.authorize::<Fetch>(&reader, made.id));
        let early = (0..polls).find_map(|_| reading.as_mut().now_or_never());

        let narrowed =
            TypeDraft { permission_scope: Some("other.scope".into()), ..TypeDraft::default() };
        world.change_type(&admin(), credential_type.id, narrowed).await.unwrap();
        world.change(made.id, &[("token", Some("new"))]).await.unwrap();

        let read = match early {
            Some(read) => read,
            None => reading.await,
        };
        match read {
            Ok(at) => {
                assert_eq!(at.view().values, [pair("token", "old")], "after {polls} steps");
                old += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Forbidden);
                refused += 1;
            }
        }
    }
    assert!(old > 0 && refused > 0, "both were seen: {old} {refused}");
}

/// One credential that cannot be read keeps no other from being sealed or removed.
#[tokio::test]
async fn a_broken_credential_keeps_no_other_from_being_sealed_or_removed() {
    let world = World::new().await;
    let credential_type = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = many(&world, credential_type.id, 60).await;
    let broken = made[0];
    let (key, value) = world
        .store
        .dump("credential/")
        .into_iter()
        .find(|(key, _)| key.as_bytes().ends_with(broken.as_str().as_bytes()))
        .unwrap();
    world.change_fields(credential_type.id, vec![field("user"), secure("token")]).await.unwrap();
    world.store.tamper(&key, Some(value.slice(1..)));
    assert_eq!(kind(world.vault.work_once().await), Kind::Internal);
    for id in made.iter().filter(|id| **id != broken) {
        assert_eq!(plain_count(&world, *id).await, 1);
    }
    assert_eq!(world.store.dump("reseal/").len(), 1, "there is still something to do");

    world.delete_type(&admin(), credential_type.id).await.unwrap();
    world.clock.advance(world.window + std::time::Duration::from_secs(2));
    assert_eq!(kind(world.vault.work_once().await), Kind::Internal);
    assert_eq!(world.store.dump("credential/").len(), 1);
    world.store.tamper(&key, Some(value));
    world.work().await;
    assert_eq!((world.store.dump("credential/").len(), world.store.dump("type/").len()), (0, 0));
}
