use std::sync::Arc;

use crate::access::operator;
use crate::caller::{Caller, Client};
use crate::catalogue::Service;
use crate::doubles::{self, Call, Effect, Fault, Gate, IssueStep, RevokeStep, caller};
use crate::error::{Error, Kind};
use crate::ids::LeaseId;
use crate::leases::Options;
use crate::leases::revoke::{By, Entered};
use crate::ports::audit::{Action, Actor, Outcome, Who};
use crate::ports::plugins::{BrokenHow, Refusal, Urgency};
use crate::testing::{DAY, HOUR, SECOND, World, id, kind, options};

fn no(retry_after: Option<u64>) -> RevokeStep {
    RevokeStep::Refuse(Refusal {
        user: "not now".into(),
        retry_after: retry_after.map(|secs| secs as u32 * SECOND),
    })
}

fn broken(how: BrokenHow) -> RevokeStep {
    RevokeStep::Break(how, Effect::None)
}

fn urgencies(world: &World) -> Vec<Urgency> {
    let calls = world.plugins.calls().into_iter();
    calls
        .filter_map(|call| if let Call::Revoke(call) = call { Some(call.urgency) } else { None })
        .collect()
}

async fn until_waiting(gate: &Gate, count: usize) {
    while gate.waiting() < count {
        tokio::task::yield_now().await;
    }
}

/// Flips a bit of the record of `lease`.
fn tamper(world: &World, lease: LeaseId) {
    let leases = world.store.dump("lease/");
    let (key, value) =
        leases.iter().find(|(key, _)| key.as_bytes().ends_with(lease.as_bytes())).unwrap();
    let mut tampered = value.to_vec();
    *tampered.last_mut().unwrap() ^= 1;
    world.store.tamper(key, Some(tampered.into()));
}

#[tokio::test]
async fn what_is_revoked_is_gone_for_every_caller() {
    let world = World::new().await;
    let lease = world.get("alice", "ssh").await.unwrap();
    world.events().await;
    world.revoke("alice", lease).await.unwrap();
    assert_eq!(world.things(), Vec::<String>::new());
    assert_eq!(world.listed("alice").await, []);
    assert_eq!(world.count("alice", "ssh").await, 0);
    assert_eq!(urgencies(&world), [Urgency::User]);
    assert_eq!(kind(world.revoke("alice", lease).await), Err(Kind::NotFound));
    world.assert_sound().await;
    let events = world.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].action, events[0].target.lease), (Action::Revoke, Some(lease)));
    assert_eq!(events[0].outcome, Outcome::Done);
    assert!(
        matches!(&events[0].actor, Some(Actor { who: Who::User(who, _), .. }) if who == caller("alice").subject())
    );
}

#[tokio::test]
async fn it_takes_two_commits_to_revoke() {
    let world = World::new().await;
    let lease = world.get("alice", "ssh").await.unwrap();
    let before = world.store.commits();
    world.revoke("alice", lease).await.unwrap();
    assert_eq!(world.store.commits() - before, 2);
}

#[tokio::test]
async fn only_an_existing_lease_of_the_caller_is_revoked() {
    let world = World::new().await;
    let lease = world.get("alice", "ssh").await.unwrap();
    let foreign = world.revoke("bob", lease).await.unwrap_err();
    let unknown = world.revoke("bob", LeaseId::from_random([9; 16])).await.unwrap_err();
    assert_eq!((foreign.kind(), unknown.kind()), (Kind::NotFound, Kind::NotFound));
    assert_eq!(foreign.public(), unknown.public(), "existence is not disclosed");
    assert_eq!(world.things().len(), 1);
}

#[tokio::test]
async fn what_the_user_never_had_cannot_be_named() {
    let world = World::new().await;
    world.plugins.on_issue(&id("ssh"), IssueStep::Break(BrokenHow::Trap, Effect::Done));
    world.get("alice", "ssh").await.unwrap_err();
    let lease = world.plugins.things()[0].lease;
    assert_eq!(world.stage(lease).await, "revoking");
    assert_eq!(kind(world.revoke("alice", lease).await), Err(Kind::NotFound));
}

#[tokio::test]
async fn what_has_expired_cannot_be_named() {
    let world = World::new().await;
    world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + HOUR));
    let lease = world.get("alice", "ssh").await.unwrap();
    world.clock.advance(HOUR);
    assert_eq!(kind(world.revoke("alice", lease).await), Err(Kind::NotFound));
}

#[tokio::test]
async fn a_final_no_leaves_the_credential_to_its_user() {
    let world = World::new().await;
    let lease = world.get("alice", "ssh").await.unwrap();
    world.plugins.on_revoke(&id("ssh"), no(None));
    let refused = world.revoke("alice", lease).await.unwrap_err();
    assert_eq!((refused.kind(), refused.public()), (Kind::Refused, "not now"));
    assert_eq!(world.stage(lease).await, "active");
    assert_eq!((world.listed("alice").await.len(), world.count("alice", "ssh").await), (1, 1));
    world.assert_sound().await;
    world.leases.start().await.unwrap();
    world.run(HOUR).await;
    assert_eq!(world.revocations(), 1, "it is not revoked again");
    world.revoke("alice", lease).await.unwrap();
}

