//! The end of sessions: by disuse, sign-out and age.

use super::*;

#[tokio::test]
async fn an_idle_session_is_over() {
    let setup = Setup::new().await;
    let pair = setup.sign_in("alice").await;
    setup.world.clock.advance(12 * HOUR);
    assert_eq!(
        kind(setup.sessions.refresh(&pair.refresh, &Client::default()).await),
        Some(Kind::Unauthenticated)
    );
}

#[tokio::test]
async fn a_session_that_was_signed_out_is_over_at_once() {
    let setup = Setup::new().await;
    let pair = setup.sign_in("alice").await;
    let member = setup.sessions.authenticate(&pair.access, Client::default()).await.unwrap();
    let events = setup.event_count();
    for _ in 0..2 {
        setup.sessions.sign_out(&member).await.unwrap();
    }
    assert_eq!(setup.event_count(), events + 1);
    assert!(!setup.is_valid(&pair.access).await);
    assert_eq!(
        kind(setup.sessions.refresh(&pair.refresh, &Client::default()).await),
        Some(Kind::Unauthenticated)
    );
}

#[tokio::test]
async fn sessions_survive_a_restart_and_pending_sign_ins_do_not() {
    let mut setup = Setup::new().await;
    let pair = setup.sign_in("alice").await;
    let key = setup.begin();
    setup.crash().await;
    assert!(setup.is_valid(&pair.access).await);
    assert!(setup.sessions.refresh(&pair.refresh, &Client::default()).await.is_ok());
    assert_eq!(kind(setup.sessions.attach(&key, at(1))), Some(Kind::NotFound));
}

#[tokio::test]
async fn sessions_that_are_over_are_deleted_and_others_are_not() {
    let setup = Setup::new().await;
    let idle = setup.sign_in("alice").await;
    let suspended = setup.sign_in("bob").await;
    let mut busy = setup.sign_in("carol").await;
    setup.world.leases.suspend(operator(), caller("bob").subject(), true).await.unwrap();
    setup.world.clock.advance(11 * HOUR);
    busy = setup.sessions.refresh(&busy.refresh, &Client::default()).await.unwrap();
    assert_eq!(setup.world.store.dump("session/").len(), 3);
    setup.sessions.start();
    setup.world.run(2 * HOUR).await;
    assert_eq!(setup.world.store.dump("session/").len(), 1);
    assert_eq!(setup.world.store.dump("session-due/").len(), 1, "checked again later");
    assert!(setup.sessions.refresh(&busy.refresh, &Client::default()).await.is_ok());
    assert!(!setup.is_valid(&idle.access).await && !setup.is_valid(&suspended.access).await);
    setup.world.clock.advance(7 * DAY);
    setup.sessions.delete_ended().await.unwrap();
    assert!(setup.world.store.dump("session").is_empty());
}
