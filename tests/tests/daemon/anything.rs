//! Arbitrary requests, with and without a good token: whatever comes, the answer is well-formed, in
//! the dialect and documented, the daemon lives, and its log neither grows without bound nor shows
//! the token.

use credsmith_tests::{Answer, Connection, Daemon, Provider, Request, Site};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::ready;

/// Well-formed requests.
const REQUESTS: u32 = 2500;
/// Connections with bytes that are hardly HTTP.
const NOISES: u32 = 400;
/// Bytes of log that a request may cause, the audit of what it does included.
const LOG_EACH: usize = 2048;

/// Every status that a client may be answered with, but for 500, 503 and 504, which have causes
/// that are not here.
const STATUSES: [u16; 12] = [200, 204, 303, 304, 400, 401, 404, 405, 406, 412, 413, 431];

#[derive(Debug, Clone)]
struct Any {
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
    signed_in: bool,
}

fn any_request() -> impl Strategy<Value = Any> {
    let method = prop_oneof![
        8 => prop::sample::select(vec!["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"]).prop_map(str::to_owned),
        1 => "[A-Za-z!#$%&'*+.^_`|~0-9-]{1,12}",
    ];
    let headers = vec((header_name(), header_value()), 0..6);
    (method, path(), headers, proptest::option::of(body()), any::<bool>()).prop_map(
        |(method, path, headers, body, signed_in)| Any { method, path, headers, body, signed_in },
    )
}

fn path() -> impl Strategy<Value = String> {
    let known = vec![
        "api",
        "v1",
        "v2",
        "V2",
        "v02",
        "v3",
        "op",
        "https%3A%2F%2Fop.example",
        "rsp-x",
        "service",
        "credential",
        "credential_data",
        "oidcp",
        "info",
        "logout",
        "access_token",
        "11111111-2222-3333-4444-555555555555",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "",
        ".",
        "..",
        "%2e%2e",
        "%00",
        "%ff",
        "%zz",
        "%",
        "%2F",
        "oidc",
        "rsp",
        "static",
    ];
    let segment = prop_oneof![
        6 => prop::sample::select(known).prop_map(str::to_owned),
        1 => "[A-Za-z0-9._~!$&'()*+,;=:@%-]{0,40}",
    ];
    let good = vec![
        "/api/v2/op/service",
        "/api/v2/op/credential",
        "/api/v1/op/credential",
        "/api/v1/credential",
        "/api/v2/oidcp",
        "/api/v2/info",
    ];
    let path = prop_oneof![
        2 => vec(segment, 0..7).prop_map(|segments| format!("/{}", segments.join("/"))),
        2 => prop::sample::select(good).prop_map(str::to_owned),
    ];
    (path, proptest::option::of("[A-Za-z0-9=&%?/]{0,30}")).prop_map(|(path, query)| match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    })
}

/// Not those that say how long a request is, or what becomes of the connection: `noise` has them.
fn header_name() -> impl Strategy<Value = String> {
    let known = vec![
        "Accept",
        "Content-Type",
        "Authorization",
        "X-OpenId-Connect-Issuer",
        "If-Match",
        "If-None-Match",
        "Cookie",
        "Host",
        "Origin",
        "Range",
        "Accept-Encoding",
        "X-Forwarded-For",
        "Forwarded",
        "Via",
        "User-Agent",
    ];
    prop_oneof![
        4 => prop::sample::select(known).prop_map(str::to_owned),
        1 => "X-[A-Za-z!#$%&'*+.^_`|~0-9-]{1,20}",
    ]
}

fn header_value() -> impl Strategy<Value = Vec<u8>> {
    let known = vec![
        "application/json",
        "text/html",
        "*/*",
        "application/json; charset=utf-8",
        "op",
        "https://op.example",
        "Bearer",
        "Bearer x",
        "Basic eDp5",
        "\"etag\"",
        "*",
        "watts_session=x",
        "a=b; c=d",
        "bytes=0-1",
    ];
    let octet = prop_oneof![8 => 0x20_u8..0x7f, 2 => 0x80_u8..=0xff, 1 => Just(b'\t')];
    prop_oneof![
        3 => prop::sample::select(known).prop_map(|known| known.as_bytes().to_vec()),
        2 => vec(octet, 0..60),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let key = prop::sample::select(vec!["service_id", "params", "must", "may", "behave", "x", ""]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        prop::sample::select(vec![
            "\"py\"",
            "\"unique\"",
            "\"nosuch\"",
            "\"error\"",
            "\"types\"",
            "\"\\u0000\"",
            "1e999",
            "\"\\ud800\""
        ])
        .prop_map(str::to_owned),
        "[ -!#-\\[\\]-~]{0,20}".prop_map(|text| format!("\"{text}\"")),
    ];
    let json = leaf.prop_recursive(4, 24, 4, move |inner| {
        let pair =
            (key.clone(), inner.clone()).prop_map(|(key, value)| format!("\"{key}\":{value}"));
        prop_oneof![
            vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            vec(pair, 0..4).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
        ]
    });
    let request = (prop::sample::select(vec!["py", "unique", "nosuch"]), json.clone()).prop_map(
        |(service, params)| format!("{{\"service_id\":\"{service}\",\"params\":{params}}}"),
    );
    prop_oneof![
        3 => json.prop_map(String::into_bytes),
        3 => request.prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..200),
        1 => (0_usize..100_000).prop_map(|size| vec![b' '; size]),
    ]
}