#[tokio::test]
async fn failures_are_told_and_tried_again_without_the_user() {
    let cases = [
        (no(Some(30)), Kind::Refused),
        (broken(BrokenHow::Timeout), Kind::PluginTimeout),
        (broken(BrokenHow::Trap), Kind::PluginFailed),
        (broken(BrokenHow::BadOutput), Kind::PluginFailed),
        (RevokeStep::Busy, Kind::Busy),
    ];
    for (step, expected) in cases {
        let world = World::new().await;
        world.leases.start().await.unwrap();
        let lease = world.get("alice", "ssh").await.unwrap();
        world.plugins.on_revoke(&id("ssh"), step.clone());
        let failed = world.revoke("alice", lease).await.unwrap_err();
        assert_eq!(failed.kind(), expected);
        assert!(failed.public().contains("goes on trying by itself"), "{}", failed.public());
        assert_eq!(world.listed("alice").await, [lease], "still listed");
        assert_eq!(world.count("alice", "ssh").await, 1);
        world.assert_sound().await;
        world.events().await;
        world.run(60 * SECOND).await;
        assert_eq!(world.count("alice", "ssh").await, 0, "{step:?}");
        assert_eq!(urgencies(&world).last(), Some(&Urgency::Background));
        let [event] = &world.events().await[..] else { panic!("one event") };
        assert_eq!((event.action, &event.actor), (Action::Revoke, &None), "by the daemon itself");
        world.assert_sound().await;
    }
}

#[tokio::test]
async fn the_wait_that_a_plugin_asks_for_is_kept() {
    let world = World::new().await;
    world.leases.start().await.unwrap();
    let lease = world.get("alice", "ssh").await.unwrap();
    world.plugins.on_revoke(&id("ssh"), no(Some(600)));
    let refused = world.revoke("alice", lease).await.unwrap_err();
    assert_eq!(refused.retry_hint(), Some(600 * SECOND));
    world.run(595 * SECOND).await;
    assert_eq!(world.revocations(), 1);
    world.run(200 * SECOND).await;
    assert_eq!(world.revocations(), 2);
    assert_eq!(world.stage(lease).await, "ended");
}

#[tokio::test]
async fn a_user_need_not_wait_for_the_next_attempt() {
    let world = World::new().await;
    let lease = world.get("alice", "ssh").await.unwrap();
    world.plugins.on_revoke(&id("ssh"), no(Some(6000)));
    world.revoke("alice", lease).await.unwrap_err();
    world.revoke("alice", lease).await.unwrap();
    assert_eq!(world.revocations(), 2);
}

#[tokio::test]
async fn who_asks_while_an_attempt_is_under_way_hears_its_end() {
    for (step, expected) in [(RevokeStep::Remove, Ok(())), (no(None), Err(Kind::Refused))] {
        let world = Arc::new(World::new().await);
        let lease = world.get("alice", "ssh").await.unwrap();
        let gate = Gate::shut();
        world.plugins.on_revoke(&id("ssh"), RevokeStep::Wait(gate.clone(), Box::new(step)));
        let asks: Vec<_> = (0..5)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { kind(world.revoke("alice", lease).await) })
            })
            .collect();
        until_waiting(&gate, 1).await;
        world.settle().await;
        gate.open();
        for ask in asks {
            assert_eq!(ask.await.unwrap(), expected);
        }
        assert_eq!(world.revocations(), 1);
        world.assert_sound().await;
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_no_revocation() {
    let world = World::new().await;
    let lease = world.get("alice", "ssh").await.unwrap();
    let gate = Gate::shut();
    world
        .plugins
        .on_revoke(&id("ssh"), RevokeStep::Wait(gate.clone(), Box::new(RevokeStep::Remove)));
    let mut revoke = Box::pin(world.revoke("alice", lease));
    while gate.waiting() == 0 {
        assert!(futures_util::FutureExt::now_or_never(&mut revoke).is_none());
        tokio::task::yield_now().await;
    }
    drop(revoke);
    gate.open();
    world.settle().await;
    assert_eq!(world.things(), Vec::<String>::new());
    assert_eq!(world.stage(lease).await, "ended");
}

