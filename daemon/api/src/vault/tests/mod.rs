//! The frame around handlers, by routes made for it: who gets in, in which order things are
//! refused, what every answer carries.

mod audit;
mod rights;
mod slow;

use std::time::Duration;

use credsmith_core::Kind;
use credsmith_core::caller::Subject;
use credsmith_core::company::Source;
use credsmith_core::doubles::{self, People, companies, session_options};
use credsmith_core::ids::UserId;
use credsmith_core::rights::permission::Pattern;
use credsmith_core::rights::{Rights, Role};
use credsmith_http::Body;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::vault::body::{Decoder, without_problems};
use crate::vault::route::Outcome;

/// Knows three tokens: `good` with all rights, `half` with one of them, `poor` without any.
struct TestAuthenticator;

impl Authenticator for TestAuthenticator {
    fn authenticate<'a>(
        &'a self,
        token: &'a Secret,
        _: Client,
    ) -> BoxFuture<'a, Result<Member, Error>> {
        let permissions: &[&str] = match token.expose() {
            b"good" => &["thing.*"],
            b"half" => &["thing.read"],
            b"poor" => &[],
            _ => {
                return async { Err(Error::new(Kind::Unauthenticated, "no token of ours")) }
                    .boxed();
            }
        };
        let scopes: &[&str] = if token.verify(b"poor") { &[] } else { &["user.read"] };
        let role = Role {
            name: "role".into(),
            permissions: permissions.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
            companies: None,
        };
        let subject = Subject { issuer: "https://op.example".into(), subject: "alice".into() };
        let rights = Rights::new(vec![Arc::new(role)]);
        let member = doubles::member(UserId::from_random([1; 16]), subject, scopes, rights);
        async { Ok(member) }.boxed()
    }

    fn public_keys(&self) -> Value {
        json!({ "keys": [{ "kty": "OKP" }] })
    }
}

fn test_routes() -> Vec<Route> {
    const READ: Access = Access::permissions(&["thing.read", "thing.read.all"]);
    let mut routes = routes();
    routes.extend([
        Route::get("/v1/things", READ, |cx| list(cx).boxed()).answers_page_of::<u8>("Things!"),
        Route::post("/v1/things", READ, |cx| create(cx).boxed())
            .reads::<Named>()
            .answers::<String>(StatusCode::CREATED, "Made!"),
        Route::get("/v1/things/{id}", Access::scopes(&["user.read"]), |cx| read(cx).boxed())
            .answers::<String>(StatusCode::OK, "Thing!"),
        Route::delete("/v1/things/{id}", Access::Caller, |cx| delete(cx).boxed())
            .answers::<()>(StatusCode::OK, "Gone!"),
    ]);
    routes
}

#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
struct Named {
    name: String,
}

async fn list(cx: Cx) -> Outcome {
    cx.page(&cx.query().listing()?.paging.of(0..33))
}

async fn create(mut cx: Cx) -> Outcome {
    let name =
        without_problems(cx.body()?.decode(|object| object.required("name", Decoder::string)))?;
    cx.success(&name)
}

async fn read(cx: Cx) -> Outcome {
    cx.tagged(7, &cx.param("id")?)
}

