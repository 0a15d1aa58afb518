//! Plugins that send requests they must not, or meet servers that misbehave.

use std::sync::{Arc, Mutex};

use credsmith_core::ports::plugins::BrokenHow::{BadOutput, Timeout};
use credsmith_core::ports::plugins::ServicePlugins as _;
use credsmith_core::secret::Secret;
use credsmith_host::{Binding, Endpoint, HttpLimits, ServiceSetup, TokenGrant};

use crate::log::Mark;
use crate::peer::{Answers, Manner, Peer, response};
use crate::stage::{
    CANARY, EVER, End, GRACE, SHORT, Stage, call, canary, destination, hostile, in_time, text,
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
    let endpoint = Endpoint::new("127.0.0.1", bound.address.port()).into();
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

/// A server that keeps what it is sent, and answers with it, in the way that `show` says.
async fn keeper(kept: &Arc<Mutex<String>>, show: fn(&str) -> String) -> Peer {
    let kept = Arc::clone(kept);
    let answer = move |request: &str| {
        let mut kept = kept.lock().unwrap();
        if request.starts_with("POST") {
            *kept = request.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned();
            return Some(response("200 OK", "", b"kept"));
        }
        Some(response("200 OK", "", show(&kept).as_bytes()))
    };
    Peer::start(Manner::By(Answers(Arc::new(answer)))).await
}

/// Attack: a secret without `reveal` is sent in one call, and asked for in the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_one_call_sent_is_not_read_in_plain_by_a_second_one() {
    let stage = Stage::with_good().await;
    let shows: [fn(&str) -> String; 4] = [
        str::to_owned,
        |kept| format!("{{\"kept\": \"{}\"}}", kept.replace('-', "\\u002d")),
        |kept| kept.bytes().map(|b| format!("%{b:02X}")).collect(),
        |kept| kept.bytes().map(|b| format!("{b:02x}")).collect(),
    ];
    for show in shows {
        let kept = Arc::default();
        let peer = keeper(&kept, show).await;
        let mut setup = granted("keeping", &peer, &peer);
        let bound = vec![Endpoint::new("127.0.0.1", peer.address.port()).into()];
        setup.settings.insert(
            "secret".to_owned(),
            credsmith_host::Setting::Secret {
                value: Secret::new(CANARY),
                destinations: bound,
                reveal: false,
                hmac: false,
            },
        );
        stage.load(setup).await.unwrap();
        stage.misbehave("keeping", "http-echo-secret").await.end.made();
        assert!(kept.lock().unwrap().contains(CANARY), "it was kept");
        assert_eq!(stage.misbehave("keeping", "http").await.end, refused("Malformed"));
        stage.good_call().await;
    }
}

/// Attack: alice's access token is kept somewhere, and comes in an answer to bob, at another
/// service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_token_of_alice_is_in_no_answer_to_bob() {
    const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlIG9mIGFsaWNl";
    let stage = Stage::with_good().await;
    let kept = Arc::new(Mutex::new("nothing yet".to_owned()));
    let peer = keeper(&kept, str::to_owned).await;
    for service in ["with-token", "of-bob"] {
        let mut setup = granted(service, &peer, &peer);
        let token = TokenGrant { destinations: Vec::new(), reveal: false };
        setup.pass_access_token = (service == "with-token").then_some(token);
        stage.load(setup).await.unwrap();
    }
    stage.misbehave("of-bob", "http").await.end.made();
    let mut of_alice = call("with-token", &[("how", "ok")]);
    of_alice.user.access_token = Some(Arc::new(Secret::new(TOKEN)));
    stage.issue(of_alice).await.end.made();
    *kept.lock().unwrap() = format!("Bearer {TOKEN}");
    let ended = stage.misbehave("of-bob", "http").await;
    assert_eq!(ended.end, refused("Malformed"));
    assert!(!format!("{ended:?}").contains("c2lnbmF0dXJl"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_goes_only_by_the_methods_and_below_the_path_that_it_is_bound_to() {
    let stage = Stage::with_good().await;
    let peer = Peer::answering().await;
    let server = || Binding::from(Endpoint::new("127.0.0.1", peer.address.port()));
    for (binding, sent) in [
        (server().by_methods(["POST"]).unwrap().below("/other").unwrap(), false),
        (server().by_methods(["PUT"]).unwrap(), false),
        // The server echoes, so that what was sent is withheld.
        (server().by_methods(["POST"]).unwrap().below("/echo").unwrap(), true),
    ] {
        let mut setup = granted("bound", &peer, &peer);
        setup.settings.insert("secret".to_owned(), canary(vec![binding]));
        stage.load(setup).await.unwrap();
        let before = peer.requests().len();
        let ended = stage.misbehave("bound", "http-echo-secret").await.end;
        assert_eq!(ended, refused(if sent { "Malformed" } else { "NotGranted" }));
        assert_eq!(peer.requests().len() - before, usize::from(sent));
    }
}

/// The end of each call says whether a byte of a request left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_wrote_no_request_is_known_to_have_sent_nothing() {
    let stage = Stage::with_good().await;
    let silent = Peer::start(Manner::Silent).await;
    stage
        .load(ServiceSetup { plugin_timeout: SHORT, ..granted("telling", &silent, &silent) })
        .await
        .unwrap();
    for (how, sent) in [
        ("trap", false),
        ("bad-kind", false),
        ("loop", false),
        ("http-not-granted", false),
        ("http-secret-elsewhere", true),
        ("wait", true),
    ] {
        let report = stage.host.issue(call("telling", &[("how", how)])).await;
        assert_eq!(report.sent, sent, "{how}: {:?}", report.outcome);
    }
    // The port is not open: something was dialled, and nothing was written.
    let mut closed = granted("dialling", &silent, &silent);
    let url = "http://127.0.0.1:1";
    closed.destinations.push(destination(url, true));
    closed.settings.insert("target".to_owned(), text(url));
    stage.load(closed).await.unwrap();
    let report = stage.host.issue(call("dialling", &[("how", "http")])).await;
    assert!(!report.sent, "{:?}", report.outcome);
}

/// Answers that a plugin only holds are in the host's memory, and count as the plugin's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_a_plugin_hoards_count_against_its_memory() {
    let stage = Stage::with_good().await;
    let large = |_: &str| Some(response("200 OK", "", &vec![b'x'; 3 << 20]));
    let peer = Peer::start(Manner::By(Answers(Arc::new(large)))).await;
    let mut setup = granted("hoarding", &peer, &peer);
    setup.http = HttpLimits { requests: 1000, response_bytes: 4 << 20, ..HttpLimits::default() };
    setup.memory_bytes = 64 << 20;
    stage.load(setup).await.unwrap();
    assert_eq!(stage.misbehave("hoarding", "http-hoard").await.end, refused("TooLarge"));
    let held = peer.requests().len() - 1;
    assert!((15..22).contains(&held), "{held} answers of 3 MiB in 64 MiB");
    stage.good_call().await;
}