#[tokio::test]
async fn clients_that_hang_up_buy_no_more_revocations_than_clients_that_wait() {
    let world =
        World::with(vec![doubles::service("ssh")], Options { max_effects: 2, ..options() }).await;
    let (first, second) =
        (world.get("alice", "ssh").await.unwrap(), world.get("alice", "ssh").await.unwrap());
    let gate = Gate::shut();
    world
        .plugins
        .on_revoke(&id("ssh"), RevokeStep::Wait(gate.clone(), Box::new(RevokeStep::Remove)));
    let mut revoke = Box::pin(world.revoke("alice", first));
    while gate.waiting() == 0 {
        assert!(futures_util::FutureExt::now_or_never(&mut revoke).is_none());
        tokio::task::yield_now().await;
    }
    drop(revoke);
    assert_eq!(kind(world.revoke("alice", second).await), Err(Kind::Busy));
    gate.open();
    world.settle().await;
    world.revoke("alice", second).await.unwrap();
}

/// Attack: a user with one lease at a target that hangs asks for its revocation again and again,
/// hangs up each time, and leaves no other user a permit.
#[tokio::test]
async fn one_user_cannot_take_all_permits_by_one_lease() {
    let world =
        World::with(vec![doubles::service("ssh")], Options { max_effects: 8, ..options() }).await;
    let mine = world.get("alice", "ssh").await.unwrap();
    let others = world.get("bob", "ssh").await.unwrap();
    let gate = Gate::shut();
    world
        .plugins
        .on_revoke(&id("ssh"), RevokeStep::Wait(gate.clone(), Box::new(RevokeStep::Remove)));
    for _ in 0..8 {
        let mut revoke = Box::pin(world.revoke("alice", mine));
        for _ in 0..20 {
            if futures_util::FutureExt::now_or_never(&mut revoke).is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    until_waiting(&gate, 1).await;
    world.revoke("bob", others).await.unwrap();
    gate.open();
    world.settle().await;
    assert_eq!(world.stage(mine).await, "ended");
}

/// Attack on the answer: the daemon's attempt finds that it came too late and does nothing; a user
/// who joined it must not be answered that their credential, which is still active, is gone.
#[tokio::test]
async fn an_attempt_that_did_nothing_is_no_success_for_those_who_joined() {
    let world = Arc::new(World::new().await);
    let lease = world.get("alice", "ssh").await.unwrap();
    world.plugins.on_revoke(&id("ssh"), no(Some(30)));
    world.revoke("alice", lease).await.unwrap_err();
    world.clock.advance(DAY);
    let stale = world.ground().records.lease(lease).await.unwrap().unwrap();
    world.plugins.on_revoke(&id("ssh"), no(None));
    assert_eq!(kind(world.revoke("alice", lease).await), Err(Kind::Refused));
    assert_eq!(world.stage(lease).await, "active");

    // The sweeper had read the lease before that.
    let Entered::Mine(ticket) = world.leases.attempts.enter(lease) else {
        panic!("an attempt is under way")
    };
    let joins = tokio::spawn({
        let world = Arc::clone(&world);
        async move { kind(world.revoke("alice", lease).await) }
    });
    world.settle().await;
    let _ = world.leases.attempt(ticket, stale, By::Daemon).await;
    assert_eq!(joins.await.unwrap(), Err(Kind::Busy));
    assert_eq!(world.stage(lease).await, "active");
}

#[tokio::test]
async fn the_claim_of_a_daemon_that_died_holds_no_user_up() {
    let mut world = World::new().await;
    let lease = claimed_by_the_dead(&mut world).await;
    assert_eq!(world.listed("alice").await, [lease]);
    world.revoke("alice", lease).await.unwrap();
    assert_eq!(world.stage(lease).await, "ended");
    assert_eq!(world.things(), Vec::<String>::new());
    world.assert_sound().await;
}

#[tokio::test]
async fn the_claim_of_a_daemon_that_died_runs_out() {
    let mut world = World::new().await;
    let lease = claimed_by_the_dead(&mut world).await;
    world.run(60 * SECOND).await;
    assert_eq!(world.stage(lease).await, "ended");
    world.assert_sound().await;
}

#[tokio::test]
async fn the_claim_of_another_daemon_that_lives_is_respected() {
    let world = World::new().await;
    let lease = world.get("alice", "ssh").await.unwrap();
    let gate = Gate::shut();
    let waits = RevokeStep::Wait(gate.clone(), Box::new(RevokeStep::Remove));
    world.plugins.on_revoke(&id("ssh"), waits);
    let second = world.second_daemon().await;
    let grant = second.authorize_revoke(&caller("alice"), lease).await.unwrap();
    tokio::spawn(async move { second.revoke(grant).await });
    until_waiting(&gate, 1).await;
    assert_eq!(kind(world.revoke("alice", lease).await), Err(Kind::Busy));
}

/// A lease whose user asked a daemon to revoke it that died over it; another one has started.
async fn claimed_by_the_dead(world: &mut World) -> LeaseId {
    let lease = world.get("alice", "ssh").await.unwrap();
    let gate = Gate::shut();
    let waits = RevokeStep::Wait(gate.clone(), Box::new(RevokeStep::Remove));
    world.plugins.on_revoke(&id("ssh"), waits);
    let leases = Arc::clone(&world.leases);
    leases.start().await.unwrap();
    let grant = leases.authorize_revoke(&caller("alice"), lease).await.unwrap();
    tokio::spawn(async move { leases.revoke(grant).await });
    until_waiting(&gate, 1).await;
    world.crash().await;
    world.leases.start().await.unwrap();
    lease
}

/// Leases that were due were revoked at the rate of the sweeper's visits.
#[tokio::test]
async fn an_attempt_that_ends_begins_the_next_at_once() {
    let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    world.leases.start().await.unwrap();
    for _ in 0..300 {
        world.get("alice", "ssh").await.unwrap();
    }
    world.run(HOUR - 10 * SECOND).await;
    assert_eq!(world.revocations(), 0);
    // Two visits of the sweeper.
    world.run(20 * SECOND).await;
    assert_eq!((world.revocations(), world.things().len()), (300, 0));
    world.assert_sound().await;
}

/// A target that was down for 15 seconds locked users out of their limit for minutes.
#[tokio::test]
async fn what_an_outage_delayed_is_revoked_soon_after_it() {
    let service = Service { max_lifetime: Some(HOUR), limit: Some(100), ..doubles::service("ssh") };
    let world = World::with(vec![service], Options { sweep_every: SECOND, ..options() }).await;
    world.leases.start().await.unwrap();
    for _ in 0..100 {
        world.get("alice", "ssh").await.unwrap();
    }
    for _ in 0..1000 {
        world.plugins.on_revoke(&id("ssh"), no(Some(60)));
    }
    // Users ask, too, and their attempts fail.
    for lease in world.listed("alice").await.into_iter().take(50) {
        world.revoke("alice", lease).await.unwrap_err();
    }
    assert!(world.leases.warnings()[0].contains("revocations of the service ssh have failed"));
    world.run(HOUR + 15 * SECOND).await;
    assert_eq!(world.count("alice", "ssh").await, 100);
    let probes = world.revocations();
    world.run(15 * SECOND).await;
    assert!(world.revocations() - probes <= 2, "one probe at a time, with a wait");
    world.plugins.recover();
    world.run(62 * SECOND).await;
    assert_eq!((world.count("alice", "ssh").await, world.things().len()), (0, 0));
    assert_eq!(world.leases.warnings(), Vec::<String>::new());
    world.assert_sound().await;
}

#[tokio::test]
async fn after_fifteen_seconds_of_outage_all_is_revoked_within_three() {
    let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let world = World::with(vec![service], Options { sweep_every: SECOND, ..options() }).await;
    world.leases.start().await.unwrap();
    for _ in 0..200 {
        world.get("alice", "ssh").await.unwrap();
    }
    for _ in 0..1000 {
        world.plugins.on_revoke(&id("ssh"), broken(BrokenHow::Timeout));
    }
    world.run(HOUR + 15 * SECOND).await;
    assert!(world.count("alice", "ssh").await > 150);
    world.plugins.recover();
    world.run(3 * SECOND).await;
    assert_eq!(world.count("alice", "ssh").await, 0);
    world.assert_sound().await;
}

#[tokio::test]
async fn the_lifetime_ends_when_it_is_over() {
    let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    world.leases.start().await.unwrap();
    let lease = world.get("alice", "ssh").await.unwrap();
    assert_eq!(
        world.leases.credentials(&caller("alice")).await.unwrap()[0].ends,
        Some(world.now() + HOUR)
    );
    world.run(HOUR - 10 * SECOND).await;
    assert_eq!(world.stage(lease).await, "active");
    world.run(20 * SECOND).await;
    assert_eq!(world.stage(lease).await, "ended");
    assert_eq!(world.things(), Vec::<String>::new());
    assert_eq!(urgencies(&world), [Urgency::Background]);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_no_to_the_daemon_parks_the_lease() {
    let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    world.leases.start().await.unwrap();
    let lease = world.get("alice", "ssh").await.unwrap();
    world.plugins.on_revoke(&id("ssh"), no(None));
    world.events().await;
    world.run(HOUR + 10 * SECOND).await;
    assert_eq!(world.stage(lease).await, "parked");
    assert_eq!((world.count("alice", "ssh").await, world.listed("alice").await.len()), (1, 0));
    assert_eq!(world.actions().await, [Action::Revoke, Action::Park]);
    let refused = world.revoke("alice", lease).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.public().contains("operator"));
    world.assert_sound().await;
}

#[tokio::test]
async fn its_own_end_spares_the_revocation() {
    let options = || Options { sweep_every: 300 * SECOND, ..options() };
    let world = World::with(vec![doubles::service("ssh")], options()).await;
    world.leases.start().await.unwrap();
    world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + HOUR));
    let active = world.get("alice", "ssh").await.unwrap();
    world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + HOUR));
    let revoking = world.get("alice", "ssh").await.unwrap();
    world.plugins.on_revoke(&id("ssh"), no(Some(DAY.as_secs())));
    world.revoke("alice", revoking).await.unwrap_err();
    world.events().await;
    world.run(HOUR + options().skew + 600 * SECOND).await;
    assert_eq!((world.stage(active).await, world.stage(revoking).await), ("ended", "ended"));
    assert_eq!(world.revocations(), 1);
    assert_eq!(world.actions().await, [Action::Expire, Action::Expire]);
    assert_eq!(world.count("alice", "ssh").await, 0);
    world.assert_sound().await;
    world.run(options().keep_ended + 600 * SECOND).await;
    assert_eq!(world.store.dump("lease/"), [], "deleted in the end");
    assert_eq!(world.store.dump("due/"), []);
}

