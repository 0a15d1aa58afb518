use super::*;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use crate::call::grants::Grants;
use crate::call::journal::{Journal, LogLines};
use crate::capability::http::transport::Transport;
use crate::options::HttpLimits;
use crate::v0::http::{HostExchange, HostResponse};

/// Keeps the requests that it is given and returns the answers that it was set up with.
#[derive(Default)]
struct Recorder {
    requests: Mutex<Vec<Request<Bytes>>>,
    answer: Mutex<Response<Bytes>>,
    deadlines: Mutex<Vec<(Duration, usize)>>,
}

#[async_trait]
impl Transport for Recorder {
    async fn send(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
        most: usize,
    ) -> Result<Response<Bytes>, Failure> {
        self.deadlines
            .lock()
            .unwrap()
            .push((deadline.saturating_duration_since(Instant::now()), most));
        self.requests.lock().unwrap().push(request);
        Ok(self.answer.lock().unwrap().clone())
    }
}

fn secret(value: &str) -> Arc<GuardedSecret> {
    Arc::new(GuardedSecret {
        name: "api_key".to_owned(),
        value: Arc::new(Secret::new(value)),
        destinations: vec![Endpoint::new("api.example", 443)],
        reveal: false,
        hmac: false,
    })
}

fn state(recorder: &Arc<Recorder>, limits: HttpLimits) -> State {
    let grants = Grants {
        settings: BTreeMap::new(),
        http: Some(recorder.clone()),
        http_limits: limits,
        token: None,
    };
    State::new(
        Arc::new(grants),
        Journal::new(LogLines::Held),
        0,
        Instant::now() + Duration::from_secs(30),
    )
}

fn exchange(method: &str, url: &str) -> Exchange {
    Exchange::new(method, url, 1000)
}

fn code(exchange: &mut Exchange) -> String {
    exchange.finish().unwrap_err().code
}

