//! Providers that are down, slow, or not the configured ones.

use std::net::SocketAddr;
use std::time::Duration;

use crate::browser::{REDIRECT, browser_options};
use crate::support::{Answer, Daemon, Op, options, until};
use credsmith_core::Kind;
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::Clock as _;
use credsmith_core::ports::providers::Providers as _;
use credsmith_core::ports::sign_in::SignIn as _;
use credsmith_http::StatusCode;
use credsmith_http::client::AddressPolicy;
use credsmith_oidc::Limits;
use serde_json::{Value, json};

const DOCUMENT: &str = "/.well-known/openid-configuration";

/// A loopback address without a listener.
async fn free_address() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_provider_that_is_down_blocks_no_other_and_is_discovered_later() {
    let (up, address) = (Op::start().await, free_address().await);
    let base = format!("http://{address}");
    let daemon = Daemon::start(vec![options("down", &base), options("up", &up.base)]);
    until("the other is ready", || daemon.providers.list().iter().any(|view| view.ready)).await;
    daemon.fails("down", "discovery document").await;
    let views = daemon.providers.list();
    assert_eq!(
        (views[0].ready, views[0].issuer.as_str(), views[0].priority),
        (false, base.as_str(), 1)
    );
    assert_eq!((views[1].ready, views[1].priority), (true, 0), "the last one has 0");
    assert!(daemon.identify("up", "t").await.is_ok());
    let error = daemon.identify("down", "t").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Upstream);
    assert!(error.retry_hint().is_some());
    assert!(error.cause().unwrap().contains("not been discovered"));

    let op = Op::at(&address.to_string()).await;
    // Both loops sleep: one until its next attempt, one until its refresh.
    until("both sleep", || daemon.clock.sleepers() == 2).await;
    daemon.clock.advance(Duration::from_secs(2));
    daemon.all_ready().await;
    assert!(daemon.identify("down", "t").await.is_ok());
    assert_eq!(daemon.error("down"), None);
    drop(op);
}

#[tokio::test]
async fn attempts_become_rarer() {
    let base = format!("http://{}", free_address().await);
    let daemon = Daemon::start(vec![options("down", &base)]);
    let start = daemon.clock.monotonic();
    let mut pauses = Vec::new();
    for _ in 0..9 {
        until("it sleeps", || daemon.clock.sleepers() == 1).await;
        let before = daemon.clock.monotonic();
        while daemon.clock.sleepers() == 1 {
            daemon.clock.advance(Duration::from_millis(500));
        }
        pauses.push((daemon.clock.monotonic() - before).as_secs());
    }
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1] + 12), "{pauses:?}");
    assert!(pauses[0] <= 1 && (60..=73).contains(pauses.last().unwrap()), "{pauses:?}");
    assert!(daemon.clock.monotonic() - start < Duration::from_secs(400), "{pauses:?}");
}

/// No document here makes a provider ready, and each reason is reported without quoting the
/// document.
#[tokio::test]
async fn invalid_documents_are_refused() {
    let op = Op::start().await;
    let raw = |status, kind, body: &str| Answer::Raw(status, kind, body.to_owned());
    let changed = |changes: Value| Answer::Json(op.document_with(changes));
    let cases = [
        ("another issuer", changed(json!({"issuer": "https://canary.example"}))),
        ("another issuer", changed(json!({"issuer": format!("{}//", op.base)}))),
        ("another issuer", changed(json!({"issuer": op.base.to_uppercase()}))),
        ("names no issuer", changed(json!({"issuer": null}))),
        ("names no issuer", changed(json!({"issuer": ""}))),
        ("`issuer` in the discovery document is no text", changed(json!({"issuer": ["canary"]}))),
        ("`jwks_uri` in the discovery document is no text", changed(json!({"jwks_uri": 7}))),
        ("names no jwks_uri", changed(json!({"jwks_uri": null}))),
        ("`userinfo_endpoint`", changed(json!({"userinfo_endpoint": {"canary": 1}}))),
        ("userinfo_endpoint", changed(json!({"userinfo_endpoint": "ftp://canary.example/"}))),
        ("userinfo_endpoint", changed(json!({"userinfo_endpoint": "http://canary@127.0.0.1/"}))),
        ("introspection_endpoint", changed(json!({"introspection_endpoint": "canary"}))),
        (
            "client_secret_basic",
            changed(json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]})),
        ),
        ("keys", changed(json!({"jwks_uri": format!("{}/nowhere", op.base)}))),
        ("status 503", raw(StatusCode::SERVICE_UNAVAILABLE, "application/json", "{}")),
        ("status 307", Answer::Redirect(format!("{}/elsewhere", op.base))),
        ("not application/json", raw(StatusCode::OK, "text/html", "<canary>")),
        ("not JSON", raw(StatusCode::OK, "application/json", "canary")),
        (
            "a name repeats",
            raw(StatusCode::OK, "application/json", "{\"issuer\":\"canary\",\"issuer\":\"b\"}"),
        ),
        ("discovery document", raw(StatusCode::OK, "application/json", &"x".repeat(300 * 1024))),
    ];
    for (reason, answer) in cases {
        op.answer(DOCUMENT, answer);
        let daemon = Daemon::start(vec![options("op", &op.base)]);
        daemon.fails("op", reason).await;
        assert!(!daemon.error("op").unwrap().contains("canary"), "{reason}");
    }
    assert!(op.seen("/elsewhere").is_empty());
}