#[tokio::test]
async fn an_attempt_that_its_own_end_overtakes_is_a_success() {
    let world = Arc::new(World::new().await);
    world.leases.start().await.unwrap();
    world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + 10 * SECOND));
    let lease = world.get("alice", "ssh").await.unwrap();
    let gate = Gate::shut();
    world.load("ssh", |loaded| loaded.longest_call = HOUR);
    world.plugins.on_revoke(&id("ssh"), RevokeStep::Wait(gate.clone(), Box::new(no(None))));
    let ask = tokio::spawn({
        let world = Arc::clone(&world);
        async move { kind(world.revoke("alice", lease).await) }
    });
    until_waiting(&gate, 1).await;
    world.run(10 * SECOND + options().skew + 10 * SECOND).await;
    assert_eq!(world.stage(lease).await, "ended");
    gate.open();
    assert_eq!(ask.await.unwrap(), Ok(()), "it is gone, whatever the plugin says");
    assert_eq!(world.count("alice", "ssh").await, 0);
    world.assert_sound().await;
}

#[tokio::test]
async fn what_cannot_be_revoked_counts_to_its_end() {
    let service = Service { max_lifetime: Some(HOUR), limit: Some(1), ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    world.leases.start().await.unwrap();
    world.load("ssh", |loaded| loaded.offer.can_revoke = false);
    world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + 3 * HOUR));
    let lease = world.get("alice", "ssh").await.unwrap();
    let refused = world.revoke("alice", lease).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.public().contains("cannot be revoked"));
    assert_eq!(world.stage(lease).await, "active");
    world.run(HOUR + 10 * SECOND).await;
    assert_eq!(world.stage(lease).await, "parked", "its lifetime is over, its own end is not");
    assert_eq!(kind(world.get("alice", "ssh").await), Err(Kind::LimitReached));
    world.run(2 * HOUR + options().skew).await;
    assert_eq!(world.stage(lease).await, "ended");
    assert_eq!(world.count("alice", "ssh").await, 0);
    assert_eq!(world.revocations(), 0);
    world.assert_sound().await;
}

