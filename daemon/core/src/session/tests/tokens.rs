//! Access and refresh tokens.

use super::*;

#[tokio::test]
async fn tokens_have_exactly_these_claims() {
    let setup = Setup::new().await;
    let pair = setup.sign_in("alice").await;
    let member = setup.sessions.authenticate(&pair.access, Client::default()).await.unwrap();
    let said = claims(&pair.access);
    let mut expected = json!({
        "iss": "https://us.example",
        "aud": "https://us.example/v1",
        "sub": member.user().as_str(),
        "sid": member.session().as_str(),
        "scope": "user.read user.write",
        "iat": setup.world.now().as_secs(),
        "exp": setup.world.now().as_secs() + 900,
    });
    expected["jti"] = said["jti"].clone();
    assert_eq!(Value::Object(said), expected);
    let keys: Vec<_> = claims(&pair.refresh).into_iter().map(|(name, _)| name).collect();
    assert_eq!(keys, ["exp", "jti", "sid"]);
}

#[tokio::test]
async fn tokens_are_refreshed_as_long_as_the_session_lasts() {
    let setup = Setup::new().await;
    let mut pair = setup.sign_in("alice").await;
    let mut span = Duration::ZERO;
    while span + 11 * HOUR < 7 * DAY {
        setup.world.clock.advance(11 * HOUR);
        span += 11 * HOUR;
        assert!(!setup.is_valid(&pair.access).await, "after fifteen minutes");
        pair = setup.sessions.refresh(&pair.refresh, &Client::default()).await.unwrap();
        assert!(setup.is_valid(&pair.access).await);
    }
    setup.world.clock.advance(7 * DAY - span);
    assert!(!setup.is_valid(&pair.access).await);
    assert_eq!(
        kind(setup.sessions.refresh(&pair.refresh, &Client::default()).await),
        Some(Kind::Unauthenticated)
    );
}

/// Attack: a stolen refresh token is used, and its owner uses it too.
#[tokio::test]
async fn refresh_replay_ends_the_session() {
    let setup = Setup::new().await;
    let first = setup.sign_in("alice").await;
    let elsewhere = setup.sign_in("alice").await;
    let second = setup.sessions.refresh(&first.refresh, &Client::default()).await.unwrap();
    setup.world.clock.advance(10 * SECOND);
    let events = setup.event_count();
    assert_eq!(
        kind(setup.sessions.refresh(&first.refresh, &Client::default()).await),
        Some(Kind::Unauthenticated)
    );
    assert_eq!(setup.event_count(), events + 1, "one event for it");
    assert!(!setup.is_valid(&second.access).await, "either of the two clients may be the thief");
    assert_eq!(
        kind(setup.sessions.refresh(&second.refresh, &Client::default()).await),
        Some(Kind::Unauthenticated)
    );
    assert!(setup.is_valid(&elsewhere.access).await, "another sign-in is another session");
}

/// The answer with the new pair got lost, and the client tries again.
#[tokio::test]
async fn a_spent_refresh_token_gets_a_pair_of_its_own_within_the_grace() {
    let setup = Setup::new().await;
    let first = setup.sign_in("alice").await;
    let lost = setup.sessions.refresh(&first.refresh, &Client::default()).await.unwrap();
    let events = setup.event_count();
    setup.world.clock.advance(10 * SECOND - Duration::from_millis(1));
    let again = setup.sessions.refresh(&first.refresh, &Client::default()).await.unwrap();
    assert_ne!(lost.refresh.expose(), again.refresh.expose());
    assert_eq!(setup.event_count(), events, "nothing has ended");
    // Each pair goes its own way from here on.
    setup.world.clock.advance(HOUR);
    for pair in [&lost, &again] {
        let next = setup.sessions.refresh(&pair.refresh, &Client::default()).await.unwrap();
        assert!(setup.is_valid(&next.access).await);
    }
    // The grace begins with the first use, not with each.
    assert_eq!(
        kind(setup.sessions.refresh(&first.refresh, &Client::default()).await),
        Some(Kind::Unauthenticated)
    );
    assert!(setup.world.store.dump("session/").is_empty(), "and then it ends the session");
}

/// Race: the tabs of one browser refresh at once.
#[tokio::test]
async fn tabs_that_race_for_a_refresh_all_get_tokens() {
    let setup = Setup::new().await;
    let pair = setup.sign_in("alice").await;
    let client = Client::default();
    let pairs = join_all((0..20).map(|_| setup.sessions.refresh(&pair.refresh, &client))).await;
    for pair in pairs {
        let pair = pair.unwrap();
        assert!(setup.is_valid(&pair.access).await);
        let next = setup.sessions.refresh(&pair.refresh, &Client::default()).await.unwrap();
        assert!(setup.is_valid(&next.access).await);
    }
}

