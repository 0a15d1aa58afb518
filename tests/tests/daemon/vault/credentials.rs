//! Credentials: their whole life, what their tag is good for, and what comes of many writers.

use std::thread;

use credsmith_tests::{Answer, Request};
use serde_json::{Value, json};

use super::world::{
    CREDENTIALS, TYPES, World, at, credential, data, names, operate, operated, refused, type_with,
    values,
};

fn tag(answer: &Answer) -> String {
    answer.header("etag").unwrap_or_else(|| panic!("no tag: {answer:?}")).to_owned()
}

#[test]
fn a_credential_from_its_making_to_its_end_and_back() {
    let world = World::get();
    let admin = &world.admin;
    let of = admin.make_type(&type_with(
        "Life",
        "life.all",
        &["user", "note", "secretWord", "secretPin"],
    ));
    let acme = admin.company("acme");
    let made = credential(
        "  Router ",
        &of,
        &acme,
        &[("user", "root"), ("secretWord", "xyzzy"), ("note", "")],
    );
    let id = admin.make_credential(&made);

    let read = admin.get(&at(&id, "")).expect(200);
    let view = data(&read);
    assert_eq!((&view["name"], &view["fields"]), (&json!("Router"), &json!({ "user": "root" })));
    assert_eq!(view["createdAt"], view["updatedAt"]);
    assert_eq!((&view["type"]["id"], &view["company"]["name"]), (&json!(of), &json!("Acme Corp")));
    assert!(!read.text().contains("xyzzy"), "{read:?}");

    let stored = data(&admin.get(&at(&id, "/fields")).expect(200));
    let shown: Vec<_> =
        stored.as_array().unwrap().iter().map(|one| one["fieldId"].as_str().unwrap()).collect();
    assert_eq!(
        shown,
        ["user", "secretWord"],
        "in the order of the definition, without what is not there"
    );
    assert_eq!(
        stored[0],
        json!({ "id": format!("{id}-user"), "fieldId": "user", "value": "root" })
    );
    assert_ne!(stored[1]["value"], "xyzzy");
    let sealed = stored[1].clone();

    let change = json!({ "fields": values(&[("secretPin", "0000"), ("note", "n")]) });
    let changed = data(&admin.send("PUT", &at(&id, "/fields"), &change).expect(200));
    assert_eq!(
        changed,
        json!({ "id": id, "name": "Router", "fields": { "user": "root", "note": "n" } })
    );
    let secrets = json!({ "secretWord": "xyzzy", "secretPin": "0000" });
    assert_eq!(data(&admin.get(&at(&id, "/secure-values")).expect(200)), secrets);
    assert_eq!(
        data(&admin.get(&at(&id, "/fields")))[2],
        sealed,
        "what was not named stays as it was"
    );

    let taken = json!({ "fields": [{ "fieldId": "note", "value": null }, { "fieldId": "secretPin", "value": "" }] });
    admin.send("PUT", &at(&id, "/fields"), &taken).expect(200);
    assert_eq!(
        data(&admin.get(&at(&id, "/secure-values")).expect(200)),
        json!({ "secretWord": "xyzzy" })
    );
    let renamed = admin.send("PATCH", &at(&id, ""), &json!({ "name": "Core router" })).expect(200);
    assert_eq!(data(&renamed)["name"], "Core router");
    assert!(data(&renamed)["updatedAt"].as_str() >= view["updatedAt"].as_str());
    assert!(
        names(&admin.get(&format!("{TYPES}/{of}/credentials"))).contains(&"Core router".to_owned())
    );
    assert!(
        names(&admin.get(&format!("{CREDENTIALS}/company/{acme}")))
            .contains(&"Core router".to_owned())
    );

    let gone = admin.ask(Request::delete(at(&id, ""))).expect(200);
    assert_eq!(
        gone.json(),
        json!({ "status": 200, "message": "Credential Deleted Successfully!", "data": null, "successful": true })
    );
    for part in ["", "/fields", "/secure-values"] {
        refused(&admin.get(&at(&id, part)), 404);
    }
    refused(&admin.ask(Request::delete(at(&id, ""))), 404);
    assert_eq!(names(&admin.get(&format!("{TYPES}/{of}/credentials"))), [""; 0]);

    let deleted = operated(&world.daemon, &["vault", "deleted"]);
    let mine = deleted.iter().find(|one| one["id"] == id.as_str()).unwrap();
    assert_eq!((&mine["kind"], &mine["name"]), (&json!("credential"), &json!("Core router")));
    operated(&world.daemon, &["vault", "restore", &id]);
    let back = data(&admin.get(&at(&id, "")).expect(200));
    assert_eq!(
        (&back["name"], &back["fields"]),
        (&json!("Core router"), &json!({ "user": "root" }))
    );
    assert_eq!(
        data(&admin.get(&at(&id, "/secure-values")).expect(200)),
        json!({ "secretWord": "xyzzy" })
    );

    admin.ask(Request::delete(at(&id, ""))).expect(200);
    operated(&world.daemon, &["vault", "purge", &id]);
    assert!(!operate(&world.daemon, &["vault", "restore", &id]).status.success());
    refused(&admin.get(&at(&id, "")), 404);
}

