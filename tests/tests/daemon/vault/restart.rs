//! A daemon that ends and begins again with the same data: what survives, what must not, and what
//! is written meanwhile.

use std::fs;

use credsmith_tests::{
    CLIENT_SECRET, Daemon, Frame, Provider, Request, Session, SignIn, Site, Socket, eventually,
};
use serde_json::{Value, json};

use super::directory;
use super::world::{
    self, COMPANIES, TYPES, at, credential, data, field, operate, refused, type_with, values,
};
use crate::canaries::Canaries;
use crate::world::ready;

/// A vault with no plugin but the one that is always there; `[vault]` itself is still to come.
fn small(site: Site, op: &Provider) -> Site {
    world::signing_in(site, op)
        .role("admin", &["*"], Some("admins"), "")
        .section("companies", world::LIST)
}

fn keys(daemon: &Daemon) -> Value {
    daemon.ask(&Request::get("/.well-known/jwks.json")).expect(200).json()
}

#[test]
fn sessions_and_credentials_outlive_the_daemon_and_sign_ins_under_way_do_not() {
    let op = Provider::start();
    let site = small(Site::new(), &op).vault("refresh_grace = \"0s\"");
    let daemon = site.serve();
    let mut admin = Session::begin(daemon.address(), "alice");
    let (signed_out, robbed) =
        (Session::begin(daemon.address(), "user-1"), Session::begin(daemon.address(), "user-2"));
    signed_out.ask(Request::new("POST", "/v1/auth/logout")).expect(200);
    let mut renewed = robbed.clone();
    renewed.refresh();
    let me = data(&admin.get("/v1/user/@me").expect(200));
    let acme = admin.company("acme");
    let of = admin.make_type(&type_with("Lasting", "lasting.all", &["user", "secretWord"]));
    let id = admin.make_credential(&credential(
        "Kept",
        &of,
        &acme,
        &[("user", "u"), ("secretWord", "xyzzy")],
    ));
    let before = data(&admin.get(&at(&id, "")));
    let shown = keys(&daemon);
    let (waiting, under_way) = (SignIn::begin(daemon.address()), SignIn::begin(daemon.address()));
    let mut socket = Socket::open(daemon.address(), &waiting.key);
    let back = under_way.visit("user-3");

    daemon.terminate();
    assert_eq!(socket.frame().unwrap(), Frame::Close(1001), "it goes away");
    assert_eq!(daemon.ended().status.code(), Some(0));
    let daemon = site.serve();
    let here = |session: &Session| session.moved(daemon.address());
    admin = here(&admin);
    assert_eq!(data(&admin.get("/v1/user/@me").expect(200)), me);
    assert_eq!((admin.company("acme"), data(&admin.get(&at(&id, "")))), (acme, before));
    assert_eq!(data(&admin.get(&at(&id, "/secure-values"))), json!({ "secretWord": "xyzzy" }));
    assert_eq!(keys(&daemon), shown);
    admin.refresh();
    admin.get("/v1/user/@me").expect(200);
    // Neither what was ended nor what was spent is forgotten.
    refused(&here(&signed_out).get("/v1/user/@me"), 401);
    assert_eq!(here(&renewed).get("/v1/user/@me").status, 200);
    refused(&here(&robbed).try_refresh().unwrap(), 401);
    refused(&here(&renewed).get("/v1/user/@me"), 401);
    refused(&daemon.ask(&Request::get(back).header("Accept", "application/json")), 400);
    for begun in [&waiting, &under_way] {
        let answer = Socket::try_open(daemon.address(), &Socket::request(&begun.key)).unwrap_err();
        refused(&answer, 404);
    }

    // What was acknowledged is there after the worst of ends, too.
    admin
        .send("PUT", &at(&id, "/fields"), &json!({ "fields": values(&[("secretWord", "plugh")]) }))
        .expect(200);
    admin.refresh();
    daemon.kill();
    let site = small(site.anew(), &op).section("vault", "sign_ins_per_minute = 5");
    let daemon = site.serve();
    ready(&daemon);
    let mut admin = admin.moved(daemon.address());
    assert_eq!(data(&admin.get(&at(&id, "/secure-values"))), json!({ "secretWord": "plugh" }));
    admin.refresh();
    one_address_begins_so_many_sign_ins_and_no_more(&daemon, 5);
}

fn one_address_begins_so_many_sign_ins_and_no_more(daemon: &Daemon, most: usize) {
    let begin = || daemon.ask(&Request::get("/v1/auth/uri"));
    let begun: Vec<_> = (0..most).map(|_| begin().status).collect();
    assert_eq!(begun, vec![200; most]);
    let answer = begin();
    refused(&answer, 429);
    assert_eq!(answer.json()["message"], "Too many requests");
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60, "{answer:?}");
}

/// What the directory says of every company.
const CONFIGURATION: &str = "canary-configuration-93ab";

