//! What `credsmith dev` has for whom: alice may do everything, bob is a technician. And the types
//! that the bundled plugins bring.

use credsmith_tests::{Daemon, Request, Session, Shared, SignIn, Socket};
use serde_json::json;

use super::world::{
    COMPANIES, CREDENTIALS, TYPES, at, credential, data, field, names, refused, values,
};
use crate::world::TECHNICIAN;

static DAEMON: Shared<Daemon> = Shared::new();

#[test]
fn a_technician_sees_what_the_role_says_and_nothing_more() {
    let daemon = DAEMON.get(|| Daemon::dev(&[]));
    let [alice, bob] = ["alice", "bob"].map(|name| Session::begin(daemon.address(), name));
    assert_eq!(data(&bob.get("/v1/user/@me").expect(200))["roles"], json!(["technician"]));
    assert_eq!(data(&alice.get("/v1/user/@me").expect(200))["roles"], json!(["admin"]));
    let granted = data(&bob.get("/v1/user/@me/permissions").expect(200));
    let granted: Vec<_> = granted
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["permission"].as_str().unwrap())
        .collect();
    assert_eq!(granted, TECHNICIAN);

    assert_eq!(names(&bob.get(COMPANIES).expect(200)), ["Acme Corp", "Globex", "Initech"]);
    let acme = bob.company("acme");
    assert_eq!(data(&bob.get(&format!("{COMPANIES}/acme/configurations")).expect(200)), json!([]));
    let demo = data(&bob.get(&format!("{TYPES}/demo%20login")).expect(200));
    assert_eq!(
        (&demo["permissionScope"], &demo["credentialCount"]),
        (&json!("demo.login"), &json!(2))
    );
    let of = demo["id"].as_str().unwrap();

    // What lies beyond the scope that bob holds, he does not see.
    let aws =
        data(&alice.get(&format!("{TYPES}/aws")).expect(200))["id"].as_str().unwrap().to_owned();
    let keys = [
        ("accessKeyId", "AKIAIOSFODNN7EXAMPLE"),
        ("secretAccessKey", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ];
    let hidden = alice.make_credential(&credential("Cloud", &aws, &acme, &keys));
    let of_acme = bob.get(&format!("{CREDENTIALS}/company/{acme}")).expect(200);
    assert_eq!(names(&of_acme), ["Acme router"]);
    assert_eq!(data(&bob.get(&format!("{TYPES}/{aws}")))["credentialCount"], 0);
    refused(&bob.get(&at(&hidden, "")), 403);
    refused(&bob.get(&at(&hidden, "/fields")), 403);

    let id = data(&of_acme)[0]["id"].as_str().unwrap().to_owned();
    let router = bob.get(&at(&id, "")).expect(200);
    assert_eq!(
        data(&router)["fields"],
        json!({ "username": "admin", "address": "https://acme.example.org/" })
    );
    assert_eq!(data(&bob.get(&at(&id, "/fields")).expect(200)).as_array().unwrap().len(), 3);
    assert_eq!(
        names(&bob.get(&format!("{TYPES}/{of}/credentials")).expect(200)),
        ["Acme router", "Globex mail server"]
    );

    let me = data(&alice.get("/v1/user/@me"))["id"].as_str().unwrap().to_owned();
    let ask = |method: &str, path: &str, body| bob.send(method, path, &body);
    for answer in [
        ask("POST", CREDENTIALS, credential("Mine", of, &acme, &[])),
        ask("PATCH", &at(&id, ""), json!({ "name": "Mine" })),
        ask("PUT", &at(&id, "/fields"), json!({ "fields": values(&[("username", "bob")]) })),
        bob.ask(Request::delete(at(&id, ""))),
        ask(
            "POST",
            TYPES,
            json!({ "name": "Mine", "permissionScope": "demo.mine", "fields": [field("a", false)] }),
        ),
        ask("PATCH", &format!("{TYPES}/{of}"), json!({ "name": "Mine" })),
        bob.ask(Request::delete(format!("{TYPES}/{of}"))),
        bob.get("/v1/user/users"),
        ask("PATCH", &format!("/v1/user/users/{me}"), json!({ "suspended": true })),
        ask("PUT", &format!("/v1/user/users/{me}/roles"), json!({ "roles": [] })),
    ] {
        refused(&answer, 403);
    }
    refused(&bob.get(&at(&hidden, "/secure-values")), 403);
    for technician_or_admin in [bob, alice] {
        let path = at(&id, "/secure-values");
        let revealed = data(&technician_or_admin.get(&path).expect(200));
        assert!(revealed["password"].as_str().unwrap().len() > 8, "{revealed}");
        assert_eq!(revealed.as_object().unwrap().len(), 1);
    }
}