#[tokio::test]
async fn what_ends_by_itself_within_its_lifetime_is_simply_over() {
    let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    world.leases.start().await.unwrap();
    world.load("ssh", |loaded| loaded.offer.can_revoke = false);
    world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + HOUR - options().skew));
    let lease = world.get("alice", "ssh").await.unwrap();
    world.run(HOUR + 10 * SECOND).await;
    assert_eq!(world.stage(lease).await, "ended");
}

/// A certificate authority ends its certificates with the lifetime of the service: every one of
/// them would be parked, with a warning, for the minute of the skew.
#[tokio::test]
async fn what_ends_with_its_lifetime_is_nothing_for_an_operator() {
    let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    world.leases.start().await.unwrap();
    world.load("ssh", |loaded| loaded.offer.can_revoke = false);
    world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + HOUR));
    let lease = world.get("alice", "ssh").await.unwrap();
    world.events().await;
    world.run(HOUR + 30 * SECOND).await;
    assert_eq!(world.stage(lease).await, "active");
    world.run(options().skew).await;
    assert_eq!(world.stage(lease).await, "ended");
    assert_eq!(world.actions().await, [Action::Expire]);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_service_that_is_not_loaded_now_is_tried_until_it_is() {
    let world = World::new().await;
    world.leases.start().await.unwrap();
    let lease = world.get("alice", "ssh").await.unwrap();
    world.plugins.unload(&id("ssh"), "it does not compile");
    let refused = world.revoke("alice", lease).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.cause().unwrap().contains("compile"));
    assert!(!refused.public().contains("compile"));
    assert_eq!(world.stage(lease).await, "revoking");
    world.run(300 * SECOND).await;
    assert_eq!(world.revocations(), 0);
    world.load("ssh", |_| {});
    world.run(600 * SECOND).await;
    assert_eq!(world.stage(lease).await, "ended");
    world.assert_sound().await;
}