struct Arena {
    token: String,
    daemon: Daemon,
    _op: Provider,
    _site: Site,
}

impl Arena {
    fn start() -> Self {
        let op = Provider::start();
        let site = Site::new()
            .provider("op", &op)
            .service("py", "recorded", "")
            .service("unique", "unique", "");
        let daemon = site.serve();
        ready(&daemon);
        Self { token: op.token("alice"), daemon, _op: op, _site: site }
    }

    fn request(&self, any: &Any) -> Request {
        let mut request = Request::new(any.method.as_str(), any.path.as_str());
        if any.signed_in {
            request = request.bearer(&self.token);
        }
        for (name, value) in &any.headers {
            request = request.header(name.as_str(), value.as_slice());
        }
        match &any.body {
            Some(body) => request.body(body.as_slice()),
            None => request,
        }
    }

    /// Nothing of what came is left behind.
    fn check(mut self, requests: u32) {
        assert!(self.daemon.lives());
        self.daemon.ask(&Request::get("/api/v2/op/service").bearer(&self.token)).expect(200);
        let ended = self.daemon.stop();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        let bound = requests as usize * LOG_EACH + 64 * 1024;
        assert!(ended.stderr.len() < bound, "{} bytes of log", ended.stderr.len());
        assert!(!ended.stderr.contains(&self.token), "the token was logged");
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

fn run<S: Strategy>(
    cases: u32,
    strategy: S,
    check: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    TestRunner::new(config).run(&strategy, check).unwrap_or_else(|failure| panic!("{failure}"));
}

fn well_formed(any: &Any, answer: &Answer) -> Result<(), TestCaseError> {
    prop_assert!(STATUSES.contains(&answer.status), "{answer:?}");
    prop_assert!(
        !answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")),
        "{answer:?}"
    );
    prop_assert!(answer.header("x-request-id").is_some(), "{answer:?}");
    if any.method == "HEAD" || matches!(answer.status, 204 | 303 | 304) {
        prop_assert!(answer.body.is_empty(), "{answer:?}");
        return Ok(());
    }
    prop_assert_eq!(answer.header("content-type"), Some("application/json"), "{:?}", answer);
    if answer.status >= 400 {
        let message = answer.refusal(answer.status);
        prop_assert!(
            !message.is_empty() && message.len() < 500 && !message.contains(char::is_control),
            "{answer:?}"
        );
    } else {
        answer.json();
    }
    Ok(())
}

#[test]
fn any_request_has_a_documented_answer() {
    let arena = Arena::start();
    run(REQUESTS, any_request(), |any| {
        let request = arena.request(&any);
        let answer = request
            .try_send(arena.daemon.address())
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        well_formed(&any, &answer)
    });
    arena.check(REQUESTS);
}

/// Bytes, some of which begin like a request.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let beginning = prop::sample::select(vec![
        "",
        "GET ",
        "GET / HTTP/1.1\r\n",
        "POST /api/v2/op/credential HTTP/1.1\r\nHost: x\r\n",
        "GET /api/v2/oidcp HTTP/1.1\r\nHost: x\r\nContent-Length: ",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n",
        "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://x/ HTTP/1.1\r\nHost: y\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\u{0} HTTP/1.1\r\n\r\n",
    ]);
    let octets = prop_oneof![
        vec(any::<u8>(), 0..100),
        "[0-9a-fA-F\r\n ;:]{0,60}".prop_map(String::into_bytes)
    ];
    (beginning, octets, any::<bool>()).prop_map(|(beginning, octets, end)| {
        [beginning.as_bytes(), &octets, if end { b"\r\n\r\n" } else { b"" }].concat()
    })
}

#[test]
fn any_noise_ends_the_connection_and_nothing_else() {
    let arena = Arena::start();
    run(NOISES, noise(), |bytes| {
        let mut connection = Connection::open(arena.daemon.address()).unwrap();
        connection.send(&bytes).unwrap();
        // A connection that was closed already cannot be closed again.
        let _ = connection.finish();
        let rest = connection.rest().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let fine = rest.is_empty() || rest.starts_with(b"HTTP/1.1 ");
        prop_assert!(fine, "{:?}", String::from_utf8_lossy(&rest));
        let status = rest.get(9..10).map(|digit| digit[0]);
        prop_assert_ne!(status, Some(b'5'), "{}", String::from_utf8_lossy(&rest));
        Ok(())
    });
    arena.check(NOISES);
}
