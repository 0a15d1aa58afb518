//! Changes of a type's fields: at once for readers, never decrypting, resumable, and exact against everything that happens meanwhile.

use std::sync::Arc;

use super::*;
use crate::access::vault::{ChangeValues, Reveal};
use crate::doubles::{Gate, NormaliseStep};
use crate::error::Kind;
use crate::ids::{CredentialId, TypeId};
use crate::vault::Shown;
use crate::vault::draft::TypeDraft;

async fn shown(world: &World, id: CredentialId) -> Vec<(String, String)> {
    world.fetch(id).await.unwrap().values
}

fn pair(field: &str, value: &str) -> (String, String) {
    (field.into(), value.into())
}

/// How many values lie in the open in the record, whatever the definition makes of them.
async fn in_the_open(world: &World, id: CredentialId) -> usize {
    world.vault.records().credential(id).await.unwrap().unwrap().credential.plain.len()
}

#[tokio::test]
async fn a_field_that_became_secure_is_secure_at_once_and_sealed_soon() {
    let world = World::new().await;
    let of = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = world.create(of.id, "C", &[("user", Some("a")), ("token", Some("hunter22"))]).await;
    world.change_fields(of.id, vec![field("user"), secure("token")]).await.unwrap();

    let flipped = world.fetch(made.id).await.unwrap();
    assert_eq!(flipped.values, [pair("user", "a")]);
    assert!(flipped.version > made.version, "what clients keep of it is out of date");
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")]);
    assert_eq!(in_the_open(&world, made.id).await, 2);
    world.work().await;
    assert_eq!(in_the_open(&world, made.id).await, 1);
    assert_eq!(world.fetch(made.id).await.unwrap(), flipped, "nothing that a reader sees moved");
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")]);
    assert_eq!(world.store.dump("reseal/").len(), 0);
    assert_eq!(world.events_of("change").await, ["change [] done fields", "change [] done values sealed"]);
}

/// Before the job has come by, whoever asks for the ciphertext gets one.
#[tokio::test]
async fn the_stored_form_of_a_late_value_is_its_envelope() {
    let world = World::new().await;
    let of = world.create_type("T", vec![field("token")]).await;
    let made = world.create(of.id, "C", &[("token", Some("hunter22"))]).await;
    world.change_fields(of.id, vec![secure("token")]).await.unwrap();
    let flipped = world.fetch(made.id).await.unwrap();
    let (version, values) = world.vault.fetch_values(world.at(made.id).await.unwrap()).await.unwrap();
    assert_eq!(version, flipped.version);
    assert!(
        matches!(&values[0].value, Shown::Sealed(envelope) if !envelope.windows(8).any(|part| part == b"hunter22"))
    );
    assert_eq!(in_the_open(&world, made.id).await, 0);
}

#[tokio::test]
async fn a_late_value_counts_as_secure_in_an_update() {
    let world = World::new().await;
    let of = world.create_type("T", vec![field("user"), field("token")]).await;
    let made = world.create(of.id, "C", &[("token", Some("hunter22"))]).await;
    world.change_fields(of.id, vec![field("user"), secure("token")]).await.unwrap();
    let flipped = world.fetch(made.id).await.unwrap();
    let renamed = world.rename(made.id, "D").await.unwrap();
    assert!(renamed.version > flipped.version);
    let changed = world.change(made.id, &[("user", Some("a"))]).await.unwrap();
    assert!(changed.version > renamed.version);
    assert_eq!(in_the_open(&world, made.id).await, 1);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")]);
    assert_eq!(world.events_of("use").await, ["use [token] done"]);
}

