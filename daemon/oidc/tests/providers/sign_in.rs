//! Signing in with a browser: the valid flow, and the attacks of a provider or of a thief.

use std::sync::Arc;
use std::time::Duration;

use crate::browser::{Browser, CODE, REDIRECT, browser_options, here, raw};
use crate::support::{Answer, Daemon, Lines, Op, PATIENCE, options, until};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use credsmith_core::doubles::Gate;
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::providers::ProviderRefusal;
use credsmith_core::ports::sign_in::{Flow, SignIn as _, Vouched};
use credsmith_core::secret::Secret;
use credsmith_core::{Error, Kind};
use credsmith_http::{StatusCode, header};
use credsmith_oidc::signing::SigningKey;
use credsmith_oidc::{CodeFlow, Limits};
use futures_util::FutureExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const NOT_ACCEPTED: &str = "The sign-in was not accepted. Please begin again.";
pub(crate) const DOCUMENT: &str = "/.well-known/openid-configuration";

/// The sign-in was rejected, for a reason that contains `reason` and quotes nothing of the
/// provider.
#[track_caller]
pub(crate) fn assert_refused(outcome: Result<Vouched, Error>, reason: &str) {
    let error = outcome.expect_err(reason);
    assert_eq!(
        (error.kind(), error.public()),
        (Kind::Unauthenticated, NOT_ACCEPTED),
        "{reason}: {error:?}"
    );
    assert_quotes_nothing(&error, reason);
}

/// The provider was unavailable, or its answer could not be understood.
#[track_caller]
pub(crate) fn assert_unavailable(outcome: Result<Vouched, Error>, reason: &str) {
    let error = outcome.expect_err(reason);
    assert_eq!(error.kind(), Kind::Upstream, "{reason}: {error:?}");
    assert_quotes_nothing(&error, reason);
}

#[track_caller]
fn assert_quotes_nothing(error: &Error, reason: &str) {
    let cause = error.cause().unwrap();
    assert!(cause.contains(reason), "{reason}: {cause}");
    // What the provider says stands at the end, as data.
    let own = cause.split(": the provider said").next().unwrap();
    assert!(!format!("{own}{}", error.public()).contains("canary"), "{cause}");
}

#[tokio::test]
async fn a_code_is_exchanged_for_an_identity() {
    let browser = Browser::start().await;
    let begun = browser.begin();
    let verifier = begun.flow.verifier.expose_str().unwrap().to_owned();
    assert!(begun.uri.starts_with(&format!("{}/authorize?", browser.op.base)), "{}", begun.uri);
    let changes = json!({
        "name": "Alice", "groups": ["users"], "email": "a@example.org", "email_verified": "true",
        "odd": {"x": [1]},
    });
    browser.hands_out(&browser.id_token(&begun.flow, &changes));
    let vouched = browser.finish(begun.flow, None).await.unwrap();
    assert_eq!(vouched.provider.as_str(), "op");
    assert_eq!(
        (vouched.subject.issuer.as_str(), vouched.subject.subject.as_str()),
        (browser.op.base.as_str(), "alice")
    );
    assert_eq!(vouched.claims["odd"], json!({"x": [1]}), "every claim as the provider wrote it");
    assert!(vouched.email_is_trusted);

    let [exchange] = &browser.op.seen("/token")[..] else { panic!("one exchange") };
    // `us:s3cret%26`, each half form-encoded
    assert_eq!(exchange.headers[header::AUTHORIZATION], "Basic dXM6czNjcmV0JTI2");
    let redirect = url::form_urlencoded::byte_serialize(REDIRECT.as_bytes()).collect::<String>();
    let expected = format!(
        "grant_type=authorization_code&code={CODE}&redirect_uri={redirect}&code_verifier={verifier}"
    );
    assert_eq!(exchange.body, expected);
    assert!(browser.op.seen("/userinfo").is_empty(), "the ID token has all that is used");
}

#[tokio::test]
async fn an_id_token_for_more_audiences_is_accepted_where_they_are_configured() {
    let op = Op::start().await;
    let mut options = browser_options("op", &op.base);
    options.extra_audiences = vec!["project".into()];
    let browser = Browser::with(op, options).await;
    assert!(browser.sign_in(&json!({"aud": ["us", "project"]})).await.is_ok());
    let more = json!({"aud": ["us", "project", "canary"]});
    assert_refused(browser.sign_in(&more).await, "`extra_audiences`");
}

