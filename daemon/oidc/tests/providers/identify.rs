//! The identity behind a token, from honest providers and from hostile ones.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Answer, Daemon, Op, PATIENCE, options, until};
use credsmith_core::Kind;
use credsmith_core::doubles::Gate;
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::Clock as _;
use credsmith_core::ports::providers::{ProviderRefusal, Providers as _};
use credsmith_core::ports::tokens::{TokenKind, Tokens as _};
use credsmith_core::secret::Secret;
use credsmith_http::{StatusCode, header};
use credsmith_oidc::signing::SigningKey;
use credsmith_oidc::tokens::EdDsaTokens;
use credsmith_oidc::{Audiences, Limits};
use futures_util::FutureExt as _;
use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "canary-access-token";
pub(crate) const NOT_ACCEPTED: &str = "Authorization failed, please check the access token";

#[tokio::test]
async fn userinfo_and_introspection_make_an_identity() {
    let op = Op::start().await;
    op.answer(
        "/introspect",
        Answer::Json(
            json!({"active": true, "aud": ["x", "us"], "username": "al", "scope": "openid a"}),
        ),
    );
    let daemon = Daemon::knowing(&op).await;
    let identity = daemon.identify("op", TOKEN).await.unwrap();
    assert_eq!(identity.provider().as_str(), "op");
    assert_eq!(
        (identity.subject().issuer.as_str(), identity.subject().subject.as_str()),
        (op.base.as_str(), "alice")
    );
    assert_eq!(
        Value::Object(identity.claims().clone()),
        json!({
            "iss": op.base, "sub": "alice", "groups": ["users"], "username": "al", "scope": "openid a", "scope_list": ["openid", "a"]
        })
    );

    let userinfo = op.seen("/userinfo").remove(0);
    assert_eq!(userinfo.headers[header::AUTHORIZATION], format!("Bearer {TOKEN}"));
    let introspection = op.seen("/introspect").remove(0);
    // `us:s3cret%26`, each half form-encoded
    assert_eq!(introspection.headers[header::AUTHORIZATION], "Basic dXM6czNjcmV0JTI2");
    assert_eq!(introspection.body, format!("token={TOKEN}&token_type_hint=access_token"));
}

#[tokio::test]
async fn the_secret_is_sent_in_the_form_if_the_provider_requires_it() {
    let op = Op::start().await;
    let document = op.document_with(
        json!({"introspection_endpoint_auth_methods_supported": ["client_secret_post"]}),
    );
    op.answer("/.well-known/openid-configuration", Answer::Json(document));
    let daemon = Daemon::knowing(&op).await;
    daemon.identify("op", TOKEN).await.unwrap();
    let introspection = op.seen("/introspect").remove(0);
    assert!(introspection.headers.get(header::AUTHORIZATION).is_none());
    assert!(
        introspection.body.ends_with("&client_id=us&client_secret=s3cret%26"),
        "{}",
        introspection.body
    );
}