#[tokio::test]
async fn leases_of_a_service_that_is_gone_wait_for_it() {
    let limited = || Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let mut world = World::with(vec![limited()], options()).await;
    let lease = world.get("alice", "ssh").await.unwrap();
    world.restart_with(vec![doubles::service("web")]).await;
    world.leases.start().await.unwrap();
    let refused = world.revoke("alice", lease).await.unwrap_err();
    assert_eq!((refused.kind(), world.stage(lease).await), (Kind::Refused, "active"));
    assert!(refused.public().contains("does not exist"));
    world.run(HOUR + 10 * SECOND).await;
    assert_eq!(world.stage(lease).await, "parked");
    world.assert_sound().await;

    world.restart_with(vec![limited()]).await;
    world.load("ssh", |loaded| {
        loaded.plugin.name = crate::ids::PluginName::parse("another").unwrap()
    });
    world.leases.start().await.unwrap();
    world.run(HOUR).await;
    assert_eq!(world.stage(lease).await, "parked", "another plugin is behind it");
    assert_eq!(world.revocations(), 0);

    world.load("ssh", |loaded| loaded.plugin.version = "2.0.0".into());
    world.run(HOUR).await;
    assert_eq!(world.stage(lease).await, "ended", "another version is not another plugin");
    assert_eq!(world.things(), Vec::<String>::new());
    world.assert_sound().await;
}

#[tokio::test]
async fn another_plugin_never_sees_what_it_did_not_issue() {
    let world = World::new().await;
    let lease = world.get("alice", "ssh").await.unwrap();
    world.load("ssh", |loaded| {
        loaded.plugin.name = crate::ids::PluginName::parse("another").unwrap()
    });
    let refused = world.revoke("alice", lease).await.unwrap_err();
    assert_eq!((refused.kind(), world.revocations()), (Kind::Refused, 0));
}

#[tokio::test]
async fn users_may_drop_what_nobody_can_revoke_where_that_is_allowed() {
    let dropping = Options { allow_dropping: true, ..options() };
    let limited = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let mut world = World::with(vec![limited], dropping).await;
    let active = world.get("alice", "ssh").await.unwrap();
    let parked = world.get("alice", "ssh").await.unwrap();
    world.restart_with(vec![doubles::service("web")]).await;
    world.events().await;
    world.revoke("alice", active).await.unwrap();
    assert_eq!(world.actions().await, [Action::Drop]);
    world.leases.start().await.unwrap();
    world.run(HOUR + 10 * SECOND).await;
    assert_eq!(world.stage(parked).await, "parked");
    world.revoke("alice", parked).await.unwrap();
    assert_eq!((world.stage(active).await, world.stage(parked).await), ("ended", "ended"));
    assert_eq!(world.revocations(), 0);
    world.assert_sound().await;
}

#[tokio::test]
async fn after_seven_days_an_operator_has_to_look() {
    let world =
        World::with(vec![doubles::service("ssh")], Options { sweep_every: HOUR, ..options() })
            .await;
    world.leases.start().await.unwrap();
    let lease = world.get("alice", "ssh").await.unwrap();
    for _ in 0..400 {
        world.plugins.on_revoke(&id("ssh"), broken(BrokenHow::Timeout));
    }
    world.revoke("alice", lease).await.unwrap_err();
    world.run(6 * DAY).await;
    assert_eq!(world.stage(lease).await, "revoking");
    world.run(DAY + 3 * HOUR).await;
    assert_eq!(world.stage(lease).await, "parked");
    let parked = world.leases.parked(operator(), 10).await.unwrap();
    assert_eq!((parked.len(), parked[0].id), (1, lease));
    assert!(parked[0].reason.contains("failed"));

    world.plugins.recover();
    world.leases.retry(operator(), lease).await.unwrap();
    world.run(2 * HOUR).await;
    assert_eq!(world.stage(lease).await, "ended");
    world.assert_sound().await;
}

#[tokio::test]
async fn a_target_that_is_down_for_a_day_slows_nobody_else() {
    let short = |name| Service { max_lifetime: Some(HOUR), ..doubles::service(name) };
    let world = World::with(
        vec![short("dead"), short("alive")],
        Options { sweep_every: 300 * SECOND, ..options() },
    )
    .await;
    world.leases.start().await.unwrap();
    for _ in 0..40 {
        world.get("alice", "dead").await.unwrap();
    }
    for _ in 0..5000 {
        world.plugins.on_revoke(&id("dead"), broken(BrokenHow::Timeout));
    }
    for hour in 0..20 {
        let lease = world.get("bob", "alive").await.unwrap();
        world.run(HOUR + 900 * SECOND).await;
        assert_eq!(world.stage(lease).await, "ended", "hour {hour}");
        let other = world.get("bob", "alive").await.unwrap();
        world.revoke("bob", other).await.unwrap();
    }
    assert_eq!(world.count("alice", "dead").await, 40, "the queue waits");
    world.plugins.recover();
    world.run(4 * HOUR).await;
    assert_eq!(world.count("alice", "dead").await, 0);
    assert_eq!(world.things(), Vec::<String>::new());
    world.assert_sound().await;
}

