//! The life of a credential: deletion and restoration, concurrent changes, crashes in between.

use std::sync::Arc;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::world::{login, pair, plain};
use super::*;
use crate::access::vault::ChangeValues;
use crate::doubles::{Gate, NormaliseStep};
use crate::error::Kind;

/// A deletion, a restoration and a purge write and delete exactly the keys of the credential.
#[tokio::test]
async fn what_is_deleted_can_be_restored_for_a_while() {
    let mut world = World::new().await;
    let credential_type = login(&world).await;
    let made = world
        .create(credential_type.id, "Prod", &[("user", Some("a")), ("pin", Some("1234"))])
        .await;
    world.delete(made.id).await.unwrap();
    assert_eq!(kind(world.fetch(made.id).await), Kind::NotFound);
    assert_eq!(kind(world.reveal(made.id).await), Kind::NotFound);
    assert_eq!(world.fetch_type(&admin(), "Login").await.unwrap().credential_count, 0);
    world.crash().await;
    world.work().await;
    let deleted = world.vault.deleted(crate::access::operator()).await.unwrap();
    assert_eq!(
        (deleted.len(), deleted[0].name.as_str(), deleted[0].company),
        (1, "Prod", Some(world.acme))
    );
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
    for space in
        ["credential/", "sealed/", "values/", "of-type/", "of-company/", "gone/", "gone-of-type/"]
    {
        assert_eq!(world.store.dump(space).len(), 0, "{space}");
    }
    assert_eq!(kind(world.vault.restore(crate::access::operator(), &id).await), Kind::NotFound);
    let counts =
        ["delete", "restore", "purge"].map(async |action| world.events_of(action).await.len());
    assert_eq!(futures_util::future::join_all(counts).await, [2, 1, 1]);
}

#[tokio::test]
async fn a_purge_need_not_wait_for_its_time() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world.create(credential_type.id, "Prod", &[("user", Some("a"))]).await;
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

/// kill -9 while an operator purges a type: the rest of it is removed at the next start, not when
/// its window would have been over.
#[tokio::test]
async fn a_purge_that_is_cut_short_goes_on() {
    for stop in 0..6 {
        let mut world = World::new().await;
        let credential_type = login(&world).await;
        for n in 0..3 {
            world
                .create(
                    credential_type.id,
                    &format!("{n}"),
                    &[("user", Some("a")), ("pin", Some("1234"))],
                )
                .await;
        }
        world.delete_type(&admin(), credential_type.id).await.unwrap();
        world.store.stop_after(stop);
        let purged =
            world.vault.purge_now(crate::access::operator(), credential_type.id.as_str()).await;
        assert_eq!(purged.is_ok(), stop == 5);
        world.crash().await;
        world.work().await;
        let begun = stop > 0;
        for space in ["type/", "credential/", "sealed/", "of-type/", "gone/"] {
            assert_eq!(world.store.dump(space).is_empty(), begun, "{space} after {stop}");
        }
    }
}

