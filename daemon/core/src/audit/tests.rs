use std::time::Duration;

use super::remarks::STRANGERS_AT_ONCE;
use crate::access::operator;
use crate::caller::{Client, Interface};
use crate::doubles::{Fault, PROVIDER, caller};
use crate::doubles::{IssueStep, RevokeStep};
use crate::error::Error;
use crate::error::Kind;
use crate::ground::ROOM_OF_STRANGERS;
use crate::ids::ProviderId;
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::plugins::Refusal;
use crate::secret::Secret;
use crate::testing::{SECOND, World, kind};

/// A refusal of an authenticated user, whom `asked` names.
fn refusal(asked: &str) -> Event {
    Event { actor: Some(Actor::from(&caller(asked))), ..of_stranger(asked) }
}

fn of_stranger(asked: &str) -> Event {
    Event {
        at: crate::time::Timestamp::from_secs(1),
        actor: Some(Actor::stranger(Interface::Vault, Client::default())),
        action: Action::Refuse,
        target: Target { asked: Some(asked.to_owned()), ..Target::default() },
        note: None,
        outcome: Outcome::Refused("no".into()),
    }
}

fn waiting(world: &World) -> usize {
    world.store.dump("outbox/").len()
}

#[tokio::test]
async fn notes_reach_the_store_in_batches() {
    let world = World::new().await;
    world.leases.start().await.unwrap();
    let before = world.store.commits();
    (0..120).for_each(|number| world.ground().remark(refusal(&number.to_string())));
    assert_eq!(waiting(&world), 0, "no caller waits for the store");
    world.run(SECOND).await;
    assert_eq!(waiting(&world), 120);
    assert!(world.store.commits() - before <= 4, "in groups");
}

/// Attack: strangers are refused as fast as they can send, to push out what others did or to fill
/// the disk.
#[tokio::test]
async fn a_flood_of_strangers_pushes_out_no_other_event() {
    const SECONDS: usize = 60;
    let world = World::new().await;
    world.leases.start().await.unwrap();
    for number in 0..SECONDS {
        let flood = || (0..3000).for_each(|_| world.ground().remark(of_stranger("flood")));
        flood();
        (0..10).for_each(|user| world.ground().remark(refusal(&format!("{number} {user}"))));
        let before = waiting(&world);
        let command = format!("GET /{number}");
        world.leases.record_command(operator(), command, None).await.unwrap();
        assert_eq!(waiting(&world), before + 1, "durable when it answers");
        flood();
        world.run(SECOND).await;
    }
    let events = world.ground().records.outgoing_events(100_000).await.unwrap().events;
    let written: Vec<serde_json::Value> =
        events.iter().map(|event| serde_json::from_slice(&event.json).unwrap()).collect();
    let count =
        |of: &str, what: &str| written.iter().filter(|event| event[of]["kind"] == what).count();
    assert_eq!(count("actor", "user"), 10 * SECONDS);
    assert_eq!(count("actor", "operator"), SECONDS);
    let strangers = count("actor", "stranger");
    let (counts, most) = (count("actor", "daemon"), STRANGERS_AT_ONCE * (SECONDS + 1));
    assert!(
        strangers >= SECONDS && strangers + counts <= most,
        "{strangers}, counted {counts} times"
    );
    let lost = written.iter().filter(|event| event["action"] == "lose").map(|event| {
        let (count, rest) = event["note"].as_str().unwrap().split_once(' ').unwrap();
        assert_eq!(rest, "events of strangers found no room and are not in this log");
        count.parse::<usize>().unwrap()
    });
    let (lost, waits) = (lost.sum::<usize>(), 2 * ROOM_OF_STRANGERS + 6000);
    assert!(lost + strangers + waits >= 6000 * SECONDS, "{lost} are counted");
    assert!(lost + strangers <= 6000 * SECONDS, "{lost} are counted");
}

/// A command is audited also where the store fails just then.
#[tokio::test]
async fn a_command_outlives_a_store_that_fails() {
    let world = World::new().await;
    world.leases.start().await.unwrap();
    world.store.fail_next(Fault::Unavailable);
    let recorded = world.leases.record_command(operator(), "GET /ledger".into(), None).await;
    assert_eq!(kind(recorded), Err(Kind::Internal), "the caller learns that it is not durable");
    world.run(SECOND).await;
    assert_eq!(waiting(&world), 1, "once");
}

#[tokio::test]
async fn notes_outlive_a_store_that_fails() {
    let world = World::new().await;
    world.leases.start().await.unwrap();
    world.ground().remark(refusal("a"));
    world.store.fail_next(Fault::Unavailable);
    world.run(Duration::from_millis(500)).await;
    assert_eq!(waiting(&world), 0);
    world.run(2 * SECOND).await;
    assert_eq!(waiting(&world), 1, "once");
}