/// The answer to a refresh got lost, and the client asks again at once.
#[test]
fn a_refresh_token_that_was_just_spent_gets_a_pair_of_its_own() {
    let daemon = DAEMON.get(|| Daemon::dev(&[]));
    let first = Session::begin(daemon.address(), "bob");
    let [mut one, mut two] = [first.clone(), first.clone()];
    for session in [&mut one, &mut two] {
        session.refresh();
        session.get("/v1/user/@me").expect(200);
    }
    assert_ne!(one.refresh_token(), two.refresh_token());
    for session in [&mut one, &mut two] {
        session.refresh();
    }
    first.get("/v1/user/@me").expect(200);
}

/// `dev` asks its user too.
#[test]
fn a_client_of_the_demonstration_gets_its_tokens_after_a_yes() {
    let daemon = DAEMON.get(|| Daemon::dev(&[]));
    let begun = SignIn::begin(daemon.address());
    let socket = Socket::open(daemon.address(), &begun.key);
    let back = begun.visit("bob");
    let asked = begun.question(&back).expect(200);
    assert!(asked.text().contains("Yes, sign me in"), "{asked:?}");
    begun.answer(&back, &asked, "yes").expect(200);
    let session = Session::of_tokens(daemon.address(), &socket.message()["data"]);
    session.get("/v1/user/@me").expect(200);
}

/// The body of the route list, at the type that the plugin brings.
#[test]
fn types_of_plugins_are_there_and_are_theirs() {
    let daemon = DAEMON.get(|| Daemon::dev(&[]));
    let admin = &Session::begin(daemon.address(), "alice");
    let acme = admin.company("acme");
    let aws = data(&admin.get(&format!("{TYPES}/aws")).expect(200));
    assert_eq!(
        (&aws["name"], &aws["plugin"], &aws["permissionScope"]),
        (&json!("AWS"), &json!("aws"), &json!("aws.credentials"))
    );
    let id = aws["id"].as_str().unwrap();
    let good = [
        ("accessKeyId", "AKIAIOSFODNN7EXAMPLE"),
        ("secretAccessKey", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ];
    let made = admin
        .send("POST", CREDENTIALS, &credential("Production AWS Credentials", id, &acme, &good))
        .expect(201);
    assert_eq!(data(&made)["fields"], json!({ "accessKeyId": good[0].1 }));
    let bad = [("accessKeyId", "AKIA"), ("secretAccessKey", "hunter2-hunter2")];
    let answer = admin.send("POST", CREDENTIALS, &credential("Bad", id, &acme, &bad));
    let faults = refused(&answer, 400);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(
        faults[0].starts_with("fields.0.value: ") && faults[1].starts_with("fields.1.value: "),
        "{faults:?}"
    );
    assert!(!answer.text().contains("hunter2"), "{answer:?}");
    let path = format!("{TYPES}/{id}");
    refused(&admin.send("PATCH", &path, &json!({ "name": "Amazon" })), 409);
    refused(&admin.send("PATCH", &path, &json!({ "fields": [field("user", false)] })), 409);
    refused(&admin.ask(Request::delete(path)), 409);

    let totp =
        data(&admin.get(&format!("{TYPES}/totp")).expect(200))["id"].as_str().unwrap().to_owned();
    let uri = "otpauth://totp/Example:alice?secret=JBSWY3DPEHPK3PXP&issuer=Example&digits=8";
    let made = admin.send(
        "POST",
        CREDENTIALS,
        &credential("Second factor", &totp, &acme, &[("secret", uri)]),
    );
    let fields = data(&made.expect(201))["fields"].clone();
    assert_eq!(
        (&fields["issuer"], &fields["account"], &fields["digits"]),
        (&json!("Example"), &json!("alice"), &json!("8"))
    );
    assert!(fields.get("secret").is_none(), "{fields}");
    let faults = refused(
        &admin.send(
            "POST",
            CREDENTIALS,
            &credential("Bad", &totp, &acme, &[("secret", uri), ("digits", "6")]),
        ),
        400,
    );
    assert_eq!(faults, ["fields.1.value: This field is computed; no value is taken for it."]);

    let ssh = data(&admin.get(&format!("{TYPES}/ssh%20KEY")).expect(200));
    let computed: Vec<_> = ssh["fields"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|field| field["computed"] == true)
        .collect();
    assert_eq!(computed.len(), 2, "{ssh}");
}
