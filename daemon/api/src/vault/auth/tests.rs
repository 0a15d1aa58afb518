//! Signing in as clients and browsers do it, and as attackers would.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use credsmith_core::company::Source;
use credsmith_core::doubles::{
    ISSUER, People, companies, role_of, session_options, vault, vouched,
};
use credsmith_core::session::Options as SessionOptions;
use credsmith_http::{Body, Peer, Surface as _, TrustedProxies, Upgrade};
use http::{HeaderMap, Request};

use super::super::{Core, Options, Vault};
use super::*;
use crate::openapi::conformance::assert_documented;

/// The lines written to the log.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// All that this thread, and so this test's runtime, writes until the guard is dropped.
    pub(super) fn record() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_max_level(tracing::Level::TRACE)
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct World {
    vault: Vault,
    pub(super) people: People,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    upgrades: bool,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        let body: Value =
            serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text));
        assert_eq!(body["status"], self.status);
        body
    }

    /// The token of the form.
    pub(super) fn token(&self) -> &str {
        let (_, rest) = self.text.split_once("name=\"token\" value=\"").expect("a form");
        rest.split('"').next().unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(super) type Headers<'a> = &'a [(&'a str, &'a str)];

pub(super) const JSON: (&str, &str) = ("accept", "application/json");
pub(super) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
pub(super) const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");
pub(super) const SOCKET: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

impl World {
    pub(super) async fn new() -> Self {
        Self::with(session_options()).await
    }

    pub(super) async fn with(options: SessionOptions) -> Self {
        let people = People::new(vec![role_of("alice", "admin", &["*"])], options).await;
        let options = Options {
            public_url: "https://vault.example".into(),
            cors_origins: vec!["https://app.example".into()],
        };
        let companies = companies(Source::Listed(Vec::new())).await;
        let parts = Core {
            authenticator: people.sessions.clone(),
            sessions: Arc::clone(&people.sessions),
            users: Arc::clone(&people.users),
            vault: vault(Arc::clone(&companies), Arc::default()).await,
            companies,
        };
        Self { vault: Vault::new(parts, options).unwrap(), people }
    }

    pub(super) async fn ask_from(
        &self,
        peer: &str,
        method: &str,
        path: &str,
        headers: Headers<'_>,
    ) -> Reply {
        self.send_from(peer, method, path, headers, "").await
    }

    pub(super) async fn send_from(
        &self,
        peer: &str,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: &str,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(format!("/v1/auth/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        let mut proxies = TrustedProxies::default();
        proxies.add("10.0.0.1").unwrap();
        let peer = Peer::Tcp(SocketAddr::new(peer.parse().unwrap(), 4711));
        let source = proxies.source(&peer, request.headers());
        request.extensions_mut().insert(source);
        let (parts, body) = self.vault.call(request).await.into_parts();
        assert_documented(method, &format!("/v1/auth/{path}"), &parts, body.bytes());
        Reply {
            status: parts.status.as_u16(),
            upgrades: parts.extensions.get::<Upgrade>().is_some(),
            headers: parts.headers,
            text: String::from_utf8(body.bytes().to_vec()).unwrap(),
        }
    }

    pub(super) async fn get(&self, path: &str, headers: Headers<'_>) -> Reply {
        self.ask_from("192.0.2.1", "GET", path, headers).await
    }

    /// Sends the form of `page`, as a browser does when its user presses the button of `answer`.
    pub(super) async fn answer(&self, page: &Reply, answer: &str) -> Reply {
        let form = format!("token={}&answer={answer}", page.token());
        self.send_from("192.0.2.1", "POST", "confirm", &[FORM, SAME_ORIGIN], &form).await
    }

    /// What a browser meets whose user says yes: its last page.
    pub(super) async fn browse(&self, path: &str) -> Reply {
        let page = self.get(path, &[]).await;
        if page.text.contains("<form") { self.answer(&page, "yes").await } else { page }
    }

    pub(super) async fn begin(&self) -> String {
        let reply = self.get("uri", &[]).await;
        let body = reply.json();
        assert_eq!((reply.status, &body["message"]), (200, &json!("Successfully fetch Auth URI")));
        assert_eq!(reply.header("cache-control"), "no-store");
        let key = body["data"]["callbackKey"].as_str().unwrap();
        assert!(body["data"]["uri"].as_str().unwrap().contains(key));
        assert_eq!(body["data"].as_object().unwrap().len(), 2);
        key.to_owned()
    }

    /// The query with which a browser returns after signing in as `user`.
    pub(super) fn back(&self, key: &str, user: &str) -> String {
        let code = format!("{user}-{key}");
        self.people.provider.add_code(&code, vouched(user));
        format!("redirect?code={code}&state={key}")
    }

    /// The tokens of a sign-in by a program: access and refresh.
    pub(super) async fn tokens(&self, user: &str) -> [String; 2] {
        let key = self.begin().await;
        let body = self.get(&self.back(&key, user), &[JSON]).await.json();
        ["accessToken", "refreshToken"].map(|name| body["data"][name].as_str().unwrap().to_owned())
    }

    pub(super) async fn refresh(&self, token: &str) -> Reply {
        self.ask_from("192.0.2.1", "POST", "refresh", &[("x-refresh-token", token)]).await
    }

    pub(super) async fn opens(&self, token: &str) -> bool {
        let request =
            Request::get("/v1/user/@me").header("authorization", format!("Bearer {token}"));
        let reply = self.vault.call(request.body(Body::from(String::new())).unwrap()).await;
        reply.status() == StatusCode::OK
    }
}

#[tokio::test]
async fn a_program_gets_tokens_in_the_envelope() {
    let world = World::new().await;
    let key = world.begin().await;
    let reply = world.get(&world.back(&key, "alice"), &[JSON]).await;
    let body = reply.json();
    assert_eq!((reply.status, &body["message"]), (200, &json!("Signed in.")));
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(world.opens(body["data"]["accessToken"].as_str().unwrap()).await);
}

/// Attack: a page reads tokens out of the answer to a browser.
#[tokio::test]
async fn a_browser_gets_a_page_without_tokens() {
    let world = World::new().await;
    for accept in [
        &[][..],
        &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")],
        &[("accept", "*/*")],
        &[("accept", "application/json, text/html")],
    ] {
        let key = world.begin().await;
        let reply = world.get(&world.back(&key, "alice"), accept).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, "text/html; charset=utf-8"));
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        let nonce =
            reply.text.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert!(
            reply
                .header("content-security-policy")
                .contains(&format!("script-src 'nonce-{nonce}'"))
        );
        assert!(!reply.text.contains(&key) && !reply.text.contains("Token"));
        assert_eq!(
            world.get(&format!("socket?callbackKey={key}"), &[]).await.status,
            426,
            "they wait for the client"
        );
    }
}

#[tokio::test]
async fn a_failure_is_on_a_page_or_in_the_envelope() {
    let world = World::new().await;
    let cases = [
        ("redirect".to_owned(), 400),
        ("redirect?code=x".to_owned(), 400),
        ("redirect?code=x&state=unknown".to_owned(), 400),
        ("redirect?code=x&code=y&state=z".to_owned(), 400),
        (format!("redirect?code=wrong&state={}", world.begin().await), 401),
        (
            format!(
                "redirect?error=access_denied&error_description=%3Cb%3Ex&state={}",
                world.begin().await
            ),
            401,
        ),
        (
            format!("{}&iss=https%3A%2F%2Fevil.example", world.back(&world.begin().await, "alice")),
            401,
        ),
    ];
    for (path, status) in cases {
        let page = world.get(&path, &[]).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (status, "text/html; charset=utf-8"),
            "{path}"
        );
        assert!(page.text.contains("Not signed in") && !page.text.contains("<b>"));
        let body = world.get(&path, &[JSON]).await.json();
        assert_eq!(body["successful"], false);
        assert_eq!(body.get("data"), None);
    }
    let good = format!("{}&iss={}", world.back(&world.begin().await, "alice"), ISSUER);
    assert_eq!(world.get(&good, &[]).await.status, 200);
}