/// Uses everything there is, and remembers whatever of it must be written nowhere.
fn use_everything(daemon: &Daemon, canaries: &mut Canaries) {
    let begun = SignIn::begin(daemon.address());
    canaries.add("callback key", &begun.key);
    let back = begun.visit("alice");
    canaries.add("code", back.split(['=', '&']).nth(1).unwrap());
    let socket = Socket::open(daemon.address(), &begun.key);
    let asked = begun.question(&back);
    let token = asked.text();
    let (_, token) = token.split_once("name=\"token\" value=\"").unwrap();
    canaries.add("token of the page", token.split('"').next().unwrap());
    begun.answer(&back, &asked, "yes").expect(200);
    let mut admin = Session::of_tokens(daemon.address(), &socket.message()["data"]);
    let mut remember = |admin: &Session| {
        for token in [admin.access_token(), admin.refresh_token()] {
            canaries.add("token", token);
            // Payload and signature by themselves are as bad.
            canaries.add("signature of a token", token.rsplit('.').next().unwrap());
        }
    };
    remember(&admin);
    admin.refresh();
    remember(&admin);

    eventually("the company", || admin.get(&format!("{COMPANIES}/seven")).status == 200);
    let answer = admin.get(&format!("{COMPANIES}/7/configurations")).expect(200);
    assert!(answer.text().contains(CONFIGURATION));
    canaries.add("configuration", CONFIGURATION);
    let (plain, first, second) =
        ("canary-plain-0c3e", "canary-first-secret-5aa1", "canary-second-secret-77f0");
    for value in [plain, first, second] {
        canaries.add("value", value);
    }
    let of = admin.make_type(&type_with("Canaries", "canary.all", &["user", "secretWord", "late"]));
    let company = admin.company("seven");
    let body = credential(
        "Cage",
        &of,
        &company,
        &[("user", plain), ("secretWord", first), ("late", second)],
    );
    let id = admin.make_credential(&body);
    admin.get(&at(&id, "/secure-values")).expect(200);
    admin.get(&at(&id, "/fields")).expect(200);
    admin
        .send("PUT", &at(&id, "/fields"), &json!({ "fields": values(&[("secretWord", second)]) }))
        .expect(200);
    let sealed = [field("user", true), field("secretWord", true), field("late", true)];
    admin.send("PATCH", &format!("{TYPES}/{of}"), &json!({ "fields": sealed })).expect(200);
    admin.get(&at(&id, "/secure-values")).expect(200);
    for bad in [
        json!({ "fields": [{ "fieldId": "secretWord", "value": format!("{first}\u{0}") }] }),
        json!({ "fields": [{ "fieldId": plain, "value": first }], first: second }),
    ] {
        let answer = admin.send("PUT", &at(&id, "/fields"), &bad);
        refused(&answer, 400);
    }
    let login =
        data(&admin.get(&format!("{TYPES}/login")).expect(200))["id"].as_str().unwrap().to_owned();
    for user in ["trap", "undefined", "log", "alice"] {
        let body = credential(user, &login, &company, &[("userName", user), ("password", first)]);
        assert!(
            [201, 500].contains(&admin.send("POST", world::CREDENTIALS, &body).status),
            "{user}"
        );
    }
    for request in [
        Request::get(format!("/v1/user/@me?access_token={}", admin.access_token())),
        Request::get(format!("/v1/auth/redirect?code={first}&state={second}")),
        Request::get(format!("/v1/auth/socket?callbackKey={first}")),
        Request::get("/v1/user/@me").header("Authorization", admin.access_token()),
        Request::get("/v1/user/@me").bearer(admin.refresh_token()),
        Request::new("POST", "/v1/auth/refresh")
            .header("x-refresh-token", format!("{}x", admin.refresh_token())),
        Request::new("POST", TYPES).bearer(admin.access_token()).body(first),
    ] {
        assert!(daemon.ask(&request).status >= 400, "{request}");
    }
    admin.ask(Request::delete(at(&id, ""))).expect(200);
    for command in [&["vault", "deleted"][..], &["vault", "restore", &id], &["vault", "sync"]] {
        let output = operate(daemon, command);
        assert!(output.status.success(), "{output:?}");
        canaries.absent_from("an operator's command", &output.stdout);
    }
    admin.get(&at(&id, "/secure-values")).expect(200);
}

fn a_directory_that_is_down_delays_no_request(daemon: &Daemon) {
    let admin = Session::begin(daemon.address(), "alice");
    let answer = admin.get(&format!("{COMPANIES}/7/configurations"));
    refused(&answer, 502);
    assert_eq!(answer.json()["message"], "Directory unavailable");
    admin.get(&format!("{COMPANIES}/seven")).expect(200);
}

#[test]
fn nothing_secret_of_the_vault_is_written() {
    let op = Provider::start();
    let directory = directory::serve(
        directory::companies(&[(7, "seven", "Seven")], 1),
        |_| json!([{ "id": 1, "questions": [{ "question": "Password", "answer": CONFIGURATION }] }]),
    );
    let site = world::signing_in(Site::new(), &op)
        .section("log", "format = \"json\"\nlevel = \"trace\"")
        .vault("")
        .role("admin", &["*"], Some("admins"), "");
    let site = directory::asked_by(world::with_login(site), &directory);
    let daemon = site.serve();
    let mut canaries = Canaries::default();
    canaries.add("secret of the client", CLIENT_SECRET);
    canaries.add("key of the directory", directory::PRIVATE_KEY);
    let kek = fs::read_to_string(site.path().join("kek")).unwrap();
    canaries.add("key of all data", kek.split_whitespace().max_by_key(|word| word.len()).unwrap());
    use_everything(&daemon, &mut canaries);
    drop(directory);
    a_directory_that_is_down_delays_no_request(&daemon);
    for path in ["/healthz", "/readyz"] {
        canaries.absent_from(path, &daemon.admin(path).body);
    }
    let ended = daemon.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    canaries.absent_from("standard output", ended.stdout.as_bytes());
    canaries.absent_from("standard error", ended.stderr.as_bytes());
    assert!(canaries.absent_below(&site.data()) > 3, "there is data");
    assert!(ended.stderr.lines().count() > 30, "there is a log: {}", ended.stderr);
    for line in ended.stderr.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|event| event.is_object()), "{line}");
    }
}
