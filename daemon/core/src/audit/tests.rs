use std::time::Duration;

use crate::access::operator;
use crate::caller::Interface;
use crate::doubles::{Fault, PROVIDER, caller};
use crate::error::Kind;
use crate::ids::ProviderId;
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::secret::Secret;
use crate::testing::{SECOND, World, kind};

fn refusal(asked: &str) -> Event {
    Event {
        at: crate::time::Timestamp::from_secs(1),
        actor: Some(Actor::Stranger(Interface::Vault)),
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
    world.core.start().await.unwrap();
    let before = world.store.commits();
    (0..120).for_each(|number| world.core.note(refusal(&number.to_string())));
    assert_eq!(waiting(&world), 0, "nobody waits for the store");
    world.run(SECOND).await;
    assert_eq!(waiting(&world), 120);
    assert!(world.store.commits() - before <= 4, "in groups");
}

#[tokio::test]
async fn notes_outlive_a_store_that_fails() {
    let world = World::new().await;
    world.core.start().await.unwrap();
    world.core.note(refusal("a"));
    world.store.fail_next(Fault::Unavailable);
    world.run(Duration::from_millis(500)).await;
    assert_eq!(waiting(&world), 0);
    world.run(2 * SECOND).await;
    assert_eq!(waiting(&world), 1, "once");
}

#[tokio::test]
async fn the_end_of_the_daemon_waits_for_notes() {
    let world = World::new().await;
    world.core.note(refusal("a"));
    world.core.finish_audit().await.unwrap();
    assert_eq!(waiting(&world), 1);
    world.core.attest(&refusal("b")).await.unwrap();
    assert_eq!(waiting(&world), 2, "durable when it answers");
}

#[tokio::test]
async fn refused_sign_ins_are_told() {
    let world = World::new().await;
    let provider = ProviderId::parse(PROVIDER).unwrap();
    let sign_in = |token: &str| world.core.sign_in(&provider, Secret::new(token), Interface::Rest);
    world.core.suspend(operator(), caller("bob").subject()).await.unwrap();
    let before = waiting(&world);
    sign_in("alice").await.unwrap();
    assert_eq!(kind(sign_in("bob").await.map(|_| ())), Err(Kind::Unauthenticated));
    assert_eq!(kind(sign_in("mallory").await.map(|_| ())), Err(Kind::Unauthenticated));
    world.core.finish_audit().await.unwrap();
    assert_eq!(waiting(&world) - before, 2);
}