/// A refresh token that was spent before a restart keeps its grace, and no more than that.
#[tokio::test]
async fn the_grace_of_a_spent_token_survives_a_restart() {
    let mut setup = Setup::new().await;
    let first = setup.sign_in("alice").await;
    setup.sessions.refresh(&first.refresh, &Client::default()).await.unwrap();
    setup.crash().await;
    assert!(setup.sessions.refresh(&first.refresh, &Client::default()).await.is_ok());
    setup.world.clock.advance(10 * SECOND);
    assert_eq!(
        kind(setup.sessions.refresh(&first.refresh, &Client::default()).await),
        Some(Kind::Unauthenticated)
    );
}

/// Race: one refresh token is used many times at once, where there is no grace.
#[tokio::test]
async fn of_concurrent_refreshes_one_gets_tokens_and_the_session_ends() {
    let setup = Setup::with(Options { refresh_grace: Duration::ZERO, ..options() }).await;
    for many in [2, 200] {
        let pair = setup.sign_in("alice").await;
        let client = Client::default();
        let results =
            join_all((0..many).map(|_| setup.sessions.refresh(&pair.refresh, &client))).await;
        let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(good.len(), 1);
        assert!(bad.into_iter().all(|refused| kind(refused) == Some(Kind::Unauthenticated)));
        for pair in good {
            assert!(!setup.is_valid(&pair.unwrap().access).await);
        }
    }
    assert!(setup.world.store.dump("session/").is_empty());
}

/// A commit whose outcome is unknown must not look like a replay of the refresh token.
#[tokio::test]
async fn a_commit_of_unknown_fate_is_no_replay() {
    use crate::doubles::Fault;
    let setup = Setup::new().await;
    let mut pair = setup.sign_in("alice").await;
    for applied in [true, false] {
        setup.world.store.fail_next(Fault::Unknown { applied });
        pair = setup.sessions.refresh(&pair.refresh, &Client::default()).await.unwrap();
        assert!(setup.is_valid(&pair.access).await, "{applied}");
    }
}

/// Attack: a token of another kind or of another user.
#[tokio::test]
async fn token_confusion() {
    let setup = Setup::new().await;
    let pair = setup.sign_in("alice").await;
    assert!(!setup.is_valid(&pair.refresh).await, "a refresh token is no access token");
    assert_eq!(
        kind(setup.sessions.refresh(&pair.access, &Client::default()).await),
        Some(Kind::Unauthenticated)
    );
    let provider = ProviderId::parse(PROVIDER).unwrap();
    assert!(
        setup
            .world
            .leases
            .sign_in(
                &provider,
                Secret::new("alice"),
                crate::caller::Interface::Rest,
                Client::default()
            )
            .await
            .is_ok()
    );
    assert!(
        !setup.is_valid(&Secret::new("alice")).await,
        "a provider's token is not valid in the vault"
    );
    let ours = setup
        .world
        .leases
        .sign_in(&provider, pair.access.clone(), crate::caller::Interface::Rest, Client::default())
        .await;
    assert_eq!(
        kind(ours),
        Some(Kind::Unauthenticated),
        "our token is not valid in the other dialect"
    );

    let good = claims(&pair.access);
    let other = setup.sign_in("bob").await;
    for (name, value) in [
        ("iss", json!("https://us.example/")),
        ("aud", json!("https://us.example")),
        ("aud", json!(["https://us.example/v1"])),
        ("sub", claims(&other.access)["sub"].clone()),
        ("sid", json!("c000000000000000000000000")),
        ("exp", json!(setup.world.now().as_secs())),
        ("exp", json!("never")),
        ("iat", json!(setup.world.now().as_secs() + 61)),
    ] {
        let mut changed = good.clone();
        changed.insert(name.into(), value.clone());
        let token = FakeTokens.sign(TokenKind::Access, &changed).unwrap();
        assert!(!setup.is_valid(&token).await, "{name} {value}");
        changed.remove(name);
        assert!(
            !setup.is_valid(&FakeTokens.sign(TokenKind::Access, &changed).unwrap()).await,
            "without {name}"
        );
    }
    assert!(setup.is_valid(&FakeTokens.sign(TokenKind::Access, &good).unwrap()).await);
}