#[tokio::test]
async fn a_field_with_secure_values_never_becomes_plain() {
    let world = World::new().await;
    let of = world.create_type("T", vec![field("user"), secure("token")]).await;
    let made = world.create(of.id, "C", &[("user", Some("a")), ("token", Some("hunter22"))]).await;
    let opened = vec![field("user"), field("token")];
    let refused = world.change_fields(of.id, opened.clone()).await;
    assert_eq!(places(refused), ["fields.1.secure: There are secure values of this field: it stays secure."]);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")]);
    assert!(
        world.vault.types().await.unwrap().by_id(of.id).unwrap().of.closing.is_empty(),
        "no mark is left"
    );

    // Out of sight, it counts as well: the field goes, and returns plain.
    world.change_fields(of.id, vec![field("user")]).await.unwrap();
    assert_eq!(world.reveal(made.id).await.unwrap(), []);
    world.change(made.id, &[("user", Some("b"))]).await.unwrap();
    assert_eq!(kind(world.change_fields(of.id, opened.clone()).await), Kind::Conflict);
    world.change_fields(of.id, vec![field("user"), secure("token")]).await.unwrap();
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")], "kept all along");

    world.change(made.id, &[("token", None)]).await.unwrap();
    world.change_fields(of.id, opened).await.unwrap();
    let plain = world.change(made.id, &[("token", Some("now plain"))]).await.unwrap();
    assert_eq!(plain.values, [pair("user", "b"), pair("token", "now plain")]);
}

#[tokio::test]
async fn a_plain_value_that_was_out_of_sight_returns_as_its_field_does() {
    let world = World::new().await;
    let of = world.create_type("T", vec![field("a"), field("b")]).await;
    let made = world.create(of.id, "C", &[("a", Some("1")), ("b", Some("2"))]).await;
    world.change_fields(of.id, vec![]).await.unwrap();
    assert_eq!(shown(&world, made.id).await, []);
    assert_eq!(world.fetch_values(made.id).await.unwrap(), []);
    world.change_fields(of.id, vec![field("a"), secure("b")]).await.unwrap();
    assert_eq!(shown(&world, made.id).await, [pair("a", "1")]);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("b", "2")]);
    world.work().await;
    assert_eq!(in_the_open(&world, made.id).await, 1);
}

/// Attack: a value that was secure for a moment is shown again, because nobody sealed it in that moment.
#[tokio::test]
async fn a_value_that_was_secure_for_a_moment_stays_secure() {
    let world = World::new().await;
    let of = world.create_type("T", vec![field("token")]).await;
    let made = world.create(of.id, "C", &[("token", Some("hunter22"))]).await;
    world.change_fields(of.id, vec![secure("token")]).await.unwrap();
    assert_eq!(kind(world.change_fields(of.id, vec![field("token")]).await), Kind::Conflict);
    assert_eq!(in_the_open(&world, made.id).await, 0);

    let other = world.create_type("U", vec![field("token")]).await;
    let made = world.create(other.id, "C", &[("token", Some("hunter22"))]).await;
    world.change_fields(other.id, vec![secure("token")]).await.unwrap();
    world.change_fields(other.id, vec![]).await.unwrap();
    assert_eq!(kind(world.change_fields(other.id, vec![field("token")]).await), Kind::Conflict);
    assert_eq!(shown(&world, made.id).await, []);
}

/// A deleted credential does not stand in the way, which nobody could see; what it brings back stays out of sight.
#[tokio::test]
async fn a_restored_secure_value_of_a_plain_field_is_not_shown() {
    let world = World::new().await;
    let of = world.create_type("T", vec![secure("token")]).await;
    let made = world.create(of.id, "C", &[("token", Some("hunter22"))]).await;
    world.delete(made.id).await.unwrap();
    world.change_fields(of.id, vec![field("token")]).await.unwrap();
    world.vault.restore(crate::access::operator(), made.id.as_str()).await.unwrap();
    assert_eq!(shown(&world, made.id).await, []);
    assert_eq!(world.reveal(made.id).await.unwrap(), []);
    assert_eq!(world.fetch_values(made.id).await.unwrap(), []);
    let named = world.change(made.id, &[("token", Some("other"))]).await.unwrap();
    assert_eq!(named.values, [pair("token", "other")]);
    assert_eq!(world.plugins.calls().last().unwrap().values, [("token".into(), "other".into(), true)]);
    world.change_fields(of.id, vec![secure("token")]).await.unwrap();
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "other")]);
}

