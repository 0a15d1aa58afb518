//! The guarded client: what it reaches, what it refuses, and the failures that it returns.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{EVER, Fixture, within};
use bytes::Bytes;
use credsmith_http::client::{
    AddressPolicy, CallLimits, Client, ClientError, ClientIdentity, ClientOptions, Destination,
    Failure, FailureCode, Resolver, Scheme,
};
use credsmith_http::{Listener, PemError, ServerOptions, TlsIdentity};
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMITS: CallLimits = CallLimits { deadline: EVER, max_response_bytes: 1000 };
const CANARY: &str = "CANARY-7c1d";

/// Names that resolve as the test defines; every look-up is counted, and takes the next of the
/// answers, or the last again.
#[derive(Default)]
struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    lookups: AtomicUsize,
}

impl Names {
    fn of(name: &str, answers: &[&[&str]]) -> Arc<Self> {
        let parse = |addresses: &&[&str]| {
            addresses.iter().map(|address| address.parse().unwrap()).collect()
        };
        let answers = answers.iter().rev().map(parse).collect();
        Arc::new(Self {
            answers: Mutex::new([(name.to_owned(), answers)].into()),
            ..Self::default()
        })
    }
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let found = answers
            .get_mut(host)
            .map(|left| if left.len() > 1 { left.pop().unwrap() } else { left[0].clone() });
        Box::pin(async move { found.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

/// Never answers.
struct Silence;

impl Resolver for Silence {
    fn resolve<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::pending())
    }
}

/// A server that reads one request for each of the answers, on as few connections as the client
/// opens.
struct Scripted {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heard: Arc<Mutex<String>>,
}

impl Scripted {
    /// `answer` is sent after each head; then the connection stays open, or is closed where
    /// `close`.
    async fn new(answer: impl Into<Vec<u8>>, close: bool) -> Self {
        let answer = Arc::new(answer.into());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let heard = Arc::new(Mutex::new(String::new()));
        let (count, ear) = (Arc::clone(&connections), Arc::clone(&heard));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (ear, answer) = (Arc::clone(&ear), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut pending = Vec::new();
                    let mut buffer = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        pending.extend_from_slice(&buffer[..read]);
                        if !pending.windows(4).any(|end| end == b"\r\n\r\n") {
                            continue;
                        }
                        ear.lock().unwrap().push_str(&String::from_utf8_lossy(&pending));
                        pending.clear();
                        if stream.write_all(&answer).await.is_err() || close {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, connections, heard }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }

    fn client(&self) -> Client {
        client(ClientOptions {
            destinations: vec![local(self.address.port())],
            ..ClientOptions::default()
        })
    }
}

fn client(options: ClientOptions) -> Client {
    Client::new(options).unwrap()
}

fn loopback() -> AddressPolicy {
    AddressPolicy::allowing(vec!["127.0.0.0/8".parse().unwrap()])
}

fn local(port: u16) -> Destination {
    Destination { addresses: loopback(), ..Destination::new(Scheme::Http, "127.0.0.1", port) }
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

async fn send(client: &Client, url: &str) -> Result<Response<Bytes>, Failure> {
    within(client.send(get(url), LIMITS)).await
}

async fn failure(client: &Client, url: &str) -> (FailureCode, bool) {
    let failure = send(client, url).await.unwrap_err();
    (failure.code, failure.sent)
}

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

#[tokio::test]
async fn a_request_is_sent_as_it_should_be() {
    let server =
        Scripted::new("HTTP/1.1 201 Created\r\nx: y\r\ncontent-length: 4\r\n\r\nfine", false).await;
    let request = Request::post(server.url("/a/./b/../c?x=%20y#fragment"))
        .header("content-type", "text/plain")
        .body(Bytes::from("hello"))
        .unwrap();
    let response = within(server.client().send(request, LIMITS)).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x"], &response.body()[..]),
        (201, &"y".parse().unwrap(), &b"fine"[..])
    );
    let heard = server.heard().to_lowercase();
    assert!(heard.starts_with("post /a/c?x=%20y http/1.1\r\n"), "{heard}");
    for line in
        ["content-type: text/plain", "content-length: 5", &format!("host: {}", server.address)]
    {
        assert_eq!(heard.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line}: {heard}");
    }
    assert!(
        heard.contains("\r\nuser-agent: credsmith/") && heard.ends_with("\r\n\r\nhello"),
        "{heard}"
    );
    for absent in ["accept-encoding", "cookie", "transfer-encoding", "connection:", "via"] {
        assert!(!heard.contains(absent), "{absent}: {heard}");
    }
}

#[tokio::test]
async fn only_granted_places_are_reached() {
    let server = Scripted::new(FINE, false).await;
    let port = server.address.port();
    let client = server.client();
    for spelling in ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"] {
        assert_eq!(
            send(&client, &format!("http://{spelling}:{port}/")).await.unwrap().status(),
            200,
            "{spelling}"
        );
    }
    let before = server.connections();
    for url in [
        format!("https://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{}/", port.wrapping_add(1).max(1)),
        format!("http://127.0.0.2:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://127.0.0.1.example:{port}/"),
        "http://127.0.0.1/".to_owned(),
    ] {
        assert_eq!(failure(&client, &url).await, (FailureCode::NotGranted, false), "{url}");
    }
    for url in [
        format!("http://user@127.0.0.1:{port}/"),
        format!("http://user:pw@127.0.0.1:{port}/"),
        format!("ftp://127.0.0.1:{port}/"),
        "/relative".to_owned(),
        "*".to_owned(),
    ] {
        assert_eq!(failure(&client, &url).await, (FailureCode::Malformed, false), "{url}");
    }
    assert_eq!(server.connections(), before);
}

#[tokio::test]
async fn a_granted_name_does_not_open_a_refused_address() {
    let server = Scripted::new(FINE, false).await;
    let port = server.address.port();
    for address in [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "fd00:ec2::254",
        "fe80::1",
        "fc00::1",
        "100.64.0.1",
        "224.0.0.1",
        "ff02::1",
        "192.0.2.1",
        "198.18.0.1",
        "255.255.255.255",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ] {
        let resolver = Names::of("granted.example", &[&[address]]);
        let destinations = vec![Destination::new(Scheme::Http, "granted.example", port)];
        let client = client(ClientOptions { destinations, resolver, ..ClientOptions::default() });
        let url = format!("http://granted.example:{port}/");
        assert_eq!(failure(&client, &url).await, (FailureCode::AddressRefused, false), "{address}");
    }
    let literal = client(ClientOptions {
        destinations: vec![Destination::new(Scheme::Http, "127.0.0.1", port)],
        ..ClientOptions::default()
    });
    assert_eq!(failure(&literal, &server.url("/")).await, (FailureCode::AddressRefused, false));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn every_new_connection_is_judged_anew() {
    let server = Scripted::new(FINE, true).await;
    let port = server.address.port();
    let resolver = Names::of("moving.example", &[&["127.0.0.1"], &["10.0.0.1"]]);
    let destinations = vec![Destination {
        addresses: loopback(),
        ..Destination::new(Scheme::Http, "moving.example", port)
    }];
    let client = client(ClientOptions {
        destinations,
        resolver: resolver.clone(),
        idle_connections: 0,
        ..ClientOptions::default()
    });
    let url = format!("http://MOVING.example.:{port}/");
    assert_eq!(send(&client, &url).await.unwrap().status(), 200);
    assert_eq!(failure(&client, &url).await, (FailureCode::AddressRefused, false));
    assert_eq!(resolver.lookups.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_permitted_addresses_of_a_name_are_tried_in_turn() {
    let server = Scripted::new(FINE, false).await;
    let port = server.address.port();
    // The policy refuses the first address, and no server listens at the second.
    let resolver = Names::of("many.example", &[&["10.0.0.1", "127.0.0.2", "127.0.0.1"]]);
    let destinations = vec![Destination {
        addresses: loopback(),
        ..Destination::new(Scheme::Http, "many.example", port)
    }];
    let client = client(ClientOptions { destinations, resolver, ..ClientOptions::default() });
    assert_eq!(send(&client, &format!("http://many.example:{port}/")).await.unwrap().status(), 200);
    assert!(server.heard().contains(&format!("host: many.example:{port}\r\n")));
}

#[tokio::test]
async fn unresolved_names_and_unreachable_servers_are_different_failures() {
    let options = |resolver: Arc<dyn Resolver>| ClientOptions {
        destinations: vec![Destination::new(Scheme::Http, "x.example", 80)],
        connect_timeout: Duration::from_millis(50),
        resolver,
        ..ClientOptions::default()
    };
    let unknown = client(options(Names::of("other.example", &[&["8.8.8.8"]])));
    let failure = send(&unknown, "http://x.example/").await.unwrap_err();
    assert_eq!((failure.code, failure.sent, failure.retry), (FailureCode::Resolve, false, true));
    let empty = client(options(Names::of("x.example", &[&[]])));
    assert_eq!(send(&empty, "http://x.example/").await.unwrap_err().code, FailureCode::Resolve);
    let silent = client(options(Arc::new(Silence)));
    let failure = send(&silent, "http://x.example/").await.unwrap_err();
    assert_eq!((failure.code, failure.sent, failure.retry), (FailureCode::Timeout, false, true));

    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = client(ClientOptions {
        destinations: vec![local(gone.port())],
        ..ClientOptions::default()
    });
    let failure = send(&refused, &format!("http://{gone}/")).await.unwrap_err();
    assert_eq!((failure.code, failure.sent, failure.retry), (FailureCode::Connect, false, true));
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let elsewhere = Scripted::new(FINE, false).await;
    let answer = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url("/")
    );
    let server = Scripted::new(answer, false).await;
    let response = send(&server.client(), &server.url("/")).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &elsewhere.url("/").parse().unwrap())
    );
    assert_eq!((server.connections(), elsewhere.connections()), (1, 0));
}

#[tokio::test]
async fn headers_of_the_connection_cannot_be_set() {
    let server = Scripted::new(FINE, false).await;
    let client = server.client();
    for name in [
        "Host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy-authenticate",
        "te",
        "trailer",
        "upgrade",
        "expect",
    ] {
        let mut request = get(&server.url("/"));
        request
            .headers_mut()
            .insert(http::HeaderName::try_from(name).unwrap(), CANARY.parse().unwrap());
        let failure = within(client.send(request, LIMITS)).await.unwrap_err();
        assert_eq!((failure.code, failure.sent), (FailureCode::Malformed, false), "{name}");
        assert!(!failure.message.contains(CANARY));
    }
    let mut tunnel = get(&server.url("/"));
    *tunnel.method_mut() = Method::CONNECT;
    assert_eq!(within(client.send(tunnel, LIMITS)).await.unwrap_err().code, FailureCode::Malformed);
    let mut heavy = get(&server.url("/"));
    heavy.headers_mut().insert("x", "y".repeat(70_000).parse().unwrap());
    assert_eq!(within(client.send(heavy, LIMITS)).await.unwrap_err().code, FailureCode::Malformed);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn answers_are_hostile_input() {
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (answer, close, code) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_owned(),
            false,
            FailureCode::TooLarge,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551000\r\n\r\n".to_owned(),
            false,
            FailureCode::TooLarge,
        ),
        (format!("{chunked}{chunk}"), false, FailureCode::TooLarge),
        (format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(5000)), true, FailureCode::TooLarge),
        (
            format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: {}\r\n\r\n", "y".repeat(200_000)),
            false,
            FailureCode::Malformed,
        ),
        (
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1000)),
            false,
            FailureCode::Malformed,
        ),
        ("CANARY-7c1d says hello\r\n\r\n".to_owned(), false, FailureCode::Malformed),
        ("HTTP/1.1 999999 OK\r\n\r\n".to_owned(), false, FailureCode::Malformed),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: CANARY-7c1d\r\n\r\n".to_owned(),
            false,
            FailureCode::Malformed,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
                .to_owned(),
            false,
            FailureCode::Malformed,
        ),
        (String::new(), true, FailureCode::Connect),
        ("HTTP/1.1 200".to_owned(), true, FailureCode::Connect),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned(), true, FailureCode::Connect),
        (format!("{chunked}4\r\nCANA"), true, FailureCode::Connect),
        (format!("{chunked}CANARY-7c1d\r\n"), false, FailureCode::Connect),
    ] {
        let server = Scripted::new(answer.clone(), close).await;
        let failure = send(&server.client(), &server.url("/")).await.unwrap_err();
        let shown = answer.get(..60).unwrap_or(&answer);
        assert_eq!((failure.code, failure.sent), (code, true), "{shown}");
        assert!(!failure.to_string().contains("CANA"), "{failure}");
    }
}