/// Every answer here refuses the token, with the same sentence for the caller, and puts neither
/// token nor answer into the log.
#[tokio::test]
async fn invalid_answers_are_refused() {
    let op = Op::start().await;
    let daemon = Daemon::knowing(&op).await;
    let good_userinfo = Answer::Json(json!({"sub": "alice"}));
    let good_introspection = Answer::Json(json!({"active": true, "aud": "us"}));
    let now = daemon.clock.now().as_secs();
    let json_text = |text: &str| Answer::Raw(StatusCode::OK, "application/json", text.to_owned());
    let introspected = |value: Value| ("/introspect", Answer::Json(value));
    let userinfo = |value: Value| ("/userinfo", Answer::Json(value));

    let cases = [
        (
            "status 401",
            (
                "/userinfo",
                Answer::Raw(
                    StatusCode::UNAUTHORIZED,
                    "application/json",
                    "{\"error\":\"canary\"}".into(),
                ),
            ),
        ),
        ("status 307", ("/userinfo", Answer::Redirect(format!("{}/elsewhere", op.base)))),
        (
            "not application/json",
            ("/userinfo", Answer::Raw(StatusCode::OK, "text/html", "{\"sub\":\"alice\"}".into())),
        ),
        (
            "not signed by the provider",
            ("/userinfo", Answer::Raw(StatusCode::OK, "application/jwt", "canary.e30.x".into())),
        ),
        ("not JSON", ("/userinfo", json_text("canary"))),
        ("a name repeats", ("/userinfo", json_text("{\"sub\":\"alice\",\"sub\":\"canary\"}"))),
        (
            "control characters",
            ("/userinfo", json_text("{\"sub\":\"alice\",\"name\":\"canary\\u001b[2J\"}")),
        ),
        (
            "too deep",
            ("/userinfo", json_text(&format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40)))),
        ),
        ("no JSON object", ("/userinfo", json_text("[\"canary\"]"))),
        (
            "userinfo: ",
            (
                "/userinfo",
                json_text(&format!("{{\"sub\":\"alice\",\"a\":\"{}\"}}", "x".repeat(300 * 1024))),
            ),
        ),
        ("missing or no string", userinfo(json!({"name": "canary"}))),
        ("missing or no string", userinfo(json!({"sub": 7}))),
        ("too long", userinfo(json!({"sub": "x".repeat(256)}))),
        ("too large", userinfo(json!({"sub": "alice", "a": "x".repeat(70 * 1024)}))),
        ("not active", introspected(json!({"active": false}))),
        ("whether the access token is active", introspected(json!({"aud": "us"}))),
        (
            "whether the access token is active",
            introspected(json!({"active": "true", "aud": "us"})),
        ),
        (
            "status 401",
            ("/introspect", Answer::Raw(StatusCode::UNAUTHORIZED, "application/json", "{}".into())),
        ),
        ("differ in `sub`", introspected(json!({"active": true, "aud": "us", "sub": "mallory"}))),
        ("differ in `sub`", introspected(json!({"active": true, "aud": "us", "sub": ["alice"]}))),
        ("has expired", introspected(json!({"active": true, "aud": "us", "exp": now - 31}))),
        ("not valid yet", introspected(json!({"active": true, "aud": "us", "nbf": now + 31}))),
        ("no point in time", introspected(json!({"active": true, "aud": "us", "exp": "never"}))),
        ("cannot be seen", introspected(json!({"active": true}))),
        ("cannot be seen", introspected(json!({"active": true, "client_id": "us"}))),
        ("another audience", introspected(json!({"active": true, "aud": "them"}))),
        ("neither a string nor a list", introspected(json!({"active": true, "aud": {"us": true}}))),
    ];
    for (reason, (path, answer)) in cases {
        op.answer("/userinfo", good_userinfo.clone());
        op.answer("/introspect", good_introspection.clone());
        op.answer(path, answer);
        let error = daemon.identify("op", TOKEN).await.expect_err(reason);
        assert_eq!(
            (error.kind(), error.public()),
            (Kind::Unauthenticated, NOT_ACCEPTED),
            "{reason}"
        );
        let cause = error.cause().unwrap();
        assert!(cause.contains(reason), "{reason}: {cause}");
        // What the provider says stands at the end, as data.
        let own = cause.split(": the provider said").next().unwrap();
        assert!(!own.contains("canary") && !cause.contains("s3cret"), "{cause}");
        assert!(!error.public().contains("canary"), "{error}");
    }
    assert_eq!(op.seen("/elsewhere").len(), 0, "a redirect was followed");
    // No refusal was cached.
    op.answer("/userinfo", good_userinfo);
    op.answer("/introspect", good_introspection);
    assert!(daemon.identify("op", TOKEN).await.is_ok());
}

#[tokio::test]
async fn a_slow_provider_costs_its_timeout_and_no_more() {
    let op = Op::start().await;
    op.answer("/userinfo", Answer::Never);
    let limits = Limits { request_timeout: Duration::from_millis(300), ..Limits::default() };
    let daemon = Daemon::with_limits(vec![options("op", &op.base)], &limits);
    // A busy machine may need several attempts within so short a time.
    while daemon.providers.list().iter().any(|view| !view.ready) {
        daemon.clock.advance(Duration::from_secs(100));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = daemon.identify("op", TOKEN).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Upstream);
    assert!(error.retry_hint().is_some());
}

