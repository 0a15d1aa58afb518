//! Whom rights let see what: the scope of a type, the companies of a role. Single access is
//! refused, lists leave out.

use credsmith_tests::{Request, Session};
use serde_json::{Value, json};

use super::world::{
    COMPANIES, CREDENTIALS, TYPES, World, at, credential, data, field, names, refused, type_with,
    values,
};

fn count(who: &Session, of: &str) -> Value {
    data(&who.get(&format!("{TYPES}/{of}")).expect(200))["credentialCount"].clone()
}

/// Tries every operation on a credential and returns the answers.
fn everything_at(who: &Session, id: &str) -> Vec<u16> {
    let change = json!({ "fields": values(&[("user", "x")]) });
    vec![
        who.get(&at(id, "")).status,
        who.get(&at(id, "/fields")).status,
        who.get(&at(id, "/secure-values")).status,
        who.send("PATCH", &at(id, ""), &json!({ "name": "Seen" })).status,
        who.send("PUT", &at(id, "/fields"), &change).status,
        who.ask(Request::delete(at(id, ""))).status,
    ]
}

#[test]
fn a_scope_keeps_out_who_does_not_hold_it() {
    let world = World::get();
    let (admin, keeper) = (&world.admin, world.sign_in("keeper"));
    let acme = admin.company("acme");
    let id = admin.make_type(&type_with("Scoped", "vip.only", &["user", "secretWord"]));
    let body = credential("Scoped one", &id, &acme, &[("user", "u"), ("secretWord", "w")]);
    let one = admin.make_credential(&body);

    assert_eq!(everything_at(&keeper, &one), [403; 6]);
    refused(&keeper.send("POST", CREDENTIALS, &body), 403);
    assert_eq!((count(&keeper, &id), count(admin, &id)), (json!(0), json!(1)));
    assert_eq!(names(&keeper.get(&format!("{TYPES}/{id}/credentials"))), [""; 0]);
    assert!(
        !names(&keeper.get(&format!("{CREDENTIALS}/company/{acme}")))
            .contains(&"Scoped one".to_owned())
    );
    // Types themselves are narrowed by nothing, but what the scope protects is.
    let patch =
        |who: &Session, body: &Value| who.send("PATCH", &format!("{TYPES}/{id}"), body).status;
    for change in [
        json!({ "permissionScope": "other.scope" }),
        json!({ "fields": [field("user", false)] }),
        json!({ "plugin": "totp" }),
    ] {
        assert_eq!(patch(&keeper, &change), 403, "{change}");
    }
    assert_eq!(patch(&keeper, &json!({ "icon": "https://example.org/i.png" })), 200);
    refused(&keeper.ask(Request::delete(format!("{TYPES}/{id}"))), 403);
    // Users cannot give themselves a right that they lack: neither a scope of their own, nor one of
    // ours.
    let own = keeper.make_type(&type_with("Own", "keeper.only", &["user"]));
    refused(&keeper.send("POST", CREDENTIALS, &credential("Mine", &own, &acme, &[])), 403);
    for ours in ["credential.fetch", "user.update", "*", "vip.*", "vip"] {
        let faults = refused(
            &admin.send("PATCH", &format!("{TYPES}/{id}"), &json!({ "permissionScope": ours })),
            400,
        );
        assert!(faults.len() == 1 && faults[0].starts_with("permissionScope: "), "{faults:?}");
    }

    // By another scope others hold it, at once.
    let staff = world.sign_in("acme-staff");
    refused(&staff.get(&at(&one, "")), 403);
    assert_eq!(patch(admin, &json!({ "permissionScope": "secret.now" })), 200);
    staff.get(&at(&one, "")).expect(200);
}

#[test]
fn a_role_of_one_company_reaches_no_other() {
    let world = World::get();
    let (admin, staff) = (&world.admin, world.sign_in("acme-staff"));
    let (acme, globex) = (admin.company("acme"), admin.company("globex"));
    let id = admin.make_type(&type_with("Reached", "secret.reached", &["user", "secretWord"]));
    let make = |company: &str, name: &str| {
        admin.make_credential(&credential(
            name,
            &id,
            company,
            &[("user", "u"), ("secretWord", "w")],
        ))
    };
    let (own, foreign) = (make(&acme, "Reached own"), make(&globex, "Reached foreign"));

    let page = staff.get(COMPANIES).expect(200);
    assert_eq!(names(&page), ["Acme Corp"]);
    assert_eq!(
        (&page.json()["pagination"]["totalRecords"], &page.json()["pagination"]["totalPages"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(names(&staff.get(&format!("{COMPANIES}?search=globex"))), [""; 0]);
    for name in ["acme", "ACME", "1", &acme] {
        staff.get(&format!("{COMPANIES}/{name}")).expect(200);
    }
    for (name, status) in [("globex", 404), ("2", 404), (globex.as_str(), 403)] {
        refused(&staff.get(&format!("{COMPANIES}/{name}")), status);
        refused(&staff.get(&format!("{COMPANIES}/{name}/configurations")), status);
    }
    refused(&staff.get(&format!("{COMPANIES}/unknown")), 404);
    assert_eq!(
        data(&staff.get(&format!("{COMPANIES}/acme/configurations")).expect(200)),
        json!([])
    );

    assert_eq!(everything_at(&staff, &foreign), [403; 6]);
    refused(&staff.get(&format!("{CREDENTIALS}/company/{globex}")), 403);
    refused(&staff.send("POST", CREDENTIALS, &credential("X", &id, &globex, &[])), 403);
    assert_eq!((count(&staff, &id), count(admin, &id)), (json!(1), json!(2)));
    assert_eq!(names(&staff.get(&format!("{TYPES}/{id}/credentials"))), ["Reached own"]);
    assert!(
        names(&staff.get(&format!("{CREDENTIALS}/company/{acme}")))
            .contains(&"Reached own".to_owned())
    );
    assert_eq!(everything_at(&staff, &own), [200; 6]);
    assert_eq!(data(&admin.get(&at(&foreign, "")))["name"], "Reached foreign");
}

#[test]
fn a_user_can_list_their_rights() {
    let world = World::get();
    let granted = |who: &Session| {
        let lines = data(&who.get("/v1/user/@me/permissions").expect(200));
        lines.as_array().unwrap().clone()
    };
    assert_eq!(granted(&world.admin), [json!({ "permission": "*", "companies": null })]);
    assert_eq!(granted(&world.sign_in("user-140")), [] as [Value; 0]);
    let staff = granted(&world.sign_in("acme-staff"));
    let of = |permission: &str| {
        staff.iter().find(|line| line["permission"] == permission).unwrap()["companies"].clone()
    };
    assert_eq!((of("credential.*"), of("secret.*")), (json!(["acme"]), Value::Null));
}