#[tokio::test]
async fn a_server_that_stalls_meets_the_deadline() {
    let limits = CallLimits { deadline: Duration::from_millis(200), ..LIMITS };
    let hundreds = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    for answer in ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", &hundreds]
    {
        let server = Scripted::new(answer, false).await;
        let failure =
            within(server.client().send(get(&server.url("/")), limits)).await.unwrap_err();
        assert_eq!(
            (failure.code, failure.sent, failure.retry),
            (FailureCode::Timeout, true, true),
            "{answer:.20}"
        );
    }
}

#[tokio::test]
async fn answers_without_a_body_are_whole() {
    for answer in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        let server = Scripted::new(answer, false).await;
        assert_eq!(
            send(&server.client(), &server.url("/")).await.unwrap().body().len(),
            0,
            "{answer}"
        );
    }
    let server = Scripted::new("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", false).await;
    let mut head = get(&server.url("/"));
    *head.method_mut() = Method::HEAD;
    // A HEAD answer only announces its body, so it is not too large.
    let response = within(server.client().send(head, LIMITS)).await;
    assert!(matches!(&response, Ok(response) if response.body().is_empty()), "{response:?}");
}

#[tokio::test]
async fn compressed_answers_stay_compressed() {
    let server = Scripted::new(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x0b",
        false,
    )
    .await;
    assert_eq!(send(&server.client(), &server.url("/")).await.unwrap().body(), &b"\x1f\x0b"[..]);
}

