//! Claims that only userinfo has, plain and signed, of bearers and after a sign-in.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use credsmith_core::Kind;
use credsmith_core::ports::Clock as _;
use credsmith_http::{StatusCode, header};
use credsmith_oidc::signing::SigningKey;
use credsmith_oidc::{AskUserinfo, CodeFlow};
use serde_json::{Value, json};

use crate::browser::{Browser, browser_options, raw};
use crate::identify::{NOT_ACCEPTED, TOKEN};
use crate::sign_in::{DOCUMENT, assert_refused, assert_unavailable};
use crate::support::{Answer, Daemon, Op};

/// A provider whose ID tokens say who signed in, and userinfo the rest.
#[tokio::test]
async fn claims_that_are_only_at_userinfo_are_asked_for() {
    let browser = Browser::start().await;
    let answer = json!({
        "sub": "alice", "name": "Alice", "email": "a@example.org", "email_verified": true,
        "groups": ["users"], "iss": "https://canary.example", "acr": "canary",
    });
    browser.op.answer("/userinfo", Answer::Json(answer));
    let vouched = browser.sign_in(&json!({"name": "Alice A."})).await.unwrap();
    let claims = ["name", "email", "groups"].map(|name| vouched.claims[name].clone());
    assert_eq!(claims, [json!("Alice A."), json!("a@example.org"), json!(["users"])]);
    assert!(vouched.email_is_trusted && !vouched.claims.contains_key("acr"));
    assert_eq!(vouched.claims["iss"], browser.op.base);
    let [asked] = &browser.op.seen("/userinfo")[..] else { panic!("one question") };
    assert_eq!(asked.headers[header::AUTHORIZATION], "Bearer canary-access");
}

#[tokio::test]
async fn userinfo_is_asked_when_needed_always_or_never() {
    let full = json!({"name": "A", "email": "a@op", "email_verified": false, "groups": []});
    for (userinfo, changes, asked) in [
        (AskUserinfo::WhenNeeded, full.clone(), 0),
        (AskUserinfo::WhenNeeded, json!({"name": "A", "groups": []}), 1),
        (AskUserinfo::WhenNeeded, json!({"name": "A", "email": "a@op", "xms_edov": 0}), 1),
        (AskUserinfo::WhenNeeded, json!({"name": "A", "email": "a@op", "groups": []}), 1),
        (AskUserinfo::Always, full, 1),
        (AskUserinfo::Never, json!({}), 0),
    ] {
        let op = Op::start().await;
        let mut options = browser_options("op", &op.base);
        options.code_flow = Some(CodeFlow { userinfo, ..CodeFlow::default() });
        let browser = Browser::with(op, options).await;
        browser.sign_in(&changes).await.unwrap();
        assert_eq!(browser.op.seen("/userinfo").len(), asked, "{userinfo:?} {changes}");
    }
    // The subject claim may be there alone, and is asked for.
    let op = Op::start().await;
    op.answer("/userinfo", Answer::Json(json!({"sub": "alice", "eppn": "alice@home"})));
    let mut by_eppn = browser_options("op", &op.base);
    by_eppn.subject_claim = "eppn".into();
    by_eppn.code_flow = Some(CodeFlow { claims: Vec::new(), ..CodeFlow::default() });
    let browser = Browser::with(op, by_eppn).await;
    assert_eq!(browser.sign_in(&json!({})).await.unwrap().subject.subject, "alice@home");
    // Where there is no userinfo, the ID token is all there is.
    let op = Op::start().await;
    op.answer(DOCUMENT, Answer::Json(op.document_with(json!({"userinfo_endpoint": null}))));
    let options = browser_options("op", &op.base);
    let browser = Browser::with(op, options).await;
    assert!(browser.sign_in(&json!({})).await.is_ok());
}

#[tokio::test]
async fn userinfo_of_another_user_or_without_a_signature_adds_nothing() {
    let browser = Browser::start().await;
    let op = &browser.op;
    for other in
        [json!({"sub": "mallory"}), json!({"groups": ["admins"]}), json!({"sub": ["alice"]})]
    {
        op.answer("/userinfo", Answer::Json(other));
        assert_refused(browser.sign_in(&json!({})).await, "another user than the ID token");
    }
    let jwt = |body: String| Answer::Raw(StatusCode::OK, "application/jwt", body);
    let signed = |key: &SigningKey, claims: Value| jwt(key.sign("JWT", &claims).unwrap());
    let stranger = SigningKey::generate("k1").unwrap();
    for (reason, answer) in [
        ("not signed by the provider", signed(&stranger, json!({"sub": "alice"}))),
        ("another client", signed(&browser.key, json!({"sub": "alice", "aud": "them"}))),
        ("another issuer", signed(&browser.key, json!({"sub": "alice", "iss": "https://them"}))),
        ("encrypted", jwt("a.b.c.d.e".into())),
        ("status 403", raw(StatusCode::FORBIDDEN, "{}")),
        ("`userinfo = \"never\"`", raw(StatusCode::FORBIDDEN, "{}")),
        ("status 307", Answer::Redirect("https://canary.example".into())),
    ] {
        op.answer("/userinfo", answer);
        assert_unavailable(browser.sign_in(&json!({})).await, reason);
    }
    op.answer("/userinfo", signed(&browser.key, json!({"sub": "mallory"})));
    assert_refused(browser.sign_in(&json!({})).await, "another user than the ID token");
    op.answer(
        "/userinfo",
        signed(&browser.key, json!({"sub": "alice", "aud": "us", "groups": ["u"]})),
    );
    let vouched = browser.sign_in(&json!({})).await.unwrap();
    assert_eq!(vouched.claims["groups"], json!(["u"]));
    // Some groups are none, whichever answer has them.
    let partial = json!({"sub": "alice", "groups": ["u"], "hasgroups": true});
    op.answer("/userinfo", Answer::Json(partial));
    assert!(!browser.sign_in(&json!({})).await.unwrap().claims.contains_key("groups"));
}