/// A provider that cannot be asked says nothing about the token: the client is to try again.
#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_no_refusal_of_the_token() {
    let op = Op::start().await;
    let daemon = Daemon::knowing(&op).await;
    daemon.identify("op", "seen").await.unwrap();
    let failing = |status| Answer::Raw(status, "text/html", "<canary>".into());
    for (path, status) in [
        ("/userinfo", StatusCode::INTERNAL_SERVER_ERROR),
        ("/userinfo", StatusCode::BAD_GATEWAY),
        ("/userinfo", StatusCode::SERVICE_UNAVAILABLE),
        ("/userinfo", StatusCode::TOO_MANY_REQUESTS),
        ("/introspect", StatusCode::GATEWAY_TIMEOUT),
    ] {
        op.answer("/userinfo", Answer::Json(json!({"sub": "alice"})));
        op.answer(path, failing(status));
        let error = daemon.identify("op", TOKEN).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Upstream, "{path} {status}");
        assert!(error.retry_hint().is_some() && !format!("{error:?}").contains("canary"));
    }
    op.stop().await;
    let error = daemon.identify("op", TOKEN).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Upstream, "nothing listens there");
    assert!(daemon.identify("op", "seen").await.is_ok(), "a cached token works until its time");
}

/// A provider that is down for a while must not make the addresses of its users look like those of
/// guessers, which have one look-up at a time.
#[tokio::test]
async fn a_provider_that_is_down_counts_against_no_address() {
    let op = Op::start().await;
    let daemon = Daemon::knowing(&op).await;
    let id = ProviderId::parse("op").unwrap();
    let from = Some(std::net::IpAddr::from([192, 0, 2, 1]).into());
    let ask = |n| daemon.providers.identify(&id, Arc::new(Secret::new(format!("t{n}"))), from);
    let refusal = |status| Answer::Raw(status, "application/json", "{}".into());
    for (status, at_a_time) in [(StatusCode::BAD_GATEWAY, 2), (StatusCode::UNAUTHORIZED, 1)] {
        op.answer("/userinfo", refusal(status));
        for n in 0..20 {
            assert!(ask(n).await.is_err());
        }
        let gate = Gate::shut();
        op.answer("/userinfo", Answer::Held(gate.clone(), json!({"sub": "alice"})));
        let before = daemon.clock.sleepers();
        let both = async { futures_util::join!(ask(100 + at_a_time), ask(200 + at_a_time)) };
        let look = async {
            until("both run or wait", || {
                let waiting = daemon.clock.sleepers() - before;
                gate.waiting() == at_a_time && waiting == 2 - at_a_time
            })
            .await;
            gate.open();
        };
        let ((one, other), ()) = futures_util::join!(both, look);
        assert!(one.is_ok() && other.is_ok(), "{status}");
    }
}

/// What a provider says when it refuses is data of the error, without the token that it repeats.
#[tokio::test]
async fn what_a_provider_says_when_it_refuses_is_kept_as_data() {
    let op = Op::start().await;
    let daemon = Daemon::knowing(&op).await;
    let description = format!("no {TOKEN}\n here {}", "x".repeat(9000));
    let body = json!({"error": "invalid_token", "error_description": description}).to_string();
    op.answer("/userinfo", Answer::Raw(StatusCode::UNAUTHORIZED, "application/json", body));
    let error = daemon.identify("op", TOKEN).await.unwrap_err();
    assert_eq!((error.kind(), error.public()), (Kind::Unauthenticated, NOT_ACCEPTED));
    let said = ProviderRefusal::of(&error).unwrap();
    assert_eq!(said.error(), Some("invalid_token"));
    let description = said.description().unwrap();
    assert!(description.starts_with("no *** here") || description.starts_with("no ***\\n here"));
    assert!(description.len() < 400 && !error.cause().unwrap().contains(TOKEN));
}