#[tokio::test]
async fn the_end_of_the_daemon_waits_for_notes() {
    let world = World::new().await;
    world.ground().remark(refusal("a"));
    world.ground().flush_remarks().await.unwrap();
    assert_eq!(waiting(&world), 1);
    world.ground().record(&refusal("b")).await.unwrap();
    assert_eq!(waiting(&world), 2, "durable when it answers");
}

#[tokio::test]
async fn refused_sign_ins_are_audited() {
    let world = World::new().await;
    let provider = ProviderId::parse(PROVIDER).unwrap();
    let sign_in = |token: &str| {
        world.leases.sign_in(&provider, Secret::new(token), Interface::Rest, Client::default())
    };
    world.leases.suspend(operator(), caller("bob").subject(), true).await.unwrap();
    let before = waiting(&world);
    sign_in("alice").await.unwrap();
    assert_eq!(kind(sign_in("bob").await.map(|_| ())), Err(Kind::Unauthenticated));
    assert_eq!(kind(sign_in("mallory").await.map(|_| ())), Err(Kind::Unauthenticated));
    world.ground().flush_remarks().await.unwrap();
    assert_eq!(waiting(&world) - before, 2);
}

/// The daemon dies after each of its commits. Every durable change has its event then, and there is
/// no other event.
#[tokio::test]
async fn a_lease_and_its_event_are_one_batch() {
    for commits in 0..7 {
        let mut world = World::new().await;
        world.store.stop_after(commits);
        let issued = world.get("alice", "ssh").await;
        let revoked = match issued {
            Ok(lease) => world.revoke("alice", lease).await,
            Err(error) => Err(error),
        };
        assert_eq!(revoked.is_ok(), commits == 6, "{commits}");
        world.crash().await;
        let events = events(&world).await;
        let done = |action: &str| events.contains(&format!("{action} [] done"));
        let stages = stages(&world).await;
        assert_eq!(
            done("issue"),
            matches!(*stages, ["active" | "revoking"]) || commits == 6,
            "{commits}: {events:?}"
        );
        assert_eq!(done("revoke"), commits == 6, "{commits}: {events:?}");
    }
}

async fn events(world: &World) -> Vec<String> {
    world.ground().records.events_for_test().await.unwrap()
}

async fn stages(world: &World) -> Vec<&'static str> {
    let mut stages = Vec::new();
    world.leases.examine(operator(), |lease| stages.push(lease.stage)).await.unwrap();
    stages
}

/// Everything that can become of a lease, by any actor.
#[tokio::test]
async fn all_that_becomes_of_leases_is_audited() {
    let world = World::new().await;
    world.leases.start().await.unwrap();
    let ssh = crate::testing::id("ssh");

    let lease = world.get("alice", "ssh").await.unwrap();
    assert_eq!(kind(world.revoke("bob", lease).await), Err(Kind::NotFound));
    world
        .plugins
        .on_revoke(&ssh, RevokeStep::Refuse(Refusal { user: "not now".into(), retry_after: None }));
    assert_eq!(kind(world.revoke("alice", lease).await), Err(Kind::Refused));
    world.revoke("alice", lease).await.unwrap();
    world
        .plugins
        .on_issue(&ssh, IssueStep::Refuse(Refusal { user: "never".into(), retry_after: None }));
    assert_eq!(kind(world.get("alice", "ssh").await.map(drop)), Err(Kind::Refused));
    world.plugins.on_issue(&ssh, IssueStep::until(world.now() + SECOND));
    world.get("alice", "ssh").await.unwrap();
    world.run(Duration::from_secs(120)).await;
    world.ground().flush_remarks().await.unwrap();

    let mut events = events(&world).await;
    events.sort();
    let mut expected = [
        "issue [] done",
        "collect [] done",
        "revoke [] refused There is no such credential.",
        "revoke [] refused not now",
        "revoke [] done",
        "issue [] refused never",
        "issue [] done",
        "collect [] done",
        "expire [] done",
    ];
    expected.sort_unstable();
    assert_eq!(events, expected);
}

#[tokio::test]
async fn what_operators_command_is_audited_once() {
    let world = World::new().await;
    let alice = caller("alice");
    world.leases.suspend(operator(), alice.subject(), true).await.unwrap();
    world.leases.resume(operator(), alice.subject()).await.unwrap();
    world.leases.record_command(operator(), "GET /ledger".into(), None).await.unwrap();
    let refused = Error::new(Kind::NotFound, "There is none.");
    world.leases.record_command(operator(), "POST /x".into(), Some(&refused)).await.unwrap();
    assert_eq!(
        events(&world).await,
        [
            "suspend [] done",
            "resume [] done",
            "operate [] done",
            "operate [] refused There is none."
        ]
    );
}