/// A failed exchange is a failed sign-in, whatever its cause; a client may begin another one.
#[tokio::test]
async fn a_provider_that_is_down() {
    let world = World::new().await;
    let key = world.begin().await;
    let seat = world
        .people
        .sessions
        .attach(&Secret::new(key.as_str()), "192.0.2.1".parse::<IpAddr>().unwrap().into());
    let [page, program] = [world.back(&key, "alice"), world.back(&world.begin().await, "alice")];
    world.people.provider.go_down();
    let page = world.get(&page, &[]).await;
    assert_eq!((page.status, page.header("retry-after")), (401, ""));
    assert!(page.text.contains("please begin again"));
    let frame: Value = serde_json::from_str(&outcome(&seat.unwrap()).await).unwrap();
    assert_eq!(frame["event"], "auth:error");
    let program = world.get(&program, &[JSON]).await;
    assert_eq!((program.status, &program.json()["message"]), (401, &json!("Unauthorized")));
    let begin = world.get("uri", &[]).await;
    assert_eq!((begin.status, begin.header("retry-after")), (503, "1"));
}

/// Attack: the address at the end of a sign-in is fetched again, or before the browser by something
/// that only looks.
#[tokio::test]
async fn state_and_code_replay() {
    let world = World::new().await;
    let key = world.begin().await;
    let path = world.back(&key, "alice");
    assert_eq!(world.ask_from("192.0.2.1", "HEAD", &path, &[]).await.status, 405);
    assert_eq!(world.get(&path, &[JSON]).await.status, 200);
    assert_eq!(world.get(&path, &[JSON]).await.status, 400);
    let code = path.split(['=', '&']).nth(1).unwrap();
    let other = world.begin().await;
    assert_eq!(
        world.get(&format!("redirect?code={code}&state={other}"), &[JSON]).await.status,
        401
    );
}

