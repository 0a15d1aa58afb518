//! Attacks on a sign-in: each that `daemon/dialects/vault.md` names.

use super::*;

/// Attack: a spent state is used again, with the same code or another one.
#[tokio::test]
async fn state_replay() {
    let setup = Setup::new().await;
    let key = setup.begin();
    setup.finish(setup.callback(&key, "alice")).await.unwrap();
    for user in ["alice", "mallory"] {
        assert_eq!(kind(setup.finish(setup.callback(&key, user)).await), Some(Kind::Invalid));
    }
    for unknown in ["", "ck00000000000000000000000000000000"] {
        let callback = setup.callback(&Secret::new(unknown), "mallory");
        assert_eq!(kind(setup.finish(callback).await), Some(Kind::Invalid));
    }
}

/// Attack: a spent code is used in another sign-in.
#[tokio::test]
async fn code_replay() {
    let setup = Setup::new().await;
    let (first, second) = (setup.begin(), setup.begin());
    let callback = setup.callback(&first, "alice");
    let ProviderReply::Code(code) = &callback.reply else { panic!("no code") };
    let again = Callback {
        state: second.clone(),
        reply: ProviderReply::Code(code.clone()),
        ..setup.callback(&second, "x")
    };
    setup.finish(callback).await.unwrap();
    let waiting = setup.sessions.attach(&second, at(1)).unwrap();
    assert_eq!(kind(setup.finish(again).await), Some(Kind::Unauthenticated));
    assert_eq!(kind(waiting.tokens().await), Some(Kind::Unauthenticated), "the client gets it too");
}

/// Attack: the reply of one provider is presented as that of another (RFC 9207).
#[tokio::test]
async fn mix_up() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let callback =
        Callback { issuer: Some("https://evil.example".into()), ..setup.callback(&key, "alice") };
    assert_eq!(kind(setup.finish(callback).await), Some(Kind::Unauthenticated));
    let key = setup.begin();
    let callback = Callback { issuer: Some(ISSUER.into()), ..setup.callback(&key, "alice") };
    assert!(setup.finish(callback).await.is_ok());
}

/// [`PROVIDER`], and `other` with a redirect URI of its own.
async fn with_two_providers() -> Setup {
    let other = ProviderId::parse("other").unwrap();
    let mut options = options();
    let redirect_uri = "https://us.example/back/other".to_owned();
    options.providers.push(SignInProvider { id: other.clone(), redirect_uri });
    let setup = Setup::with(options).await;
    setup.provider.add_provider(other);
    setup
}

/// Attack: a malicious provider sends the browser on to an honest one that sends no `iss`, whose
/// code comes back as an answer of the malicious one. The redirect URI tells the two apart, and the
/// code is sent to neither.
#[tokio::test]
async fn mix_up_of_providers_without_iss() {
    let setup = with_two_providers().await;
    let other = ProviderId::parse("other").unwrap();
    for (begun_at, back_at) in [
        (None, Some("other")),
        (Some("other"), None),
        (Some("other"), Some(PROVIDER)),
        (None, Some(PROVIDER)),
        (Some("other"), Some("unknown")),
    ] {
        let id = |text: &str| ProviderId::parse(text).unwrap();
        let begun = setup.sessions.begin(begun_at.map(id).as_ref(), at(1)).unwrap();
        let waiting = setup.sessions.attach(&begun.callback_key, at(1)).unwrap();
        let callback = Callback {
            own_uri_of: back_at.map(id),
            ..setup.callback(&begun.callback_key, "alice")
        };
        let ProviderReply::Code(code) = callback.reply.clone() else { panic!("no code") };
        let refused = setup.sessions.finish(callback).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Unauthenticated, "{begun_at:?} {back_at:?}");
        assert!(refused.cause().unwrap().contains("redirect URI of another provider"));
        assert_eq!(kind(waiting.tokens().await), Some(Kind::Unauthenticated));
        // The code was not redeemed: it is still good.
        let next = setup.begin();
        let honest =
            Callback { reply: ProviderReply::Code(code), ..setup.callback(&next, "unused") };
        assert!(setup.sessions.finish(honest).await.is_ok(), "{begun_at:?} {back_at:?}");
    }
    let begun = setup.sessions.begin(Some(&other), at(1)).unwrap();
    assert!(begun.uri.contains("redirect_uri=https://us.example/back/other&"), "{}", begun.uri);
    let begun = setup.sessions.begin(None, at(1)).unwrap();
    assert!(begun.uri.contains("redirect_uri=https://us.example/back&"), "{}", begun.uri);
}

/// Attack: a provider that is configured, but not for the vault, is picked by the client.
#[tokio::test]
async fn a_provider_that_is_not_listed_signs_no_user_in() {
    let setup = Setup::new().await;
    let other = ProviderId::parse("other").unwrap();
    setup.provider.add_provider(other.clone());
    assert_eq!(kind(setup.sessions.begin(Some(&other), at(1))), Some(Kind::Invalid));
}

