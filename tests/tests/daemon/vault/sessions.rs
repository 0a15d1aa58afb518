//! What becomes of a session: renewed, stolen, ended, suspended; and that the tokens of one dialect
//! open nothing in the other.

use credsmith_tests::{Answer, Request};
use serde_json::{Value, json};

use super::world::{TYPES, World, data, refused};
use crate::world::{User, ready};

const ME: &str = "/v1/user/@me";

/// The challenge of a 401.
fn challenge(answer: &Answer) -> String {
    refused(answer, 401);
    answer.header("www-authenticate").unwrap().to_owned()
}

fn bearing(world: &World, token: &str) -> Answer {
    world.daemon.ask(&Request::get(ME).bearer(token))
}

fn renewing(world: &World, token: &str) -> Answer {
    world.daemon.ask(&Request::new("POST", "/v1/auth/refresh").header("X-Refresh-Token", token))
}

#[test]
fn a_renewal_brings_new_tokens_and_spends_the_old_one() {
    let world = World::get();
    let first = world.sign_in("user-110");
    let mut session = first.clone();
    session.refresh();
    assert_ne!(session.access_token(), first.access_token());
    assert_ne!(session.refresh_token(), first.refresh_token());
    // What was given out holds for its minutes.
    first.get(ME).expect(200);
    session.get(ME).expect(200);
    session.refresh();
    session.get(ME).expect(200);
}

#[test]
fn a_spent_token_that_is_shown_again_ends_the_session() {
    let world = World::get();
    let (stolen, other) = (world.sign_in("user-111"), world.sign_in("user-111"));
    let mut session = stolen.clone();
    session.refresh();
    challenge(&renewing(&world, stolen.refresh_token()));
    for of in [&stolen, &session] {
        assert!(challenge(&of.get(ME)).contains("error=\"invalid_token\""));
        challenge(&renewing(&world, of.refresh_token()));
    }
    other.get(ME).expect(200);
}

/// Two renewals at once with one token: at most one of them can have been the user's.
#[test]
fn a_token_is_spent_once_however_many_try_at_once() {
    let world = World::get();
    let session = world.sign_in("user-112");
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let renewals: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| renewing(&world, session.refresh_token()).status))
            .collect();
        renewals.into_iter().map(|renewal| renewal.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 7, "{statuses:?}");
    challenge(&session.get(ME));
}

#[test]
fn signing_out_ends_one_session() {
    let world = World::get();
    let (session, other) = (world.sign_in("user-113"), world.sign_in("user-113"));
    let answer = session.ask(Request::new("POST", "/v1/auth/logout")).expect(200);
    assert_eq!(
        answer.json(),
        json!({ "status": 200, "message": "Logged out.", "data": null, "successful": true })
    );
    challenge(&session.get(ME));
    challenge(&session.ask(Request::new("POST", "/v1/auth/logout")));
    challenge(&renewing(&world, session.refresh_token()));
    other.get(ME).expect(200);
}

#[test]
fn what_is_no_access_token_opens_nothing() {
    let world = World::get();
    let session = world.sign_in("user-114");
    let (access, refresh) = (session.access_token(), session.refresh_token());
    let provider = world.op.token("user-114");
    let parts: Vec<_> = access.split('.').collect();
    let other_parts: Vec<_> = refresh.split('.').collect();
    let tampered = [
        format!("{}.{}.", parts[0], parts[1]),
        format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{}.", parts[1]),
        format!("{}.{}.{}", parts[0], other_parts[1], parts[2]),
        format!("{}.{}.{}", other_parts[0], parts[1], parts[2]),
        format!("{access}x"),
        access.to_uppercase(),
    ];
    for token in
        [refresh, &provider, "x", "a.b.c"].into_iter().chain(tampered.iter().map(String::as_str))
    {
        let message = challenge(&bearing(&world, token));
        assert!(message.contains("error=\"invalid_token\""), "{message}");
    }
    let anonymous = challenge(&world.daemon.ask(&Request::get(ME)));
    assert_eq!(anonymous, "Bearer realm=\"credsmith\"", "a request without a token gets no error");
    for strange in [
        Request::get(ME).header("Authorization", access),
        Request::get(ME).header("Authorization", format!("Basic {access}")),
        Request::get(ME).bearer(access).bearer(access),
        Request::get(ME).bearer(""),
        Request::get(format!("{ME}?access_token={access}")),
        Request::get(ME).header("Cookie", format!("accessToken={access}; watts_session={access}")),
    ] {
        challenge(&world.daemon.ask(&strange));
    }
    world
        .daemon
        .ask(&Request::get(ME).header("Authorization", format!("bearer {access}")))
        .expect(200);
    for token in [access, &provider, "x", ""] {
        challenge(&renewing(&world, token));
    }
    challenge(&world.daemon.ask(&Request::new("POST", "/v1/auth/refresh").bearer(refresh)));
    // Nor did any of that harm the session.
    session.clone().refresh();
}

