//! Providers that are down, slow, or not the configured ones.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Answer, Daemon, Op, options, until};
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::Clock as _;
use credsmith_core::ports::providers::Providers as _;
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
        (false, base.as_str(), 2)
    );
    assert_eq!((views[1].ready, views[1].priority), (true, 1));
    assert!(daemon.identify("up", "t").await.is_ok());
    let error = daemon.identify("down", "t").await.unwrap_err();
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
        ("required member", changed(json!({"issuer": null}))),
        ("required member", changed(json!({"jwks_uri": 7}))),
        ("userinfo_endpoint", changed(json!({"userinfo_endpoint": null}))),
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
    daemon.fails("op", "discovery document").await;
    assert!(op.seen(DOCUMENT).is_empty(), "loopback was dialled");

    let endpoint = "http://[::1]:9/introspect";
    op.answer(
        DOCUMENT,
        Answer::Json(op.document_with(json!({"introspection_endpoint": endpoint}))),
    );
    let daemon = Daemon::knowing(&op).await;
    let cause = daemon.identify("op", "t").await.unwrap_err().cause().unwrap();
    assert!(cause.starts_with("introspection: ") && cause.contains("address"), "{cause}");
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
