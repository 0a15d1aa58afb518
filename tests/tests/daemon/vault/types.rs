//! Types of credentials: what a change of one does to credentials that are there, what plugins
//! know, what a scope keeps out.

use credsmith_tests::Request;
use serde_json::{Value, json};

use super::world::{
    CREDENTIALS, TYPES, World, at, credential, data, field, names, operate, operated, refused,
    type_with, values,
};

fn change(world: &World, id: &str, fields: &[Value]) -> credsmith_tests::Answer {
    world.admin.send("PATCH", &format!("{TYPES}/{id}"), &json!({ "fields": fields }))
}

#[test]
fn a_change_of_fields_is_seen_at_once_and_never_decrypts() {
    let world = World::get();
    let admin = &world.admin;
    let id = admin.make_type(&type_with("Changing", "changing.all", &["user", "token"]));
    let one = admin.make_credential(&credential(
        "One",
        &id,
        &admin.company("acme"),
        &[("user", "u"), ("token", "t0ken-4711")],
    ));
    let plain = || data(&admin.get(&at(&one, "")).expect(200))["fields"].clone();
    let secret = || data(&admin.get(&at(&one, "/secure-values")).expect(200));
    assert_eq!((plain(), secret()), (json!({ "user": "u", "token": "t0ken-4711" }), json!({})));

    // Plain becomes secure: from the next read on its value is not shown.
    change(&world, &id, &[field("user", false), field("token", true)]).expect(200);
    assert_eq!((plain(), secret()), (json!({ "user": "u" }), json!({ "token": "t0ken-4711" })));
    for path in [at(&one, "/fields"), format!("{TYPES}/{id}/credentials"), at(&one, "")] {
        assert!(!admin.get(&path).expect(200).text().contains("t0ken-4711"), "{path}");
    }
    // And back is no way.
    let answer = change(&world, &id, &[field("user", false), field("token", false)]);
    refused(&answer, 409);
    assert_eq!(answer.json()["message"], "Conflict");

    // What vanishes is out of sight, not gone.
    change(&world, &id, &[field("user", false)]).expect(200);
    assert_eq!((plain(), secret()), (json!({ "user": "u" }), json!({})));
    refused(&change(&world, &id, &[field("user", false), field("token", false)]), 409);
    change(&world, &id, &[field("token", true)]).expect(200);
    assert_eq!((plain(), secret()), (json!({}), json!({ "token": "t0ken-4711" })));
    change(&world, &id, &[field("user", true), field("token", true)]).expect(200);
    assert_eq!((plain(), secret()), (json!({}), json!({ "user": "u", "token": "t0ken-4711" })));

    // What is required from now on is asked for at the next change of values, and of nothing else.
    let mut needed = field("needed", false);
    needed["required"] = json!(true);
    change(&world, &id, &[field("user", true), needed]).expect(200);
    admin.send("PATCH", &at(&one, ""), &json!({ "name": "Still there" })).expect(200);
    let put = |with: &[(&str, &str)]| {
        admin.send("PUT", &at(&one, "/fields"), &json!({ "fields": values(with) }))
    };
    assert_eq!(refused(&put(&[("user", "v")]), 400)[0], "fields.needed: This field is required.");
    put(&[("user", "v"), ("needed", "n")]).expect(200);
    assert_eq!((plain(), secret()), (json!({ "needed": "n" }), json!({ "user": "v" })));
}