/// Tokens that cannot be for us from this provider are not shown to it: they may be good elsewhere.
#[tokio::test]
async fn foreign_jwts_are_refused_before_anything_is_dialled() {
    let (op, key) = (Op::start().await, SigningKey::generate("k1").unwrap());
    let daemon = Daemon::knowing(&op).await;
    let vault = EdDsaTokens::new(&Secret::new([7; 32])).unwrap();
    let claims = |claims: Value| claims.as_object().unwrap().clone();
    let access = claims(json!({"iss": "https://us.example", "aud": "us", "sub": "c1"}));
    let refresh = claims(json!({"sid": "s1", "exp": 4_000_000_000_u64, "jti": "j"}));
    let ours = |kind, claims| vault.sign(kind, &claims).unwrap().expose_str().unwrap().to_owned();
    let jwt = |claims: Value| key.sign("at+jwt", &claims).unwrap();
    let upper = op.base.to_uppercase();
    for (what, token) in [
        ("an access token of the vault", ours(TokenKind::Access, access)),
        ("a refresh token of the vault", ours(TokenKind::Refresh, refresh)),
        ("another issuer", jwt(json!({"iss": "https://other", "aud": "us"}))),
        ("an issuer in another case", jwt(json!({"iss": upper, "aud": "us"}))),
        ("an issuer that is a list", jwt(json!({"iss": [op.base], "aud": "us"}))),
        ("another audience", jwt(json!({"iss": op.base, "aud": "them"}))),
        ("other audiences", jwt(json!({"iss": op.base, "aud": ["them", "others"]}))),
        ("an audience that is a number", jwt(json!({"aud": 7}))),
    ] {
        let error = daemon.identify("op", &token).await.expect_err(what);
        assert_eq!((error.kind(), error.public()), (Kind::Unauthenticated, NOT_ACCEPTED), "{what}");
    }
    assert!(op.seen("/userinfo").is_empty() && op.seen("/introspect").is_empty());
    for (what, token) in [
        ("its own", jwt(json!({"iss": op.base, "aud": ["x", "us"]}))),
        ("with a slash", jwt(json!({"iss": format!("{}/", op.base)}))),
        ("no issuer and no audience", jwt(json!({"sub": "alice"}))),
        ("nulls", jwt(json!({"iss": null, "aud": null}))),
        ("opaque", "a.b.c".to_owned()),
    ] {
        assert!(daemon.identify("op", &token).await.is_ok(), "{what}");
    }
    let mut any = options("op", &op.base);
    any.audiences = Audiences::Any;
    let daemon = Daemon::discovered(vec![any]).await;
    assert!(daemon.identify("op", &jwt(json!({"aud": "them"}))).await.is_ok());
    assert!(daemon.identify("op", &jwt(json!({"iss": "https://other"}))).await.is_err());
}

#[tokio::test]
async fn a_provider_may_announce_another_issuer_for_access_tokens() {
    let (op, key) = (Op::start().await, SigningKey::generate("k1").unwrap());
    let document = op.document_with(json!({"access_token_issuer": "http://op/services/trust"}));
    op.answer("/.well-known/openid-configuration", Answer::Json(document));
    let daemon = Daemon::knowing(&op).await;
    let token = key.sign("JWT", &json!({"iss": "http://op/services/trust"})).unwrap();
    assert!(daemon.identify("op", &token).await.is_ok());
}

#[tokio::test]
async fn some_refusals_need_no_request_to_the_provider() {
    let op = Op::start().await;
    let mut closed = options("closed", "http://127.0.0.1:9");
    closed.login_disabled = true;
    let daemon = Daemon::start(vec![options("op", &op.base), closed]);
    let public = async |id: &str, token: &str| {
        daemon.identify(id, token).await.unwrap_err().public().to_owned()
    };
    assert_eq!(public("op", "").await, "bad_token");
    assert_eq!(public("op", "a b").await, "bad_token");
    assert_eq!(public("op", "a\r\nx-evil: 1").await, "bad_token");
    assert_eq!(public("op", &"x".repeat(20_000)).await, "bad_token");
    assert_eq!(public("closed", TOKEN).await, "login_disabled");
    assert_eq!(public("unknown", TOKEN).await, NOT_ACCEPTED);
    assert_eq!(op.seen("/userinfo").len(), 0);
}

