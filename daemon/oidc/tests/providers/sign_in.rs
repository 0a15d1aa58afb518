//! Signing in with a browser: the valid flow, and the attacks of a provider or of a thief.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::browser::{Browser, CODE, REDIRECT, browser_options, raw};
use crate::support::{Answer, Daemon, Lines, Op, PATIENCE, options, until};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use credsmith_core::doubles::Gate;
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::providers::ProviderRefusal;
use credsmith_core::ports::sign_in::{SignIn as _, Vouched};
use credsmith_core::secret::Secret;
use credsmith_core::{Error, Kind};
use credsmith_http::{StatusCode, header};
use credsmith_oidc::signing::SigningKey;
use credsmith_oidc::{AskUserinfo, ClientAuth, ClientKey, CodeFlow, Limits};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const NOT_ACCEPTED: &str = "The sign-in was not accepted. Please begin again.";
const DOCUMENT: &str = "/.well-known/openid-configuration";

/// The sign-in was rejected, for a reason that contains `reason` and quotes nothing of the
/// provider.
#[track_caller]
fn assert_refused(outcome: Result<Vouched, Error>, reason: &str) {
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
fn assert_unavailable(outcome: Result<Vouched, Error>, reason: &str) {
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

/// A new EC key as PEM.
fn fresh_key() -> Secret {
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let random = ring::rand::SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"))
}

/// `private_key_jwt` (RFC 7523): at the token endpoint and at introspection.
#[tokio::test]
async fn the_client_proves_itself_by_its_key() {
    let op = Op::start().await;
    let document =
        op.document_with(json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}));
    op.answer(DOCUMENT, Answer::Json(document));
    let pair = fresh_key();
    let mut options = browser_options("op", &op.base);
    options.client_secret = None;
    options.client_auth = Some(ClientAuth::PrivateKeyJwt);
    options.client_key = Some(Arc::new(ClientKey::from_pem(&pair, Some("ck-7")).unwrap()));
    let private = ClientKey::from_pem(&pair, None).unwrap();
    let browser = Browser::with(op, options).await;
    browser.sign_in(&json!({})).await.unwrap();
    browser.daemon.identify("op", "t").await.unwrap();
    let mut ids = Vec::new();
    for (path, audience) in
        [("/token", format!("{}/token", browser.op.base)), ("/introspect", browser.op.base.clone())]
    {
        let sent = browser.op.seen(path).remove(0);
        assert!(sent.headers.get(header::AUTHORIZATION).is_none());
        let form: HashMap<_, _> =
            url::form_urlencoded::parse(sent.body.as_bytes()).into_owned().collect();
        assert!(!form.contains_key("client_secret"));
        assert_eq!(form["client_id"], "us");
        assert_eq!(
            form["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let assertion = &form["client_assertion"];
        let head = jsonwebtoken::decode_header(assertion).unwrap();
        assert_eq!((head.alg, head.kid.as_deref()), (Algorithm::ES256, Some("ck-7")));
        let mut rules = jsonwebtoken::Validation::new(Algorithm::ES256);
        rules.set_audience(&[&audience]);
        rules.validate_exp = false;
        let key = jsonwebtoken::DecodingKey::from_jwk(
            &serde_json::from_value(private.public_jwk().unwrap()).unwrap(),
        );
        let claims =
            jsonwebtoken::decode::<Value>(assertion, &key.unwrap(), &rules).unwrap().claims;
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("us"), &json!("us")));
        let lives = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!((lives, &claims["aud"]), (60, &json!(audience)));
        ids.push(claims["jti"].as_str().unwrap().to_owned());
    }
    assert!(ids[0] != ids[1] && ids[0].len() >= 22, "an assertion is used once: {ids:?}");
}

/// A configured way wins over what a provider announces.
#[tokio::test]
async fn the_configured_client_auth_is_used() {
    for (auth, by_header) in [(ClientAuth::Basic, true), (ClientAuth::Post, false)] {
        let op = Op::start().await;
        let other = if by_header { "client_secret_post" } else { "client_secret_basic" };
        let document = op.document_with(json!({"token_endpoint_auth_methods_supported": [other]}));
        op.answer(DOCUMENT, Answer::Json(document));
        let mut options = browser_options("op", &op.base);
        options.client_auth = Some(auth);
        let browser = Browser::with(op, options).await;
        browser.sign_in(&json!({})).await.unwrap();
        browser.daemon.identify("op", "t").await.unwrap();
        for path in ["/token", "/introspect"] {
            let sent = browser.op.seen(path).remove(0);
            assert_eq!(sent.headers.contains_key(header::AUTHORIZATION), by_header, "{path}");
            assert_eq!(sent.body.contains("client_secret=s3cret%26"), !by_header, "{path}");
        }
    }
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
async fn the_client_authenticates_as_the_provider_requires() {
    for (methods, secret, ending) in [
        (json!(["client_secret_post"]), true, "&client_id=us&client_secret=s3cret%26"),
        (json!(["none"]), false, "&client_id=us"),
        (Value::Null, false, "&client_id=us"),
    ] {
        let op = Op::start().await;
        let document = op.document_with(json!({"token_endpoint_auth_methods_supported": methods}));
        op.answer(DOCUMENT, Answer::Json(document));
        let mut options = browser_options("op", &op.base);
        options.client_secret = options.client_secret.filter(|_| secret);
        let browser = Browser::with(op, options).await;
        browser.sign_in(&json!({})).await.unwrap();
        let exchange = browser.op.seen("/token").remove(0);
        assert!(exchange.headers.get(header::AUTHORIZATION).is_none());
        assert!(exchange.body.ends_with(ending), "{}", exchange.body);
    }
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
    let slow =
        tokio::spawn(async move { slow.providers.finish(flow, Secret::new(CODE), None).await });
    until("an exchange is under way", || gate.waiting() == 1).await;
    let busy = daemon.providers.finish(begin(), Secret::new(CODE), None).await.unwrap_err();
    assert_eq!(busy.kind(), Kind::Busy);
    assert!(busy.retry_hint().is_some());
    assert!(daemon.identify("op", "t").await.is_ok(), "bearers wait for no browser");
    gate.open();
    assert_refused(slow.await.unwrap(), "no ID token");
    assert_refused(daemon.providers.finish(begin(), Secret::new(CODE), None).await, "no ID token");
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
        let finish = browser.daemon.providers.finish(browser.begin().flow, Secret::new(code), None);
        assert_refused(finish.await, "empty or too long");
    }
    let no_text = browser.daemon.providers.finish(browser.begin().flow, Secret::new([0xff]), None);
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
