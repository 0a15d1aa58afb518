//! The WaTTS dialect where the recordings are silent: methods, headers, limits, two users at once.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use credsmith_dev_provider::TokenSpec;
use credsmith_tests::{Answer, Connection, Daemon, Provider, Request, Site, eventually, wait_for};
use serde_json::{Value, json};

use crate::world::{World, ready};

const MALFORMED: &str = "Bad request, please check all parameter";
const UNAUTHENTICATED: &str = "Authorization failed, please check the access token";
const LIST: &str = "/api/v2/op/credential";

fn has_no_cors(answer: &Answer) -> bool {
    !answer.headers.iter().any(|(name, _)| name.starts_with("access-control-"))
}

#[test]
fn methods() {
    let world = World::get();
    let alice = world.user("alice");
    for method in ["PUT", "PATCH", "TRACE", "PROPFIND", "get", "X"] {
        for path in ["/api/v2/oidcp", LIST, "/", "/elsewhere"] {
            let answer = world.ask(&Request::new(method, path));
            answer.refusal(405);
            assert_eq!(
                answer.header("allow"),
                Some("GET, HEAD, POST, DELETE, OPTIONS"),
                "{method} {path}"
            );
        }
    }
    for path in ["/api/v2/oidcp", LIST, "/api/v9/x"] {
        let answer =
            world.ask(&Request::new("OPTIONS", path).header("Origin", "https://evil.example"));
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, DELETE, OPTIONS"));
        assert!(has_no_cors(&answer), "{answer:?}");
    }
    let head = alice.ask(Request::new("HEAD", "/api/v2/op/service"));
    let get = alice.ask(Request::get("/api/v2/op/service"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-type"), get.header("content-type"));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    // Methods that are known, in places where they make no sense.
    for request in [
        Request::delete("/api/v2/oidcp"),
        Request::delete(LIST),
        Request::delete("/api/v2/op/service"),
        Request::new("POST", "/api/v2/oidcp"),
        Request::post("/api/v2/op/service", &json!({})),
        Request::post("/api/v2/op/credential/x", &json!({ "service_id": "py" })),
        Request::get("/api/v2/op/credential/x"),
        Request::get("/api/v2/op/credential_data"),
    ] {
        assert_eq!(alice.ask(request.clone()).refusal(400), MALFORMED, "{request}");
    }
}

#[test]
fn a_head_leaves_what_can_be_read_once() {
    let world = World::get();
    let user = world.user("user-10");
    let path = user.issue("py", json!({}));
    for _ in 0..2 {
        let head = user.ask(Request::new("HEAD", path.as_str()));
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
    let (id, _) = user.fetch(&path);
    for method in ["HEAD", "GET"] {
        assert_eq!(user.ask(Request::new(method, path.as_str())).status, 404, "{method}");
    }
    user.revoke(&id).expect(200);
}

#[test]
fn data_is_for_the_one_who_asked_and_for_one_reading() {
    let world = World::get();
    let (owner, other) = (world.user("user-11"), world.user("user-12"));
    let path = owner.issue("py", json!({}));
    other.ask(Request::get(path.as_str())).refusal(404);
    world.ask(&Request::get(path.as_str())).refusal(401);
    // The same name at another provider is another person.
    let namesake = world.lax.token("user-11");
    let elsewhere = path.replace("/op/", "/lax/");
    world.ask(&Request::get(elsewhere.as_str()).bearer(&namesake)).refusal(404);

    // Many readers at once: one gets it.
    let answers: Vec<u16> = thread::scope(|scope| {
        let readers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| owner.ask(Request::get(path.as_str())).status)).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 404).count(), 7, "{answers:?}");
    other.revoke(&owner.credentials()[0]).refusal(404);
    owner.revoke(&owner.credentials()[0]).expect(200);
}

#[test]
fn content_types_of_a_request() {
    let world = World::get();
    let user = world.user("user-13");
    let body = json!({ "service_id": "nosuch" }).to_string();
    let post = |content_type: &[&str]| {
        let request = Request::new("POST", LIST).body(body.as_bytes());
        let request = content_type
            .iter()
            .fold(request, |request, value| request.header("Content-Type", *value));
        user.ask(request).refusal(400)
    };
    for good in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"utf-8\"",
        " application/json ;q=1",
    ] {
        assert!(post(&[good]).contains("disabled or does not exist"), "{good}");
    }
    for bad in
        ["text/plain", "application/jsonx", "application/x-www-form-urlencoded", "garbage", ""]
    {
        assert_eq!(post(&[bad]), MALFORMED, "{bad}");
    }
    assert_eq!(post(&[]), MALFORMED);
    // A client of the original repeats the type on the GET that it is redirected to.
    user.ask(Request::get(LIST).header("Content-Type", "application/json")).expect(200);
    assert_eq!(
        user.ask(Request::get(LIST).header("Content-Type", "garbage")).refusal(400),
        MALFORMED
    );
}