#[test]
fn a_request_is_what_was_built() {
    let mut post = exchange("POST", "https://API.example/a?b=c#d");
    post.add_header("content-type", b"application/json", false);
    post.add_secret_header("authorization", "Bearer ", &secret("hunter22"));
    post.add_body(b"{\"password\":\"");
    post.add_secret_body("json", &secret("a\"b"));
    post.add_body(b"\"}");
    let request = post.finish().unwrap();
    assert_eq!(request.uri(), "https://api.example/a?b=c");
    assert_eq!(request.headers()["authorization"], "Bearer hunter22");
    assert!(request.headers()["authorization"].is_sensitive());
    assert_eq!(&request.body()[..], br#"{"password":"a\"b"}"#);
    assert_eq!(code(&mut post), "malformed", "it is sent once");
}

#[test]
fn basic_authentication_is_rfc_7617() {
    let mut get = exchange("GET", "https://api.example/");
    get.add_basic_auth("Aladdin", &secret("open sesame"));
    assert_eq!(
        get.finish().unwrap().headers()["authorization"],
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    );
    let mut bad = exchange("GET", "https://api.example/");
    bad.add_basic_auth("a:b", &secret("open sesame"));
    assert_eq!(code(&mut bad), "malformed");
}

#[test]
fn a_secret_goes_where_it_is_bound_and_nowhere_else() {
    for (url, expected) in [
        ("https://api.example/", None),
        ("https://api.example:443/x", None),
        ("https://other.example/", Some("not-granted")),
        ("https://api.example:8443/", Some("not-granted")),
        ("http://api.example/", Some("not-granted")),
        ("https://api.example.evil.example/", Some("not-granted")),
    ] {
        let insert: [fn(&mut Exchange); 3] = [
            |e| e.add_secret_header("x-key", "", &secret("hunter22")),
            |e| e.add_basic_auth("user", &secret("hunter22")),
            |e| e.add_secret_body("raw", &secret("hunter22")),
        ];
        for insert in insert {
            let mut get = exchange("GET", url);
            insert(&mut get);
            let failure = get.finish().err();
            assert_eq!(failure.as_ref().map(|failure| failure.code.as_str()), expected, "{url}");
            assert!(!failure.is_some_and(|failure| failure.message.contains("hunter22")));
        }
    }
}

#[test]
fn nothing_can_add_a_header_or_a_request() {
    let spoil: [fn(&mut Exchange); 12] = [
        |e| e.add_header("x", b"a\r\nx-evil: 1", false),
        |e| e.add_header("x", b"a\nb", false),
        |e| e.add_header("x", b"a\0b", false),
        |e| e.add_header("x\r\ny", b"a", false),
        |e| e.add_header("", b"a", false),
        |e| e.add_secret_header("x", "a\r\n", &secret("hunter22")),
        |e| e.add_secret_header("x", "", &secret("hunter22\r\nx-evil: 1")),
        |e| e.add_basic_auth("a\r\nb", &secret("hunter22")),
        |e| e.add_header("Host", b"evil.example", false),
        |e| e.add_header("content-length", b"5", false),
        |e| e.add_header("Transfer-Encoding", b"chunked", false),
        |e| e.add_header("accept-encoding", b"gzip", false),
    ];
    for (at, spoil) in spoil.into_iter().enumerate() {
        let mut post = exchange("POST", "https://api.example/");
        spoil(&mut post);
        assert_eq!(code(&mut post), "malformed", "case {at}");
    }
    for (method, url) in [
        ("GET /x HTTP/1.1\r\n", "https://api.example/"),
        ("TRACE", "https://api.example/"),
        ("CONNECT", "https://api.example/"),
        ("", "https://api.example/"),
        ("GET", "file:///etc/passwd"),
        ("GET", "/relative"),
        ("GET", "https://user:pw@api.example/"),
        ("GET", "https://"),
    ] {
        assert_eq!(code(&mut exchange(method, url)), "malformed", "{method} {url}");
    }
}

#[test]
fn sizes_are_bounded() {
    let spoil: [fn(&mut Exchange); 4] = [
        |e| e.add_body(&[0; 1001]),
        |e| (0..2).for_each(|_| e.add_body(&[0; 600])),
        |e| (0..=MAX_HEADERS).for_each(|_| e.add_header("x", b"a", false)),
        |e| e.add_header("x", &[b'a'; MAX_HEADER_BYTES], false),
    ];
    for spoil in spoil {
        let mut post = exchange("POST", "https://api.example/");
        spoil(&mut post);
        assert_eq!(code(&mut post), "too-large");
    }
    let long = format!("https://api.example/{}", "x".repeat(MAX_URL));
    assert_eq!(code(&mut exchange("GET", &long)), "too-large");
}

#[test]
fn a_secret_that_comes_back_is_withheld() {
    let with = |header: Option<(&'static str, &'static str)>, body: &'static str| {
        let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
        if let Some((name, value)) = header {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    };
    let sent = [Secret::new("hunter22"), Secret::new("aHVudGVyMjI="), Secret::new("abc")];
    for (answer, refused) in [
        (with(None, "fine"), false),
        (with(None, "abc"), false),
        (with(None, "you sent hunter22!"), true),
        (with(None, "Basic aHVudGVyMjI="), true),
        (with(Some(("x-echo", "hunter22")), ""), true),
        (with(Some(("content-encoding", "gzip")), "packed"), true),
        (with(Some(("content-encoding", "Identity")), "plain"), false),
    ] {
        let checked = check_answer(&answer, &sent);
        assert_eq!(checked.is_err(), refused, "{answer:?}");
        assert!(
            checked
                .err()
                .is_none_or(|failure| failure.sent && !failure.message.contains("hunter22"))
        );
        assert!(check_answer(&answer, &[]).is_ok(), "without a secret there is nothing to find");
    }
}

#[test]
fn inserting_a_secret_again_and_again_costs_nothing() {
    let mut post = exchange("POST", "https://api.example/");
    let key = secret("hunter22");
    for _ in 0..100 {
        post.add_secret_body("raw", &key);
    }
    assert_eq!((post.secrets.len(), post.inserted.len()), (1, 1));
}

/// A plugin that builds request after request and sends none would have the host keep a body for
/// each.
#[test]
fn requests_that_are_never_sent_do_not_fill_the_host() {
    let limits = HttpLimits { request_bytes: 1 << 20, ..HttpLimits::default() };
    let mut state = state(&Arc::new(Recorder::default()), limits);
    let begun: Vec<_> = (0..100)
        .map(|_| {
            let this =
                HostExchange::new(&mut state, "POST".to_owned(), "https://api.example/".to_owned())
                    .unwrap();
            HostExchange::body(&mut state, Resource::new_borrow(this.rep()), vec![0; 1 << 20])
                .unwrap();
            this
        })
        .collect();
    let real: usize = begun
        .iter()
        .map(|this| state.table.get(this).unwrap())
        .map(|exchange| exchange.body.len())
        .sum();
    assert!(real <= 2 << 20, "{real}");
    let full = state.table.get_mut(begun.last().unwrap()).unwrap();
    assert_eq!(code(full), "too-large");
    for this in begun {
        HostExchange::drop(&mut state, this).unwrap();
    }
    assert_eq!(state.held, 0);
}

/// Each look at the user makes the token's handle anew.
#[test]
fn a_secret_by_ever_new_handles_does_not_fill_the_host() {
    let mut state = state(&Arc::new(Recorder::default()), HttpLimits::default());
    let this = HostExchange::new(&mut state, "POST".to_owned(), "https://api.example/".to_owned())
        .unwrap();
    for _ in 0..20_000 {
        let handle = state.table.push(SecretHandle(secret("key!"))).unwrap();
        let syntax = "raw".to_owned();
        state
            .body_secret(
                Resource::new_borrow(this.rep()),
                syntax,
                Resource::new_borrow(handle.rep()),
            )
            .unwrap();
        state.table.delete(handle).unwrap();
    }
    assert!(state.table.get(&this).unwrap().secrets.len() * PART_COST <= (3 << 20) + HEADS);
}

/// A plugin that tries again after an error must not send what is left when the part that was
/// refused is taken away.
#[test]
fn what_was_refused_once_is_never_sent() {
    for spoil in [
        |e: &mut Exchange| e.add_body(&[0; 1001]),
        |e: &mut Exchange| e.add_header("host", b"x", false),
    ] {
        let mut post = exchange("POST", "https://api.example/");
        post.add_body(b"before");
        spoil(&mut post);
        post.add_body(b"after");
        let why = code(&mut post);
        assert_eq!(code(&mut post), why);
        assert!(post.body.is_empty());
    }
    assert_eq!(code(&mut exchange("BAD METHOD", "https://api.example/")), "malformed");
}

/// A server that shows the headers it got does so in the syntax of its answer.
#[tokio::test]
async fn a_secret_that_comes_back_in_another_spelling_is_withheld() {
    for shown in [r#"{"x-key":"a\"b<c+d"}"#, "x-key=a%22b%3Cc%2Bd", "<x>a&quot;b&lt;c+d</x>"] {
        let recorder = Arc::new(Recorder::default());
        *recorder.answer.lock().unwrap() = Response::new(Bytes::from_static(shown.as_bytes()));
        let mut state = state(&recorder, HttpLimits::default());
        let failure = send(&mut state, "https://api.example/", Some("a\"b<c+d")).await.unwrap_err();
        assert!(failure.sent && failure.code == "malformed", "{shown}: {failure:?}");
    }
}

async fn send(
    state: &mut State,
    url: &str,
    key: Option<&str>,
) -> Result<Resource<HttpResponse>, Failure> {
    let this = HostExchange::new(state, "GET".to_owned(), url.to_owned()).unwrap();
    if let Some(key) = key {
        let handle = state.table.push(SecretHandle(secret(key))).unwrap();
        state
            .header_secret(
                Resource::new_borrow(this.rep()),
                "x-key".to_owned(),
                String::new(),
                handle,
            )
            .unwrap();
    }
    state.send(this).await.unwrap()
}

#[tokio::test]
async fn a_call_sends_a_bounded_number_within_its_time() {
    let recorder = Arc::new(Recorder::default());
    let limits = HttpLimits {
        requests: 2,
        timeout: Duration::from_secs(5),
        response_bytes: 77,
        ..HttpLimits::default()
    };
    let mut state = state(&recorder, limits);
    for _ in 0..2 {
        let answer = send(&mut state, "https://api.example/", None).await.unwrap();
        assert_eq!(HostResponse::status(&mut state, answer).unwrap(), 200);
    }
    assert_eq!(send(&mut state, "https://api.example/", None).await.unwrap_err().code, "too-many");
    assert_eq!(recorder.requests.lock().unwrap().len(), 2);
    for (left, most) in recorder.deadlines.lock().unwrap().iter() {
        assert!(*left <= Duration::from_secs(5));
        assert_eq!(*most, 77);
    }
}

#[tokio::test]
async fn a_secret_of_an_earlier_request_is_still_looked_for() {
    let recorder = Arc::new(Recorder::default());
    let mut state = state(&recorder, HttpLimits::default());
    send(&mut state, "https://api.example/", Some("hunter22")).await.unwrap();
    *recorder.answer.lock().unwrap() =
        Response::new(Bytes::from_static(b"last time it was hunter22"));
    let failure = send(&mut state, "https://elsewhere.example/", None).await.unwrap_err();
    assert!(failure.sent && failure.code == "malformed", "{failure:?}");
}

#[tokio::test]
async fn without_a_grant_nothing_is_sent() {
    let mut state = State::new(
        Arc::new(Grants::default()),
        Journal::new(LogLines::Held),
        0,
        Instant::now() + Duration::from_secs(30),
    );
    assert_eq!(
        send(&mut state, "https://api.example/", None).await.unwrap_err().code,
        "not-granted"
    );
}