#[tokio::test]
async fn connections_are_reused_within_a_client_only() {
    let server = Scripted::new(FINE, false).await;
    let (one, other) = (server.client(), server.client());
    for _ in 0..3 {
        send(&one, &server.url("/")).await.unwrap();
        // A connection that is not ready at once is put back by a task of its own.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mine = server.connections();
    assert!(mine < 3, "{mine}");
    send(&other, &server.url("/")).await.unwrap();
    assert_eq!(server.connections(), mine + 1);
}

#[tokio::test]
async fn a_connection_that_died_while_it_waited_does_no_harm() {
    let server = Scripted::new(FINE, true).await;
    let client = server.client();
    for _ in 0..5 {
        assert_eq!(send(&client, &server.url("/")).await.unwrap().body(), "fine");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn too_many_requests_fail_at_once() {
    let server = Scripted::new("", false).await;
    let client = client(ClientOptions {
        destinations: vec![local(server.address.port())],
        in_flight: Some(1),
        ..ClientOptions::default()
    });
    let (slow, url) = (client.clone(), server.url("/"));
    let waiting = tokio::spawn(async move { slow.send(get(&url), LIMITS).await });
    crate::support::until(|| server.connections() == 1).await;
    let failure = send(&client, &server.url("/")).await.unwrap_err();
    assert_eq!((failure.code, failure.sent, failure.retry), (FailureCode::TooMany, false, true));
    waiting.abort();
    let _ = waiting.await;
    let limits = CallLimits { deadline: Duration::from_millis(50), ..LIMITS };
    assert_eq!(
        within(client.send(get(&server.url("/")), limits)).await.unwrap_err().code,
        FailureCode::Timeout
    );
}

#[tokio::test]
async fn a_secret_is_in_no_failure() {
    let server = Scripted::new(format!("{CANARY}\r\n\r\n"), true).await;
    let client = server.client();
    let port = server.address.port();
    for url in [
        server.url(&format!("/{CANARY}?{CANARY}")),
        format!("http://{CANARY}.example:{port}/"),
        format!("http://{CANARY}@127.0.0.1:{port}/"),
        format!("http://x:{CANARY}@127.0.0.1:{port}/"),
        format!("{CANARY}://127.0.0.1:{port}/"),
    ] {
        let request =
            Request::post(&url).header("authorization", CANARY).body(Bytes::from(CANARY)).unwrap();
        let failure = within(client.send(request, LIMITS)).await.unwrap_err();
        let all = format!("{failure} {failure:?} {client:?}").to_lowercase();
        assert!(!all.contains(&CANARY.to_lowercase()), "{url}: {all}");
    }
}

#[test]
fn codes_are_the_words_of_the_contract() {
    use FailureCode::*;
    let words =
        [NotGranted, AddressRefused, Resolve, Connect, Tls, Timeout, TooLarge, TooMany, Malformed]
            .map(FailureCode::as_str);
    assert_eq!(
        words,
        [
            "not-granted",
            "address-refused",
            "resolve",
            "connect",
            "tls",
            "timeout",
            "too-large",
            "too-many",
            "malformed"
        ]
    );
}

/// A certificate authority for tests.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        // Each has its own name: else a certificate of one would look like a forged one of the
        // other.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::SeqCst));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// Chain and key for `name`.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> TlsIdentity {
        let (chain_pem, key) = self.issue(name, change);
        TlsIdentity { chain_pem, key_pem: key.into() }
    }
}

fn secure(host: &str, port: u16, roots: &Authority) -> Destination {
    Destination {
        extra_roots_pem: Some(roots.pem()),
        addresses: loopback(),
        ..Destination::new(Scheme::Https, host, port)
    }
}

fn secure_client(destination: Destination) -> Client {
    let resolver = Names::of(&destination.host, &[&["127.0.0.1"]]);
    client(ClientOptions { destinations: vec![destination], resolver, ..ClientOptions::default() })
}

#[tokio::test]
async fn tls_works_from_our_client_to_our_server() {
    let authority = Authority::new();
    let fixture = Fixture::new(ServerOptions::default());
    let identity = authority.server("tls.example", |_| {});
    let listener = Listener::tls(([127, 0, 0, 1], 0).into(), &identity).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    fixture.server.serve(listener);
    let url = format!("https://tls.example:{port}/api/ok");
    let trusting = secure_client(secure("tls.example", port, &authority));
    for _ in 0..2 {
        assert_eq!(send(&trusting, &url).await.unwrap().body(), "api: ok");
    }

    for (destination, sentence) in [
        (
            secure("tls.example", port, &Authority::new()),
            "signed by an authority that is not trusted",
        ),
        (secure("other.example", port, &authority), "for another name"),
        (secure("127.0.0.1", port, &authority), "for another name"),
    ] {
        let url = format!("https://{}:{port}/api/ok", destination.host);
        let failure = send(&secure_client(destination), &url).await.unwrap_err();
        assert_eq!(
            (failure.code, failure.sent, failure.retry),
            (FailureCode::Tls, false, false),
            "{failure}"
        );
        assert!(failure.message.contains(sentence), "{failure}");
    }
    drop(trusting);
    fixture.end().await;
}

#[tokio::test]
async fn an_expired_certificate_is_not_trusted() {
    let authority = Authority::new();
    let fixture = Fixture::new(ServerOptions::default());
    let identity = authority
        .server("old.example", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let listener = Listener::tls(([127, 0, 0, 1], 0).into(), &identity).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    fixture.server.serve(listener);
    let failure = send(
        &secure_client(secure("old.example", port, &authority)),
        &format!("https://old.example:{port}/"),
    )
    .await
    .unwrap_err();
    assert!(failure.message.contains("has expired"), "{failure}");
    fixture.end().await;
}

#[tokio::test]
async fn a_server_without_tls_is_no_server() {
    let authority = Authority::new();
    let server = Scripted::new(FINE, false).await;
    let port = server.address.port();
    // The handshake never holds the four bytes that this server waits for, so it is the client's
    // own limit that ends it.
    let destination = secure("plain.example", port, &authority);
    let resolver = Names::of("plain.example", &[&["127.0.0.1"]]);
    let client = client(ClientOptions {
        destinations: vec![destination],
        resolver,
        connect_timeout: Duration::from_millis(100),
        ..ClientOptions::default()
    });
    let (code, sent) = failure(&client, &format!("https://plain.example:{port}/")).await;
    assert_eq!((code, sent), (FailureCode::Timeout, false));
}

/// A server that answers only clients with a certificate of `authority`, with their certificate's
/// digest.
async fn mutual(authority: &Authority) -> u16 {
    let (chain, key) = authority.issue("mutual.example", |_| {});
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority.pem()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    )
    .build()
    .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(&chain).unwrap()],
            PrivateKeyDer::from_pem_slice(&key).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    shown.len()
                );
                stream.write_all(&[head.as_bytes(), &shown].concat()).await.unwrap();
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

