use std::sync::Arc;

use credsmith_core::company::Source;
use credsmith_core::doubles::{People, companies, role_of, session_options, vault};
use credsmith_core::session::TokenPair;
use credsmith_http::{Body, Surface as _};
use serde_json::{Value, json};

use super::super::testing::assert_reads;
use super::super::{Core, Options, Vault};
use super::*;
use crate::openapi::conformance::assert_documented;

struct World {
    vault: Vault,
    people: People,
}

impl World {
    async fn new() -> Self {
        let roles = vec![
            role_of("root", "admin", &["*"]),
            role_of("helen", "helper", &["user.*", "company.fetch"]),
            role_of("nora", "auditor", &["company.*"]),
            role_of("unassigned", "lister", &["user.fetch.many"]),
        ];
        let people = People::new(roles, session_options()).await;
        let options =
            Options { public_url: "https://vault.example".into(), cors_origins: Vec::new() };
        let companies = companies(Source::Listed(Vec::new())).await;
        let parts = Core {
            authenticator: people.sessions.clone(),
            sessions: Arc::clone(&people.sessions),
            users: Arc::clone(&people.users),
            vault: vault(Arc::clone(&companies), Arc::default()).await,
            companies,
        };
        Self { vault: Vault::new(parts, options).unwrap(), people }
    }

    async fn ask(&self, method: &str, path: &str, by: &TokenPair, body: &Value) -> Value {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/v1/user/{path}"))
            .header("authorization", format!("Bearer {}", by.access.expose_str().unwrap()))
            .header("content-type", "application/json");
        let reply = self.vault.call(request.body(Body::from(body.to_string())).unwrap()).await;
        let (parts, body) = reply.into_parts();
        assert_documented(method, &format!("/v1/user/{path}"), &parts, body.bytes());
        let body: Value = serde_json::from_slice(body.bytes()).unwrap();
        assert_eq!(body["status"], parts.status.as_u16());
        body
    }

    async fn id(&self, of: &TokenPair) -> String {
        self.ask("GET", "@me", of, &Value::Null).await["data"]["id"].as_str().unwrap().to_owned()
    }
}

