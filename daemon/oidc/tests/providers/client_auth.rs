//! How the daemon proves itself at the token endpoint and when it introspects.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use credsmith_core::secret::Secret;
use credsmith_http::header;
use credsmith_oidc::{ClientAuth, ClientKey};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::browser::{Browser, browser_options};
use crate::sign_in::DOCUMENT;
use crate::support::{Answer, Op};

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