#[test]
fn bodies_of_a_request() {
    let world = World::get();
    let user = world.user("user-14");
    let post = |body: &str| {
        let request = Request::new("POST", LIST).header("Content-Type", "application/json");
        user.ask(request.body(body)).refusal(400)
    };
    for bad in [
        "",
        "{",
        "[]",
        "null",
        "\"py\"",
        "{}",
        r#"{"service_id":5}"#,
        r#"{"service":"py"}"#,
        r#"{"service_id":"py","service_id":"py"}"#,
        r#"{"service_id":"py","params":{"may":"1","may":"2"}}"#,
        r#"{"service_id":"py","params":{"may":"1","m\u0061y":"2"}}"#,
        "{\"service_id\":\"\u{fffd}",
    ] {
        assert_eq!(post(bad), MALFORMED, "{bad}");
    }
    assert!(post("\u{feff}{\"service_id\":\"py\"}").contains("byte order mark"));
    let latin = Request::new("POST", LIST).header("Content-Type", "application/json");
    let latin = user.ask(latin.body(&b"{\"service_id\":\"p\xff\"}"[..])).refusal(400);
    assert!(latin.contains("not UTF-8"), "{latin}");
    let nested = format!(
        "{{\"service_id\":\"py\",\"params\":{}{}}}",
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    assert_eq!(post(&nested), MALFORMED);
    for (parameters, why) in [
        ("5", "params"),
        ("[]", "params"),
        (r#"{"unknown":"x"}"#, "parameter"),
        (r#"{"may":"x"}"#, "parameter"),
        (r#"{"must":"x","behave":"y"}"#, "parameter"),
    ] {
        let message = post(&format!("{{\"service_id\":\"py\",\"params\":{parameters}}}"));
        assert!(message.contains(why), "{parameters}: {message}");
    }
    // What follows the value is ignored, as it always was; so is a body that no route reads, unless
    // it is JSON.
    let message = post("{\"service_id\":\"nosuch\"} and more");
    assert!(message.contains("does not exist"), "{message}");
    user.ask(Request::get(LIST).body("hello")).expect(200);
    assert_eq!(user.ask(Request::get(LIST).body("{}")).refusal(400), MALFORMED);
}

#[test]
fn sizes_of_a_request() {
    let world = World::get();
    let user = world.user("user-15");
    let sized = |size: usize| {
        let empty = json!({ "service_id": "nosuch", "x": "" }).to_string();
        let body =
            json!({ "service_id": "nosuch", "x": "y".repeat(size - empty.len()) }).to_string();
        assert_eq!(body.len(), size);
        user.ask(Request::new("POST", LIST).header("Content-Type", "application/json").body(body))
    };
    assert!(sized(64 * 1024).refusal(400).contains("does not exist"));
    sized(64 * 1024 + 1).refusal(413);
    sized(1 << 20).refusal(413);
    // Announced, and not sent at all.
    let mut connection = Connection::open(world.daemon.address()).unwrap();
    let head = format!(
        "POST {LIST} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n",
        user.token
    );
    connection.send(head.as_bytes()).unwrap();
    connection.answer(false).unwrap().refusal(413);

    // A token of 12 KiB is one that some providers make.
    let long = Request::get(LIST).bearer(&"a".repeat(12 * 1024));
    assert_eq!(world.ask(&long).refusal(401), UNAUTHENTICATED);
    world.ask(&Request::get(LIST).bearer(&"a".repeat(17 * 1024))).refusal(431);
    world.ask(&Request::get(LIST).header("X-Filler", "a".repeat(17 * 1024))).refusal(431);
    world.ask(&Request::get(format!("/api/v2/{}/service", "a".repeat(17 * 1024)))).refusal(431);
    let many = (0..90)
        .fold(Request::get("/api/v2/oidcp"), |request, n| request.header(format!("X-{n}"), "1"));
    world.ask(&many).expect(200);
}

#[test]
fn accept_and_preconditions() {
    let world = World::get();
    let user = world.user("user-16");
    for (accept, status) in [
        ("application/json", 200),
        ("*/*", 200),
        ("*", 200),
        ("*;q=.2", 200),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", 200),
        ("text/html, *; q=0", 406),
        ("application/*;q=0.1", 200),
        ("text/html, application/json;q=0.5", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("text/html, */*;q=0", 406),
        ("nonsense", 400),
        ("application/json;q=x", 400),
    ] {
        let answer = user.ask(Request::get(LIST).header("Accept", accept));
        assert_eq!(answer.status, status, "{accept}");
        if status != 200 {
            answer.refusal(status);
        }
    }
    // Who asks is looked at before what they accept.
    world.ask(&Request::get(LIST).header("Accept", "text/html")).refusal(401);

    for (name, value, read, write) in [
        ("If-Match", "\"x\"", 412, 412),
        ("If-None-Match", "\"x\"", 412, 412),
        ("If-None-Match", "*", 304, 412),
        ("If-Match", "*", 200, 200),
    ] {
        let answer = user.ask(Request::get(LIST).header(name, value));
        assert_eq!(answer.status, read, "{name}: {value}");
        let (id, _) = user.fetch(&user.issue("py", json!({})));
        let delete = Request::delete(format!("{LIST}/{id}")).header(name, value);
        assert_eq!(user.ask(delete).status, write, "{name}: {value}");
        assert_eq!(
            user.credentials().contains(&id),
            write != 200,
            "a condition that fails stops the action"
        );
        let body = json!({ "service_id": "py" });
        let post = user.ask(Request::post(LIST, &body).header(name, value));
        assert_eq!(post.status, if write == 200 { 303 } else { 412 }, "{name}: {value}");
        user.credentials().iter().for_each(|id| drop(user.revoke(id).expect(200)));
    }
}

#[test]
fn spellings_of_a_token() {
    let world = World::get();
    let user = world.user("user-17");
    let good = format!("Bearer {}", user.token);
    let with = |values: &[&str]| {
        let request = values
            .iter()
            .fold(Request::get(LIST), |request, value| request.header("Authorization", *value));
        world.ask(&request)
    };
    with(&[&good]).expect(200);
    world.ask(&Request::get(LIST).header("aUtHoRiZaTiOn", good.as_str())).expect(200);
    for scheme in ["bearer ", "BEARER ", "bEaReR ", "Bearer  ", "Bearer     "] {
        with(&[&format!("{scheme}{}", user.token)]).expect(200);
    }
    for wrong in [
        &["Bearer"][..],
        &["Bearer "],
        &[&good.replace(' ', "\t")],
        &[&user.token],
        &["Basic dXNlcjpwYXNz"],
        &[&good, &good],
        &[&good, "Bearer other"],
        &[&format!("{good}, {good}")],
        &[&format!("{good} x")],
        &["Bearer a\u{e9}b"],
    ] {
        let answer = with(wrong);
        let message = answer.refusal(401);
        assert!(message == "bad_token" || message == UNAUTHENTICATED, "{wrong:?}: {message}");
        assert_eq!(answer.header("www-authenticate"), Some("authorization"));
    }
    // In the wrong place.
    world.ask(&Request::get(format!("{LIST}?access_token={}", user.token))).refusal(401);
    world
        .ask(&Request::get(LIST).header("Cookie", format!("watts_session={}", user.token)))
        .refusal(401);
    // Malformed comes before unauthenticated, which comes before not found.
    world.ask(&Request::get("/api/v2/op/credential/x")).refusal(400);
    world.ask(&Request::delete("/api/v2/op/credential/x")).refusal(401);
    user.ask(Request::delete("/api/v2/op/credential/x")).refusal(404);
    // A token is no web session.
    user.ask(Request::get("/api/v2/access_token")).refusal(401);
}

/// A provider that cannot be reached says nothing about the token: 503, and when to try again.
#[test]
fn a_provider_that_cannot_be_reached_is_503_with_retry_after() {
    let (mut op, _site, daemon) = small(Site::new());
    let (seen, new) = (op.token("user-1"), op.token("user-2"));
    let ask = |token: &str| daemon.ask(&Request::get(LIST).bearer(token));
    ask(&seen).expect(200);
    op.go_down();
    let answer = ask(&new);
    assert!(answer.refusal(503).contains("cannot be reached"), "{answer:?}");
    assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    assert_eq!(answer.header("www-authenticate"), None);
    ask(&seen).expect(200);
    op.up();
    ask(&new).expect(200);
}

/// A token that cannot be for us from this provider may be good elsewhere: it is not shown to it.
#[test]
fn a_foreign_jwt_is_refused_before_the_provider_is_asked() {
    let (op, _site, daemon) = small(Site::new());
    let before = op.asked();
    for (what, token) in [
        (
            "`iss` is https://other.example",
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL290aGVyLmV4YW1wbGUifQ.c2ln",
        ),
        (
            "`aud` is another-service",
            "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJhbm90aGVyLXNlcnZpY2UifQ.c2ln",
        ),
        (
            "a refresh token of the vault",
            "eyJhbGciOiJFZERTQSIsInR5cCI6InJ0K2p3dCJ9.eyJzaWQiOiJzIiwiZXhwIjo0MDAwMDAwMDAwfQ.c2ln",
        ),
    ] {
        let answer = daemon.ask(&Request::get(LIST).bearer(token));
        assert_eq!(answer.refusal(401), UNAUTHENTICATED, "{what}");
    }
    assert_eq!(op.asked(), before, "the provider was asked");
    daemon.ask(&Request::get(LIST).bearer("opaque")).refusal(401);
    assert!(op.asked() > before);
}

#[test]
fn the_last_provider_has_priority_0() {
    let world = World::get();
    let list = world.ask(&Request::get("/api/v2/oidcp")).json()["openid_provider_list"].clone();
    let priority = |id: &str| {
        let found = list.as_array().unwrap().iter().find(|provider| provider["id"] == id);
        found.unwrap()["priority"].clone()
    };
    assert_eq!((priority("op"), priority("lax")), (json!(1), json!(0)));
}

/// What makes a token a special one.
type Change = fn(&mut TokenSpec);

#[test]
fn tokens_count_for_their_provider_audience_and_life() {
    let world = World::get();
    let ask = |provider: &str, token: &str| {
        world.ask(&Request::get(format!("/api/v2/{provider}/credential")).bearer(token)).status
    };
    let of = |provider: &Provider, change: Change| provider.token_like("user-18", change);
    let cases: [(&str, Change, u16, u16); 6] = [
        ("as it should be", |_| (), 200, 200),
        ("for another", |spec| spec.audience = vec!["other".into()], 401, 200),
        ("for us and another", |spec| spec.audience.push("other".into()), 200, 200),
        ("without an audience", |spec| spec.audience.clear(), 401, 200),
        ("ended", |spec| spec.lifetime = Duration::ZERO, 401, 401),
        ("without openid", |spec| spec.scopes = vec!["email".into()], 401, 401),
    ];
    for (what, change, strict, lax) in cases {
        assert_eq!(ask("op", &of(&world.op, change)), strict, "{what}, at the strict provider");
        assert_eq!(ask("lax", &of(&world.lax, change)), lax, "{what}, at the lax provider");
    }
    assert_eq!(ask("lax", &of(&world.op, |_| ())), 401, "a token of another provider");
    let revoked = of(&world.op, |_| ());
    world.op.revoke(&revoked);
    assert_eq!(ask("op", &revoked), 401);
}

#[test]
fn an_issuer_that_is_not_configured_is_not_dialled() {
    let world = World::get();
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let token = world.op.token("user-19");
    let issuer = format!("https://{}", trap.local_addr().unwrap());
    let escaped = issuer.replace(':', "%3A").replace('/', "%2F");
    for request in [
        Request::get(format!("/api/v2/{escaped}/service")),
        Request::get("/api/v1/service").header("X-OpenId-Connect-Issuer", issuer.as_str()),
        Request::get("/api/v1/service")
            .header("X-OpenId-Connect-Issuer", format!("{issuer}/").as_str()),
    ] {
        assert_eq!(world.ask(&request.bearer(&token)).refusal(401), UNAUTHENTICATED);
    }
    let twice = Request::get("/api/v1/service").bearer(&token);
    let twice =
        twice.header("X-OpenId-Connect-Issuer", "op").header("X-OpenId-Connect-Issuer", "op");
    assert_eq!(world.ask(&twice).refusal(400), MALFORMED);
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it was dialled");
}

#[test]
fn what_a_plugin_says_and_does() {
    let world = World::get();
    let user = world.user("user-20");
    let behave = |how: &str| user.post("py", json!({ "behave": how })).refusal(400);
    assert_eq!(behave("error"), "sorry, the plugin says no");
    assert_eq!(behave("oidc_login"), "login is required, please use the web interface");
    let generic = behave("bad_json");
    for how in ["oidc_login_bad", "bad_result", "exit1", "unknown_result"] {
        assert_eq!(behave(how), generic, "{how}");
    }
    for broken in ["broken", "nosuch", "", "PY", "../py"] {
        let message = user.post(broken, json!({})).refusal(400);
        assert_eq!(message, "The service is disabled or does not exist.", "{broken}");
    }
    for how in ["loop", "sleep"] {
        let answer = user.post("hostile", json!({ "how": how }));
        let message = answer.refusal(504);
        assert!(message.contains("in time"), "{message}");
    }
    let same = |_| user.post("py", json!({ "behave": "same_state" })).status;
    assert_eq!([0, 1].map(same), [303, 400], "a state that is in use");

    let (id, _) = user.fetch(&user.issue("py", json!({ "behave": "revoke_fails" })));
    assert_eq!(user.revoke(&id).refusal(500), "can not revoke this");
    assert!(user.credentials().contains(&id), "it is kept");
    assert_eq!(user.revoke(&id).refusal(500), "can not revoke this");
}

#[test]
fn rules_decide_who_sees_and_who_gets() {
    let world = World::get();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    assert_eq!(alice.service("admins").unwrap()["authorized"], true);
    assert_eq!(bob.service("admins").unwrap()["authorized"], false);
    assert!(alice.service("hidden").is_some() && bob.service("hidden").is_none());
    assert_eq!(alice.service("broken").unwrap()["enabled"], false);
    for service in ["admins", "hidden"] {
        bob.post(service, json!({})).refusal(400);
        let (id, _) = alice.fetch(&alice.issue(service, json!({})));
        alice.revoke(&id).expect(200);
    }
}

#[test]
fn two_users_at_once_do_not_meet() {
    let world = World::get();
    thread::scope(|scope| {
        for name in ["user-21", "user-22", "user-23", "user-24"] {
            let world = &world;
            scope.spawn(move || {
                let user = world.user(name);
                for _ in 0..5 {
                    let (id, entries) = user.fetch(&user.issue("py", json!({ "must": name })));
                    let input: Value =
                        serde_json::from_str(entries[2]["value"].as_str().unwrap()).unwrap();
                    assert_eq!(input["user_info"]["sub"], name);
                    assert_eq!(input["params"]["must"], name);
                    assert_eq!(user.credentials(), [id.as_str()]);
                    user.revoke(&id).expect(200);
                }
                assert_eq!(user.credentials(), [] as [&str; 0]);
            });
        }
    });
}

#[test]
fn two_hundred_requests_at_a_limit_of_three() {
    let world = World::get();
    let user = world.user("user-25");
    for _ in 0..2 {
        let answers: Vec<Answer> = thread::scope(|scope| {
            let requests: Vec<_> =
                (0..200).map(|_| scope.spawn(|| user.post("three", json!({})))).collect();
            requests.into_iter().map(|request| request.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|answer| answer.status == 303).count(), 3);
        for refused in answers.iter().filter(|answer| answer.status != 303) {
            assert!(
                refused.refusal(400).starts_with("You have as many credentials"),
                "{refused:?}"
            );
        }
        let service = user.service("three").unwrap();
        assert_eq!((&service["cred_count"], &service["limit_reached"]), (&json!(3), &json!(true)));
        let ids = user.credentials();
        assert_eq!(ids.len(), 3);
        ids.iter().for_each(|id| drop(user.revoke(id).expect(200)));
        assert_eq!(user.service("three").unwrap()["cred_count"], 0);
    }
}

#[test]
fn a_full_queue_is_busy() {
    let world = World::get();
    world.gate.close();
    let users: Vec<_> = (30..36).map(|n| world.user(&format!("user-{n}"))).collect();
    let before = world.target.received().len();
    let answers: Vec<Answer> = thread::scope(|scope| {
        let first = scope.spawn(|| users[0].post("remote", json!({})));
        eventually("the first call", || world.target.received().len() == before + 1);
        // One waits for its turn; for four there is no room.
        let others: Vec<_> =
            users[1..].iter().map(|user| scope.spawn(|| user.post("remote", json!({})))).collect();
        eventually("those for whom there is no room", || {
            others.iter().filter(|request| request.is_finished()).count() == 4
        });
        // Another service is not held up.
        world.user("user-36").issue("py", json!({}));
        world.gate.open();
        std::iter::once(first).chain(others).map(|request| request.join().unwrap()).collect()
    });
    let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert_eq!(
        (busy.len(), answers.iter().filter(|answer| answer.status == 303).count()),
        (4, 2),
        "{answers:?}"
    );
    for answer in busy {
        answer.refusal(503);
        let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(seconds >= 1);
    }
}

/// A daemon with one provider and one service.
fn small(site: Site) -> (Provider, Site, Daemon) {
    let op = Provider::start();
    let site = site.provider("op", &op).service("unique", "unique", "");
    let daemon = site.serve();
    ready(&daemon);
    (op, site, daemon)
}

#[test]
fn more_requests_than_may_be_in_work_are_busy() {
    let (op, _site, daemon) = small(Site::new().server("requests_in_work = 2"));
    let (one, other) = (op.token("user-1"), op.token("user-2"));
    op.hold();
    let ask = |token: &str| daemon.ask(&Request::get(LIST).bearer(token));
    thread::scope(|scope| {
        let held = [scope.spawn(|| ask(&one)), scope.spawn(|| ask(&other))];
        let open = || daemon.ask(&Request::get("/api/v2/oidcp"));
        let busy = wait_for("both places to be taken", || {
            Some(open()).filter(|answer| answer.status == 503)
        });
        busy.refusal(503);
        assert!(busy.header("retry-after").is_some(), "{busy:?}");
        // Operators are not held up by clients.
        assert_eq!(daemon.admin("/readyz").status, 200);
        op.go_on();
        held.into_iter().for_each(|request| drop(request.join().unwrap().expect(200)));
        open().expect(200);
    });
}

#[test]
fn clients_that_do_not_send_their_bodies_do_not_block_others() {
    let (op, _site, daemon) = small(Site::new().server("requests_in_work = 2"));
    let head = format!(
        "POST {LIST} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{{",
        op.token("alice")
    );
    let stalled = || {
        let mut connection = Connection::open(daemon.address()).unwrap();
        connection.send(head.as_bytes()).unwrap();
        connection
    };
    let mut connections: Vec<_> = (0..20).map(|_| stalled()).collect();
    // The first of these may meet a client that has just come and not begun to wait.
    let answered =
        (0..20).filter(|_| daemon.ask(&Request::get("/api/v2/oidcp")).status == 200).count();
    assert!(answered > 10, "{answered} of 20");
    let first = &mut connections[0];
    first.send(b"         ").unwrap();
    first.answer(false).unwrap().refusal(400);
}

#[test]
fn the_public_url_is_where_locations_point() {
    let (op, _site, daemon) = small(Site::new().public_url("https://portal.example/creds/"));
    let token = op.token("alice");
    let body = json!({ "service_id": "unique" });
    let answer = daemon
        .ask(&Request::post(LIST, &body).bearer(&token).host(Some("evil.example")))
        .expect(303);
    let location = answer.header("location").unwrap();
    let id = location
        .strip_prefix("https://portal.example/creds/api/v2/op/credential_data/")
        .unwrap_or_else(|| panic!("{location}"));
    assert_eq!(id.len(), 22);
    let answer =
        daemon.ask(&Request::post("/api/v1/op/credential", &body).bearer(&token)).expect(303);
    assert!(
        answer
            .header("location")
            .unwrap()
            .starts_with("https://portal.example/creds/api/v1/credential_data/")
    );
    assert_eq!(daemon.ask(&Request::get("/api/v2/info")).json()["redirect_path"], "/creds/oidc");
}

#[test]
fn a_connection_carries_many_requests_and_ends_at_nonsense() {
    let world = World::get();
    let mut connection = Connection::open(world.daemon.address()).unwrap();
    let pipelined = [
        Request::get("/api/v2/oidcp"),
        Request::new("HEAD", "/api/v2/info"),
        Request::get("/nowhere"),
    ];
    pipelined.iter().for_each(|request| connection.send(&request.bytes()).unwrap());
    assert_eq!(connection.answer(false).unwrap().status, 200);
    assert_eq!(connection.answer(true).unwrap().status, 200);
    connection.answer(false).unwrap().refusal(404);
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"hello\r\n\r\n",
        b"POST /api/v2/op/credential HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        b"POST /api/v2/op/credential HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 3\r\n\r\n{}x",
        b"POST /api/v2/op/credential HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ] {
        let mut connection = Connection::open(world.daemon.address()).unwrap();
        connection.send(nonsense).unwrap();
        let rest = String::from_utf8_lossy(&connection.rest().unwrap()).into_owned();
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{rest}");
        assert!(rest.is_empty() || rest.ends_with("\r\n\r\n"), "it has a body: {rest}");
    }
    world.ask(&Request::get("/api/v2/oidcp").host(None)).refusal(400);
    let smuggled =
        Request::get("/api/v2/oidcp").header("Transfer-Encoding", "chunked").body("0\r\n\r\n");
    let answer = smuggled.send(world.daemon.address());
    assert!(matches!(answer.status, 200 | 400), "{answer:?}");
}