fn paths(answer: &Value) -> Vec<String> {
    let errors = answer["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["path"].to_string()).collect()
}

#[tokio::test]
async fn oneself_is_as_the_examples_show() {
    let world = World::new().await;
    let root = world.people.sign_in("root").await;
    let me = world.ask("GET", "@me", &root, &Value::Null).await;
    let at = "2027-01-15T08:00:00.000Z";
    let expected = json!({
        "id": me["data"]["id"], "name": "root", "email": "root@example.org", "login": "root", "image": null,
        "roles": ["admin"], "createdAt": at, "updatedAt": at,
    });
    assert_eq!((&me["message"], &me["data"]), (&json!("Fetched user."), &expected));

    let change = json!({ "name": "Jane Doe", "image": "https://example.com/avatar.jpg" });
    let changed = world.ask("PATCH", "@me", &root, &change).await;
    let expected = json!({
        "id": me["data"]["id"], "name": "Jane Doe", "email": "root@example.org", "image": "https://example.com/avatar.jpg",
    });
    assert_eq!(
        (&changed["message"], &changed["data"]),
        (&json!("Successfully updated user."), &expected)
    );
    let cleared = world.ask("PATCH", "@me", &root, &json!({ "image": null })).await;
    assert_eq!(cleared["data"]["image"], Value::Null);
}

#[tokio::test]
async fn every_fault_of_a_change_is_reported_at_once() {
    let world = World::new().await;
    let root = world.people.sign_in("root").await;
    let me = world.ask("GET", "@me", &root, &Value::Null).await["data"].clone();
    let bad = json!({ "name": "", "image": "javascript:x", "nmae": "x", "login": "other" });
    let answer = world.ask("PATCH", "@me", &root, &bad).await;
    assert_eq!(answer["status"], 400);
    let mut found = paths(&answer);
    found.sort();
    assert_eq!(found, ["[\"image\"]", "[\"login\"]", "[\"name\"]", "[\"nmae\"]"]);
    assert_eq!(
        paths(&world.ask("PATCH", "@me", &root, &json!({ "name": null })).await),
        ["[\"name\"]"]
    );
    assert_eq!(
        world.ask("PATCH", "@me", &root, &me).await["status"],
        200,
        "what one got may be sent back"
    );
    assert_eq!(world.ask("PATCH", "@me", &root, &json!({})).await["status"], 200);
}

#[tokio::test]
async fn users_are_managed_with_the_permissions_for_it() {
    let world = World::new().await;
    let [root, helen, nora] = [
        world.people.sign_in("root").await,
        world.people.sign_in("helen").await,
        world.people.sign_in("nora").await,
    ];
    let (root_id, helen_id, nora_id) =
        (world.id(&root).await, world.id(&helen).await, world.id(&nora).await);
    let list = world.ask("GET", "users?search=NOR", &helen, &Value::Null).await;
    assert_eq!(
        (&list["data"][0]["id"], &list["pagination"]["totalRecords"]),
        (&json!(nora_id), &json!(1))
    );
    assert_eq!(list["data"][0]["suspended"], false);
    assert_eq!(world.ask("GET", "users", &nora, &Value::Null).await["status"], 403);

    let roles_of = |id: &str| format!("users/{id}/roles");
    let give = |names: &[&str]| json!({ "roles": names });
    for (by, id, body, status) in [
        (&helen, &nora_id, give(&["helper"]), 200),
        (&helen, &nora_id, give(&["admin"]), 403),
        (&helen, &nora_id, give(&["auditor"]), 403),
        (&helen, &helen_id, give(&["admin"]), 403),
        (&helen, &helen_id, give(&[]), 403),
        (&root, &root_id, give(&[]), 403),
        (&root, &"c000000000000000000000000".to_owned(), give(&[]), 404),
        (&root, &"x".to_owned(), give(&[]), 404),
        (&root, &nora_id, give(&["admin"]), 200),
    ] {
        assert_eq!(world.ask("PUT", &roles_of(id), by, &body).await["status"], status, "{body}");
    }
    let me = world.ask("GET", "@me", &nora, &Value::Null).await;
    assert_eq!(
        me["data"]["roles"],
        json!(["admin", "auditor"]),
        "at once, and claim roles are kept"
    );
    let bad = json!({ "roles": ["x", 5, "admin", "y"], "more": 1 });
    let mut found = paths(&world.ask("PUT", &roles_of(&nora_id), &root, &bad).await);
    found.sort();
    assert_eq!(found, ["[\"more\"]", "[\"roles\",0]", "[\"roles\",1]", "[\"roles\",3]"]);
}

#[tokio::test]
async fn a_suspended_user_is_out_at_once() {
    let world = World::new().await;
    let (root, nora) = (world.people.sign_in("root").await, world.people.sign_in("nora").await);
    let user = format!("users/{}", world.id(&nora).await);
    let suspend = |suspended: bool| json!({ "suspended": suspended });
    assert_eq!(world.ask("PATCH", &user, &nora, &suspend(true)).await["status"], 403);
    assert_eq!(world.ask("PATCH", &user, &root, &json!({})).await["data"]["suspended"], false);
    let view = world.ask("PATCH", &user, &root, &suspend(true)).await;
    assert_eq!(
        (&view["data"]["suspended"], &view["data"]["suspendedBy"]),
        (&json!(true), &json!("user"))
    );
    assert_eq!(world.ask("GET", "@me", &nora, &Value::Null).await["status"], 401);
    let view = world.ask("PATCH", &user, &root, &suspend(false)).await;
    assert_eq!(
        (&view["data"]["suspended"], &view["data"]["suspendedBy"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(world.ask("PATCH", &user, &root, &view["data"]).await["status"], 200);
    assert_eq!(
        world.ask("GET", "@me", &nora, &Value::Null).await["status"],
        401,
        "the session stays over"
    );
    let oneself = format!("users/{}", world.id(&root).await);
    assert_eq!(world.ask("PATCH", &oneself, &root, &suspend(true)).await["status"], 403);
    assert_eq!(
        paths(&world.ask("PATCH", &user, &root, &json!({ "suspended": null })).await),
        ["[\"suspended\"]"]
    );
}

#[tokio::test]
async fn a_suspension_by_an_operator_is_seen_and_stays() {
    let world = World::new().await;
    let (root, nora) = (world.people.sign_in("root").await, world.people.sign_in("nora").await);
    let user = format!("users/{}", world.id(&nora).await);
    let subject = credsmith_core::doubles::identity("nora").subject().clone();
    let leases = &world.people.leases;
    leases.suspend(credsmith_core::access::operator(), &subject, true).await.unwrap();
    let list = world.ask("GET", "users?search=nora", &root, &Value::Null).await;
    assert_eq!(list["data"][0]["suspendedBy"], "operator");
    let refused = world.ask("PATCH", &user, &root, &json!({ "suspended": false })).await;
    assert_eq!(
        (&refused["status"], paths(&refused)),
        (&json!(403), vec!["[\"suspended\"]".into()])
    );
    leases.resume(credsmith_core::access::operator(), &subject).await.unwrap();
    let list = world.ask("GET", "users?search=nora", &root, &Value::Null).await;
    assert_eq!(list["data"][0]["suspended"], false);
}

/// Issuer and subject identify the user who gets a role: a name and a mail address can be made up.
#[tokio::test]
async fn those_who_assign_roles_see_whom_they_give_them_to() {
    let world = World::new().await;
    let [root, helen, nora] = [
        world.people.sign_in("root").await,
        world.people.sign_in("helen").await,
        world.people.sign_in("nora").await,
    ];
    for by in [&root, &helen] {
        let list = world.ask("GET", "users?search=nora", by, &Value::Null).await;
        let nora = &list["data"][0];
        let identity = credsmith_core::doubles::identity("nora");
        assert_eq!(
            (&nora["issuer"], &nora["subject"]),
            (&json!(identity.subject().issuer), &json!("nora")),
            "{list}"
        );
        assert!(nora.as_object().unwrap().contains_key("emailVerified"));
    }
    // A user who only lists users does not.
    let give = json!({ "roles": ["lister"] });
    let user = format!("users/{}/roles", world.id(&nora).await);
    assert_eq!(world.ask("PUT", &user, &root, &give).await["status"], 200);
    let list = world.ask("GET", "users?search=root", &nora, &Value::Null).await;
    for key in ["issuer", "subject", "emailVerified"] {
        assert_eq!(list["data"][0][key], Value::Null, "{key}");
    }
}

#[tokio::test]
async fn who_holds_more_is_not_suspended_by_who_holds_less() {
    let world = World::new().await;
    let (root, helen) = (world.people.sign_in("root").await, world.people.sign_in("helen").await);
    let user = format!("users/{}", world.id(&root).await);
    for suspended in [true, false] {
        let refused = world.ask("PATCH", &user, &helen, &json!({ "suspended": suspended })).await;
        assert_eq!(refused["status"], 403);
        assert_eq!(refused["errors"][0]["message"], "This user holds more than you do.");
    }
    assert_eq!(world.ask("GET", "@me", &root, &Value::Null).await["status"], 200);
}

#[tokio::test]
async fn a_client_learns_what_its_user_may_do() {
    let world = World::new().await;
    let helen = world.people.sign_in("helen").await;
    let answer = world.ask("GET", "@me/permissions", &helen, &Value::Null).await;
    assert_eq!(
        answer["data"],
        json!([
            { "permission": "company.fetch", "companies": null },
            { "permission": "user.*", "companies": null },
        ])
    );
}

#[test]
fn bodies_are_read_as_they_are_described() {
    assert_reads::<ProfileSent>(|object| drop(profile(object)));
    assert_reads::<SuspensionSent>(|object| {
        suspension(object);
    });
    assert_reads::<RolesSent>(|object| drop(roles(object)));
}