#[test]
fn a_tag_tells_whether_anything_changed() {
    let world = World::get();
    let admin = &world.admin;
    let of = admin.make_type(&type_with("Tagged", "tagged.all", &["user", "secretWord"]));
    let id = admin.make_credential(&credential(
        "Tag",
        &of,
        &admin.company("acme"),
        &[("user", "a"), ("secretWord", "same")],
    ));
    let read = |part: &str| admin.get(&at(&id, part)).expect(200);
    let first = tag(&read(""));
    assert_eq!(tag(&read("/fields")), first);
    assert_eq!(read("/secure-values").header("etag"), None);

    let known =
        |part: &str, tag: &str| admin.ask(Request::get(at(&id, part)).header("If-None-Match", tag));
    for part in ["", "/fields"] {
        let answer = known(part, &first);
        assert_eq!((answer.status, tag(&answer), answer.body.len()), (304, first.clone(), 0));
        assert_eq!(known(part, "\"0\"").status, 200);
    }
    assert_eq!(known("/secure-values", &first).status, 200, "a reveal is never left out");

    let rename = |name: &str, expected: &str| {
        admin.ask(
            Request::json("PATCH", at(&id, ""), &json!({ "name": name }))
                .header("If-Match", expected),
        )
    };
    let second = tag(&rename("Tag 2", &first).expect(200));
    assert_ne!(second, first);
    assert_eq!(tag(&read("")), second);
    let stale = rename("Tag 3", &first);
    refused(&stale, 412);
    assert_eq!(stale.json()["message"], "Precondition failed");
    let put = |expected: &str| {
        let body = json!({ "fields": values(&[("user", "b")]) });
        admin.ask(Request::json("PUT", at(&id, "/fields"), &body).header("If-Match", expected))
    };
    refused(&put(&first), 412);
    refused(&admin.ask(Request::delete(at(&id, "")).header("If-Match", first.as_str())), 412);
    assert_eq!(data(&read(""))["fields"]["user"], "a");
    let third = tag(&put(&second).expect(200));
    assert_eq!(data(&read(""))["fields"]["user"], "b");

    // The same again is no change, and neither is nothing.
    assert_eq!(tag(&admin.send("PATCH", &at(&id, ""), &json!({})).expect(200)), third);
    assert_eq!(
        tag(&admin.send("PATCH", &at(&id, ""), &json!({ "name": "Tag 2" })).expect(200)),
        third
    );
    assert_eq!(tag(&read("")), third);
    // A caller without the permission gets 403, whatever the request.
    let stranger = world.sign_in("user-130");
    refused(&stranger.ask(Request::get(at(&id, "")).header("If-None-Match", third.as_str())), 403);
    refused(&stranger.ask(Request::delete(at(&id, "")).header("If-Match", first.as_str())), 403);
    admin.ask(Request::delete(at(&id, "")).header("If-Match", third.as_str())).expect(200);
}

#[test]
fn updates_at_the_same_time_never_mix() {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 5;
    let world = World::get();
    let admin = &world.admin;
    let of = admin.make_type(&type_with(
        "Contended",
        "contended.all",
        &["left", "right", "secretLeft", "secretRight"],
    ));
    let both = |value: &str| {
        values(&[("left", value), ("right", value), ("secretLeft", value), ("secretRight", value)])
    };
    let body = json!({ "name": "C", "typeId": of, "companyId": admin.company("globex"), "fields": both("start") });
    let id = admin.make_credential(&body);
    let whole = |seen: &Value, keys: [&str; 2]| assert_eq!(seen[keys[0]], seen[keys[1]], "{seen}");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let id = &id;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let fields = both(&format!("writer {writer} round {round}"));
                    admin.send("PUT", &at(id, "/fields"), &json!({ "fields": fields })).expect(200);
                    whole(&data(&admin.get(&at(id, "")))["fields"], ["left", "right"]);
                    whole(
                        &data(&admin.get(&at(id, "/secure-values"))),
                        ["secretLeft", "secretRight"],
                    );
                }
            });
        }
    });
    let (plain, secret) = (
        data(&admin.get(&at(&id, "")))["fields"].clone(),
        data(&admin.get(&at(&id, "/secure-values"))),
    );
    assert_eq!(plain["left"], secret["secretLeft"]);
}

#[test]
fn what_was_read_may_be_sent_back() {
    let world = World::get();
    let admin = &world.admin;
    let of = admin.make_type(&type_with("Sent back", "sent.back", &["user"]));
    let id =
        admin.make_credential(&credential("Sent", &of, &admin.company("acme"), &[("user", "a")]));
    let mut view = data(&admin.get(&at(&id, "")));
    view["name"] = json!("Sent back");
    assert_eq!(data(&admin.send("PATCH", &at(&id, ""), &view).expect(200))["name"], "Sent back");
    let mut view = data(&admin.get(&at(&id, "")));
    (view["companyId"], view["createdAt"], view["nonsense"]) =
        (json!("elsewhere"), json!("never"), json!(1));
    let faults = refused(&admin.send("PATCH", &at(&id, ""), &view), 400);
    let mut places: Vec<_> = faults.iter().map(|fault| fault.split_once(':').unwrap().0).collect();
    places.sort_unstable();
    assert_eq!(places, ["companyId", "createdAt", "nonsense"]);
    let mut of = data(&admin.get(&format!("{TYPES}/{of}")));
    of["icon"] = json!("https://example.org/icon.png");
    let path = format!("{TYPES}/{}", of["id"].as_str().unwrap());
    admin.send("PATCH", &path, &of).expect(200);
    assert_eq!(data(&admin.get(&path))["icon"], "https://example.org/icon.png");
    let mut me = data(&world.sign_in("user-131").get("/v1/user/@me"));
    me["name"] = json!("Somebody");
    let session = world.sign_in("user-131");
    assert_eq!(data(&session.send("PATCH", "/v1/user/@me", &me).expect(200))["name"], "Somebody");
    assert_eq!(
        data(&session.send("PATCH", "/v1/user/@me", &json!({ "image": null })).expect(200))["image"],
        Value::Null
    );
    assert_eq!(
        data(&world.sign_in("user-131").get("/v1/user/@me"))["name"],
        "Somebody",
        "a later sign-in keeps it"
    );
}