#[tokio::test]
async fn what_a_provider_says_when_it_refuses_a_code_is_kept_as_data() {
    let browser = Browser::start().await;
    let description = format!("{CODE} of s3cret& is\u{1b}[2J spent");
    let body = json!({"error": "invalid_grant", "error_description": description});
    let refused = raw(StatusCode::BAD_REQUEST, &body.to_string());
    let error = browser.answered(refused).await.unwrap_err();
    assert_eq!((error.kind(), error.public()), (Kind::Unauthenticated, NOT_ACCEPTED));
    let said = ProviderRefusal::of(&error).unwrap();
    let description = "*** of *** is\\u{1b}[2J spent";
    assert_eq!((said.error(), said.description()), (Some("invalid_grant"), Some(description)));
}

#[tokio::test]
async fn an_email_is_trusted_when_it_is_verified_or_configured_to_be() {
    let browser = Browser::start().await;
    let email = json!({"email": "ceo@example.org"});
    assert!(!browser.sign_in(&email).await.unwrap().email_is_trusted);
    let op = Op::start().await;
    let mut trusting = browser_options("op", &op.base);
    trusting.code_flow = Some(CodeFlow { trust_email: true, ..CodeFlow::default() });
    let browser = Browser::with(op, trusting).await;
    assert!(browser.sign_in(&email).await.unwrap().email_is_trusted);
}

#[tokio::test]
async fn another_claim_may_identify_the_user() {
    let op = Op::start().await;
    let mut by_oid = browser_options("op", &op.base);
    by_oid.subject_claim = "oid".into();
    let browser = Browser::with(op, by_oid).await;
    let op = &browser.op;
    assert_eq!(browser.sign_in(&json!({"oid": "o-1"})).await.unwrap().subject.subject, "o-1");
    op.answer("/userinfo", Answer::Json(json!({"sub": "alice"})));
    assert_refused(browser.sign_in(&json!({})).await, "names the user");
}

/// Invalid claims. The unit tests of the rules have more cases.
#[tokio::test]
async fn an_invalid_id_token_is_refused() {
    let browser = Browser::start().await;
    for (reason, changes) in [
        ("`iss` is another issuer", json!({"iss": "https://canary.example"})),
        ("meant for another client", json!({"aud": "canary"})),
        ("made for another client", json!({"aud": ["us", "canary"], "azp": "canary"})),
        ("has expired", json!({"exp": 1})),
        ("another sign-in", json!({"nonce": "canary"})),
        ("`nonce` is missing", json!({"nonce": null})),
        ("another access token", json!({"at_hash": "canary"})),
        ("names the user", json!({"sub": null})),
    ] {
        assert_refused(browser.sign_in(&changes).await, reason);
    }
    assert!(browser.sign_in(&json!({})).await.is_ok());
}

#[tokio::test]
async fn an_id_token_of_another_sign_in_is_refused() {
    let browser = Browser::start().await;
    let (victim, attacker) = (browser.begin().flow, browser.begin().flow);
    browser.hands_out(&browser.id_token(&victim, &json!({})));
    assert_refused(browser.finish(attacker, None).await, "another sign-in");
}