#[test]
fn a_type_takes_its_credentials_along_and_brings_them_back() {
    let world = World::get();
    let admin = &world.admin;
    let id = admin.make_type(&type_with("Leaving", "leaving.all", &["user", "secretWord"]));
    let acme = admin.company("acme");
    let make =
        |name: &str| admin.make_credential(&credential(name, &id, &acme, &[("secretWord", name)]));
    let (one, other) = (make("Leaving one"), make("Leaving two"));
    admin.ask(Request::delete(at(&other, ""))).expect(200);
    assert_eq!(data(&admin.get(&format!("{TYPES}/Leaving")).expect(200))["credentialCount"], 1);

    let gone = admin.ask(Request::delete(format!("{TYPES}/{id}"))).expect(200);
    assert_eq!(gone.json()["message"], "Credential Type Deleted Successfully!");
    for path in [
        format!("{TYPES}/{id}"),
        format!("{TYPES}/leaving"),
        format!("{TYPES}/{id}/credentials"),
        at(&one, ""),
    ] {
        refused(&admin.get(&path), 404);
    }
    assert!(
        !names(&admin.get(&format!("{CREDENTIALS}/company/{acme}")))
            .contains(&"Leaving one".to_owned())
    );
    let answer = admin.send("POST", CREDENTIALS, &credential("Late", &id, &acme, &[]));
    assert_eq!(refused(&answer, 400), ["typeId: There is no such type."]);
    // One that went along comes back with its type and not before.
    assert!(!operate(&world.daemon, &["vault", "restore", &other]).status.success());
    // The name is free meanwhile, and then it is in the way.
    let another = admin.make_type(&type_with("LEAVING", "leaving.all", &[]));
    assert!(!operate(&world.daemon, &["vault", "restore", &id]).status.success());
    admin.ask(Request::delete(format!("{TYPES}/{another}"))).expect(200);
    operated(&world.daemon, &["vault", "restore", &id]);
    assert_eq!(names(&admin.get(&format!("{TYPES}/{id}/credentials"))), ["Leaving one"]);
    assert_eq!(
        data(&admin.get(&at(&one, "/secure-values"))),
        json!({ "secretWord": "Leaving one" })
    );
    operated(&world.daemon, &["vault", "restore", &other]);
    assert_eq!(
        names(&admin.get(&format!("{TYPES}/{id}/credentials"))),
        ["Leaving one", "Leaving two"]
    );
}

#[test]
fn names_of_types_are_unique_whatever_their_case() {
    let world = World::get();
    let admin = &world.admin;
    let id = admin.make_type(&type_with("Straße & Co", "street.all", &[]));
    refused(&admin.send("POST", TYPES, &type_with("STRASSE & CO", "street.all", &[])), 409);
    for name in ["stra%C3%9Fe%20%26%20co", "STRASSE%20%26%20CO", &id] {
        assert_eq!(
            data(&admin.get(&format!("{TYPES}/{name}")).expect(200))["id"],
            id.as_str(),
            "{name}"
        );
    }
    let other = admin.make_type(&type_with("Lane", "street.all", &[]));
    refused(
        &admin.send("PATCH", &format!("{TYPES}/{other}"), &json!({ "name": "Strasse & Co" })),
        409,
    );
    admin.send("PATCH", &format!("{TYPES}/{other}"), &json!({ "name": "LANE" })).expect(200);
}

#[test]
fn a_plugin_that_breaks_changes_nothing_and_the_next_call_works() {
    let world = World::get();
    let admin = &world.admin;
    let login =
        data(&admin.get(&format!("{TYPES}/login")).expect(200))["id"].as_str().unwrap().to_owned();
    let acme = admin.company("acme");
    let make = |user: &str| {
        let values = [("userName", user), ("password", "canary-hunter2-5f")];
        admin.send(
            "POST",
            CREDENTIALS,
            &credential(&format!("Login of {user}"), &login, &acme, &values),
        )
    };
    for user in ["trap", "undefined"] {
        let answer = make(user);
        assert!(refused(&answer, 500).is_empty(), "{answer:?}");
        assert_eq!(answer.json()["message"], "Internal server error");
        assert!(!answer.text().contains("type-login"), "{answer:?}");
    }
    let made = data(&make("alice").expect(201));
    assert_eq!(made["fields"], json!({ "userName": "alice", "passwordLength": "17" }));
    let id = made["id"].as_str().unwrap();
    let put = |user: &str| {
        admin.send("PUT", &at(id, "/fields"), &json!({ "fields": values(&[("userName", user)]) }))
    };
    refused(&put("trap"), 500);
    assert_eq!(data(&admin.get(&at(id, "")))["fields"]["userName"], "alice");
    put("bob").expect(200);
    assert_eq!(names(&admin.get(&format!("{TYPES}/{login}/credentials"))), ["Login of alice"]);
    assert!(!world.daemon.log().contains("canary-hunter2"), "a plugin logged a secret");
}
