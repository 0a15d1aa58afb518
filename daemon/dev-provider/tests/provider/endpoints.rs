//! The refusals of each endpoint, with their words.

use std::time::Duration;

use credsmith_dev_provider::{TokenSpec, UnknownUser};
use credsmith_http::Bytes;
use http::{Request, StatusCode};
use proptest::test_runner::TestRunner;
use proptest::{prelude::*, strategy::ValueTree as _};
use serde_json::json;
use url::{Url, form_urlencoded};

use crate::support::{Dev, json, text};

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The parameters of a good authorization request with `changes`; an empty value removes one.
fn authorize(changes: &[(&str, &str)]) -> String {
    let mut params = vec![
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", "http://127.0.0.1:1/cb"),
        ("scope", "openid"),
        ("state", "s"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("login_hint", "alice"),
    ];
    params.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    params.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    format!("/authorize?{query}")
}

#[tokio::test]
async fn there_is_no_redirect_to_an_address_that_is_not_the_clients() {
    let dev = Dev::start().await;
    for changes in [
        &[("client_id", "unknown")][..],
        &[("client_id", "")],
        &[("redirect_uri", "")],
        &[("redirect_uri", "https://evil.example/cb")],
        &[("redirect_uri", "http://127.0.0.1:1/cb/../evil")],
        &[("redirect_uri", "http://127.0.0.1:1@evil.example/cb")],
        &[("redirect_uri", "javascript:alert(1)")],
    ] {
        let reply = dev.get(&authorize(changes)).await;
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{changes:?}");
        assert!(reply.headers().get("location").is_none());
        assert!(!text(&reply).contains("evil"), "{changes:?}");
    }
    let twice = format!("{}&state=t", authorize(&[]));
    assert_eq!(dev.get(&twice).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn other_faults_are_reported_to_the_client() {
    let dev = Dev::start().await;
    for (changes, error) in [
        (&[("response_type", "token")][..], "unsupported_response_type"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("scope", "profile")], "invalid_scope"),
        (&[("scope", "")], "invalid_scope"),
        (&[("request", "x")], "request_not_supported"),
        (&[("request_uri", "x")], "request_uri_not_supported"),
        (&[("login_hint", ""), ("prompt", "none")], "login_required"),
    ] {
        let reply = dev.get(&authorize(changes)).await;
        assert_eq!(reply.status(), StatusCode::SEE_OTHER, "{changes:?}");
        let location = Url::parse(reply.headers()["location"].to_str().unwrap()).unwrap();
        let get = |name| {
            location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        assert_eq!(
            (get("error").as_deref(), get("state").as_deref()),
            (Some(error), Some("s")),
            "{changes:?}"
        );
        assert_eq!(get("code"), None);
    }
}

#[tokio::test]
async fn the_token_endpoint_speaks_rfc_6749() {
    let dev = Dev::start().await;
    let secret = "client_id=app&client_secret=dev+secret%3A+100%25";
    for (form, status, error) in [
        (String::new(), StatusCode::BAD_REQUEST, "invalid_request"),
        ("client_id=app".into(), StatusCode::UNAUTHORIZED, "invalid_client"),
        ("client_id=app&client_secret=x".into(), StatusCode::UNAUTHORIZED, "invalid_client"),
        (secret.into(), StatusCode::BAD_REQUEST, "invalid_request"),
        (
            format!("{secret}&grant_type=password"),
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
        ),
        (
            format!("{secret}&grant_type=authorization_code"),
            StatusCode::BAD_REQUEST,
            "invalid_request",
        ),
        (
            format!("{secret}&grant_type=authorization_code&code=x&code_verifier=y"),
            StatusCode::BAD_REQUEST,
            "invalid_grant",
        ),
        (format!("{secret}&grant_type=refresh_token"), StatusCode::BAD_REQUEST, "invalid_request"),
        (
            format!("{secret}&grant_type=refresh_token&refresh_token=x"),
            StatusCode::BAD_REQUEST,
            "invalid_grant",
        ),
        ("a=1&a=2".into(), StatusCode::BAD_REQUEST, "invalid_request"),
    ] {
        let reply = dev.post("/token", &[], &form).await;
        assert_eq!(
            (reply.status(), json(&reply)["error"].as_str()),
            (status, Some(error)),
            "{form}"
        );
        assert_eq!(reply.headers()["cache-control"], "no-store");
    }
    let by_header =
        dev.post("/token", &[("authorization", "Basic eDp5")], "grant_type=refresh_token").await;
    assert_eq!(by_header.status(), StatusCode::UNAUTHORIZED);
    assert!(by_header.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));

    let large = dev.post("/token", &[], &"x".repeat(20_000)).await;
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let request =
        Request::post(format!("{}/token", dev.base)).header("content-type", "application/json");
    let wrong_type = dev.send(request.body(Bytes::from("{}")).unwrap()).await;
    assert_eq!(wrong_type.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn userinfo_speaks_rfc_6750() {
    let dev = Dev::start().await;
    let usual = dev.provider.usual_token();
    let issue = |spec: &TokenSpec| dev.provider.issue_token("alice", spec).unwrap();
    let ask = async |token: &str| {
        dev.get_with("/userinfo", &[("authorization", &format!("Bearer {token}"))]).await
    };

    let good = issue(&usual);
    assert_eq!(json(&ask(&good).await)["groups"], json!(["users", "admins"]));
    let no_openid = ask(&issue(&TokenSpec { scopes: vec!["email".into()], ..usual.clone() })).await;
    assert_eq!(no_openid.status(), StatusCode::FORBIDDEN);
    assert!(
        no_openid.headers()["www-authenticate"].to_str().unwrap().contains("insufficient_scope")
    );

    let short = issue(&TokenSpec { lifetime: Duration::from_secs(5), ..usual });
    dev.clock.advance(Duration::from_secs(5));
    assert!(dev.provider.revoke_token(&good));
    for token in ["unknown", &short, &good] {
        let refused = ask(token).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(
            refused.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .contains("error=\"invalid_token\"")
        );
    }
    let anonymous = dev.get("/userinfo").await;
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    assert!(!anonymous.headers()["www-authenticate"].to_str().unwrap().contains("error="));
}

#[tokio::test]
async fn only_a_client_with_a_secret_may_introspect() {
    let dev = Dev::start().await;
    let token = dev.token("alice").await;
    for form in [format!("token={token}"), format!("token={token}&client_id=cli")] {
        assert_eq!(
            dev.post("/introspect", &[], &form).await.status(),
            StatusCode::UNAUTHORIZED,
            "{form}"
        );
    }
    let secret = "client_id=app&client_secret=dev+secret%3A+100%25";
    let answer = json(&dev.post("/introspect", &[], &format!("{secret}&token={token}")).await);
    assert_eq!(
        (answer["active"].as_bool(), answer["username"].as_str()),
        (Some(true), Some("alice"))
    );
    let unknown = json(&dev.post("/introspect", &[], &format!("{secret}&token=x")).await);
    assert_eq!(unknown, json!({"active": false}));
}

#[tokio::test]
async fn a_bare_token_is_handed_out_for_every_account() {
    let dev = Dev::start().await;
    let reply = dev.get("/dev/token?user=alice").await;
    assert!(reply.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert_eq!(reply.headers()["cache-control"], "no-store");
    assert_eq!(text(&reply).len(), 43);
    assert_eq!(dev.token("user-17").await.len(), 43);
    for query in ["", "?user=", "?user=mallory", "?user=alice&user=bob"] {
        assert_eq!(
            dev.get(&format!("/dev/token{query}")).await.status(),
            StatusCode::NOT_FOUND,
            "{query}"
        );
    }
    assert_eq!(dev.provider.issue_token("mallory", &dev.provider.usual_token()), Err(UnknownUser));
}

#[tokio::test]
async fn no_answer_is_for_other_origins_and_methods_are_listed() {
    let dev = Dev::start().await;
    let paths = [
        "/",
        "/.well-known/openid-configuration",
        "/jwks",
        "/authorize",
        "/dev/token?user=bob",
        "/userinfo",
        "/token",
    ];
    for path in paths {
        let reply = dev.get_with(path, &[("origin", "https://evil.example")]).await;
        assert!(
            reply.headers().keys().all(|name| !name.as_str().starts_with("access-control")),
            "{path}"
        );
        assert_eq!(reply.headers()["x-content-type-options"], "nosniff", "{path}");
    }
    let wrong = dev.get("/token").await;
    assert_eq!(
        (wrong.status(), wrong.headers()["allow"].to_str().unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, "POST")
    );
    assert_eq!(
        dev.post("/dev/token", &[], "user=alice").await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(dev.get("/nowhere").await.status(), StatusCode::NOT_FOUND);
}

/// Whatever comes, the answer is a refusal and no fault of ours.
#[tokio::test]
async fn no_request_harms_the_provider() {
    let dev = Dev::start().await;
    let names =
        "(client_id|redirect_uri|scope|code|grant_type|login_hint|token|user|[a-z%&=+]{0,4})";
    let params = proptest::collection::vec(
        (names, "(app|alice|code|openid|http://127.0.0.1/cb|[ -~]{0,12})"),
        0..6,
    );
    let mut runner = TestRunner::deterministic();
    for _ in 0..150 {
        let pairs = params.new_tree(&mut runner).unwrap().current();
        let form: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace([' ', '#'], "+")))
            .collect();
        let form = form.join("&");
        for path in ["/authorize", "/token", "/introspect", "/userinfo"] {
            let status = dev.post(path, &[], &form).await.status();
            assert!(!status.is_server_error(), "{path} {form}");
        }
        let query = form_urlencoded::byte_serialize(form.as_bytes())
            .collect::<String>()
            .replace("%3D", "=")
            .replace("%26", "&");
        assert!(
            !dev.get(&format!("/authorize?{query}")).await.status().is_server_error(),
            "{query}"
        );
    }
}