#[tokio::test]
async fn the_client_certificate_is_shown_where_it_is_configured() {
    let authority = Authority::new();
    let port = mutual(&authority).await;
    let url = format!("https://mutual.example:{port}/");
    let (chain_pem, key_pem) = authority.issue("us", |_| {});
    let ours = CertificateDer::from_pem_slice(&chain_pem).unwrap();
    let identity = ClientIdentity { chain_pem, key_pem: key_pem.into() };
    let destination = secure("mutual.example", port, &authority);
    let known = secure_client(Destination { identity: Some(identity), ..destination.clone() });
    assert_eq!(send(&known, &url).await.unwrap().body(), &ours[..]);

    let unknown = secure_client(destination.clone());
    let failure = send(&unknown, &url).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Tls, "{failure}");

    let (chain_pem, key_pem) = Authority::new().issue("us", |_| {});
    let identity = ClientIdentity { chain_pem, key_pem: key_pem.into() };
    let stranger = secure_client(Destination { identity: Some(identity), ..destination });
    assert_eq!(send(&stranger, &url).await.unwrap_err().code, FailureCode::Tls);
}

#[tokio::test]
async fn wrong_options_are_different_errors() {
    let authority = Authority::new();
    let other = authority.issue("other", |_| {});
    let ours = authority.issue("us", |_| {});
    let identity = |chain: &[u8], key: &[u8]| {
        Some(ClientIdentity { chain_pem: chain.to_vec(), key_pem: key.to_vec().into() })
    };
    let place = "https://x.example:443";
    let base = secure("x.example", 443, &authority);
    for (destinations, expected) in [
        (
            vec![Destination { host: "a b".to_owned(), ..base.clone() }],
            ClientError::Host("a b".to_owned()),
        ),
        (
            vec![base.clone(), Destination { host: "X.EXAMPLE.".to_owned(), ..base.clone() }],
            ClientError::Repeated(place.to_owned()),
        ),
        // The second would send a secret for x.example:443 in the clear.
        (
            vec![base.clone(), Destination::new(Scheme::Http, "x.example", 443)],
            ClientError::Repeated("http://x.example:443".to_owned()),
        ),
        (
            vec![Destination { extra_roots_pem: Some(b"nothing".to_vec()), ..base.clone() }],
            ClientError::Roots(place.to_owned(), PemError::Chain),
        ),
        (
            vec![Destination { identity: identity(&ours.0, b""), ..base.clone() }],
            ClientError::Identity(place.to_owned(), PemError::Key),
        ),
        (
            vec![Destination { identity: identity(&ours.0, &other.1), ..base.clone() }],
            ClientError::Identity(place.to_owned(), PemError::Pair),
        ),
        (
            vec![Destination { scheme: Scheme::Http, port: 80, ..base.clone() }],
            ClientError::UnusedTlsSettings("http://x.example:80".to_owned()),
        ),
    ] {
        let error =
            Client::new(ClientOptions { destinations, ..ClientOptions::default() }).unwrap_err();
        assert_eq!(error, expected);
        assert!(!error.to_string().contains("BEGIN"));
    }
    let bad_agent = ClientOptions { user_agent: "a\nb".to_owned(), ..ClientOptions::default() };
    assert_eq!(Client::new(bad_agent).unwrap_err(), ClientError::UserAgent);
    let shown = format!(
        "{:?}",
        ClientOptions {
            destinations: vec![Destination { identity: identity(&ours.0, &ours.1), ..base }],
            ..ClientOptions::default()
        }
    );
    assert!(shown.contains("ClientIdentity(..)") && !shown.contains("PRIVATE"), "{shown}");
}