#[tokio::test]
async fn audience_rules_hold() {
    let op = Op::start().await;
    op.answer("/introspect", Answer::Json(json!({"active": true, "aud": "them"})));
    let mut any = options("any-audience", &op.base);
    any.audiences = Audiences::Any;
    let daemon = Daemon::discovered(vec![any]).await;
    assert!(daemon.identify("any-audience", TOKEN).await.is_ok());

    let mut theirs = options("op", &op.base);
    theirs.audiences = Audiences::OneOf(vec!["us".into(), "them".into()]);
    let daemon = Daemon::discovered(vec![theirs]).await;
    assert!(daemon.identify("op", TOKEN).await.is_ok());
}

#[tokio::test]
async fn without_introspection_only_a_signed_token_has_a_known_audience() {
    let op = Op::start().await;
    let (key, next) = (SigningKey::generate("k1").unwrap(), SigningKey::generate("k2").unwrap());
    op.answer("/jwks", Answer::Json(key.public_jwks()));
    let mut no_introspection = options("op", &op.base);
    no_introspection.introspection = false;
    let daemon = Daemon::discovered(vec![no_introspection]).await;
    let now = daemon.clock.now().as_secs();
    let claims = json!({"iss": op.base, "sub": "alice", "aud": ["us"], "exp": now + 10});
    let with = |changes: Value| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims
    };
    let sign = |key: &SigningKey, claims: &Value| key.sign("at+jwt", claims).unwrap();

    let good = sign(&key, &claims);
    assert!(daemon.identify("op", &good).await.is_ok());
    assert_eq!(op.seen("/introspect").len(), 0);
    for (reason, token) in [
        ("cannot be seen", TOKEN.to_owned()),
        ("another audience", sign(&key, &with(json!({"aud": "them"})))),
        ("has expired", sign(&key, &with(json!({"exp": now - 31})))),
        ("differ in `sub`", sign(&key, &with(json!({"sub": "mallory"})))),
        ("another issuer", sign(&key, &with(json!({"iss": "https://other"})))),
        ("differ in `iss`", sign(&key, &with(json!({"iss": format!("{}/", op.base)})))),
        ("cannot be seen", sign(&SigningKey::generate("k1").unwrap(), &claims)),
    ] {
        let cause = daemon.identify("op", &token).await.unwrap_err().cause().unwrap();
        assert!(cause.contains(reason), "{reason}: {cause}");
    }

    // The expiry of a signed token bounds its entry in the cache.
    daemon.clock.advance(Duration::from_secs(11));
    let asked = op.seen("/userinfo").len();
    assert!(daemon.identify("op", &good).await.is_ok(), "within the clock skew");
    assert_eq!(op.seen("/userinfo").len(), asked + 1);

    // An unknown key causes a fetch of the keys, at most once a minute.
    op.answer("/jwks", Answer::Json(next.public_jwks()));
    assert!(daemon.identify("op", &sign(&next, &with(json!({"exp": now + 60})))).await.is_ok());
    assert_eq!(op.seen("/jwks").len(), 2);
    let stranger = SigningKey::generate("k3").unwrap();
    assert!(daemon.identify("op", &sign(&stranger, &claims)).await.is_err());
    assert_eq!(op.seen("/jwks").len(), 2);
}

#[tokio::test]
async fn without_a_secret_nothing_is_introspected() {
    let op = Op::start().await;
    let mut public = options("op", &op.base);
    public.client_secret = None;
    public.audiences = Audiences::Any;
    let daemon = Daemon::discovered(vec![public]).await;
    let identity = daemon.identify("op", TOKEN).await.unwrap();
    assert!(
        !identity.claims().contains_key("scope") && !identity.claims().contains_key("username")
    );
    assert_eq!(op.seen("/introspect").len(), 0);
}