/// What was deleted before a field became secure is sealed as well.
#[tokio::test]
async fn a_deleted_credential_is_sealed_too() {
    let world = World::new().await;
    let of = world.create_type("T", vec![field("token")]).await;
    let made = world.create(of.id, "C", &[("token", Some("hunter22"))]).await;
    world.delete(made.id).await.unwrap();
    world.change_fields(of.id, vec![secure("token")]).await.unwrap();
    world.work().await;
    assert_eq!(in_the_open(&world, made.id).await, 0);
    world.vault.restore(crate::access::operator(), made.id.as_str()).await.unwrap();
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("token", "hunter22")]);
}

#[tokio::test]
async fn a_newly_required_field_is_asked_for_by_the_next_update() {
    let world = World::new().await;
    let of = world.create_type("T", vec![field("a")]).await;
    let made = world.create(of.id, "C", &[("a", Some("1"))]).await;
    let url = Draft { required: Some(true), ..field("url") };
    world.change_fields(of.id, vec![field("a"), url]).await.unwrap();
    assert_eq!(shown(&world, made.id).await, [pair("a", "1")]);
    world.rename(made.id, "D").await.unwrap();
    let refused = world.change(made.id, &[("a", Some("2"))]).await;
    assert_eq!(places(refused), ["fields.url: This field is required."]);
    world.change(made.id, &[("url", Some("x"))]).await.unwrap();
}

/// Changing the plugin asks no plugin anything, and moves nothing.
#[tokio::test]
async fn a_change_of_plugin_moves_no_value() {
    let world = World::new().await;
    world.plugins.configure("other", None);
    let of = world.create_type("T", vec![field("a"), secure("b")]).await;
    let made = world.create(of.id, "C", &[("a", Some("1")), ("b", Some("hunter22"))]).await;
    let calls = world.plugins.calls().len();
    let draft = TypeDraft { plugin: Some("other".into()), ..TypeDraft::default() };
    assert_eq!(world.change_type(&admin(), of.id, draft).await.unwrap().plugin.as_str(), "other");
    assert_eq!(world.plugins.calls().len(), calls);
    assert_eq!(shown(&world, made.id).await, [pair("a", "1")]);
    world.plugins.next(NormaliseStep::Return(vec![pair("a", "hunter22"), pair("b", "x")]));
    assert_eq!(kind(world.change(made.id, &[]).await), Kind::PluginFailed);
    assert_eq!(shown(&world, made.id).await, [pair("a", "1")]);
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
    assert_eq!(in_the_open(&world, made.id).await, 0, "it was checked and sealed by the new definition");
    assert_eq!(world.plugins.calls().len(), 2);
}

/// Lets others run so often.
async fn pause(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// Attack: a secure value is put in while somebody looks whether there is one, so that it ends up in a plain field.
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
                // It came after the change, and was put into a field that is plain: that is what its maker saw.
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
            world.create(of, &format!("C{n:05}"), &[("user", Some("u")), ("token", Some(&value))]).await.id,
        );
    }
    made
}

/// Everything is whole, by whichever definition the type has now; nothing that is secure by it is shown.
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

/// kill -9 between the steps of opening a field: it is opened or not, and a mark that is left behind stands in nobody's way.
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

/// Ten thousand credentials: the change answers at once, readers see it at once, a kill in the middle of the work loses nothing.
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
    assert_eq!(kind(world.vault.restore(crate::access::operator(), of.id.as_str()).await), Kind::Conflict);
    world.work().await;
    for space in ["type/", "credential/", "sealed/", "of-type/", "of-company/", "gone/"] {
        assert_eq!(world.store.dump(space).len(), 0, "{space}");
    }
}

/// Readers, writers and a flip at once: nobody ever sees a token in the open after it became secure, and nothing is lost.
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
                    .change_values(at, Some(&values(&[("user", Some(&user))])), Vec::new(), None)
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