#[tokio::test]
async fn attempts_of_one_service_are_bounded_and_leave_room_for_others() {
    let short = |name| Service { max_lifetime: Some(HOUR), ..doubles::service(name) };
    let options = Options { background_revocations: 2, ..options() };
    let world = World::with(vec![short("hangs"), short("alive")], options).await;
    world.leases.start().await.unwrap();
    let gate = Gate::shut();
    for _ in 0..10 {
        world.get("alice", "hangs").await.unwrap();
        world
            .plugins
            .on_revoke(&id("hangs"), RevokeStep::Wait(gate.clone(), Box::new(RevokeStep::Remove)));
    }
    world.load("hangs", |loaded| loaded.longest_call = DAY);
    let lease = world.get("bob", "alive").await.unwrap();
    let users = world.get("bob", "hangs").await.unwrap();
    world.run(HOUR + 30 * SECOND).await;
    assert_eq!(gate.waiting(), 2);
    assert_eq!(world.stage(lease).await, "ended");
    world.plugins.recover();
    let _ = users;
    gate.open();
    world.run(60 * SECOND).await;
    assert_eq!((world.count("alice", "hangs").await, world.count("bob", "hangs").await), (0, 0));
    world.assert_sound().await;
}

#[tokio::test]
async fn a_refusal_to_clean_up_is_parked_and_a_late_answer_wakes_it() {
    let world = Arc::new(World::new().await);
    world.leases.start().await.unwrap();
    world.plugins.on_issue(&id("ssh"), IssueStep::Break(BrokenHow::Trap, Effect::Done));
    world.plugins.on_revoke(&id("ssh"), no(None));
    world.get("alice", "ssh").await.unwrap_err();
    let lease = world.plugins.things()[0].lease;
    world.run(70 * SECOND).await;
    assert_eq!(world.stage(lease).await, "parked");
    assert_eq!(
        kind(world.revoke("alice", lease).await),
        Err(Kind::NotFound),
        "its user never heard of it"
    );
    world.leases.retry(operator(), lease).await.unwrap();
    world.run(5 * 60 * SECOND).await;
    assert_eq!(world.stage(lease).await, "ended");
    assert_eq!(world.revocations(), 3, "one no, two oks");
    world.assert_sound().await;
}