#[tokio::test]
async fn another_claim_may_identify_the_user() {
    let op = Op::start().await;
    let mut eppn = options("op", &op.base);
    eppn.subject_claim = "eppn".into();
    let daemon = Daemon::discovered(vec![eppn]).await;
    assert!(
        daemon.identify("op", TOKEN).await.unwrap_err().cause().unwrap().contains("names the user")
    );
    op.answer("/userinfo", Answer::Json(json!({"sub": "x-1", "eppn": "alice@home"})));
    let identity = daemon.identify("op", TOKEN).await.unwrap();
    assert_eq!(identity.subject().subject, "alice@home");
    assert_eq!(identity.claims()["sub"], "x-1");
}

#[tokio::test]
async fn a_success_is_cached_for_its_time() {
    let op = Op::start().await;
    let daemon = Daemon::knowing(&op).await;
    let first = daemon.identify("op", TOKEN).await.unwrap();
    daemon.clock.advance(Duration::from_secs(29));
    assert!(Arc::ptr_eq(&first, &daemon.identify("op", TOKEN).await.unwrap()));
    assert_eq!(op.seen("/userinfo").len(), 1);

    op.answer("/introspect", Answer::Json(json!({"active": false})));
    daemon.clock.advance(Duration::from_secs(1));
    assert!(
        daemon.identify("op", TOKEN).await.is_err(),
        "revoked, and noticed after the time to live"
    );

    let end = daemon.clock.now().as_secs() + 5;
    op.answer("/introspect", Answer::Json(json!({"active": true, "aud": "us", "exp": end})));
    assert!(daemon.identify("op", "short").await.is_ok());
    let asked = op.seen("/userinfo").len();
    daemon.clock.advance(Duration::from_secs(4));
    assert!(daemon.identify("op", "short").await.is_ok());
    assert_eq!(op.seen("/userinfo").len(), asked);
    daemon.clock.advance(Duration::from_secs(1));
    op.answer("/userinfo", Answer::Raw(StatusCode::UNAUTHORIZED, "application/json", "{}".into()));
    assert!(
        daemon.identify("op", "short").await.is_err(),
        "the token ended before its time in the cache"
    );
}

#[tokio::test]
async fn concurrent_requests_share_one_look_up() {
    let op = Op::start().await;
    let gate = Gate::shut();
    op.answer("/userinfo", Answer::Held(gate.clone(), json!({"sub": "alice"})));
    let daemon = Arc::new(Daemon::knowing(&op).await);
    let ask = || {
        let daemon = daemon.clone();
        tokio::spawn(async move { daemon.identify("op", TOKEN).await })
    };
    let leader = ask();
    until("the look-up is under way", || gate.waiting() == 1).await;
    let followers: Vec<_> = (0..50).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    leader.abort();
    gate.open();
    for follower in followers {
        assert!(follower.await.unwrap().is_ok());
    }
    assert_eq!((op.seen("/userinfo").len(), op.seen("/introspect").len()), (1, 1));
}

#[tokio::test]
async fn look_ups_are_limited_by_provider() {
    let (slow, quick) = (Op::start().await, Op::start().await);
    let gate = Gate::shut();
    slow.answer("/userinfo", Answer::Held(gate.clone(), json!({"sub": "alice"})));
    let limits = Limits { look_ups_in_flight: 3, request_timeout: PATIENCE, ..Limits::default() };
    let daemon = Arc::new(Daemon::with_limits(
        vec![options("slow", &slow.base), options("quick", &quick.base)],
        &limits,
    ));
    daemon.all_ready().await;
    let waiting: Vec<_> = (0..3)
        .map(|n| {
            let daemon = daemon.clone();
            tokio::spawn(async move { daemon.identify("slow", &format!("t{n}")).await })
        })
        .collect();
    until("three look-ups are under way", || gate.waiting() == 3).await;

    let mut waits = Box::pin(daemon.identify("slow", "one-more"));
    assert!((&mut waits).now_or_never().is_none(), "it waits for its turn");
    // Beside the two that discover again later.
    until("it waits", || daemon.clock.sleepers() == 3).await;
    daemon.clock.advance(Duration::from_secs(2));
    let error = waits.await.unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.retry_hint().is_some());
    assert!(daemon.identify("quick", "one-more").await.is_ok());
    gate.open();
    for asker in waiting {
        assert!(asker.await.unwrap().is_ok());
    }
    assert!(daemon.identify("slow", "one-more").await.is_ok());
}

