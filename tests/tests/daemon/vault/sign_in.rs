//! Signing in: how tokens reach a client at its socket, and the clients that must not get them.

use credsmith_tests::{Answer, CLIENT_ID, Frame, Provider, Request, Session, SignIn, Site, Socket};
use serde_json::{Value, json};

use super::world::{LIST, World, data, is_over, refused, signing_in};

/// What browsers say that they read.
const HTML: &str = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";

fn browse(world: &World, path: &str) -> Answer {
    world.daemon.ask(&Request::get(path).header("Accept", HTML))
}

/// The page that a browser ends at. It has nothing in it that a person who reads over a shoulder
/// could use.
fn page(answer: &Answer, status: u16, says: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{answer:?}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    let policy = answer.header("content-security-policy").unwrap();
    let nonce = policy.split_once("script-src 'nonce-").unwrap().1.split_once('\'').unwrap().0;
    let text = answer.text();
    assert!(
        nonce.len() >= 16 && text.contains(&format!("<script nonce=\"{nonce}\">")),
        "{answer:?}"
    );
    assert!(text.contains(says) && !text.contains("eyJ"), "{answer:?}");
}

fn open(world: &World, key: &str) -> Socket {
    Socket::open(world.daemon.address(), key)
}

fn not_opened(world: &World, request: &Request, status: u16) -> Answer {
    let answer = Socket::try_open(world.daemon.address(), request).unwrap_err();
    refused(&answer, status);
    answer
}