#[tokio::test]
async fn a_silent_provider_is_given_up_and_tried_again() {
    let op = Op::start().await;
    op.answer(DOCUMENT, Answer::Never);
    let limits = Limits { request_timeout: Duration::from_millis(100), ..Limits::default() };
    let daemon = Daemon::with_limits(vec![options("op", &op.base)], &limits);
    daemon.fails("op", "discovery document").await;
    until("it sleeps", || daemon.clock.sleepers() == 1).await;
    daemon.clock.advance(Duration::from_secs(2));
    until("it asks again", || op.seen(DOCUMENT).len() >= 2).await;
}

#[tokio::test]
async fn the_address_policy_holds_for_the_issuer_and_for_every_endpoint() {
    let op = Op::start().await;
    let mut public_only = options("op", &op.base);
    public_only.addresses = AddressPolicy::default();
    let daemon = Daemon::start(vec![public_only]);
    daemon.fails("op", "`addresses` of the provider allows").await;
    assert!(op.seen(DOCUMENT).is_empty(), "loopback was dialled");

    let endpoint = "http://[::1]:9/introspect";
    op.answer(
        DOCUMENT,
        Answer::Json(op.document_with(json!({"introspection_endpoint": endpoint}))),
    );
    let daemon = Daemon::knowing(&op).await;
    let cause = daemon.identify("op", "t").await.unwrap_err().cause().unwrap();
    assert!(cause.starts_with("introspection: ") && cause.contains("`addresses`"), "{cause}");
}

#[tokio::test]
async fn the_discovered_spelling_of_the_issuer_counts_and_stays() {
    let op = Op::start().await;
    let slashed = format!("{}/", op.base);
    op.answer(DOCUMENT, Answer::Json(op.document_with(json!({"issuer": slashed}))));
    let configured = format!("{}{DOCUMENT}", op.base);
    let daemon = Daemon::discovered(vec![options("op", &configured)]).await;
    let id = ProviderId::parse("op").unwrap();
    assert_eq!(daemon.providers.get(&id).unwrap().issuer, slashed);
    assert_eq!(daemon.providers.by_issuer(&op.base), Some(id.clone()));
    assert_eq!(daemon.identify("op", "t").await.unwrap().subject().issuer, slashed);

    op.answer(DOCUMENT, Answer::Json(op.document()));
    until("it sleeps", || daemon.clock.sleepers() == 1).await;
    daemon.clock.advance(Duration::from_secs(2 * 3600));
    until("the change is noticed", || {
        daemon.error("op").is_some_and(|why| why.contains("spelling"))
    })
    .await;
    assert_eq!(daemon.identify("op", "u").await.unwrap().subject().issuer, slashed);
}

#[tokio::test]
async fn a_refresh_finds_moved_endpoints() {
    let op = Op::start().await;
    let daemon = Daemon::knowing(&op).await;
    op.answer("/moved", Answer::Json(json!({"sub": "alice-moved"})));
    let moved = format!("{}/moved", op.base);
    op.answer(DOCUMENT, Answer::Json(op.document_with(json!({"userinfo_endpoint": moved}))));
    until("it sleeps", || daemon.clock.sleepers() == 1).await;
    daemon.clock.advance(Duration::from_secs(2 * 3600));
    until("it is asked again", || op.seen("/jwks").len() == 2).await;
    until("it sleeps", || daemon.clock.sleepers() == 1).await;
    assert_eq!(daemon.identify("op", "t").await.unwrap().subject().subject, "alice-moved");
}

