//! Sign-ins: browser, provider and waiting client, and the races between them.

use super::*;

#[tokio::test]
async fn a_waiting_client_gets_the_tokens_of_the_user_who_signs_in() {
    let setup = Setup::new().await;
    let begun = setup.sessions.begin(None, at(1)).unwrap();
    let key = begun.callback_key.expose_str().unwrap();
    assert!(
        key.len() == 34 && key.starts_with("ck") && key.bytes().all(|b| b.is_ascii_alphanumeric())
    );
    assert!(begun.uri.contains(key));
    let client = setup.sessions.attach(&begun.callback_key, at(1)).unwrap();
    let mut waiting = Box::pin(client.tokens());
    assert!((&mut waiting).now_or_never().is_none());
    let finished = setup.finish(setup.callback(&begun.callback_key, "alice")).await.unwrap();
    assert!(matches!(finished, SignInResult::Delivered));
    let pair = waiting.await.unwrap();
    let member = setup.sessions.authenticate(&pair.access, Client::default()).await.unwrap();
    assert_eq!(member.subject(), caller("alice").subject());
    assert!(member.has_scope("user.read") && member.has_scope("user.write"));
    assert!(member.rights().hold("user.fetch.many") && !member.rights().hold("company.fetch"));
    assert_eq!(setup.event_count(), 2, "the creation of the user, and the sign-in");
}

/// The browser may return before the client waits.
#[tokio::test]
async fn a_result_is_kept_a_minute_for_its_client_and_delivered_once() {
    let setup = Setup::new().await;
    let (fast, slow) = (setup.begin(), setup.begin());
    for key in [&fast, &slow] {
        setup.finish(setup.callback(key, "alice")).await.unwrap();
    }
    setup.world.clock.advance(MINUTE - SECOND);
    assert!(setup.sessions.attach(&fast, at(1)).unwrap().tokens().await.is_ok());
    assert_eq!(kind(setup.sessions.attach(&fast, at(1))), Some(Kind::NotFound), "spent");
    setup.world.clock.advance(SECOND);
    assert_eq!(kind(setup.sessions.attach(&slow, at(1))), Some(Kind::NotFound), "too old");
}

#[tokio::test]
async fn a_sign_in_expires_after_ten_minutes() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let waiting = tokio::spawn(tokens_for(setup.sessions.attach(&key, at(1)).unwrap()));
    setup.world.run(10 * MINUTE - SECOND).await;
    assert!(!waiting.is_finished());
    setup.world.run(SECOND).await;
    assert_eq!(kind(waiting.await.unwrap()), Some(Kind::Unauthenticated));
    assert_eq!(kind(setup.finish(setup.callback(&key, "alice")).await), Some(Kind::Invalid));
}

/// Race: the browser returns in the last second, and the provider answers after the expiry.
#[tokio::test]
async fn a_callback_in_time_is_finished_after_the_expiry() {
    let setup = Setup::new().await;
    setup.sessions.start();
    let gate = Gate::shut();
    setup.provider.hold(&gate);
    let key = setup.begin();
    let waiting = tokio::spawn(tokens_for(setup.sessions.attach(&key, at(1)).unwrap()));
    setup.world.run(10 * MINUTE - SECOND).await;
    let (sessions, callback) = (Arc::clone(&setup.sessions), setup.callback(&key, "alice"));
    let finishing = tokio::spawn(async move { finish(&sessions, callback).await });
    setup.world.run(MINUTE - SECOND).await;
    assert!(!waiting.is_finished() && !finishing.is_finished());
    gate.open();
    assert!(finishing.await.unwrap().is_ok());
    assert!(waiting.await.unwrap().is_ok());
}

/// Race: the provider answers when the sign-in is over. The user is asked nothing, since no answer
/// could count, and is not told that the program has the tokens.
#[tokio::test]
async fn a_sign_in_that_expires_while_it_is_verified_is_refused_and_audited() {
    for confirm in [true, false] {
        let setup = Setup::with(Options { confirm, ..options() }).await;
        setup.sessions.start();
        let gate = Gate::shut();
        setup.provider.hold(&gate);
        let key = setup.begin();
        let (sessions, callback) = (Arc::clone(&setup.sessions), setup.callback(&key, "alice"));
        let finishing = tokio::spawn(async move { sessions.finish(callback).await });
        setup.world.run(12 * MINUTE).await;
        assert_eq!(setup.sessions.pending.sizes()[0], 0);
        gate.open();
        assert_eq!(kind(finishing.await.unwrap()), Some(Kind::Unauthenticated));
        let lines = setup.audited().await;
        let refused = lines.last().unwrap();
        assert_eq!(
            (&refused["action"], &refused["outcome"]),
            (&json!("sign-in"), &json!("refused"))
        );
        let refused = refused.to_string();
        assert!(refused.contains("alice") && refused.contains("it expired"), "{refused}");
    }
}