fn failure(message: &Value) -> String {
    assert_eq!(message["event"], "auth:error", "{message}");
    assert_eq!(message.as_object().unwrap().len(), 2, "{message}");
    assert_eq!(message["data"].as_object().unwrap().len(), 1, "{message}");
    message["data"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn only_the_waiting_client_gets_the_tokens() {
    let world = World::get();
    let begun = world.begin();
    assert!(
        begun.uri.contains("code_challenge_method=S256") && begun.uri.contains("nonce="),
        "{}",
        begun.uri
    );
    assert!(begun.uri.contains("prompt=select_account"), "{}", begun.uri);
    assert!(begun.uri.contains(&format!("state={}", begun.key)), "{}", begun.uri);
    let socket = open(&world, &begun.key);
    let back = begun.visit("user-100");
    // Even a browser that accepts JSON gets the question, and no tokens, when a client waits.
    let asked = begun.come_back(&back).unwrap();
    page(&asked, 200, "Yes, sign me in");
    page(&begun.answer(&back, &asked, "yes"), 200, "You are signed in.");
    let message = socket.message();
    let session = Session::of_tokens(world.daemon.address(), &message["data"]);
    assert_eq!(data(&session.get("/v1/user/@me").expect(200))["login"], "user-100");

    // The state is spent, and so is the key.
    page(&browse(&world, &back), 400, "used already");
    refused(&begun.come_back(&back).unwrap(), 400);
    not_opened(&world, &Socket::request(&begun.key), 404);
    session.get("/v1/user/@me").expect(200);
}

/// Attack: a foreign sign-in link. The attacker waits at the same address, and the user says no, or
/// nothing.
#[test]
fn a_foreign_sign_in_link_gives_nothing_without_a_yes() {
    let world = World::get();
    let begun = world.begin();
    let mut attacker = open(&world, &begun.key);
    let back = begun.visit("user-107");
    let asked = begun.question(&back);
    page(&asked, 200, "Yes, sign me in");
    for part in ["127.0.0.1", "ago", "user-107", "The code of this sign-in is"] {
        assert!(asked.text().contains(part), "{part}: {asked:?}");
    }
    assert!(!asked.text().contains(&begun.key), "{asked:?}");
    // Another site cannot answer for the user.
    let form = asked.text();
    let (_, token) = form.split_once("name=\"token\" value=\"").unwrap();
    let token = token.split('"').next().unwrap();
    for (name, value) in
        [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site"), ("Origin", "null")]
    {
        let forged = Request::new("POST", "/v1/auth/confirm")
            .header(name, value)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("token={token}&answer=yes"));
        page(&world.daemon.ask(&forged), 403, "Not signed in");
    }
    page(&begun.answer(&back, &asked, "no"), 200, "was not signed in");
    let Frame::Text(text) = attacker.frame().unwrap() else { panic!("no message") };
    assert!(!text.contains("user-107"), "{text}");
    failure(&serde_json::from_str(&text).unwrap());
    page(&begun.answer(&back, &asked, "yes"), 400, "answered already");
    not_opened(&world, &Socket::request(&begun.key), 404);
}

/// Attack: the answer of one provider passes for that of another, and none of them sends `iss`.
#[test]
fn each_provider_of_the_vault_but_the_first_has_a_redirect_uri_of_its_own() {
    let (op, other) = (Provider::start(), Provider::start());
    let site = signing_in(Site::new(), &op);
    let lines = format!("audience = [\"{CLIENT_ID}\"]\nscopes = [\"openid\", \"profile\"]");
    let site = site
        .provider_at("other", &other.issuer(), &lines)
        .vault("providers = [\"op\", \"other\"]")
        .section("companies", LIST);
    let daemon = site.serve();
    let at = daemon.address();
    let [first, second] = [SignIn::begin(at), SignIn::begin_at(at, Some("other"))];
    assert!(!first.uri.contains("redirect%2F"), "{}", first.uri);
    assert!(second.uri.contains("%2Fv1%2Fauth%2Fredirect%2Fother&"), "{}", second.uri);
    let mixed_up = first.visit("alice").replacen("redirect?", "redirect/other?", 1);
    page(&first.question(&mixed_up), 401, "Not signed in");
}

#[test]
fn a_browser_that_is_faster_than_its_client_loses_nothing() {
    let world = World::get();
    let begun = world.begin();
    page(&begun.browse(&begun.visit("user-101")), 200, "You are signed in.");
    let message = open(&world, &begun.key).message();
    assert_eq!(message["event"], "auth:callback");
    Session::of_tokens(world.daemon.address(), &message["data"]).get("/v1/user/@me").expect(200);
    not_opened(&world, &Socket::request(&begun.key), 404);
}

#[test]
fn a_client_without_a_socket_asks_for_json() {
    let world = World::get();
    let begun = world.begin();
    let back = begun.visit("user-102");
    // A scanner that checks links before a user follows them does not consume the sign-in.
    refused_head(&world, &back);
    let answer = begun.come_back(&back).unwrap().expect(200);
    assert_eq!(
        (answer.json()["message"].as_str(), answer.header("cache-control")),
        (Some("Signed in."), Some("no-store"))
    );
    let tokens = data(&answer);
    assert_eq!(tokens.as_object().unwrap().len(), 2, "{tokens}");
    Session::of_tokens(world.daemon.address(), &tokens).get("/v1/user/@me").expect(200);
    let again = begun.come_back(&back).unwrap();
    refused(&again, 400);
    not_opened(&world, &Socket::request(&begun.key), 404);
}

fn refused_head(world: &World, path: &str) {
    let answer = world.daemon.ask(&Request::new("HEAD", path));
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, OPTIONS")));
}

#[test]
fn sockets_that_are_not_opened() {
    let world = World::get();
    let begun = world.begin();
    let good = Socket::request(&begun.key);
    let plain = |key: &str| Request::get(format!("/v1/auth/socket?callbackKey={key}"));
    for unknown in [
        "",
        "x",
        "ck0123456789abcdef0123456789abcdef",
        &begun.key[..33],
        &format!("{}0", begun.key),
    ] {
        not_opened(&world, &Socket::request(unknown), 404);
        not_opened(&world, &plain(unknown), 404);
    }
    not_opened(&world, &Request::get("/v1/auth/socket"), 404);
    let answer = not_opened(&world, &plain(&begun.key), 426);
    assert_eq!(answer.header("upgrade"), Some("websocket"), "{answer:?}");
    assert_eq!(answer.header("sec-websocket-version"), Some("13"), "{answer:?}");
    assert_eq!(answer.json()["message"], "Upgrade required");
    for origin in
        ["https://evil.example", "null", "http://localhost:7080.evil.example", "http://localhost"]
    {
        let answer = not_opened(&world, &good.clone().header("Origin", origin), 403);
        assert_eq!(answer.json()["message"], "Insufficient permissions");
    }
    let crooked = plain(&begun.key).header("Connection", "Upgrade").header("Upgrade", "websocket");
    not_opened(
        &world,
        &crooked.clone().header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "short"),
        400,
    );
    not_opened(&world, &crooked.header("Sec-WebSocket-Version", "8"), 426);

    // None of that spoiled the key, and a page of our own may use it. A second one may not.
    let first = Socket::try_open(
        world.daemon.address(),
        &good.clone().header("Origin", "http://localhost:7080"),
    )
    .unwrap();
    let answer = not_opened(&world, &good, 409);
    assert_eq!(answer.json()["message"], "Conflict");
    page(&begun.browse(&begun.visit("user-103")), 200, "You are signed in.");
    assert_eq!(first.message()["event"], "auth:callback");
}

#[test]
fn a_client_that_talks_too_much_is_hung_up_on_and_may_come_again() {
    let world = World::get();
    let begun = world.begin();
    let mut chatty = open(&world, &begun.key);
    chatty.say("what a client says does not matter");
    chatty.say(&"x".repeat(126));
    let last = chatty.frame();
    assert!(matches!(last, Ok(Frame::Close(1009)) | Err(_)), "{last:?}");
    drop(chatty);
    credsmith_tests::eventually("the place to be free", || {
        Socket::try_open(world.daemon.address(), &Socket::request(&begun.key)).is_ok()
    });
}

#[test]
fn a_sign_in_that_fails_is_reported_to_the_waiting_client_and_gives_no_tokens() {
    let world = World::get();
    let denied =
        |begun: &SignIn| format!("/v1/auth/redirect?error=access_denied&state={}", begun.key);
    let elsewhere = |begun: &SignIn| {
        let back = begun.visit("user-104");
        let (before, _) = back.split_once("&iss=").expect("the provider says who it is");
        format!("{before}&iss=https%3A%2F%2Fevil.example")
    };
    let of_another = |begun: &SignIn| {
        let other = world.begin();
        other.visit("user-104").replace(&other.key, &begun.key)
    };
    let without_code = |begun: &SignIn| format!("/v1/auth/redirect?state={}", begun.key);
    let made_up = |begun: &SignIn| format!("/v1/auth/redirect?code=x&state={}", begun.key);
    let attacks: [&dyn Fn(&SignIn) -> String; 5] =
        [&denied, &elsewhere, &of_another, &without_code, &made_up];
    for attack in attacks {
        let begun = world.begin();
        let (waiting, path) = (open(&world, &begun.key), attack(&begun));
        page(&browse(&world, &path), 401, "Not signed in");
        let message = failure(&waiting.message());
        assert!(!message.is_empty() && !message.contains(&begun.key), "{message}");
        // And good for no second attempt.
        page(&browse(&world, &begun.visit("user-104")), 400, "please begin again there.");

        let begun = world.begin();
        let answer = begun.come_back(&attack(&begun)).unwrap();
        refused(&answer, 401);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        assert!(!failure(&open(&world, &begun.key).message()).is_empty());
        not_opened(&world, &Socket::request(&begun.key), 404);
    }
}

#[test]
fn a_way_back_that_leads_nowhere() {
    let world = World::get();
    for query in [
        "",
        "?code=x",
        "?state=",
        "?state=x&code=y",
        "?state=ck0123456789abcdef0123456789abcdef&code=y",
    ] {
        page(&browse(&world, &format!("/v1/auth/redirect{query}")), 400, "Not signed in");
    }
    let begun = world.begin();
    // Two values: different parsers could read either of them.
    page(&browse(&world, &format!("{}&state=x", begun.visit("user-105"))), 400, "Not signed in");
    let hostile = "/v1/auth/redirect?error=%3Cscript%3Ealert(1)%3C%2Fscript%3E&error_description=%3Cscript%3E&state=%3Cb%3E";
    let answer = browse(&world, hostile);
    page(&answer, 400, "Not signed in");
    assert!(!answer.text().contains("<b>") && !answer.text().contains("alert"), "{answer:?}");
}

#[test]
fn sign_ins_begin_at_a_provider_of_ones_choice() {
    let world = World::get();
    let chosen = SignIn::begin_at(world.daemon.address(), Some("op"));
    assert!(chosen.uri.starts_with(&world.op.issuer()), "{}", chosen.uri);
    for unknown in ["unknown", "", "OP", "a%20b", "op&provider=op"] {
        let answer = world.daemon.ask(&Request::get(format!("/v1/auth/uri?provider={unknown}")));
        assert!(refused(&answer, 400)[0].starts_with("provider: "), "{unknown}: {answer:?}");
    }
    // Links come from the configuration, whatever a client says that we are called.
    let forged = Request::get("/v1/auth/uri")
        .host(Some("evil.example"))
        .header("Forwarded", "host=evil.example");
    let uri = data(&world.daemon.ask(&forged).expect(200))["uri"].as_str().unwrap().to_owned();
    assert!(
        uri.contains("redirect_uri=http%3A%2F%2Flocalhost%3A7080%2Fv1%2Fauth%2Fredirect"),
        "{uri}"
    );
}

#[test]
fn a_suspended_user_who_signed_in_gets_no_tokens_at_the_socket() {
    let world = World::get();
    let session = world.sign_in("user-106");
    let id = data(&session.get("/v1/user/@me"))["id"].as_str().unwrap().to_owned();
    let (signed_in, under_way) = (world.begin(), world.begin());
    page(&signed_in.browse(&signed_in.visit("user-106")), 200, "You are signed in.");
    let waiting = open(&world, &under_way.key);
    world
        .admin
        .send("PATCH", &format!("/v1/user/users/{id}"), &json!({ "suspended": true }))
        .expect(200);
    is_over(&session);
    assert!(!failure(&open(&world, &signed_in.key).message()).is_empty());
    page(&browse(&world, &under_way.visit("user-106")), 401, "Not signed in");
    assert!(!failure(&waiting.message()).is_empty());
}