/// Attack: one address sends one token in so many requests, while the provider is slow, that these
/// fill the memory of the server.
#[tokio::test]
async fn requests_that_share_a_look_up_are_bounded() {
    let op = Op::start().await;
    let gate = Gate::shut();
    op.answer("/userinfo", Answer::Held(gate.clone(), json!({"sub": "alice"})));
    let daemon = Daemon::knowing(&op).await;
    let id = ProviderId::parse("op").unwrap();
    let from = |last: u8| Some(std::net::IpAddr::from([192, 0, 2, last]).into());
    let ask = |last| daemon.providers.identify(&id, Arc::new(Secret::new(TOKEN)), from(last));
    let mut asked: Vec<_> = (0..300).map(|_| ask(1)).collect();
    let refused = asked.iter_mut().filter_map(|one| one.now_or_never()).count();
    assert_eq!(refused, 44, "all but 256, and at once");
    let mut other = ask(2);
    assert!((&mut other).now_or_never().is_none(), "another address waits");
    drop(asked);
    let mut again = ask(1);
    assert!((&mut again).now_or_never().is_none(), "those that left wait no more");
    gate.open();
    assert!(again.await.is_ok() && other.await.is_ok());
}

/// Attack: tokens that were accepted once, and have expired or were revoked, take the places of
/// those who work.
#[tokio::test]
async fn a_token_that_is_refused_is_known_no_more() {
    let op = Op::start().await;
    let limits = Limits { look_ups_in_flight: 4, request_timeout: PATIENCE, ..Limits::default() };
    let daemon = Arc::new(Daemon::with_limits(vec![options("op", &op.base)], &limits));
    daemon.all_ready().await;
    let good = Answer::Json(json!({"sub": "alice"}));
    let refusing = Answer::Raw(StatusCode::UNAUTHORIZED, "application/json", "{}".into());
    let failing = Answer::Raw(StatusCode::BAD_GATEWAY, "text/html", String::new());
    for (token, then) in [("revoked", refusing), ("good", failing)] {
        op.answer("/userinfo", good.clone());
        daemon.identify("op", token).await.unwrap();
        daemon.clock.advance(Duration::from_secs(31));
        op.answer("/userinfo", then);
        assert!(daemon.identify("op", token).await.is_err(), "{token}");
    }
    let gate = Gate::shut();
    op.answer("/userinfo", Answer::Held(gate.clone(), json!({"sub": "alice"})));
    let ask = |token: String| {
        let daemon = daemon.clone();
        tokio::spawn(async move { daemon.identify("op", &token).await })
    };
    let mut asked: Vec<_> = (0..3).map(|n| ask(format!("stranger-{n}"))).collect();
    until("strangers have all their places", || gate.waiting() == 3).await;
    asked.push(ask("revoked".into()));
    until("it waits", || daemon.clock.sleepers() == 2).await;
    asked.push(ask("good".into()));
    until("what is known has a place", || gate.waiting() == 4).await;
    assert_eq!(op.seen("/userinfo").len(), 4 + 4);
    gate.open();
    for one in asked {
        assert!(one.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_token_is_not_accepted_for_another_provider() {
    let (one, other) = (Op::start().await, Op::start().await);
    other.answer("/userinfo", Answer::Json(json!({"sub": "mallory"})));
    let daemon =
        Daemon::discovered(vec![options("one", &one.base), options("other", &other.base)]).await;
    assert_eq!(daemon.identify("one", TOKEN).await.unwrap().subject().subject, "alice");
    assert_eq!(daemon.identify("other", TOKEN).await.unwrap().subject().subject, "mallory");
    let find = |issuer: &str| daemon.providers.by_issuer(issuer).map(|id| id.to_string());
    assert_eq!(find(&one.base).as_deref(), Some("one"));
    assert_eq!(find(&format!("{}/", other.base)).as_deref(), Some("other"));
    assert_eq!(find("https://unknown"), None);
    assert!(daemon.providers.get(&ProviderId::parse("unknown").unwrap()).is_none());
}