#[tokio::test]
async fn the_background_ends_when_stopped_or_when_the_providers_are_dropped() {
    let op = Op::start().await;
    let base = format!("http://{}", free_address().await);
    let daemon = Daemon::start(vec![options("op", &op.base), options("down", &base)]);
    until("both run", || daemon.tasks.running() == 2).await;
    daemon.providers.stop();
    daemon.tasks.at_most(0).await;

    let daemon = Daemon::knowing(&op).await;
    let tasks = daemon.tasks.clone();
    drop(daemon);
    tasks.at_most(0).await;
    op.stop().await;
}

/// Documents as they are met in the field: none of their oddities keeps the provider down.
#[tokio::test]
async fn unused_and_odd_members_of_a_document_keep_no_provider_down() {
    let op = Op::start().await;
    for odd in [
        json!({"op_policy_uri": "", "op_tos_uri": "", "service_documentation": 7}),
        json!({"claims_parameter_supported": "true", "request_parameter_supported": "false"}),
        json!({"acr_values_supported": [0, 1, 2]}),
        json!({"response_types_supported": "code", "subject_types_supported": "public"}),
        json!({"response_types_supported": null, "subject_types_supported": null}),
        json!({"scopes_supported": {"openid": true}, "claims_supported": [[], null, 7]}),
        json!({"grant_types_supported": [7], "display_values_supported": "page"}),
        json!({"token_endpoint_auth_methods_supported": "client_secret_basic"}),
        json!({"token_endpoint_auth_methods_supported": []}),
        json!({"token_endpoint_auth_methods_supported": [null, 7, "client_secret_post"]}),
        json!({"introspection_endpoint_auth_methods_supported": 7}),
        json!({"code_challenge_methods_supported": "S256"}),
        json!({"code_challenge_methods_supported": []}),
        json!({"id_token_signing_alg_values_supported": "ES256"}),
        json!({"id_token_signing_alg_values_supported": null}),
        json!({"id_token_signing_alg_values_supported": ["made-up", "ES256"]}),
        json!({"authorization_response_iss_parameter_supported": "no"}),
        json!({"registration_endpoint": "", "end_session_endpoint": "javascript:x"}),
        json!({"mtls_endpoint_aliases": "", "ui_locales_supported": [1]}),
    ] {
        op.answer(DOCUMENT, Answer::Json(op.document_with(odd.clone())));
        let daemon = Daemon::discovered(vec![browser_options("op", &op.base)]).await;
        assert_eq!(daemon.error("op"), None, "{odd}");
        assert!(daemon.identify("op", "t").await.is_ok(), "{odd}");
        let id = ProviderId::parse("op").unwrap();
        assert!(daemon.providers.begin(&id, REDIRECT, "ck-1").is_ok(), "{odd}");
    }
}

#[tokio::test]
async fn a_document_and_keys_count_under_any_content_type() {
    let op = Op::start().await;
    let document = format!("\u{feff}{}", op.document());
    for kind in ["text/plain", "application/octet-stream", "text/html; charset=utf-8", ""] {
        op.answer(DOCUMENT, Answer::Raw(StatusCode::OK, kind, document.clone()));
        op.answer("/jwks", Answer::Raw(StatusCode::OK, kind, "{\"keys\":[]}".into()));
        Daemon::knowing(&op).await;
    }
}

/// Bearers are identified by introspection where there is no userinfo, and not at all where there
/// is neither.
#[tokio::test]
async fn a_provider_without_userinfo_names_the_user_when_it_introspects() {
    let op = Op::start().await;
    let document = op.document_with(json!({"userinfo_endpoint": null}));
    op.answer(DOCUMENT, Answer::Json(document));
    let daemon = Daemon::knowing(&op).await;
    let cause = daemon.identify("op", "t").await.unwrap_err().cause().unwrap();
    assert!(cause.contains("names the user"), "{cause}");
    let answer = json!({"active": true, "aud": "us", "sub": "alice", "groups": ["users"]});
    op.answer("/introspect", Answer::Json(answer));
    let identity = daemon.identify("op", "t").await.unwrap();
    assert_eq!(identity.subject().subject, "alice");
    assert_eq!(identity.claims()["groups"], json!(["users"]));

    let mut silent = options("op", &op.base);
    silent.introspection = false;
    let daemon = Daemon::discovered(vec![silent]).await;
    let cause = daemon.identify("op", "t").await.unwrap_err().cause().unwrap();
    assert!(cause.contains("userinfo_endpoint"), "{cause}");
}