#[test]
fn neither_dialects_token_opens_the_other() {
    let world = World::get();
    ready(&world.daemon);
    let session = world.sign_in("user-115");
    let provider = world.op.token("user-115");
    let watts = |token: &str| User { daemon: &world.daemon, token: token.to_owned() };
    for token in [session.access_token(), session.refresh_token()] {
        for path in ["/api/v2/op/service", "/api/v1/op/credential"] {
            watts(token).ask(Request::get(path)).refusal(401);
        }
        assert_ne!(watts(token).post("unique", json!({})).status, 303);
    }
    assert!(watts(&provider).service("unique").is_some());
    challenge(&bearing(&world, &provider));
}

#[test]
fn public_routes_look_at_no_token() {
    let world = World::get();
    let bad = |request: Request| world.daemon.ask(&request.bearer("nonsense"));
    bad(Request::get("/v1/auth/uri")).expect(200);
    bad(Request::get("/v1/teapot")).expect(418);
    bad(Request::get("/.well-known/jwks.json")).expect(200);
    let session = world.sign_in("user-116");
    let refresh =
        Request::new("POST", "/v1/auth/refresh").header("x-refresh-token", session.refresh_token());
    bad(refresh).expect(201);
}

#[test]
fn tokens_are_signed_with_a_key_that_is_shown() {
    let world = World::get();
    let keys = world.daemon.ask(&Request::get("/.well-known/jwks.json")).expect(200).json();
    let session = world.sign_in("user-117");
    let decoded = |token: &str, part: usize| -> Value {
        let text = token.split('.').nth(part).unwrap();
        serde_json::from_slice(&base64_url(text)).unwrap()
    };
    let header = decoded(session.access_token(), 0);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("EdDSA")));
    let listed = keys["keys"].as_array().unwrap();
    let key = listed.iter().find(|key| key["kid"] == header["kid"]).unwrap();
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert!(key.get("d").is_none(), "{key}");
    let claims = decoded(session.access_token(), 1);
    let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "jti", "scope", "sid", "sub"]);
    assert_eq!(claims["sub"], data(&session.get(ME))["id"]);
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!("http://localhost:7080"), &json!("http://localhost:7080/v1"))
    );
    assert_eq!(claims["scope"], "user.read user.write");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 15 * 60);
    let header = decoded(session.refresh_token(), 0);
    assert_eq!(header["typ"], "rt+jwt");
    let claims = decoded(session.refresh_token(), 1);
    assert_eq!(claims.as_object().unwrap().keys().collect::<Vec<_>>(), ["exp", "jti", "sid"]);
}

/// RFC 4648 section 5, without padding.
fn base64_url(text: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value =
        |byte: u8| u32::try_from(digits.iter().position(|digit| *digit == byte).unwrap()).unwrap();
    let groups = text.as_bytes().chunks(4);
    let decode = |group: &[u8]| {
        let bits =
            group.iter().fold(0, |bits, byte| bits << 6 | value(*byte)) << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    groups.flat_map(decode).collect()
}

#[test]
fn a_suspension_binds_every_dialect() {
    let world = World::get();
    ready(&world.daemon);
    let name = "user-118";
    let session = world.sign_in(name);
    let watts = User { daemon: &world.daemon, token: world.op.token(name) };
    let (kept, _) = watts.fetch(&watts.issue("unique", json!({})));
    let id = data(&session.get(ME))["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/user/users/{id}");
    let set = |suspended: bool| {
        data(&world.admin.send("PATCH", &path, &json!({ "suspended": suspended })).expect(200))
    };

    refused(&session.send("PATCH", &path, &json!({ "suspended": true })), 403);
    assert_eq!(set(true)["suspended"], true);
    challenge(&session.get(ME));
    challenge(&renewing(&world, session.refresh_token()));
    for path in ["/api/v2/op/service", "/api/v1/op/credential"] {
        watts.ask(Request::get(path)).refusal(401);
    }
    assert_ne!(watts.post("unique", json!({})).status, 303);
    let begun = world.begin();
    refused(&begun.come_back(&begun.visit(name)).unwrap(), 401);
    // Users cannot suspend themselves.
    let own = data(&world.admin.get(ME))["id"].as_str().unwrap().to_owned();
    let answer =
        world.admin.send("PATCH", &format!("/v1/user/users/{own}"), &json!({ "suspended": true }));
    refused(&answer, 403);

    assert_eq!(set(false)["suspended"], false);
    assert_eq!(watts.credentials(), [kept], "what they have stays theirs");
    challenge(&session.get(ME));
    assert_eq!(data(&world.sign_in(name).get(ME).expect(200))["id"], id.as_str());
}

#[test]
fn roles_that_are_given_by_hand_count_at_once() {
    let world = World::get();
    let session = world.sign_in("user-119");
    let id = data(&session.get(ME))["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/user/users/{id}/roles");
    let give = |names: &[&str]| world.admin.send("PUT", &path, &json!({ "roles": names }));
    refused(&session.get(TYPES), 403);
    assert_eq!(data(&give(&["reader"]).expect(200))["roles"], json!(["reader"]));
    session.get(TYPES).expect(200);
    assert_eq!(refused(&give(&["reader", "emperor"]), 400), ["roles.1: There is no such role."]);
    refused(&session.send("PUT", &path, &json!({ "roles": ["admin"] })), 403);
    give(&[]).expect(200);
    refused(&session.get(TYPES), 403);
}