#[tokio::test]
async fn a_deleted_type_is_restored_with_its_credentials() {
    let mut world = World::new().await;
    let credential_type = login(&world).await;
    let (kept, gone) = (
        world
            .create(credential_type.id, "Kept", &[("user", Some("a")), ("pin", Some("1234"))])
            .await,
        world.create(credential_type.id, "Gone", &[("user", Some("b"))]).await,
    );
    world.delete(gone.id).await.unwrap();
    world.delete_type(&admin(), credential_type.id).await.unwrap();
    let operator = crate::access::operator;
    assert_eq!(
        kind(world.vault.restore(operator(), gone.id.as_str()).await),
        Kind::Conflict,
        "its type is deleted"
    );
    let listed = world.vault.deleted(operator()).await.unwrap();
    assert_eq!(listed.iter().map(|view| view.credentials).max(), Some(1));

    let taken = world.create_type("login", Vec::new()).await;
    assert_eq!(
        kind(world.vault.restore(operator(), credential_type.id.as_str()).await),
        Kind::Conflict
    );
    world.delete_type(&admin(), taken.id).await.unwrap();
    world.vault.restore(operator(), credential_type.id.as_str()).await.unwrap();
    assert_eq!(world.credentials_of_type(&admin(), credential_type.id).await.unwrap(), ["Kept"]);
    assert_eq!(world.reveal(kept.id).await.unwrap(), [pair("pin", "1234")]);

    world.delete_type(&admin(), credential_type.id).await.unwrap();
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

/// Each writer of a credential sets two fields to one value: a reader sees both values of the same
/// writer.
#[tokio::test]
async fn concurrent_updates_never_mix() {
    let world = World::new().await;
    let credential_type = world
        .create_type("Pair", vec![field("a"), field("b"), secure("c"), secure("d"), field("own")])
        .await;
    // Long enough to be stored in parts, so that a read takes several steps.
    let long = |n: usize| format!("{n}:{}", "x".repeat(10_000));
    let made = world
        .create(
            credential_type.id,
            "Pair",
            &[
                ("a", Some(&long(0))),
                ("b", Some(&long(0))),
                ("c", Some(&long(0))),
                ("d", Some(&long(0))),
            ],
        )
        .await;
    let (world, second) = (Arc::new(world), 3);
    let other = world.second_daemon().await;
    let writers = (1..=8).map(|n| {
        let (world, other, long) = (world.clone(), other.clone(), long(n));
        async move {
            for _ in 0..4 {
                let vault = if n % second == 0 { &other } else { &world.vault };
                let authorized = vault.authorize::<ChangeValues>(&admin(), made.id).await.unwrap();
                let given = ["a", "b", "c", "d"].map(|field| (field, Some(long.as_str())));
                vault
                    .change_values(authorized, Some(values(&given)), Vec::new(), None)
                    .await
                    .unwrap();
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
    assert_eq!(
        world.fetch(made.id).await.unwrap().version,
        made.version + 32,
        "no change was lost"
    );
}

/// Two updates of different fields at once: both happened.
#[tokio::test]
async fn updates_of_different_fields_both_stay() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world.create(credential_type.id, "Prod", &[("user", Some("a"))]).await;
    let (gate, second) = (Gate::shut(), world.second_daemon().await);
    world.plugins.next(NormaliseStep::Wait(gate.clone()));
    let slow = world.change(made.id, &[("note", Some("n"))]);
    let fast = async {
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let authorized = second.authorize::<ChangeValues>(&admin(), made.id).await.unwrap();
        second
            .change_values(authorized, Some(values(&[("pin", Some("1234"))])), Vec::new(), None)
            .await
            .unwrap();
        gate.open();
    };
    let (slow, ()) = tokio::join!(slow, fast);
    assert_eq!(plain(&slow.unwrap()), [("user", "a"), ("note", "n")]);
    assert_eq!(world.reveal(made.id).await.unwrap(), [pair("pin", "1234")]);
}

/// A write whose credential is deleted meanwhile, or whose caller loses the right to it by a change
/// of the type, does not happen.
#[tokio::test]
async fn a_slow_update_is_judged_again() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world.create(credential_type.id, "Prod", &[("user", Some("a"))]).await;
    let clerk = member(&["credential.*", "demo.login"], None);
    let gate = Gate::shut();
    world.plugins.next(NormaliseStep::Wait(gate.clone()));
    let authorized = world.vault.authorize::<ChangeValues>(&clerk, made.id).await.unwrap();
    let given = values(&[("note", Some("n"))]);
    let slow = world.vault.change_values(authorized, Some(given), Vec::new(), None);
    let meanwhile = async {
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let narrowed = crate::vault::draft::TypeDraft {
            permission_scope: Some("other.scope".into()),
            ..Default::default()
        };
        world.change_type(&admin(), credential_type.id, narrowed).await.unwrap();
        gate.open();
    };
    let (slow, ()) = tokio::join!(slow, meanwhile);
    assert_eq!(kind(slow), Kind::Forbidden);
    assert_eq!(plain(&world.fetch(made.id).await.unwrap()), [("user", "a")]);
}

/// kill -9 after every commit of a life of a credential: what was acknowledged is there, whole, and
/// nothing else.
#[tokio::test]
async fn a_kill_at_any_step_loses_nothing_acknowledged_and_halves_nothing() {
    for stop in 0..12 {
        let mut world = World::new().await;
        let credential_type = login(&world).await;
        let made = world
            .create(credential_type.id, "Prod", &[("user", Some("v0")), ("pin", Some("v0"))])
            .await;
        world.store.stop_after(stop);
        let mut acknowledged = 0;
        for n in 1..=4_usize {
            let value = format!("v{n}");
            if world
                .change(made.id, &[("user", Some(&value)), ("pin", Some(&value))])
                .await
                .is_err()
            {
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
        let credential_type = login(&world).await;
        let made = world.create(credential_type.id, "Prod", &[("user", Some("a"))]).await;
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
            let credential_type = world.create_type("Any", vec![field("a"), secure("b"), field("c"), secure("d")]).await;
            let made = world.create(credential_type.id, "n", &[]).await;
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

/// When its window is over, it is gone for operators too, even if its removal has not run yet.
#[tokio::test]
async fn nothing_is_restored_past_its_window() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world.create(credential_type.id, "Prod", &[("user", Some("a"))]).await;
    let empty = world.create_type("Empty", Vec::new()).await;
    world.delete(made.id).await.unwrap();
    world.delete_type(&admin(), empty.id).await.unwrap();
    world.clock.advance(world.window);
    let operator = crate::access::operator;
    assert_eq!(world.vault.deleted(operator()).await.unwrap(), []);
    for id in [made.id.as_str(), empty.id.as_str()] {
        assert_eq!(kind(world.vault.restore(operator(), id).await), Kind::NotFound);
        world.vault.purge_now(operator(), id).await.unwrap();
    }
    assert_eq!((world.store.dump("credential/").len(), world.store.dump("gone/").len()), (0, 0));
}

/// A start by a clock that was wrong purged the undelete window for good.
#[tokio::test]
async fn nothing_is_purged_while_the_clock_is_in_doubt() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world.create(credential_type.id, "Prod", &[("user", Some("a"))]).await;
    world.delete(made.id).await.unwrap();
    let right = crate::ports::Clock::now(&world.clock);
    let ground = &world.vault.ground;
    world.clock.set_wall(right + 3650 * crate::testing::DAY);
    let doubt = crate::ground::Doubt { why: "it jumped".into(), until: None };
    ground.doubt_clock(ground.machine_clocks(), doubt);
    world.work().await;
    world.clock.set_wall(right);
    ground.trust_clock(ground.machine_clocks());
    world.vault.restore(crate::access::operator(), made.id.as_str()).await.unwrap();
}

/// `undelete_window = "0s"`: deleted is gone, from that moment on.
#[tokio::test]
async fn without_a_window_nothing_is_restored() {
    let mut world = World::new().await;
    world.window = std::time::Duration::ZERO;
    world.crash().await;
    let credential_type = login(&world).await;
    let made = world
        .create(credential_type.id, "Prod", &[("user", Some("a")), ("pin", Some("1234"))])
        .await;
    world.delete(made.id).await.unwrap();
    let operator = crate::access::operator;
    assert_eq!(world.vault.deleted(operator()).await.unwrap(), []);
    assert_eq!(kind(world.vault.restore(operator(), made.id.as_str()).await), Kind::NotFound);
    world.clock.advance(std::time::Duration::from_secs(1));
    world.work().await;
    assert_eq!((world.store.dump("credential/").len(), world.store.dump("sealed/").len()), (0, 0));
}

/// An update that waits for another one reads the credential after that one: the plugin never
/// checks values that are out of date already.
#[tokio::test]
async fn a_queued_update_asks_the_plugin_once() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    // Without a secure value: a missing part of one would show the update that it is out of date.
    let made = world.create(credential_type.id, "Prod", &[("user", Some("a"))]).await;
    let gate = Gate::shut();
    world.plugins.next(NormaliseStep::Wait(gate.clone()));
    let changes = ["one", "two", "three"].map(|note| {
        let world = &world;
        async move { world.change(made.id, &[("note", Some(note))]).await.unwrap() }
    });
    let open = async {
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        // The others have read the credential by now.
        for _ in 0..40 {
            tokio::task::yield_now().await;
        }
        gate.open();
    };
    tokio::join!(futures_util::future::join_all(changes), open);
    assert_eq!(world.plugins.calls().len(), 4, "one for making it, one for each update");
    assert_eq!(world.fetch(made.id).await.unwrap().version, made.version + 3);
}

/// Attack: have the plugin check a stored secret, and hang up before the event is written.
#[tokio::test]
async fn a_client_that_hangs_up_cancels_neither_the_change_nor_the_event() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world
        .create(credential_type.id, "Prod", &[("user", Some("a")), ("pin", Some("1234"))])
        .await;
    let fault = crate::error::FieldProblem::new(["user".into()], "no");
    let (kept, refused) = (Gate::shut(), Gate::shut());
    for (note, gate, step, event) in [
        ("n", kept.clone(), NormaliseStep::Wait(kept), "use [pin] done"),
        (
            "m",
            refused.clone(),
            NormaliseStep::InvalidLater(refused, vec![fault]),
            "use [pin] refused",
        ),
    ] {
        let before = world.events_of("use").await.len();
        world.plugins.next(step);
        hang_up_at(&gate, world.change(made.id, &[("note", Some(note))])).await;
        gate.open();
        until(async || world.events_of("use").await.len() > before).await;
        assert!(
            world.events_of("use").await.iter().any(|found| found.starts_with(event)),
            "{event}"
        );
    }
    assert_eq!(plain(&world.fetch(made.id).await.unwrap()), [("user", "a"), ("note", "n")]);

    let gate = Gate::shut();
    world.plugins.next(NormaliseStep::Wait(gate.clone()));
    let given = [("user", Some("b"))];
    hang_up_at(&gate, world.create_as(&admin(), (credential_type.id, world.acme), "Made", &given))
        .await;
    gate.open();
    until(async || world.events_of("create").await.len() > 2).await;
    assert_eq!(
        world.credentials_of_type(&admin(), credential_type.id).await.unwrap(),
        ["Made", "Prod"]
    );
}

/// Attack: hang up over and over, to leave many changes behind.
#[tokio::test]
async fn a_client_that_hangs_up_while_it_waits_leaves_no_change_behind() {
    let world = World::new().await;
    let credential_type = login(&world).await;
    let made = world.create(credential_type.id, "Prod", &[("user", Some("a"))]).await;
    let gate = Gate::shut();
    world.plugins.next(NormaliseStep::Wait(gate.clone()));
    hang_up_at(&gate, world.change(made.id, &[("note", Some("first"))])).await;
    for _ in 0..8 {
        let mut queued = std::pin::pin!(world.change(made.id, &[("note", Some("queued"))]));
        for _ in 0..40 {
            assert!(queued.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }
    gate.open();
    world.change(made.id, &[("user", Some("b"))]).await.unwrap();
    assert_eq!(plain(&world.fetch(made.id).await.unwrap()), [("user", "b"), ("note", "first")]);
    assert_eq!(
        world.plugins.calls().len(),
        3,
        "one for the creation, one for the first change, one for the last"
    );
}

/// Drops `work` once it waits at the gate.
async fn hang_up_at<T>(gate: &Gate, work: impl Future<Output = T>) {
    let mut work = std::pin::pin!(work);
    while gate.waiting() == 0 {
        assert!(work.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
}

async fn until(is_so: impl AsyncFn() -> bool) {
    for _ in 0..10_000 {
        if is_so().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the condition never held");
}
