//! Suspension against sessions and sign-ins.

use super::*;

#[tokio::test]
async fn a_suspension_ends_every_session_for_good() {
    let setup = Setup::new().await;
    let pairs = [setup.sign_in("alice").await, setup.sign_in("alice").await];
    let subject = caller("alice").subject().clone();
    setup.world.leases.suspend(operator(), &subject, true).await.unwrap();
    for pair in &pairs {
        assert!(!setup.is_valid(&pair.access).await);
        assert_eq!(
            kind(setup.sessions.refresh(&pair.refresh, &Client::default()).await),
            Some(Kind::Unauthenticated)
        );
    }
    let callback = setup.callback(&setup.begin(), "alice");
    assert_eq!(kind(setup.finish(callback).await), Some(Kind::Unauthenticated));
    setup.world.leases.resume(operator(), &subject).await.unwrap();
    assert!(!setup.is_valid(&pairs[0].access).await);
    assert!(setup.is_valid(&setup.sign_in("alice").await.access).await);
}

/// Attack: a user is suspended while the sign-in is pending.
#[tokio::test]
async fn a_suspension_during_a_sign_in_stops_it() {
    let setup = Setup::new().await;
    let subject = caller("alice").subject().clone();
    // Before there is a record of the user, while the provider is being asked.
    let gate = Gate::shut();
    setup.provider.hold(&gate);
    let key = setup.begin();
    let waiting = setup.sessions.attach(&key, at(1)).unwrap();
    let finishing = tokio::spawn({
        let (sessions, callback) = (Arc::clone(&setup.sessions), setup.callback(&key, "alice"));
        async move { finish(&sessions, callback).await }
    });
    setup.world.settle().await;
    setup.world.leases.suspend(operator(), &subject, true).await.unwrap();
    gate.open();
    assert_eq!(kind(finishing.await.unwrap()), Some(Kind::Unauthenticated));
    assert_eq!(kind(waiting.tokens().await), Some(Kind::Unauthenticated));
    assert!(setup.world.store.dump("user/").is_empty());
    // After the sign-in is complete, before the client waits.
    setup.world.leases.resume(operator(), &subject).await.unwrap();
    let key = setup.begin();
    setup.finish(setup.callback(&key, "alice")).await.unwrap();
    setup.world.leases.suspend(operator(), &subject, true).await.unwrap();
    let waiting = setup.sessions.attach(&key, at(1)).unwrap();
    assert_eq!(kind(waiting.tokens().await), Some(Kind::Unauthenticated));
    assert!(setup.world.store.dump("session/").is_empty());
}

/// Race: a suspension and a sign-in at the same moment, in any order.
#[tokio::test]
async fn no_session_outlives_a_concurrent_suspension() {
    let setup = Setup::with(Options { sign_ins_per_minute: None, ..options() }).await;
    for round in 0..40 {
        let user = format!("user-{round}");
        let subject = caller(&user).subject().clone();
        let callback = Callback { wants_tokens: true, ..setup.callback(&setup.begin(), &user) };
        let (finished, suspended) = tokio::join!(setup.finish(callback), async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            setup.world.leases.suspend(operator(), &subject, true).await
        });
        suspended.unwrap();
        if let Ok(SignInResult::Tokens(pair)) = finished {
            assert!(!setup.is_valid(&pair.access).await, "{round}");
        }
    }
}