/// Signed answers of userinfo (OpenID Connect Core section 5.3.2).
#[tokio::test]
async fn a_signed_userinfo_answer_is_verified() {
    let (op, key) = (Op::start().await, SigningKey::generate("k1").unwrap());
    op.answer("/jwks", Answer::Json(key.public_jwks()));
    let daemon = Daemon::knowing(&op).await;
    let now = daemon.clock.now().as_secs();
    let signed = |body: String| {
        op.answer("/userinfo", Answer::Raw(StatusCode::OK, "application/jwt; charset=utf-8", body));
    };
    let jwt = |claims: Value| key.sign("JWT", &claims).unwrap();
    for good in [
        json!({"sub": "alice", "groups": ["users"]}),
        json!({"sub": "alice", "groups": ["users"], "iss": op.base, "aud": "us", "iat": now, "exp": now + 9}),
        json!({"sub": "alice", "groups": ["users"], "aud": ["them", "us"], "iss": null}),
    ] {
        signed(jwt(good.clone()));
        let identity = daemon.identify("op", &format!("good{}", good["aud"].is_null())).await;
        let claims = Value::Object(identity.unwrap().claims().clone());
        let expected = json!({
            "iss": op.base, "sub": "alice", "groups": ["users"], "scope": "openid",
            "scope_list": ["openid"],
        });
        assert_eq!(claims, expected, "{good}");
        daemon.clock.advance(Duration::from_secs(31));
    }
    let now = daemon.clock.now().as_secs();
    let part = |value: Value| B64.encode(value.to_string());
    let unsigned = |alg: &str| {
        format!("{}.{}.", part(json!({"alg": alg, "kid": "k1"})), part(json!({"sub": "alice"})))
    };
    let mut by_mac = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    by_mac.kid = Some("k1".into());
    let public = key.public_jwk().to_string();
    let secret = jsonwebtoken::EncodingKey::from_secret(public.as_bytes());
    let by_mac = jsonwebtoken::encode(&by_mac, &json!({"sub": "alice"}), &secret).unwrap();
    let impostor = SigningKey::generate("k1").unwrap();
    let good = jwt(json!({"sub": "alice"}));
    let (head, rest) = good.split_once('.').unwrap();
    let forged =
        format!("{head}.{}.{}", part(json!({"sub": "mallory"})), rest.split_once('.').unwrap().1);
    for (reason, body) in [
        ("`userinfo_signed_response_alg`", unsigned("none")),
        ("`userinfo_signed_response_alg`", by_mac),
        ("`userinfo_encrypted_response_alg`", "a.b.c.d.e".into()),
        ("not signed by the provider", impostor.sign("JWT", &json!({"sub": "alice"})).unwrap()),
        ("not signed by the provider", forged),
        ("not signed by the provider", unsigned("ES256")),
        ("not signed by the provider", "{\"sub\":\"alice\"}".into()),
        ("not signed by the provider", String::new()),
        ("another issuer", jwt(json!({"sub": "alice", "iss": "https://other"}))),
        ("another issuer", jwt(json!({"sub": "alice", "iss": 7}))),
        ("another client", jwt(json!({"sub": "alice", "aud": "them"}))),
        ("another client", jwt(json!({"sub": "alice", "aud": []}))),
        ("has expired", jwt(json!({"sub": "alice", "exp": now - 31}))),
        ("not valid yet", jwt(json!({"sub": "alice", "nbf": now + 31}))),
        ("missing or no string", jwt(json!({"name": "alice"}))),
    ] {
        signed(body);
        let error = daemon.identify("op", TOKEN).await.expect_err(reason);
        assert_eq!((error.kind(), error.public()), (Kind::Unauthenticated, NOT_ACCEPTED));
        let cause = error.cause().unwrap();
        assert!(cause.contains(reason), "{reason}: {cause}");
    }
    // The introspection of another user's token does not fit.
    signed(jwt(json!({"sub": "alice"})));
    op.answer("/introspect", Answer::Json(json!({"active": true, "aud": "us", "sub": "mallory"})));
    let cause = daemon.identify("op", TOKEN).await.unwrap_err().cause().unwrap();
    assert!(cause.contains("differ in `sub`"), "{cause}");
}