#[tokio::test]
async fn a_client_waits_on_a_socket() {
    let world = World::new().await;
    let key = world.begin().await;
    let path = format!("socket?callbackKey={key}");
    let plain = world.get(&path, &[]).await;
    assert_eq!((plain.status, plain.header("upgrade")), (426, "websocket"));
    let socket = world.get(&path, &SOCKET).await;
    assert_eq!((socket.status, socket.upgrades), (101, true));
    // Its handler is in the reply, which is dropped: the client is gone, and may return.
    let page = world.get(&world.back(&key, "alice"), &[JSON]).await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "no program answers");
    assert_eq!(world.answer(&page, "yes").await.status, 200);
    assert_eq!(world.get(&path, &SOCKET).await.status, 101);
    for unknown in
        ["socket", "socket?callbackKey=", "socket?callbackKey=ck00000000000000000000000000000000"]
    {
        for headers in [&[][..], &SOCKET] {
            assert_eq!(world.get(unknown, headers).await.status, 404, "{unknown}");
        }
    }
}

#[tokio::test]
async fn the_frames_are_those_of_the_specification() {
    let world = World::new().await;
    let from = "192.0.2.1".parse::<IpAddr>().unwrap().into();
    for (query, event) in [("", "auth:callback"), ("&iss=https%3A%2F%2Fevil.example", "auth:error")]
    {
        let key = world.begin().await;
        let seat = world.people.sessions.attach(&Secret::new(key.as_str()), from).unwrap();
        world.browse(&format!("{}{query}", world.back(&key, "alice"))).await;
        let frame: Value = serde_json::from_str(&outcome(&seat).await).unwrap();
        assert_eq!(frame["event"], event);
        let keys: Vec<_> = frame["data"].as_object().unwrap().keys().cloned().collect();
        match event {
            "auth:error" => assert_eq!(keys, ["message"]),
            _ => {
                assert_eq!(keys, ["accessToken", "refreshToken"]);
                assert!(world.opens(frame["data"]["accessToken"].as_str().unwrap()).await);
            }
        }
    }
}

/// Attack: two clients wait for one sign-in.
#[tokio::test]
async fn a_second_socket() {
    let world = World::new().await;
    let key = world.begin().await;
    let from = "192.0.2.1".parse::<IpAddr>().unwrap().into();
    let _first = world.people.sessions.attach(&Secret::new(key.as_str()), from).unwrap();
    let second = world.get(&format!("socket?callbackKey={key}"), &SOCKET).await;
    assert_eq!((second.status, &second.json()["message"]), (409, &json!("Conflict")));
}

