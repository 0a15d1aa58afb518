use super::*;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use credsmith_core::secret::Secret;
use http::Response;

use crate::call::grants::Grants;
use crate::call::journal::{Journal, LogLines};
use crate::capability::http::transport::Transport;
use crate::options::HttpLimits;
use crate::secrets::Binding;
use crate::secrets::guard::{Guard, Guards};
use crate::secrets::prints::Prints;
use crate::v0::http::{HostExchange, HostResponse};

const MEMORY: usize = 64 << 20;

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
    bound(value, Endpoint::new("api.example", 443).into())
}

fn bound(value: &str, binding: Binding) -> Arc<GuardedSecret> {
    Arc::new(GuardedSecret {
        name: "api_key".to_owned(),
        value: Arc::new(Secret::new(value)),
        bindings: vec![binding],
        reveal: false,
        hmac: false,
    })
}

fn state(recorder: &Arc<Recorder>, limits: HttpLimits) -> State {
    guarded_state(recorder, limits, Guard::default(), MEMORY)
}

fn guarded_state(
    recorder: &Arc<Recorder>,
    limits: HttpLimits,
    guard: Guard,
    memory: usize,
) -> State {
    let grants = Grants {
        guard: Arc::new(guard),
        http: Some(recorder.clone()),
        http_limits: limits,
        ..Grants::default()
    };
    State::new(
        Arc::new(grants),
        Journal::new(LogLines::Held),
        memory,
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

#[tokio::test]
async fn a_secret_that_comes_back_is_withheld() {
    let with = |header: Option<(&'static str, &'static str)>, body: &'static str| {
        let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
        if let Some((name, value)) = header {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    };
    let guard = Arc::new(Guard::default());
    let mut sent = Prints::default();
    for secret in ["hunter22", "aHVudGVyMjI=", "abc"] {
        guard.add_once(&mut sent, secret.as_bytes());
    }
    let (sent, nothing) = (Arc::new(sent), Arc::default());
    for (answer, refused) in [
        (with(None, "fine"), false),
        (with(None, "abc"), false),
        (with(None, "you sent hunter22!"), true),
        (with(None, "Basic aHVudGVyMjI="), true),
        (with(Some(("x-echo", "hunter22")), ""), true),
        (with(Some(("hunter22", "x")), ""), true),
        (with(Some(("content-encoding", "gzip")), "packed"), true),
        (with(Some(("content-encoding", "Identity")), "plain"), false),
    ] {
        let checked = answer::checked(answer.clone(), &sent, &guard, MEMORY).await;
        assert_eq!(checked.is_err(), refused, "{answer:?}");
        assert!(
            checked
                .err()
                .is_none_or(|failure| failure.sent && !failure.message.contains("hunter22"))
        );
        assert!(
            answer::checked(answer, &nothing, &guard, MEMORY).await.is_ok(),
            "without a secret there is nothing to find"
        );
    }
}

/// Attack: a server keeps what one call sends it, and shows it to the next.
#[tokio::test]
async fn a_secret_that_an_earlier_call_sent_is_not_read_in_a_second_one() {
    let guards = Guards::default();
    let of_the_service = || guards.of(std::iter::once(&*secret("hunter22")));
    let recorder = Arc::new(Recorder::default());
    let mut first = guarded_state(&recorder, HttpLimits::default(), of_the_service(), MEMORY);
    send(&mut first, "https://api.example/", Some("hunter22")).await.unwrap();
    let long = format!("{}aHVudGVyMjI={}", "x ".repeat(100_000), "y".repeat(100_000));
    for kept in ["it was hunter22", "hunter%32%32", "[68756E7465723232]", &long] {
        *recorder.answer.lock().unwrap() = Response::new(Bytes::from(kept.to_owned()));
        let mut second = guarded_state(&recorder, HttpLimits::default(), of_the_service(), MEMORY);
        let failure = send(&mut second, "https://api.example/", None).await.unwrap_err();
        assert!(failure.sent && failure.code == "malformed", "{kept:.20}: {failure:?}");
    }
}

/// Attack: a server keeps the access token of one user, and shows it to another.
#[tokio::test]
async fn the_access_token_of_one_user_is_in_no_answer_to_another() {
    let guards = Guards::default();
    guards.of(std::iter::empty()).note_token(&Secret::new("eyJhbGciOi.alice.c2lnbmF0dXJl"));
    let recorder = Arc::new(Recorder::default());
    *recorder.answer.lock().unwrap() =
        Response::new(Bytes::from_static(br#"{"kept": "eyJhbGciOi.alice.c2lnbmF0dXJl"}"#));
    let other = guards.of(std::iter::empty());
    let mut of_bob = guarded_state(&recorder, HttpLimits::default(), other, MEMORY);
    let failure = send(&mut of_bob, "https://api.example/", None).await.unwrap_err();
    assert!(failure.sent && failure.code == "malformed", "{failure:?}");
}

#[test]
fn a_secret_goes_by_the_methods_and_below_the_path_that_it_is_bound_to() {
    let binding = || Binding::from(Endpoint::new("api.example", 443));
    let posts = binding().by_methods(["POST"]).unwrap().below("/v1/tokens").unwrap();
    for (method, url, expected) in [
        ("POST", "https://api.example/v1/tokens", true),
        ("POST", "https://api.example/v1/tokens/7?a=b", true),
        ("GET", "https://api.example/v1/tokens", false),
        ("POST", "https://api.example/v1/tokens/../notes", false),
        ("POST", "https://api.example/v1/notes", false),
        ("POST", "https://other.example/v1/tokens", false),
    ] {
        let mut request = exchange(method, url);
        request.add_secret_header("x-key", "", &bound("hunter22", posts.clone()));
        let refused = request.finish().map(drop);
        assert_eq!(refused.is_ok(), expected, "{method} {url}");
        if let Err(failure) = refused {
            assert_eq!(failure.code, "not-granted");
            let names_it = failure.message.contains("POST api.example:443/v1/tokens");
            assert_eq!(names_it, !url.contains("other"), "{}", failure.message);
        }
    }
    let mut overridden = exchange("POST", "https://api.example/v1/tokens");
    overridden.add_header("X-HTTP-Method-Override", b"GET", false);
    overridden.add_secret_header("x-key", "", &bound("hunter22", posts));
    assert_eq!(code(&mut overridden), "not-granted");
}

/// Answers that a plugin holds are in the host's memory, and count as the plugin's.
#[tokio::test]
async fn answers_that_a_plugin_holds_count_against_its_memory() {
    const MIB: usize = 1 << 20;
    let limits = HttpLimits { requests: 1000, response_bytes: 4 * MIB, ..HttpLimits::default() };
    let recorder = Arc::new(Recorder::default());
    *recorder.answer.lock().unwrap() = Response::new(Bytes::from(vec![b'x'; 3 * MIB]));
    let mut state = guarded_state(&recorder, limits, Guard::default(), 16 * MIB);
    let mut held = Vec::new();
    let failure = loop {
        match send(&mut state, "https://api.example/", None).await {
            Ok(answer) => held.push(answer),
            Err(failure) => break failure,
        }
    };
    assert_eq!((held.len(), failure.code.as_str(), failure.sent), (5, "too-large", true));
    assert!(state.limits.room() < 3 * MIB);
    let last = recorder.deadlines.lock().unwrap().last().unwrap().1;
    assert!(last < 3 * MIB, "no more than fits is read: {last}");
    HostResponse::drop(&mut state, held.pop().unwrap()).unwrap();
    send(&mut state, "https://api.example/", None).await.unwrap();
    // Headers cost as much as they are.
    let mut with_headers = Response::new(Bytes::new());
    for n in 0..100 {
        let name = HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap();
        with_headers.headers_mut().insert(name, HeaderValue::from_str(&"v".repeat(500)).unwrap());
    }
    let before = state.limits.room();
    *recorder.answer.lock().unwrap() = with_headers;
    send(&mut state, "https://api.example/", None).await.unwrap();
    assert!(before - state.limits.room() > 50_000);
}

/// Whether anything left the host is known of each end of a request.
#[tokio::test]
async fn a_call_knows_whether_it_sent_anything() {
    let recorder = Arc::new(Recorder::default());
    let mut refused = state(&recorder, HttpLimits::default());
    send(&mut refused, "ftp://api.example/", None).await.unwrap_err();
    send(&mut refused, "https://elsewhere.example/", Some("hunter22")).await.unwrap_err();
    assert!(!refused.journal.close());
    let mut answered = state(&recorder, HttpLimits::default());
    send(&mut answered, "https://api.example/", None).await.unwrap();
    assert!(answered.journal.close());
}

#[test]
fn inserting_a_secret_again_and_again_costs_nothing() {
    let mut post = exchange("POST", "https://api.example/");
    let key = secret("hunter22");
    for _ in 0..100 {
        post.add_secret_body("raw", &key);
    }
    assert_eq!(post.secrets.len(), 1);
    let mut get = exchange("GET", "https://api.example/");
    (0..100).for_each(|_| get.add_basic_auth("user", &key));
    assert!(get.pairs.len() <= 1);
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
    assert_eq!(state.limits.requests, 0);
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