async fn delete(cx: Cx) -> Outcome {
    match cx.expected() {
        Some(revisions) if !revisions.contains(&7) => {
            Err(Error::new(Kind::Stale, "it changed").into())
        }
        _ => cx.success(&()),
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn vault() -> Vault {
    let people = People::new(Vec::new(), session_options()).await;
    vault_of(&people, Arc::new(TestAuthenticator)).await
}

async fn vault_of(people: &People, authenticator: Arc<dyn Authenticator>) -> Vault {
    let options = Options {
        public_url: "https://vault.example".into(),
        cors_origins: vec!["https://app.example".into()],
    };
    let companies = companies(Source::Listed(Vec::new())).await;
    let (sessions, users) = (Arc::clone(&people.sessions), Arc::clone(&people.users));
    let vault = credsmith_core::doubles::vault(Arc::clone(&companies), Arc::default()).await;
    let parts = Core { authenticator, sessions, users, companies, vault };
    Vault::with(test_routes(), parts, options).unwrap()
}

async fn ask(method: &str, path: &str, headers: Headers<'_>, body: &str) -> Answer {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = vault().await.call(request.body(Body::from(body.to_owned())).unwrap()).await;
    let (parts, body) = reply.into_parts();
    let body = serde_json::from_slice(body.bytes()).unwrap_or(Value::Null);
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

type Headers<'a> = &'a [(&'a str, &'a str)];

const GOOD: (&str, &str) = ("authorization", "Bearer good");
const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn the_rows_fit_together() {
    assert!(Table::new(routes()).is_ok());
}

#[tokio::test]
async fn a_teapot_is_a_teapot() {
    for headers in [&[][..], &[("authorization", "Bearer nonsense")]] {
        let answer = ask("GET", "/v1/teapot", headers, "").await;
        assert_eq!(answer.status, 418);
        assert_eq!(
            answer.body,
            json!({ "status": 418, "message": "I'm a teapot", "successful": false })
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
}

#[tokio::test]
async fn keys_are_given_out_bare() {
    let answer = ask("GET", "/.well-known/jwks.json", &[], "").await;
    assert_eq!((answer.status, answer.body), (200, json!({ "keys": [{ "kty": "OKP" }] })));
    let other = ask("GET", "/.well-known/other", &[], "").await;
    assert_eq!((other.status, &other.body["message"]), (404, &json!("Resource not found")));
}

#[tokio::test]
async fn a_page_says_where_it_is() {
    let answer = ask("GET", "/v1/things?page=2&rpp=3", &[GOOD], "").await;
    let pagination = json!({
        "previousPage": 1, "currentPage": 2, "nextPage": 3, "totalPages": 11, "totalRecords": 33, "listedRecords": 3
    });
    let expected = json!({
        "status": 200, "message": "Things!", "data": [3, 4, 5], "pagination": pagination, "successful": true
    });
    assert_eq!(answer.body, expected);
    let bad = ask("GET", "/v1/things?page=0&rpp=1001", &[GOOD], "").await;
    let paths: Vec<_> =
        bad.body["errors"].as_array().unwrap().iter().map(|error| &error["path"]).collect();
    assert_eq!((bad.status, paths), (400, vec![&json!(["page"]), &json!(["rpp"])]));
}

/// Each request has every fault that later decisions are about.
#[tokio::test]
async fn things_are_refused_in_their_order() {
    let huge = "x".repeat(1024 * 1024 + 1);
    let poor = ("authorization", "Bearer half");
    let text = ("content-type", "text/plain");
    let cases: [(&str, &str, Headers<'_>, &str, u16); 9] = [
        ("POST", "/v1/nothing", &[text], &huge, 404),
        ("PATCH", "/v1/things", &[text], &huge, 405),
        ("POST", "/v1/things", &[text], &huge, 401),
        ("POST", "/v1/things", &[("authorization", "Bearer bad"), text], &huge, 401),
        ("POST", "/v1/things", &[poor, text], &huge, 403),
        ("POST", "/v1/things", &[GOOD, text], &huge, 415),
        ("POST", "/v1/things", &[GOOD, JSON], &huge, 413),
        ("POST", "/v1/things", &[GOOD, JSON], "{", 400),
        ("POST", "/v1/things", &[GOOD, JSON], "{\"name\":\"x\"}", 201),
    ];
    for (method, path, headers, body, status) in cases {
        let answer = ask(method, path, headers, body).await;
        assert_eq!(answer.status, status, "{method} {path} {headers:?}");
        assert_eq!(answer.body["status"], json!(status));
        assert_eq!(answer.body["successful"], json!(status == 201));
    }
}

#[tokio::test]
async fn bodies_are_json_by_name() {
    for (types, status) in [
        (&["application/json; charset=utf-8"][..], 201),
        (&["Application/JSON"], 201),
        (&[], 415),
        (&["application/json-patch+json"], 415),
        (&["garbage"], 415),
        (&["application/json", "application/json"], 415),
    ] {
        let mut headers = vec![GOOD];
        headers.extend(types.iter().map(|value| ("content-type", *value)));
        assert_eq!(
            ask("POST", "/v1/things", &headers, "{\"name\":\"x\"}").await.status,
            status,
            "{types:?}"
        );
    }
    let limit = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024 - 11));
    assert_eq!(
        ask("POST", "/v1/things", &[GOOD, JSON], &limit).await.status,
        201,
        "a megabyte fits"
    );
}

#[tokio::test]
async fn only_one_whole_bearer_token_opens() {
    let open = |values: &'static [&'static str]| async move {
        let headers: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
        let answer = ask("GET", "/v1/things/x", &headers, "").await;
        (answer.status, answer.header("www-authenticate").map(str::to_owned))
    };
    let invalid = Some("Bearer realm=\"credsmith\", error=\"invalid_token\"".to_owned());
    assert_eq!(open(&["Bearer good"]).await, (200, None));
    assert_eq!(open(&["bearer good"]).await, (200, None));
    assert_eq!(open(&["Bearer   good"]).await, (200, None));
    assert_eq!(open(&[]).await, (401, Some("Bearer realm=\"credsmith\"".into())));
    for bad in [
        &["Bearer"][..],
        &["Bearer "],
        &["Basic good"],
        &["good"],
        &[""],
        &["Bearer\tgood"],
        &["Bearer good", "Bearer good"],
        &["Bearer bad"],
    ] {
        assert_eq!(open(bad).await, (401, invalid.clone()), "{bad:?}");
    }
}

#[tokio::test]
async fn scopes_are_the_tokens_and_permissions_the_users() {
    let poor = [("authorization", "Bearer poor")];
    let answer = ask("GET", "/v1/things/x", &poor, "").await;
    assert_eq!(answer.status, 403);
    assert!(answer.header("www-authenticate").unwrap().contains("insufficient_scope"));
    let half = ask("GET", "/v1/things", &[("authorization", "Bearer half")], "").await;
    assert_eq!(
        (half.status, &half.body["message"]),
        (403, &json!("Insufficient permissions")),
        "both are needed"
    );
    assert_eq!(ask("DELETE", "/v1/things/x", &poor, "").await.status, 200, "any caller will do");
}

#[tokio::test]
async fn methods_are_those_of_the_table() {
    let answer = ask("PUT", "/v1/things/x", &[], "").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, DELETE, OPTIONS")));
    let answer = ask("OPTIONS", "/v1/things", &[], "").await;
    assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, HEAD, POST, OPTIONS")));
    assert_eq!(ask("OPTIONS", "/v1/nothing", &[], "").await.status, 404);
    assert_eq!(ask("HEAD", "/v1/things/x", &[GOOD], "").await.status, 200);
    assert_eq!(ask("HEAD", "/v1/things/x", &[], "").await.status, 401);
    assert_eq!(ask("BREW", "/v1/teapot", &[], "").await.status, 405);
}

#[tokio::test]
async fn a_route_without_a_body_ignores_one() {
    let answer =
        ask("DELETE", "/v1/things/x", &[GOOD, ("content-type", "text/plain")], "nonsense").await;
    assert_eq!(
        answer.body,
        json!({ "status": 200, "message": "Gone!", "data": null, "successful": true })
    );
}

#[tokio::test]
async fn tags_spare_reading_and_guard_writing() {
    let answer = ask("GET", "/v1/things/a%2Fb", &[GOOD], "").await;
    assert_eq!(
        (answer.status, answer.header("etag"), &answer.body["data"]),
        (200, Some("\"7\""), &json!("a/b"))
    );
    let again = ask("GET", "/v1/things/x", &[GOOD, ("if-none-match", "\"7\"")], "").await;
    assert_eq!(
        (again.status, again.header("etag"), &again.body),
        (304, Some("\"7\""), &Value::Null)
    );
    assert_eq!(
        ask("GET", "/v1/things/x", &[GOOD, ("if-none-match", "\"6\"")], "").await.status,
        200
    );
    assert_eq!(
        ask("GET", "/v1/things/x", &[("if-none-match", "\"7\"")], "").await.status,
        401,
        "rights come first"
    );
    assert_eq!(ask("DELETE", "/v1/things/x", &[GOOD, ("if-match", "\"7\"")], "").await.status, 200);
    let stale = ask("DELETE", "/v1/things/x", &[GOOD, ("if-match", "\"6\"")], "").await;
    assert_eq!((stale.status, &stale.body["message"]), (412, &json!("Precondition failed")));
}

#[tokio::test]
async fn answers_are_kept_by_no_cache() {
    let made = ask("POST", "/v1/things", &[GOOD, JSON], "{\"name\":\"x\"}").await;
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let refused = ask("POST", "/v1/things", &[GOOD, JSON], "{}").await;
    assert_eq!((refused.status, refused.header("cache-control")), (400, Some("no-store")));
    let read = ask("GET", "/v1/things", &[GOOD], "").await;
    assert_eq!(read.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn listed_pages_see_answers_and_refusals() {
    for (path, headers) in
        [("/v1/things/x", &[GOOD][..]), ("/v1/things/x", &[]), ("/v1/nothing", &[])]
    {
        let headers = [headers, &[("origin", "https://app.example")]].concat();
        let answer = ask("GET", path, &headers, "").await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("https://app.example"),
            "{path}"
        );
        assert_eq!(answer.header("access-control-expose-headers"), Some("ETag"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let evil = ask("GET", "/v1/things/x", &[GOOD, ("origin", "https://evil.example")], "").await;
    assert_eq!(evil.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn faults_of_the_layers_are_worded_here() {
    let reply = vault().await.fault(Fault::Busy { retry_after: Duration::from_secs(2) });
    let body: Value = serde_json::from_slice(reply.body().bytes()).unwrap();
    assert_eq!(
        body,
        json!({ "status": 503, "message": "Service unavailable", "successful": false })
    );
    let header = |reply: &Reply, name: &str| {
        reply.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(header(&reply, "retry-after").as_deref(), Some("2"));
    assert_eq!(header(&reply, "x-content-type-options").as_deref(), Some("nosniff"));
    assert_eq!(header(&reply, "vary").as_deref(), Some("Origin"));
    for (origin, seen) in [("https://app.example", true), ("https://evil.example", false)] {
        let reply =
            vault().await.fault_for(Fault::Deadline, Some(&HeaderValue::from_static(origin)));
        assert_eq!(
            header(&reply, "access-control-allow-origin"),
            seen.then(|| origin.to_owned()),
            "{origin}"
        );
    }
}