/// Attack: an attacker who saw the key waits with it, or makes a victim sign in for it.
#[tokio::test]
async fn a_stolen_callback_key() {
    let world = World::new().await;
    let key = world.begin().await;
    let path = format!("socket?callbackKey={key}");
    let refused = world.ask_from("192.0.2.2", "GET", &path, &SOCKET).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("same_address"), "the setting is named");
    // Nor with a header that only a proxy may write.
    let forged = [&SOCKET[..], &[("x-forwarded-for", "192.0.2.1")]].concat();
    assert_eq!(world.ask_from("192.0.2.2", "GET", &path, &forged).await.status, 403);
    assert_eq!(
        world.ask_from("10.0.0.1", "GET", &path, &forged).await.status,
        101,
        "a listed proxy may"
    );
    let victim = world.ask_from("192.0.2.3", "GET", &world.back(&key, "alice"), &[]).await;
    assert_eq!(victim.status, 403);
    assert!(victim.text.contains("same_address"));
}

/// Attack: the same from a neighbour of an IPv6 client. Its own addresses, which change as they
/// like, are one place.
#[tokio::test]
async fn a_stolen_callback_key_in_the_next_network() {
    let world = World::new().await;
    let body = world.ask_from("2001:db8:0:1::7", "GET", "uri", &[]).await.json();
    let key = body["data"]["callbackKey"].as_str().unwrap().to_owned();
    let path = format!("socket?callbackKey={key}");
    for (peer, status) in [
        ("2001:db8:0:2::7", 403),
        ("::ffff:192.0.2.1", 403),
        ("192.0.2.1", 403),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", 101),
    ] {
        assert_eq!(world.ask_from(peer, "GET", &path, &SOCKET).await.status, status, "{peer}");
    }
    let forwarded = [JSON, ("x-forwarded-for", "2001:db8:0:1::9")];
    let thief =
        world.ask_from("2001:db8:0:2::7", "GET", &world.back(&key, "alice"), &forwarded).await;
    let body = thief.json();
    assert_eq!((thief.status, &body["message"]), (403, &json!("Insufficient permissions")));
    assert_eq!(body["errors"][0]["path"], json!(["state"]));
    assert!(
        body["errors"][0]["message"].as_str().unwrap().contains("same_address"),
        "programs learn it too"
    );
}