#[tokio::test]
async fn commits_of_unknown_fate_and_lost_races_change_nothing_for_the_caller() {
    let faults =
        [Fault::Conflict, Fault::Unknown { applied: true }, Fault::Unknown { applied: false }];
    for first in faults {
        for second in faults {
            let world = World::new().await;
            let lease = world.get("alice", "ssh").await.unwrap();
            world.store.fail_next(first);
            world.store.fail_next(second);
            let revoked: Result<(), Error> = world.in_time(world.revoke("alice", lease)).await;
            revoked.unwrap_or_else(|error| {
                panic!("{first:?}, {second:?}: {error} {:?}", error.cause())
            });
            assert_eq!((world.count("alice", "ssh").await, world.things().len()), (0, 0));
            world.assert_sound().await;
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_after_the_plugin_is_made_up_for() {
    let world = Arc::new(World::new().await);
    world.leases.start().await.unwrap();
    let lease = world.get("alice", "ssh").await.unwrap();
    let gate = Gate::shut();
    world
        .plugins
        .on_revoke(&id("ssh"), RevokeStep::Wait(gate.clone(), Box::new(RevokeStep::Remove)));
    let ask = tokio::spawn({
        let world = Arc::clone(&world);
        async move { kind(world.revoke("alice", lease).await) }
    });
    until_waiting(&gate, 1).await;
    world.store.fail_next(Fault::Unavailable);
    gate.open();
    assert_eq!(ask.await.unwrap(), Err(Kind::Internal));
    assert_eq!(world.stage(lease).await, "revoking");
    world.run(60 * SECOND).await;
    assert_eq!(world.stage(lease).await, "ended");
    world.assert_sound().await;
}

#[tokio::test]
async fn operators_drop_and_retry_what_is_parked_and_nothing_else() {
    let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    world.leases.start().await.unwrap();
    let lease = world.get("alice", "ssh").await.unwrap();
    assert_eq!(kind(world.leases.retry(operator(), lease).await), Err(Kind::NotFound));
    assert_eq!(kind(world.leases.drop_lease(operator(), lease, "why").await), Err(Kind::NotFound));
    world.plugins.on_revoke(&id("ssh"), no(None));
    world.run(HOUR + 10 * SECOND).await;
    assert_eq!(kind(world.leases.drop_lease(operator(), lease, " ").await), Err(Kind::Invalid));
    world.events().await;
    world.leases.drop_lease(operator(), lease, "the host was scrapped").await.unwrap();
    let events = world.events().await;
    assert_eq!(
        (events[0].action, events[0].note.as_deref()),
        (Action::Drop, Some("the host was scrapped"))
    );
    assert!(matches!(events[0].actor, Some(Actor { who: Who::Operator, .. })));
    assert_eq!(world.count("alice", "ssh").await, 0);
    assert_eq!(world.leases.parked(operator(), 10).await.unwrap(), []);
    world.assert_sound().await;
}

#[tokio::test]
async fn the_suspended_do_not_sign_in_until_they_may_again() {
    let world = World::new().await;
    let op = crate::ids::ProviderId::parse(doubles::PROVIDER).unwrap();
    let sign_in = async || -> Result<Caller, Error> {
        let token = crate::secret::Secret::new("alice");
        world.leases.sign_in(&op, token, crate::caller::Interface::Rest, Client::default()).await
    };
    let alice = sign_in().await.unwrap();
    assert!(alice.access_token.as_ref().unwrap().verify(b"alice"));
    let lease = world.get("alice", "ssh").await.unwrap();
    for _ in 0..2 {
        world.leases.suspend(operator(), alice.subject(), true).await.unwrap();
        assert_eq!(kind(sign_in().await.map(drop)), Err(Kind::Unauthenticated));
    }
    assert_eq!(world.stage(lease).await, "active", "what they have stays theirs");
    world.leases.resume(operator(), alice.subject()).await.unwrap();
    let again = world.leases.resume(operator(), alice.subject()).await;
    assert_eq!(kind(again), Err(Kind::NotFound), "and says so");
    sign_in().await.unwrap();
    world.get("alice", "ssh").await.unwrap();
    assert_eq!(
        world.actions().await.iter().filter(|action| **action == Action::Suspend).count(),
        2
    );
}

#[tokio::test]
async fn time_that_jumps_stops_the_sweeper_until_somebody_has_looked() {
    let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    assert!(!world.leases.readiness().is_empty(), "not started");
    world.leases.start().await.unwrap();
    assert_eq!(world.leases.readiness(), Vec::<String>::new());
    let lease = world.get("alice", "ssh").await.unwrap();
    world.clock.set_wall(world.now() + DAY);
    world.run(60 * SECOND).await;
    assert_eq!(world.stage(lease).await, "active");
    assert!(world.leases.readiness()[0].contains("ahead"));
    world.leases.trust_clock(crate::access::operator()).await.unwrap();
    world.run(60 * SECOND).await;
    assert_eq!(world.leases.readiness(), Vec::<String>::new());
    assert_eq!(world.stage(lease).await, "ended");
}

#[tokio::test]
async fn one_lease_that_cannot_be_read_keeps_no_other_waiting() {
    let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let world = World::with(vec![service], options()).await;
    let broken = world.get("alice", "ssh").await.unwrap();
    let fine = world.get("alice", "ssh").await.unwrap();
    tamper(&world, broken);
    world.leases.start().await.unwrap();
    world.run(HOUR + 30 * SECOND).await;
    assert_eq!(world.stage(fine).await, "ended");
    assert!(world.leases.readiness()[0].contains("cannot be"));
}

/// One damaged record comes due, and from then on the daemon would never start again.
#[tokio::test]
async fn one_lease_that_cannot_be_read_keeps_no_daemon_from_starting() {
    let service = Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let mut world = World::with(vec![service], options()).await;
    let broken = world.get("alice", "ssh").await.unwrap();
    world.clock.advance(SECOND);
    let fine = world.get("alice", "ssh").await.unwrap();
    tamper(&world, broken);
    world.clock.advance(HOUR);
    world.crash().await;
    world.leases.start().await.unwrap();
    world.run(30 * SECOND).await;
    assert_eq!(world.stage(fine).await, "ended");
    assert!(world.leases.readiness()[0].contains("cannot be"));
}

/// One damaged record among the parked, and the others would never see their service come back.
#[tokio::test]
async fn one_parked_lease_that_cannot_be_read_keeps_no_other_waiting() {
    let limited = || Service { max_lifetime: Some(HOUR), ..doubles::service("ssh") };
    let mut world = World::with(vec![limited()], options()).await;
    let mut leases =
        [world.get("alice", "ssh").await.unwrap(), world.get("alice", "ssh").await.unwrap()];
    leases.sort();
    let [broken, fine] = leases;
    world.restart_with(vec![doubles::service("web")]).await;
    world.leases.start().await.unwrap();
    world.run(HOUR + 10 * SECOND).await;
    assert_eq!((world.stage(broken).await, world.stage(fine).await), ("parked", "parked"));
    tamper(&world, broken);
    world.restart_with(vec![limited()]).await;
    world.leases.start().await.unwrap();
    world.run(HOUR).await;
    assert_eq!(world.stage(fine).await, "ended");
    assert!(world.leases.readiness()[0].contains("cannot be"));
}

#[tokio::test]
async fn start_says_so_when_the_store_cannot_be_used() {
    let world = World::new().await;
    world.store.stop_after(0);
    assert_eq!(kind(world.leases.start().await), Err(Kind::Internal));
}
