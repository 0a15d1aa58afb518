//! Every example of the original route list, played against the daemon: status, message, every key
//! of `data` and every value that the list does not make up on the spot, headers, and that the
//! rights it names are the ones that are needed.
//!
//! Each example is played on a stage that is set for it, so that the daemon has what the list
//! shows: the companies and their number, the names, the fields. An example that no code sets a
//! stage for fails, and so does a stage that no example is played on.

mod document;
mod shape;
mod stage;

use std::collections::BTreeSet;

use credsmith_tests::{Answer, Request, Session, SignIn, Socket};
use serde_json::{Value, json};

use document::{Document, Example};
use shape::Shapes;
use stage::{Play, Stage};

/// The routes whose answers no cache may keep.
const NO_STORE: [&str; 4] = [
    "GET /auth/uri",
    "POST /auth/refresh",
    "GET /credential/credentials/:id/secure-values",
    "GET /company/companies/:identifier/configurations",
];
/// Whose record has an entity tag.
const TAGGED: [&str; 4] = [
    "GET /credential/credentials/:id",
    "PATCH /credential/credentials/:id",
    "GET /credential/credentials/:id/fields",
    "PUT /credential/credentials/:id/fields",
];
/// The one that is described in words:
/// [`the_handler_of_redirects_closes_the_window_and_emits_the_tokens`].
const IN_WORDS: &str = "GET /auth/redirect";

/// Everything in which an answer differs from its example.
fn differences(shapes: &Shapes, example: &Value, answer: &Answer) -> Vec<String> {
    let mut faults = Vec::new();
    if example["status"] != answer.status {
        faults
            .push(format!("the status is {}, documented is {}", answer.status, example["status"]));
    }
    shapes.read("", example).compare("answer", &answer.json(), &mut faults);
    let expected = [
        ("content-type", Some("application/json")),
        ("x-content-type-options", Some("nosniff")),
        ("location", None),
        ("set-cookie", None),
        ("access-control-allow-origin", None),
    ];
    for (name, value) in expected {
        if answer.header(name) != value {
            faults.push(format!("{name} is {:?}, not {value:?}", answer.header(name)));
        }
    }
    faults
}

/// The same for the answer of a route that worked.
fn differences_of(shapes: &Shapes, example: &Example, answer: &Answer) -> Vec<String> {
    let documented = example.answer.as_ref().unwrap();
    let mut faults = differences(shapes, documented, answer);
    let name = example.name();
    let is_kept = answer.header("cache-control") != Some("no-store");
    if is_kept && NO_STORE.contains(&name.as_str()) {
        faults.push("a cache may keep it".to_owned());
    }
    if answer.header("etag").is_some() != TAGGED.contains(&name.as_str()) {
        faults.push(format!("its tag is {:?}", answer.header("etag")));
    }
    if answer.header("www-authenticate").is_some() {
        faults.push("it asks for a token".to_owned());
    }
    faults
}

fn check(what: &str, faults: &[String], answer: &Answer) {
    assert!(faults.is_empty(), "{what}:\n{}\n\n{answer:?}", faults.join("\n"));
}

/// Plays an example anonymously, as users who lack one of its rights each, and as a user who has
/// just these.
fn play(stage: &Stage, document: &Document, shapes: &Shapes, example: &Example) {
    let Play { request, player } = stage.set(example);
    let refused = |status: u16, who: &str, answer: &Answer| {
        check(
            &format!("{} as {who}", example.name()),
            &differences(shapes, document.failure(status), answer),
            answer,
        );
    };
    if example.signed_in {
        let answer = stage.daemon.ask(&request);
        refused(401, "an anonymous client", &answer);
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"credsmith\""),
            "{answer:?}"
        );
        let answer = stage.daemon.ask(&request.clone().bearer("nonsense"));
        refused(401, "a stranger", &answer);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.starts_with("Bearer ") && challenge.contains("error=\"invalid_token\""),
            "{answer:?}"
        );
    }
    for missing in &example.permissions {
        let rights = example.permissions.iter().filter(|right| *right != missing);
        let answer = stage.with_rights(rights).ask(request.clone());
        refused(403, &format!("a user without {missing}"), &answer);
    }
    let answer = match player {
        Some(player) => player.ask(request),
        None => stage.daemon.ask(&request),
    };
    check(&example.name(), &differences_of(shapes, example, &answer), &answer);
}

#[test]
fn every_example_is_played_and_answered_as_documented() {
    let document = Document::read();
    let shapes = Shapes::of(&document);
    let routes = document.examples.len();
    assert_eq!((routes, document.failures.len()), (23, 5), "the list was read whole");
    let without: Vec<_> = document
        .examples
        .iter()
        .filter(|example| example.answer.is_none())
        .map(Example::name)
        .collect();
    assert_eq!(without, [IN_WORDS]);

    let stage = Stage::build();
    let mut played = BTreeSet::new();
    for example in document.examples.iter().filter(|example| example.answer.is_some()) {
        play(&stage, &document, &shapes, example);
        assert!(played.insert(example.name()), "{} stands twice", example.name());
    }
    assert_eq!(played.len(), routes - 1);
    configurations_are_what_the_directory_answers(&stage);
    failures(&stage, &document, &shapes);
    the_handler_of_redirects_closes_the_window_and_emits_the_tokens(&stage, &shapes);
}