/// Race: browser and client arrive at the moment of the expiry. Both are refused, in any order.
#[tokio::test]
async fn an_expired_sign_in_is_over_for_browser_and_client() {
    let setup = Setup::new().await;
    let key = setup.begin();
    setup.world.clock.advance(10 * MINUTE);
    assert_eq!(kind(setup.sessions.check_attach(&key, at(1))), Some(Kind::NotFound));
    assert_eq!(kind(setup.sessions.attach(&key, at(1))), Some(Kind::NotFound));
    let callback = Callback { wants_tokens: true, ..setup.callback(&key, "alice") };
    assert_eq!(kind(setup.finish(callback).await), Some(Kind::Invalid));
    assert!(setup.world.store.dump("session/").is_empty());
}

/// Race: a client begins to wait while the callback of a browser that wants tokens is being
/// verified.
#[tokio::test]
async fn tokens_go_to_the_browser_or_to_the_client_and_never_to_both() {
    let setup = Setup::new().await;
    let gate = Gate::shut();
    setup.provider.hold(&gate);
    let key = setup.begin();
    let (sessions, callback) = (Arc::clone(&setup.sessions), setup.callback(&key, "alice"));
    let finishing = tokio::spawn(async move {
        finish(&sessions, Callback { wants_tokens: true, ..callback }).await
    });
    setup.world.settle().await;
    let waiting = setup.sessions.attach(&key, at(1)).unwrap();
    gate.open();
    assert!(matches!(finishing.await.unwrap(), Ok(SignInResult::Delivered)));
    assert!(waiting.tokens().await.is_ok());
    assert_eq!(kind(waiting.tokens().await), Some(Kind::Unauthenticated), "once");
    assert_eq!(setup.world.store.dump("session/").len(), 1);
}

/// Attack: a browser asks for tokens of a sign-in that a client waits for, or once waited for.
#[tokio::test]
async fn a_browser_gets_no_tokens_that_a_client_ever_waited_for() {
    let setup = Setup::new().await;
    let key = setup.begin();
    drop(setup.sessions.attach(&key, at(1)).unwrap());
    let callback = Callback { wants_tokens: true, ..setup.callback(&key, "alice") };
    assert!(matches!(setup.finish(callback).await.unwrap(), SignInResult::Delivered));
    assert!(setup.sessions.attach(&key, at(1)).unwrap().tokens().await.is_ok());
}

#[tokio::test]
async fn a_client_learns_that_the_provider_refused() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let waiting = setup.sessions.attach(&key, at(1)).unwrap();
    let callback = Callback { reply: refused(), ..setup.callback(&key, "alice") };
    assert_eq!(kind(setup.finish(callback).await), Some(Kind::Unauthenticated));
    assert_eq!(kind(waiting.tokens().await), Some(Kind::Unauthenticated));
}

#[tokio::test]
async fn a_sign_in_is_finished_when_its_browser_disconnects() {
    let setup = Setup::with(Options { confirm: false, ..options() }).await;
    let gate = Gate::shut();
    setup.provider.hold(&gate);
    let key = setup.begin();
    let waiting = setup.sessions.attach(&key, at(1)).unwrap();
    assert!(setup.finish(setup.callback(&key, "alice")).now_or_never().is_none());
    gate.open();
    assert!(waiting.tokens().await.is_ok());
}

/// Race: two hundred callbacks with one state at once.
#[tokio::test]
async fn of_concurrent_callbacks_with_one_state_one_succeeds() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let attempts = (0..200).map(|number| {
        let callback =
            Callback { wants_tokens: true, ..setup.callback(&key, &format!("user-{number}")) };
        setup.finish(callback)
    });
    let ended = join_all(attempts).await;
    let tokens = ended.iter().filter(|ended| matches!(ended, Ok(SignInResult::Tokens(_)))).count();
    let refused = ended.into_iter().filter_map(kind).filter(|kind| *kind == Kind::Invalid).count();
    assert_eq!((tokens, refused), (1, 199));
    assert_eq!(setup.world.store.dump("user/").len(), 1);
}

/// Race: a user signs in for the first time in fifty browsers at once.
#[tokio::test]
async fn concurrent_first_sign_ins_create_one_user() {
    let setup = Setup::with(Options { sign_ins_per_minute: None, ..options() }).await;
    let pairs = join_all((0..50).map(|_| setup.sign_in("alice"))).await;
    let mut ids = Vec::new();
    for pair in &pairs {
        ids.push(
            setup.sessions.authenticate(&pair.access, Client::default()).await.unwrap().user(),
        );
    }
    ids.dedup();
    assert_eq!((ids.len(), setup.world.store.dump("user/").len()), (1, 1));
    assert_eq!(setup.world.store.dump("session/").len(), 50);
}
