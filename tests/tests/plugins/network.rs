//! Plugins that send requests they must not, or meet servers that misbehave.

use credsmith_core::ports::plugins::BrokenHow::{BadOutput, Timeout};
use credsmith_host::{Endpoint, ServiceSetup};

use crate::log::Mark;
use crate::peer::{Manner, Peer};
use crate::stage::{
    CANARY, EVER, End, GRACE, SHORT, Stage, canary, destination, hostile, in_time, text,
};

/// The hostile plugin with `target` granted, on loopback too, and its secret bound to `bound`.
fn granted(service: &str, target: &Peer, bound: &Peer) -> ServiceSetup {
    let mut setup = hostile(service, EVER);
    let url = target.url();
    setup.destinations = vec![destination(&url, true)];
    if bound.address != target.address {
        setup.destinations.push(destination(&bound.url(), true));
    }
    setup.settings.insert("target".to_owned(), text(url));
    let endpoint = Endpoint::new("127.0.0.1", bound.address.port());
    setup.settings.insert("secret".to_owned(), canary(vec![endpoint]));
    setup
}

fn refused(words: &str) -> End {
    End::Refused(format!("http: {words}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_holds_nobody() {
    let stage = Stage::with_good().await;
    let peer = Peer::start(Manner::Silent).await;
    stage
        .load(ServiceSetup { plugin_timeout: SHORT, ..granted("waiting", &peer, &peer) })
        .await
        .unwrap();
    in_time(SHORT + GRACE, async || {
        let ended = stage.misbehave("waiting", "wait").await;
        assert!(matches!(ended.end, End::Broken(Timeout, _)), "{ended:?}");
        stage.good_call().await;
        ended.took
    })
    .await;
    assert!(peer.connections() > 0, "it did wait for the server");
}

/// A call that broke before it sent anything has left nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_says_whether_a_call_that_broke_had_sent_anything() {
    let stage = Stage::new().await;
    let peer = Peer::start(Manner::Silent).await;
    let short = ServiceSetup { plugin_timeout: SHORT, ..granted("telling", &peer, &peer) };
    stage.load(short).await.unwrap();
    assert!(stage.has_sent("telling", "wait").await);
    assert!(!stage.has_sent("telling", "log-then-trap").await);
}

/// Requests that never leave the host: none of them reaches the server, however it is spelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_must_not_be_sent_are_not() {
    let stage = Stage::with_good().await;
    let peer = Peer::answering().await;
    stage.load(granted("net", &peer, &peer)).await.unwrap();
    for (how, words) in [
        ("http-not-granted", "NotGranted"),
        ("http-metadata", "NotGranted"),
        ("http-scheme", "Malformed"),
        ("http-credentials", "Malformed"),
        ("http-inject", "Malformed"),
        ("http-host", "Malformed"),
        ("http-smuggle", "Malformed"),
        ("http-method", "Malformed"),
    ] {
        let ended = stage.misbehave("net", how).await;
        assert_eq!(ended.end, refused(words), "{how}");
        stage.good_call().await;
    }
    let ended = stage.misbehave("net", "http-big-body").await;
    assert!(
        matches!(&ended.end, End::Broken(BadOutput, _)) || ended.end == refused("TooLarge"),
        "a body of 32 MiB: {ended:?}"
    );
    assert_eq!(peer.connections(), 0, "{:?}", peer.requests());
}

/// The name is granted; where it leads is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_address_behind_a_granted_name_is_not_dialled() {
    let stage = Stage::with_good().await;
    let peer = Peer::answering().await;
    let port = peer.address.port();
    let names = [
        "localhost",
        "127.0.0.1",
        "127.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ];
    for name in names {
        let url = format!("http://{name}:{port}");
        let mut setup = hostile("private", EVER);
        setup.destinations = vec![destination(&url, false)];
        setup.settings.insert("target".to_owned(), text(url));
        stage.load(setup).await.unwrap();
        assert_eq!(
            stage.misbehave("private", "http-private").await.end,
            refused("AddressRefused"),
            "{name}"
        );
        stage.good_call().await;
    }
    assert_eq!(peer.connections(), 0);

    let mut setup = hostile("metadata", EVER);
    setup.destinations = vec![destination("http://169.254.169.254", false)];
    stage.load(setup).await.unwrap();
    assert_eq!(stage.misbehave("metadata", "http-metadata").await.end, refused("AddressRefused"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_an_answer_and_not_an_order() {
    let stage = Stage::with_good().await;
    let elsewhere = Peer::answering().await;
    let peer =
        Peer::start(Manner::Answering { redirect: format!("{}/secret", elsewhere.url()) }).await;
    let mut setup = granted("redirected", &peer, &peer);
    // Granted or not makes no difference: nobody follows.
    setup.destinations.push(destination(&elsewhere.url(), true));
    stage.load(setup).await.unwrap();
    let ended = stage.misbehave("redirected", "http-redirect").await;
    let made = ended.end.made();
    assert_eq!(made.entry("status"), "302");
    assert!(made.entry("location").starts_with(&elsewhere.url()));
    assert_eq!((peer.requests().len(), elsewhere.connections()), (1, 0));
    stage.good_call().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_and_requests_are_counted_and_bounded() {
    let stage = Stage::with_good().await;
    let peer = Peer::answering().await;
    stage.load(granted("greedy", &peer, &peer)).await.unwrap();
    assert_eq!(stage.misbehave("greedy", "http-large").await.end, refused("TooLarge"));
    stage.good_call().await;
    let before = peer.requests().len();
    assert_eq!(stage.misbehave("greedy", "http-many").await.end, refused("TooMany"));
    assert_eq!(peer.requests().len() - before, 32, "the limit of one call");
    stage.good_call().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_goes_where_it_is_bound_and_does_not_come_back() {
    let stage = Stage::with_good().await;
    let (peer, other) = (Peer::answering().await, Peer::answering().await);
    let mark = Mark::now();

    stage.load(granted("echoed", &peer, &peer)).await.unwrap();
    let ended = stage.misbehave("echoed", "http-echo-secret").await;
    assert_eq!(ended.end, refused("Malformed"), "the answer is withheld");
    assert!(
        peer.requests().iter().any(|request| request.ends_with(CANARY)),
        "it was sent: {:?}",
        peer.requests()
    );

    let before = peer.connections();
    stage.load(granted("bound", &peer, &other)).await.unwrap();
    assert_eq!(stage.misbehave("bound", "http-secret-elsewhere").await.end, refused("NotGranted"));
    assert_eq!((peer.connections(), other.connections()), (before, 0));

    // What a plugin may see it may put into a URL, and URLs are what logs like to quote.
    stage.load(granted("url", &peer, &peer)).await.unwrap();
    stage.misbehave("url", "http-secret-url").await.end.made();
    assert!(!mark.text().contains(CANARY), "the log shows the secret");
    stage.good_call().await;
}