fn configurations_are_what_the_directory_answers(stage: &Stage) {
    let path = "/v1/company/companies/AcmeCorp/configurations";
    assert_eq!(
        stage.admin.get(path).expect(200).json()["data"],
        stage::configurations(stage::ACME.0)
    );
}

/// 401 and 403 were met on every route already.
fn failures(stage: &Stage, document: &Document, shapes: &Shapes) {
    let types = "/v1/credential-type/credential-types";
    let nowhere = "/v1/credential/credentials/c00000000000000000000000a";
    let admin = &stage.admin;
    let met = [
        (400, admin.send("POST", types, &json!({}))),
        (401, stage.daemon.ask(&Request::get(types))),
        (403, stage.with_rights([]).get(types)),
        (404, admin.get(nowhere)),
        // The daemon itself does not fail on request: a plugin does.
        (500, stage.break_a_plugin()),
    ];
    let documented: BTreeSet<_> =
        document.failures.iter().map(|failure| failure["status"].as_u64()).collect();
    assert_eq!(documented, met.iter().map(|(status, _)| Some(*status)).collect());
    for (status, answer) in met {
        let example = document.failure(u16::try_from(status).unwrap());
        check(
            &format!("a failure of status {status}"),
            &differences(shapes, example, &answer),
            &answer,
        );
    }
}

/// "Closes the browser window and emits authentication tokens via WebSocket."
fn the_handler_of_redirects_closes_the_window_and_emits_the_tokens(stage: &Stage, shapes: &Shapes) {
    let at = stage.daemon.address();
    let begun = SignIn::begin(at);
    let socket = Socket::open(at, &begun.key);
    // The page that asks whether the client may have them comes first (ours).
    let page = begun.browse(&begun.visit("alice")).expect(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{page:?}");
    assert_eq!(page.header("cache-control"), Some("no-store"), "{page:?}");
    assert!(page.text().contains("window.close()"), "{page:?}");
    let message = socket.message();
    let documented = json!({
        "event": "auth:callback",
        "data": { "accessToken": "eyJhbGc...", "refreshToken": "eyJhbGc..." },
    });
    let mut faults = Vec::new();
    shapes.read("", &documented).compare("message", &message, &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    let me = Session::of_tokens(at, &message["data"]).get("/v1/user/@me").expect(200).json();
    assert_eq!(me["data"]["login"], "alice");
}

/// A comparison that lets things pass would make all of the above worth nothing.
#[test]
fn a_comparison_finds_whatever_differs() {
    let document = Document::read();
    let shapes = Shapes::of(&document);
    let faults = |name: &str, answer: &Value| {
        let mut faults = Vec::new();
        shapes.read("", document.example(name).answer.as_ref().unwrap()).compare(
            "answer",
            answer,
            &mut faults,
        );
        faults
    };
    let id = format!("c{}", "0a".repeat(12));
    let of = json!({ "id": id, "name": "AWS", "fields": [], "permissionScope": "aws.credentials" });
    let good = json!({
        "status": 200,
        "message": "Credential Fetched Successfully!",
        "data": {
            "id": id, "name": "AWS Credentials", "typeId": id, "companyId": id,
            "fields": { "accountId": "123456789" },
            "type": of,
            "company": { "id": id, "name": "Acme Corp" },
            "createdAt": "2026-03-01T12:34:56.789Z",
            "updatedAt": "2026-03-01T12:34:56.789Z",
        },
        "successful": true,
    });
    let one = "GET /credential/credentials/:id";
    assert_eq!(faults(one, &good), [""; 0]);
    for (place, wrong) in [
        ("/status", json!(201)),
        ("/message", json!("Credential fetched successfully!")),
        ("/successful", json!("true")),
        ("/data", json!(null)),
        ("/data/id", json!("ckx...")),
        ("/data/typeId", json!(7)),
        ("/data/fields", json!({ "accountId": "123456789", "secretAccessKey": "x" })),
        ("/data/fields/accountId", json!(123_456_789)),
        ("/data/type", json!({ "id": id, "name": "AWS", "permissionScope": "aws.credentials" })),
        (
            "/data/type/fields",
            json!([{ "id": "a", "name": "A", "required": true, "secure": false }]),
        ),
        ("/data/company", json!(null)),
        ("/data/createdAt", json!("2026-03-01T12:34:56Z")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap() = wrong;
        assert_eq!(faults(one, &bad).len(), 1, "{place}: {:?}", faults(one, &bad));
    }
    let mut more = good.clone();
    more["pagination"] = json!(null);
    assert_eq!(faults(one, &more), ["answer.pagination is not documented"]);
    // What an example leaves out is there all the same.
    let updated = "PATCH /credential/credentials/:id";
    let mut renamed = good;
    renamed["message"] = json!("Credential Updated Successfully!");
    renamed["data"]["name"] = json!("Updated Credential Name");
    assert_eq!(faults(updated, &renamed), [""; 0]);
    renamed["data"].as_object_mut().unwrap().remove("type");
    assert_eq!(faults(updated, &renamed), ["answer.data.type is missing"]);
}