#[tokio::test]
async fn an_id_token_cannot_select_how_it_is_verified() {
    let browser = Browser::start().await;
    let flow = browser.begin().flow;
    let claims = browser.claims(&flow, &json!({"sub": "canary"}));
    let payload = B64.encode(claims.to_string());
    let head = |value: Value| B64.encode(value.to_string());
    let point = ["x", "y"]
        .map(|part| B64.decode(browser.key.public_jwk()[part].as_str().unwrap()).unwrap());
    let point = [&[4], point.concat().as_slice()].concat();
    let mut by_mac = Header::new(Algorithm::HS256);
    by_mac.kid = Some("k1".into());
    let by_mac = |key: &[u8]| {
        jsonwebtoken::encode(&by_mac, &claims, &EncodingKey::from_secret(key)).unwrap()
    };
    let good = browser.id_token(&flow, &json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();

    for (attack, token, reason) in [
        (
            "alg none",
            format!("{}.{payload}.", head(json!({"alg": "none", "kid": "k1"}))),
            "not signed",
        ),
        (
            "alg none without kid",
            format!("{}.{payload}.", head(json!({"alg": "none"}))),
            "not signed",
        ),
        ("HS256 with the public key", by_mac(&point), "not signed"),
        (
            "HS256 with the published key",
            by_mac(browser.key.public_jwk().to_string().as_bytes()),
            "not signed",
        ),
        ("HS256 with the client secret", by_mac(b"s3cret&"), "not signed"),
        (
            "another key under the same name",
            SigningKey::generate("k1").unwrap().sign("JWT", &claims).unwrap(),
            "not signed",
        ),
        (
            "another key under its own name",
            SigningKey::generate("k9").unwrap().sign("JWT", &claims).unwrap(),
            "does not publish",
        ),
        (
            "another payload",
            format!("{}.{payload}.{signature}", signed.split_once('.').unwrap().0),
            "not signed",
        ),
        ("no signature", format!("{signed}."), "not signed"),
        ("garbage", "canary".into(), "not signed"),
        ("empty", String::new(), "not signed"),
    ] {
        browser.hands_out(&token);
        let error = browser.finish(browser.begin().flow, None).await.expect_err(attack);
        assert!(error.cause().unwrap().contains(reason), "{attack}: {error:?}");
        assert_eq!(error.kind(), Kind::Unauthenticated, "{attack}");
    }
}

#[tokio::test]
async fn an_algorithm_that_the_provider_does_not_announce_is_refused() {
    let op = Op::start().await;
    let document = op.document_with(json!({"id_token_signing_alg_values_supported": ["RS256"]}));
    op.answer(DOCUMENT, Answer::Json(document));
    let options = browser_options("op", &op.base);
    let browser = Browser::with(op, options).await;
    assert_refused(browser.sign_in(&json!({})).await, "does not announce");
}

/// A mix-up (RFC 9207 section 1): the attacker's provider has the browser come back with the code
/// of an honest one.
#[tokio::test]
async fn a_redirect_of_another_issuer_is_refused_before_the_code_is_sent() {
    let browser = Browser::start().await;
    for named in [
        "https://canary.example",
        "",
        &format!("{}/", browser.op.base),
        &browser.op.base.to_uppercase(),
    ] {
        let flow = browser.begin().flow;
        browser.hands_out(&browser.id_token(&flow, &json!({})));
        assert_refused(browser.finish(flow, Some(named)).await, "another issuer sent");
    }
    assert!(browser.op.seen("/token").is_empty(), "the code went out");
    let flow = browser.begin().flow;
    browser.hands_out(&browser.id_token(&flow, &json!({})));
    assert!(browser.finish(flow, Some(&browser.op.base)).await.is_ok());
}

#[tokio::test]
async fn a_redirect_without_its_announced_issuer_is_refused() {
    let op = Op::start().await;
    let promise = op.document_with(json!({"authorization_response_iss_parameter_supported": true}));
    op.answer(DOCUMENT, Answer::Json(promise));
    let options = browser_options("op", &op.base);
    let browser = Browser::with(op, options).await;
    assert_refused(browser.sign_in(&json!({})).await, "does not name its issuer");
    assert!(browser.op.seen("/token").is_empty(), "the code went out");
    let flow = browser.begin().flow;
    browser.hands_out(&browser.id_token(&flow, &json!({})));
    assert!(browser.finish(flow, Some(&browser.op.base)).await.is_ok());
}

#[tokio::test]
async fn invalid_answers_of_the_token_endpoint_are_refused() {
    let browser = Browser::start().await;
    let elsewhere = format!("{}/elsewhere", browser.op.base);
    let error = |code: &str| {
        raw(
            StatusCode::BAD_REQUEST,
            &json!({"error": code, "error_description": "canary"}).to_string(),
        )
    };
    assert_refused(browser.answered(error("invalid_grant")).await, "refused the code");
    assert_refused(
        browser.answered(Answer::Json(json!({"access_token": "canary"}))).await,
        "no ID token",
    );
    assert_refused(
        browser.answered(Answer::Json(json!({"id_token": ["canary"]}))).await,
        "no ID token",
    );
    let large = format!("{{\"id_token\":\"{}\"}}", "x".repeat(300 * 1024));
    for (reason, answer) in [
        ("client_id and client_secret", error("invalid_client")),
        ("status 400", error("canary")),
        ("status 400", raw(StatusCode::BAD_REQUEST, "canary")),
        (
            "status 500",
            Answer::Raw(StatusCode::INTERNAL_SERVER_ERROR, "text/html", "<canary>".into()),
        ),
        ("status 307", Answer::Redirect(elsewhere)),
        ("status 201", raw(StatusCode::CREATED, "{\"id_token\":\"canary\"}")),
        ("not JSON", raw(StatusCode::OK, "canary")),
        ("a name repeats", raw(StatusCode::OK, "{\"id_token\":\"canary\",\"id_token\":\"b\"}")),
        ("no JSON object", raw(StatusCode::OK, "[\"canary\"]")),
        (
            "not application/json",
            Answer::Raw(StatusCode::OK, "text/html", "{\"id_token\":\"canary\"}".into()),
        ),
        ("the token endpoint: ", raw(StatusCode::OK, &large)),
    ] {
        assert_unavailable(browser.answered(answer).await, reason);
    }
    assert!(
        browser.op.seen("/elsewhere").is_empty(),
        "a redirect was followed with the code in hand"
    );
}

#[tokio::test]
async fn neither_code_nor_token_nor_text_of_the_provider_is_logged() {
    let (lines, _guard) = Lines::record();
    let browser = Browser::start().await;
    browser.sign_in(&json!({"name": "canary"})).await.unwrap();
    let refused = json!({"error": "invalid_grant", "error_description": "canary"}).to_string();
    browser.answered(raw(StatusCode::BAD_REQUEST, &refused)).await.unwrap_err();
    browser.sign_in(&json!({"aud": "canary"})).await.unwrap_err();
    let flow = browser.begin().flow;
    let (verifier, nonce) = (flow.verifier.clone(), flow.nonce.clone());
    browser.op.answer("/token", Answer::Redirect("https://canary.example".into()));
    browser.finish(flow, None).await.unwrap_err();
    let log = lines.text();
    assert!(log.contains("provider discovered"), "{log}");
    for secret in ["canary", verifier.expose_str().unwrap(), nonce.expose_str().unwrap(), "s3cret"]
    {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn a_new_key_is_fetched_and_forged_ones_at_most_once_a_minute() {
    let browser = Browser::start().await;
    let next = SigningKey::generate("k2").unwrap();
    let sign_in_with = async |key: &SigningKey| {
        let flow = browser.begin().flow;
        browser.hands_out(&key.sign("JWT", &browser.claims(&flow, &json!({}))).unwrap());
        browser.finish(flow, None).await
    };
    browser.op.answer("/jwks", Answer::Json(next.public_jwks()));
    assert!(sign_in_with(&next).await.is_ok(), "the provider changed its key");
    let asked = browser.op.seen("/jwks").len();
    for n in 0..5 {
        let stranger = SigningKey::generate(&format!("made-up-{n}")).unwrap();
        assert_refused(sign_in_with(&stranger).await, "does not publish");
    }
    assert_eq!(browser.op.seen("/jwks").len(), asked, "made-up keys make us ask");
    browser.daemon.clock.advance(Duration::from_secs(60));
    let third = SigningKey::generate("k3").unwrap();
    browser.op.answer("/jwks", Answer::Json(third.public_jwks()));
    assert!(sign_in_with(&third).await.is_ok());
}

#[tokio::test]
async fn sign_ins_are_limited_for_each_provider() {
    let (op, key) = (Op::start().await, SigningKey::generate("k1").unwrap());
    op.answer("/jwks", Answer::Json(key.public_jwks()));
    let limits = Limits { sign_ins_in_flight: 1, request_timeout: PATIENCE, ..Limits::default() };
    let daemon = Arc::new(Daemon::with_limits(vec![browser_options("op", &op.base)], &limits));
    daemon.all_ready().await;
    let id = ProviderId::parse("op").unwrap();
    let gate = Gate::shut();
    op.answer("/token", Answer::Held(gate.clone(), json!({})));
    let begin = || daemon.providers.begin(&id, REDIRECT, "ck-1").unwrap().flow;
    let (slow, flow) = (daemon.clone(), begin());
    let finish =
        async move |flow: Flow| slow.providers.finish(&flow, Secret::new(CODE), None, here()).await;
    let slow = tokio::spawn({
        let finish = finish.clone();
        async move { finish(flow).await }
    });
    until("an exchange is under way", || gate.waiting() == 1).await;
    let flow = begin();
    let mut waits = Box::pin(finish(flow));
    assert!((&mut waits).now_or_never().is_none(), "it waits for its turn");
    daemon.clock.advance(Duration::from_secs(2));
    let busy = waits.await.unwrap_err();
    assert_eq!(busy.kind(), Kind::Busy);
    assert!(busy.retry_hint().is_some());
    assert!(daemon.identify("op", "t").await.is_ok(), "bearers wait for no browser");
    gate.open();
    assert_refused(slow.await.unwrap(), "no ID token");
    assert_refused(finish(begin()).await, "no ID token");
}

#[tokio::test]
async fn signing_in_is_refused_where_it_is_not_configured() {
    let op = Op::start().await;
    let mut closed = browser_options("closed", "http://127.0.0.1:9");
    closed.login_disabled = true;
    let mut down = browser_options("down", "http://127.0.0.1:10");
    down.description = "down".into();
    let daemon = Daemon::start(vec![options("bearer-only", &op.base), closed, down]);
    until("the one that is up is ready", || daemon.view("bearer-only").ready).await;
    for (id, kind) in [
        ("bearer-only", Kind::NotFound),
        ("closed", Kind::NotFound),
        ("unknown", Kind::NotFound),
        ("down", Kind::Upstream),
    ] {
        let id = ProviderId::parse(id).unwrap();
        assert_eq!(daemon.providers.begin(&id, REDIRECT, "ck-1").unwrap_err().kind(), kind, "{id}");
    }
}

#[tokio::test]
async fn an_invalid_code_is_not_sent() {
    let browser = Browser::start().await;
    for code in [String::new(), "x".repeat(20_000)] {
        let flow = browser.begin().flow;
        let finish = browser.daemon.providers.finish(&flow, Secret::new(code), None, here());
        assert_refused(finish.await, "empty or too long");
    }
    let flow = browser.begin().flow;
    let no_text = browser.daemon.providers.finish(&flow, Secret::new([0xff]), None, here());
    assert_refused(no_text.await, "no text");
    assert!(browser.op.seen("/token").is_empty());
}

/// Users cannot sign in there, and the operator sees why; bearer tokens of the provider are still
/// accepted.
#[tokio::test]
async fn a_provider_without_a_code_flow_is_reported_and_still_identifies_bearers() {
    let op = Op::start().await;
    for (reason, changes) in [
        ("token_endpoint", json!({"token_endpoint": null})),
        ("names no authorization_endpoint", json!({"authorization_endpoint": null})),
        ("`authorization_endpoint`", json!({"authorization_endpoint": ["canary"]})),
        ("token_endpoint", json!({"token_endpoint": "ftp://canary.example"})),
        ("authorization_endpoint", json!({"authorization_endpoint": "javascript:canary"})),
        ("authorization_endpoint", json!({"authorization_endpoint": "https://canary@op/"})),
        ("does not support PKCE", json!({"code_challenge_methods_supported": ["plain", "canary"]})),
        (
            "no algorithm that is accepted here",
            json!({"id_token_signing_alg_values_supported": ["HS256", "none"]}),
        ),
        (
            "neither client_secret_basic",
            json!({
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
            }),
        ),
    ] {
        op.answer(DOCUMENT, Answer::Json(op.document_with(changes)));
        let daemon = Daemon::discovered(vec![browser_options("op", &op.base)]).await;
        let why = daemon.error("op").unwrap();
        assert!(
            why.contains(reason) && why.contains("users cannot sign in") && !why.contains("canary"),
            "{why}"
        );
        let id = ProviderId::parse("op").unwrap();
        assert_eq!(
            daemon.providers.begin(&id, REDIRECT, "ck-1").unwrap_err().kind(),
            Kind::Upstream
        );
        assert!(daemon.identify("op", "t").await.is_ok(), "{reason}");
    }
}

#[tokio::test]
async fn the_token_endpoint_obeys_the_address_policy() {
    let op = Op::start().await;
    let outside = op.document_with(json!({"token_endpoint": "http://[::1]:9/token"}));
    op.answer(DOCUMENT, Answer::Json(outside));
    let options = browser_options("op", &op.base);
    let browser = Browser::with(op, options).await;
    assert_unavailable(browser.sign_in(&json!({})).await, "address");
}