/// Attack: the state of one provider with the code of another.
#[tokio::test]
async fn a_state_is_bound_to_its_provider() {
    let setup = with_two_providers().await;
    let other = ProviderId::parse("other").unwrap();
    let key = setup.sessions.begin(Some(&other), at(1)).unwrap().callback_key;
    let callback = Callback { own_uri_of: Some(other), ..setup.callback(&key, "alice") };
    assert_eq!(kind(setup.finish(callback).await), Some(Kind::Unauthenticated));
    let unknown = ProviderId::parse("unknown").unwrap();
    let refused = setup.sessions.begin(Some(&unknown), at(1)).unwrap_err();
    assert_eq!((refused.kind(), refused.fields()[0].place().as_str()), (Kind::Invalid, "provider"));
    let misconfigured = Setup::with(Options { provider: unknown, ..options() }).await;
    assert_eq!(kind(misconfigured.sessions.begin(None, at(1))), Some(Kind::Internal));
}

/// Attack: a thief of a callback key waits with it, or lets a victim sign in with it.
#[tokio::test]
async fn a_stolen_callback_key_is_useless_at_another_address() {
    let setup = Setup::new().await;
    let key = setup.begin();
    for refused in
        [setup.sessions.attach(&key, at(2)).err(), setup.sessions.check_attach(&key, at(2)).err()]
    {
        let refused = refused.unwrap();
        assert_eq!(refused.kind(), Kind::Forbidden);
        assert!(refused.public().contains("same_address"));
    }
    assert!(setup.sessions.check_attach(&key, at(1)).is_ok(), "its owner can still wait");
    let waiting = setup.sessions.attach(&key, at(1)).unwrap();
    let victim = Callback { from: at(2), ..setup.callback(&key, "victim") };
    let refused = setup.finish(victim).await.unwrap_err();
    assert_eq!((refused.kind(), refused.fields()[0].place().as_str()), (Kind::Forbidden, "state"));
    assert!(refused.fields()[0].message.contains("same_address"));
    let heard = waiting.tokens().await.unwrap_err();
    assert!(heard.kind() == Kind::Forbidden && heard.public().contains("same_address"));
    assert!(setup.world.store.dump("user/").is_empty(), "the provider was not even asked");
    let later = setup.callback(&key, "victim");
    assert_eq!(
        kind(setup.finish(later).await),
        Some(Kind::Invalid),
        "nor can the thief use it again"
    );

    let lax = Setup::with(Options { same_address: false, ..options() }).await;
    let key = lax.begin();
    let waiting = lax.sessions.attach(&key, at(2)).unwrap();
    lax.finish(Callback { from: at(3), ..lax.callback(&key, "alice") }).await.unwrap();
    assert!(waiting.tokens().await.is_ok());
}

/// Attack: a second client waits for the same sign-in.
#[tokio::test]
async fn a_second_socket() {
    let setup = Setup::new().await;
    let key = setup.begin();
    let first = setup.sessions.attach(&key, at(1)).unwrap();
    assert_eq!(kind(setup.sessions.attach(&key, at(1))), Some(Kind::Conflict));
    assert_eq!(kind(setup.sessions.check_attach(&key, at(1))), Some(Kind::Conflict));
    drop(first);
    assert!(
        setup.sessions.attach(&key, at(1)).is_ok(),
        "a client whose connection broke may wait again"
    );
}

#[tokio::test]
async fn no_token_or_key_reaches_the_store_or_the_log() {
    let setup = Setup::new().await;
    let key = setup.begin();
    setup.finish(Callback { wants_tokens: true, ..setup.callback(&key, "alice") }).await.unwrap();
    let pair = setup.sign_in("alice").await;
    assert!(!format!("{pair:?}").contains(pair.access.expose_str().unwrap()));
    let begun = setup.sessions.begin(None, at(1)).unwrap();
    assert!(!format!("{:?}", begun.callback_key).contains("ck"));
    for (_, value) in setup.world.store.dump("") {
        let token = pair.refresh.expose();
        assert!(!value.windows(token.len()).any(|part| part == token));
    }
}

#[tokio::test]
async fn an_untrusted_mail_address_grants_no_role() {
    let by_email = Rule::new(ProviderMatch::Any, "email", Condition::any(true)).unwrap();
    let rules = Rules::new(vec![by_email], Vec::new(), &Configured::default());
    let role = Role {
        name: "mail".into(),
        permissions: vec![Pattern::parse("*").unwrap()],
        companies: None,
    };
    let roles = Roles::new(vec![ConfiguredRole { role: Arc::new(role), rules }]);
    let world = World::new().await;
    let users = Users::new(Arc::clone(&world.leases), roles);
    for (name, email_is_trusted) in [("alice", true), ("mallory", false)] {
        let id = users
            .record_sign_in(Vouched { email_is_trusted, ..vouched(name) }, &Client::default())
            .await
            .unwrap();
        let user = world.ground().records.user(id).await.unwrap().unwrap().value;
        assert_eq!(users.rights(&user).hold("company.fetch"), email_is_trusted, "{name}");
        assert_eq!(user.profile.email.unwrap(), format!("{name}@example.org"), "shown in any case");
    }
}