/// Attack: a name for us, or a parameter, that would lead browser and code elsewhere.
#[tokio::test]
async fn only_the_configuration_decides_where_the_browser_goes() {
    let world = World::new().await;
    let lies = [
        ("host", "evil.example"),
        ("forwarded", "host=evil.example;proto=http"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/evil"),
    ];
    let path = "uri?provider=op&redirect_uri=https://evil.example&login_hint=a%0d%0aset-cookie:%20b&state=evil&prompt=none";
    for peer in ["192.0.2.1", "10.0.0.1"] {
        let reply = world.ask_from(peer, "GET", path, &lies).await;
        let data = reply.json()["data"].take();
        let key = data["callbackKey"].as_str().unwrap();
        let expected = format!(
            "{ISSUER}/authorize?redirect_uri=https://vault.example/v1/auth/redirect&state={key}"
        );
        assert_eq!(data["uri"], expected);
        assert!(
            !reply.headers.contains_key("location") && !reply.headers.contains_key("set-cookie")
        );
        let back = world.ask_from(peer, "GET", &world.back(key, "alice"), &[lies[0], JSON]).await;
        let token = back.json()["data"]["accessToken"].as_str().unwrap().to_owned();
        assert!(back.status == 200 && world.opens(&token).await);
    }
}

/// Attack: a reader of the log, or of an error, learns the content of a query or a header.
#[tokio::test]
async fn no_query_or_header_is_logged_or_repeated() {
    let (lines, _guard) = Lines::record();
    let world = World::new().await;
    let key = world.begin().await;
    let canary = [
        ("x-refresh-token", "canary"),
        ("authorization", "Bearer canary"),
        ("origin", "https://canary"),
    ];
    for (method, path) in [
        ("GET", "uri?provider=canary"),
        ("GET", "redirect?state=canary&code=canary&iss=canary"),
        ("GET", "redirect?error=canary&error_description=canary&error_uri=canary"),
        ("GET", "redirect?state=canary&state=canary"),
        ("GET", "socket?callbackKey=canary"),
        ("POST", "refresh"),
        ("POST", "logout"),
    ] {
        for accept in ["application/json", "text/html"] {
            let headers = [&canary[..], &[("accept", accept)]].concat();
            let reply = world.ask_from("192.0.2.1", method, path, &headers).await;
            assert!((400..500).contains(&reply.status), "{path}");
            let said = format!("{:?}{}", reply.headers, reply.text);
            assert!(!said.contains("canary"), "{path}: {said}");
        }
    }
    let path = format!("redirect?state={key}&code=canary&iss=canary");
    let reply = world.get(&path, &[]).await;
    assert!(!reply.text.contains("canary") && !reply.text.contains(&key));
    let [access, refresh] = world.tokens("alice").await;
    assert_eq!(world.refresh(&refresh).await.status, 201);
    world.people.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(world.refresh(&refresh).await.status, 401);
    let log = lines.text();
    assert!(log.contains("a spent refresh token was shown"), "{log}");
    for secret in ["canary", &key, &access, &refresh] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

/// An answer that carries tokens, or leads to them, is kept by no cache, however the call ends.
#[tokio::test]
async fn no_cache_keeps_an_answer_about_tokens() {
    let world = World::new().await;
    let [key, other] = [world.begin().await, world.begin().await];
    let good = world.back(&key, "alice");
    for (method, path, headers) in [
        ("GET", "uri", &[][..]),
        ("GET", "uri?provider=x", &[]),
        ("GET", good.as_str(), &[JSON]),
        ("GET", good.as_str(), &[JSON]),
        ("GET", good.as_str(), &[]),
        ("HEAD", good.as_str(), &[]),
        ("GET", &format!("socket?callbackKey={other}"), &SOCKET),
        ("GET", &format!("socket?callbackKey={other}"), &[]),
        ("GET", "socket", &[]),
        ("POST", "refresh", &[]),
    ] {
        let reply = world.ask_from("192.0.2.1", method, path, headers).await;
        assert_eq!(reply.header("cache-control"), "no-store", "{method} {path}");
        assert_eq!(reply.header("access-control-allow-origin"), "");
        assert_eq!(reply.header("vary"), "Origin");
    }
}

/// Attack: a page of another origin reads tokens, or has them refreshed.
#[tokio::test]
async fn only_listed_pages_read_what_comes_of_a_sign_in() {
    let world = World::new().await;
    for (origin, allowed) in
        [("https://app.example", "https://app.example"), ("https://evil.example", ""), ("null", "")]
    {
        let key = world.begin().await;
        let origin = ("origin", origin);
        let signed_in = world.get(&world.back(&key, "alice"), &[JSON, origin]).await;
        let token = signed_in.json()["data"]["refreshToken"].as_str().unwrap().to_owned();
        let headers = [origin, ("x-refresh-token", token.as_str())];
        let refreshed = world.ask_from("192.0.2.1", "POST", "refresh", &headers).await;
        let asked = [origin, ("access-control-request-method", "POST")];
        let preflight = world.ask_from("192.0.2.1", "OPTIONS", "refresh", &asked).await;
        assert_eq!((signed_in.status, refreshed.status, preflight.status), (200, 201, 204));
        for reply in [&signed_in, &refreshed, &preflight] {
            assert_eq!(reply.header("access-control-allow-origin"), allowed, "{origin:?}");
            assert_eq!(reply.header("access-control-allow-credentials"), "");
        }
        let methods = if allowed.is_empty() { "" } else { "POST, OPTIONS" };
        assert_eq!(preflight.header("access-control-allow-methods"), methods);
    }
}

/// Attack: a page of another origin opens a socket in its visitor's browser.
#[tokio::test]
async fn a_foreign_origin() {
    let world = World::new().await;
    let path = format!("socket?callbackKey={}", world.begin().await);
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("https://app.example", 101),
        ("https://vault.example", 101),
    ] {
        let headers = [&SOCKET[..], &[("origin", origin)]].concat();
        assert_eq!(world.get(&path, &headers).await.status, status, "{origin}");
    }
}

#[tokio::test]
async fn tokens_are_refreshed() {
    let world = World::new().await;
    let [_, refresh] = world.tokens("alice").await;
    let reply = world.refresh(&refresh).await;
    let body = reply.json();
    assert_eq!((reply.status, &body["message"]), (201, &json!("Token refreshed successfully!")));
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(world.opens(body["data"]["accessToken"].as_str().unwrap()).await);
    for headers in [
        &[][..],
        &[("x-refresh-token", "a"), ("x-refresh-token", "b")],
        &[("authorization", "Bearer x")],
    ] {
        let refused = world.ask_from("192.0.2.1", "POST", "refresh", headers).await;
        assert_eq!((refused.status, refused.header("cache-control")), (401, "no-store"));
    }
}

/// Attack: a spent refresh token.
#[tokio::test]
async fn refresh_replay() {
    let world = World::new().await;
    let [_, first] = world.tokens("alice").await;
    let body = world.refresh(&first).await.json();
    world.people.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(world.refresh(&first).await.status, 401);
    assert!(!world.opens(body["data"]["accessToken"].as_str().unwrap()).await);
    assert_eq!(world.refresh(body["data"]["refreshToken"].as_str().unwrap()).await.status, 401);
}

/// Attack: the refresh token is used for access, the access token for a refresh.
#[tokio::test]
async fn token_confusion() {
    let world = World::new().await;
    let [access, refresh] = world.tokens("alice").await;
    assert!(!world.opens(&refresh).await);
    assert_eq!(world.refresh(&access).await.status, 401);
    assert!(world.opens(&access).await, "and nothing came of it");
}

#[tokio::test]
async fn a_session_ends_when_its_user_says_so() {
    let world = World::new().await;
    let [access, refresh] = world.tokens("alice").await;
    let bearer = format!("Bearer {access}");
    let reply = world.ask_from("192.0.2.1", "POST", "logout", &[("authorization", &bearer)]).await;
    let body = reply.json();
    assert_eq!(
        (reply.status, &body["message"], &body["data"]),
        (200, &json!("Logged out."), &Value::Null)
    );
    assert!(!world.opens(&access).await);
    assert_eq!(world.refresh(&refresh).await.status, 401);
    assert_eq!(
        world.ask_from("192.0.2.1", "POST", "logout", &[("authorization", &bearer)]).await.status,
        401
    );
}

#[tokio::test]
async fn a_provider_can_be_picked_if_there_is_one() {
    let world = World::new().await;
    for bad in [
        "uri?provider=other",
        "uri?provider=",
        "uri?provider=%00",
        "uri?provider=op%0d%0ax:%20y",
        "uri?provider=op&provider=op",
    ] {
        let reply = world.get(bad, &[]).await;
        assert_eq!(
            (reply.status, &reply.json()["errors"][0]["path"]),
            (400, &json!(["provider"])),
            "{bad}"
        );
    }
    assert_eq!(
        world.get("uri?provider=op", &[("authorization", "Bearer nonsense")]).await.status,
        200
    );
}

#[tokio::test]
async fn there_is_a_limit_for_each_address_and_for_all() {
    let few = SessionOptions { sign_ins_per_minute: Some(2), max_sign_ins: 3, ..session_options() };
    let world = World::with(few).await;
    for _ in 0..2 {
        world.begin().await;
    }
    let limited = world.get("uri", &[]).await;
    assert_eq!((limited.status, &limited.json()["message"]), (429, &json!("Too many requests")));
    assert!(limited.header("retry-after").parse::<u32>().unwrap() > 0);
    // Of three places, an address with fewer than another gets one; then all have as many.
    for last in [7, 8, 9] {
        let from = format!("192.0.2.{last}");
        assert_eq!(world.ask_from(&from, "GET", "uri", &[]).await.status, 200, "{from}");
    }
    let full = world.ask_from("192.0.2.9", "GET", "uri", &[]).await;
    assert_eq!((full.status, full.header("retry-after")), (503, "600"));
}
