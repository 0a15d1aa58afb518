//! Changes of a type's fields while others read and write, and kills in the middle of them.

use std::sync::Arc;

use futures_util::FutureExt as _;

use super::world::{in_the_open, pair, shown};
use super::*;
use crate::access::vault::{ChangeValues, Fetch, Reveal};
use crate::doubles::{Gate, NormaliseStep};
use crate::error::Kind;
use crate::ids::{CredentialId, TypeId};
use crate::vault::draft::TypeDraft;

/// Lets others run so often.
async fn pause(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// A credential that was checked by the old definition is not written under the new one.
#[tokio::test]
async fn no_write_straddles_a_change_of_the_type() {
    let world = World::new().await;
    let of = world.create_type("T", vec![field("token")]).await;
    let gate = Gate::shut();
    world.plugins.next(NormaliseStep::Wait(gate.clone()));
    let somebody = admin();
    let slow = world.create_as(&somebody, (of.id, world.acme), "C", &[("token", Some("hunter22"))]);
    let meanwhile = async {
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        world.change_fields(of.id, vec![secure("token")]).await.unwrap();
        gate.open();
    };
    let (slow, ()) = tokio::join!(slow, meanwhile);
    let made = slow.unwrap();
    assert_eq!(made.values, []);
    assert_eq!(
        in_the_open(&world, made.id).await,
        0,
        "it was checked and sealed by the new definition"
    );
    assert_eq!(world.plugins.calls().len(), 2);
}

/// Attack: a secure value is put in while somebody looks whether there is one, so that it ends up
/// in a plain field.
#[tokio::test]
async fn a_value_that_comes_while_a_field_is_opened_is_never_in_the_open() {
    let (mut opened, mut refused) = (0, 0);
    for round in 0..120 {
        let world = World::new().await;
        let of = world.create_type("T", vec![secure("token")]).await;
        for n in 0..3 {
            world.create(of.id, &format!("{n}"), &[]).await;
        }
        let somebody = admin();
        let create = async {
            pause(round % 12 * 4).await;
            let given = [("token", Some("hunter22"))];
            world.create_as(&somebody, (of.id, world.acme), "C", &given).await.unwrap()
        };
        let change = async {
            pause(round / 12 * 4).await;
            world.change_fields(of.id, vec![field("token")]).await
        };
        let (made, change) = tokio::join!(create, change);
        match change {
            Ok(_) => {
                opened += 1;
                // It came after the change, and was put into a field that is plain: that is what
                // its maker saw.
                assert_eq!(made.values, [pair("token", "hunter22")]);
                assert_eq!(in_the_open(&world, made.id).await, 1);
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

async fn many(world: &World, of: TypeId, count: usize) -> Vec<CredentialId> {
    let mut made = Vec::new();
    for n in 0..count {
        let value = format!("secret-{n}");
        made.push(
            world
                .create(of, &format!("C{n:05}"), &[("user", Some("u")), ("token", Some(&value))])
                .await
                .id,
        );
    }
    made
}

/// Everything is whole, by whichever definition the type has now; nothing that is secure by it is
/// shown.
async fn assert_whole(world: &World, of: TypeId, made: &[CredentialId]) -> bool {
    let now = world.fetch_type(&admin(), of.as_str()).await.unwrap();
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

/// kill -9 after every commit of a change and of the work that it leaves.
#[tokio::test]
async fn a_kill_at_any_step_of_a_change_leaves_all_or_nothing() {
    let mut flipped = 0;
    for stop in 0..14 {
        let mut world = World::new().await;
        let of = world.create_type("T", vec![field("user"), field("token")]).await;
        let made = many(&world, of.id, 8).await;
        world.store.stop_after(stop);
        let change = world.change_fields(of.id, vec![field("user"), secure("token")]).await;
        let _ = world.vault.work_once().await;
        world.crash().await;
        let is_secure = assert_whole(&world, of.id, &made).await;
        assert!(is_secure || change.is_err(), "what was acknowledged happened");
        flipped += usize::from(is_secure);
        world.work().await;
        assert_eq!(assert_whole(&world, of.id, &made).await, is_secure);
        for id in made {
            assert_eq!(in_the_open(&world, id).await, if is_secure { 1 } else { 2 });
        }
        assert_eq!(world.store.dump("reseal/").len(), 0);
    }
    assert_eq!(flipped, 13);
}

/// kill -9 between the steps of opening a field: it is opened or not, and a mark that is left
/// behind stands in nobody's way.
#[tokio::test]
async fn a_kill_while_a_field_is_opened_harms_nobody() {
    for stop in 0..4 {
        let mut world = World::new().await;
        let of = world.create_type("T", vec![field("user"), secure("token")]).await;
        world.store.stop_after(stop);
        let opened = world.change_fields(of.id, vec![field("user"), field("token")]).await.is_ok();
        world.crash().await;
        let now = world.fetch_type(&admin(), "T").await.unwrap();
        assert!(!opened || !now.fields[1].secure);
        let made = world.create(of.id, "C", &[("token", Some("hunter22"))]).await;
        assert_eq!(made.values.len(), usize::from(!now.fields[1].secure));
        let again = world.change_fields(of.id, vec![field("user"), field("token")]).await;
        assert_eq!(again.is_ok(), !now.fields[1].secure);
    }
}

/// Ten thousand credentials: the change answers at once, readers see it at once, a kill in the
/// middle of the work loses nothing.
#[tokio::test]
async fn a_change_over_ten_thousand_credentials() {
    let mut world = World::new().await;
    let of = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = many(&world, of.id, 10_000).await;
    let before = world.store.commits();
    world.change_fields(of.id, vec![field("user"), secure("token")]).await.unwrap();
    assert_eq!(world.store.commits() - before, 1, "one flip");
    assert_eq!(world.reveal(made[9_999]).await.unwrap(), [pair("token", "secret-9999")]);
    world.store.stop_after(4_321);
    assert!(world.vault.work_once().await.is_err());
    world.crash().await;
    let sealed = world.store.dump("sealed/").len();
    assert!((4_000..=4_321).contains(&sealed), "{sealed}");
    assert_eq!(world.of_type(&admin(), of.id).await.unwrap().len(), 10_000);
    for id in made.iter().step_by(997) {
        assert_eq!(shown(&world, *id).await, [pair("user", "u")]);
    }
    world.work().await;
    assert_eq!(world.store.dump("sealed/").len(), 10_000);
    assert_eq!(world.store.dump("reseal/").len(), 0);

    // And so is the deletion, and what it leaves to do.
    let before = world.store.commits();
    world.delete_type(&admin(), of.id).await.unwrap();
    assert_eq!(world.store.commits() - before, 1, "one flip");
    assert_eq!(world.of_company(&admin(), world.acme).await.unwrap().len(), 0);
    world.clock.advance(world.window + std::time::Duration::from_secs(2));
    world.store.stop_after(5_000);
    assert!(world.vault.work_once().await.is_err());
    world.crash().await;
    assert_eq!(
        kind(world.vault.restore(crate::access::operator(), of.id.as_str()).await),
        Kind::Conflict
    );
    world.work().await;
    for space in ["type/", "credential/", "sealed/", "of-type/", "of-company/", "gone/"] {
        assert_eq!(world.store.dump(space).len(), 0, "{space}");
    }
}

/// Readers, writers and a flip at once: nobody ever sees a token in the open after it became
/// secure, and nothing is lost.
#[tokio::test]
async fn readers_and_writers_meet_one_definition_at_a_time() {
    let world = Arc::new(World::new().await);
    let of = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = many(&world, of.id, 6).await;
    let flip = async {
        world.change_fields(of.id, vec![field("user"), secure("token")]).await.unwrap();
        world.work().await;
    };
    let writers = made.iter().map(|id| {
        let (world, id) = (world.clone(), *id);
        async move {
            for n in 0..6 {
                let user = format!("u{n}");
                let at = world.vault.authorize::<ChangeValues>(&admin(), id).await.unwrap();
                world
                    .vault
                    .change_values(at, Some(values(&[("user", Some(&user))])), Vec::new(), None)
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
                let at = world.vault.authorize::<Reveal>(&admin(), id).await.unwrap();
                let revealed = world.vault.reveal(at).await.unwrap().len();
                assert!(revealed == 1 || !was_hidden);
            }
            assert!(was_hidden);
        }
    });
    let (writers, readers) =
        (futures_util::future::join_all(writers), futures_util::future::join_all(readers));
    tokio::join!(flip, writers, readers);
    world.work().await;
    for (n, id) in made.into_iter().enumerate() {
        assert_eq!(shown(&world, id).await, [pair("user", "u5")]);
        assert_eq!(world.reveal(id).await.unwrap(), [pair("token", &format!("secret-{n}"))]);
        assert_eq!(in_the_open(&world, id).await, 1);
    }
}

/// A type gets another name while its values are sealed: that goes on at once.
#[tokio::test]
async fn sealing_goes_on_when_the_type_changes_meanwhile() {
    for round in 0..5 {
        let world = World::new().await;
        world.vault.start().await.unwrap();
        let of = world.create_type("T", vec![field("user"), field("token")]).await;
        many(&world, of.id, 300).await;
        let rename = async {
            while world.store.dump("reseal/").is_empty() {
                tokio::task::yield_now().await;
            }
            pause(round).await;
            let draft = TypeDraft { name: Some("Another".into()), ..TypeDraft::default() };
            world.change_type(&admin(), of.id, draft).await.unwrap();
        };
        let change = world.change_fields(of.id, vec![field("user"), secure("token")]);
        let ((), changed) = tokio::join!(rename, change);
        changed.unwrap();
        world.clock.run(std::time::Duration::ZERO).await;
        assert_eq!(world.store.dump("reseal/").len(), 0, "round {round}");
    }
}

/// Nobody has to ask for it, and nobody waits for a tick: work that turns up is done at once. What
/// was told to stop begins nothing more.
#[tokio::test]
async fn the_vault_does_its_own_work_until_it_is_stopped() {
    let world = World::new().await;
    world.vault.start().await.unwrap();
    let of = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = many(&world, of.id, 3).await;
    world.change_fields(of.id, vec![field("user"), secure("token")]).await.unwrap();
    world.clock.run(std::time::Duration::ZERO).await;
    assert_eq!((world.store.dump("reseal/").len(), in_the_open(&world, made[0]).await), (0, 1));

    world.delete(made[0]).await.unwrap();
    world.clock.advance(world.window - std::time::Duration::from_secs(60));
    world.clock.run(std::time::Duration::ZERO).await;
    assert_eq!(world.store.dump("credential/").len(), 3);
    world.clock.run(std::time::Duration::from_secs(120)).await;
    assert_eq!(world.store.dump("credential/").len(), 2);
    assert_eq!(world.vault.readiness(), [""; 0]);

    world.vault.stop();
    world.clock.run(std::time::Duration::ZERO).await;
    world.change_fields(of.id, vec![secure("user"), secure("token")]).await.unwrap();
    world.clock.run(std::time::Duration::from_secs(120)).await;
    assert_eq!(world.store.dump("reseal/").len(), 1);
}

/// A record that cannot be read keeps nothing else waiting, and is told to operators.
#[tokio::test]
async fn a_broken_record_is_told_and_stands_in_nobodys_way() {
    let world = World::new().await;
    let of = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = many(&world, of.id, 2).await;
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

/// Attack: somebody whose scope is being taken from a type asks at that very moment, to be judged
/// by how it was and to get what was put in for others afterwards.
#[tokio::test]
async fn nobody_is_judged_by_an_older_type_than_what_they_read() {
    let (mut old, mut refused) = (0, 0);
    for polls in 0..24 {
        let world = World::new().await;
        let of = world.create_type("T", vec![field("token")]).await;
        let made = world.create(of.id, "C", &[("token", Some("old"))]).await;
        let reader = member(&["credential.fetch", "demo.login"], None);
        let mut reading = std::pin::pin!(world.vault.authorize::<Fetch>(&reader, made.id));
        let early = (0..polls).find_map(|_| reading.as_mut().now_or_never());

        let narrowed =
            TypeDraft { permission_scope: Some("other.scope".into()), ..TypeDraft::default() };
        world.change_type(&admin(), of.id, narrowed).await.unwrap();
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
    assert!(old > 0 && refused > 0, "both were met: {old} {refused}");
}

/// One credential that cannot be read leaves none of the others in the open, or there for ever.
#[tokio::test]
async fn a_broken_credential_keeps_no_other_from_being_sealed_or_removed() {
    let world = World::new().await;
    let of = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = many(&world, of.id, 60).await;
    let broken = made[0];
    let (key, value) = world
        .store
        .dump("credential/")
        .into_iter()
        .find(|(key, _)| key.as_bytes().ends_with(broken.as_str().as_bytes()))
        .unwrap();
    world.change_fields(of.id, vec![field("user"), secure("token")]).await.unwrap();
    world.store.tamper(&key, Some(value.slice(1..)));
    assert_eq!(kind(world.vault.work_once().await), Kind::Internal);
    for id in made.iter().filter(|id| **id != broken) {
        assert_eq!(in_the_open(&world, *id).await, 1);
    }
    assert_eq!(world.store.dump("reseal/").len(), 1, "there is still something to do");

    world.delete_type(&admin(), of.id).await.unwrap();
    world.clock.advance(world.window + std::time::Duration::from_secs(2));
    assert_eq!(kind(world.vault.work_once().await), Kind::Internal);
    assert_eq!(world.store.dump("credential/").len(), 1);
    world.store.tamper(&key, Some(value));
    world.work().await;
    assert_eq!((world.store.dump("credential/").len(), world.store.dump("type/").len()), (0, 0));
}
