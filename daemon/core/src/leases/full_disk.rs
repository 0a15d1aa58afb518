//! A disk that is almost full: what can wait is refused with a sentence, access is taken away
//! nevertheless.

use crate::access::operator;
use crate::doubles::IssueStep;
use crate::error::Kind;
use crate::testing::{HOUR, SECOND, World, id, kind};

#[tokio::test]
async fn on_a_full_disk_nothing_is_issued_and_reads_and_revocations_go_on() {
    let world = World::new().await;
    world.leases.start().await.unwrap();
    let [asked, due] = [world.get("alice", "ssh").await.unwrap(), {
        world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + HOUR));
        world.get("bob", "ssh").await.unwrap()
    }];
    world.store.set_full(true);
    let made = world.things().len();

    let refused = world.get("alice", "ssh").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Busy);
    assert!(refused.public().contains("disk is almost full"), "{refused}");
    assert!(refused.retry_hint().is_some(), "when to try again");
    assert_eq!(world.things().len(), made, "no plugin was called");
    assert_eq!(world.listed("alice").await.len(), 1, "reads go on");

    world.revoke("alice", asked).await.unwrap();
    assert_eq!(world.stage(asked).await, "ended");
    let (issuer, subject) = (crate::doubles::ISSUER, "carol");
    let subject = crate::caller::Subject { issuer: issuer.into(), subject: subject.into() };
    world.leases.suspend(operator(), &subject, true).await.unwrap();
    world.run(HOUR + 120 * SECOND).await;
    assert_eq!(world.stage(due).await, "ended");

    world.store.set_full(false);
    world.get("alice", "ssh").await.unwrap();
    assert_eq!(kind(world.revoke("bob", asked).await), Err(Kind::NotFound));
    world.assert_sound().await;
}

#[tokio::test]
async fn a_restart_on_a_low_disk_revokes_what_is_due() {
    let mut world = World::new().await;
    world.leases.start().await.unwrap();
    let asked = world.get("alice", "ssh").await.unwrap();
    world.plugins.on_issue(&id("ssh"), IssueStep::until(world.now() + HOUR));
    let due = world.get("bob", "ssh").await.unwrap();

    world.crash().await;
    world.store.set_full(true);
    world.leases.start().await.unwrap();
    world.revoke("alice", asked).await.unwrap();
    assert_eq!(world.stage(asked).await, "ended");
    world.run(HOUR + 120 * SECOND).await;
    assert_eq!(world.stage(due).await, "ended");
    assert_eq!(world.get("alice", "ssh").await.unwrap_err().kind(), Kind::Busy);

    world.store.set_full(false);
    world.assert_sound().await;
}
