//! The events of refusals in the audit log.

use super::*;
use crate::vault::route::parameter_name;
use crate::vault::test_vault::World;

const ID: &str = "c0123456789abcdefghijklmn";
const OTHER: &str = "c1123456789abcdefghijklmn";

#[tokio::test]
async fn refused_reveals_of_two_credentials_are_distinguished() {
    let world = World::new().await;
    for id in [ID, OTHER] {
        let reveal = format!("credential/credentials/{id}/secure-values");
        assert_eq!(
            world.ask_with(("GET", &reveal), "nothing", &[], &Value::Null).await.status,
            403
        );
    }
    let asked = "GET /v1/credential/credentials/{id}/secure-values";
    let expected = [ID, OTHER].map(|id| json!({ "credential": id, "asked": asked }));
    assert_eq!(world.refused().await, expected);
}

/// Core refuses too, because of the record that it finds.
#[tokio::test]
async fn a_refusal_about_the_record_itself_names_it_too() {
    let world = World::new().await;
    let credential = world.production(&world.aws().await).await;
    let one = format!("credential/credentials/{credential}");
    let foreign = "credential.*@globex";
    let name = json!({ "name": "Mine" });
    assert_eq!(world.ask_with(("PATCH", &one), foreign, &[], &name).await.status, 403);
    let asked = "PATCH /v1/credential/credentials/{id}";
    assert_eq!(world.refused().await, [json!({ "credential": credential, "asked": asked })]);
}

/// The kind of each parameter of each route.
#[tokio::test]
async fn every_route_with_a_parameter_names_what_it_is_about() {
    let world = World::new().await;
    let mut expected = Vec::new();
    let of_callers = |route: &&Route| route.access() != Access::Public;
    let has_parameters = |route: &&Route| route.path_parameters().count() > 0;
    for route in routes().iter().filter(of_callers).filter(has_parameters) {
        let segments = route.path().split('/').map(|one| parameter_name(one).map_or(one, |_| ID));
        let path = segments.collect::<Vec<_>>().join("/");
        let asked = format!("{} {}", route.method(), route.path());
        let path = path.strip_prefix("/v1/").unwrap();
        let answer =
            world.ask_with((route.method().as_str(), path), "nothing", &[], &json!({})).await;
        assert_eq!(answer.status, 403, "{asked}");
        let kind = match path.split('/').collect::<Vec<_>>()[..] {
            ["user", ..] => "user",
            ["company", ..] | ["credential", _, "company", ..] => "company",
            ["credential", ..] => "credential",
            _ => "type",
        };
        expected.push(json!({ kind: ID, "asked": asked }));
    }
    assert_eq!(world.refused().await, expected);
    assert!(expected.len() > 10);
}

/// Attack: tokens are tried out, and no line says so.
#[tokio::test]
async fn refused_bearers_are_events_and_requests_without_a_token_are_not() {
    let world = World::new().await;
    let path = "/v1/credential-type/credential-types";
    for headers in [&[][..], &[("authorization", "Bearer ?")], &[("authorization", "Basic Og==")]] {
        let answer = world.send(("GET", path), headers, &Value::Null).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let asked = json!({ "asked": "GET /v1/credential-type/credential-types" });
    assert_eq!(world.refused().await, [asked.clone(), asked]);
}

/// No cache keeps an answer of the vault, whatever it says; the public keys may be kept.
#[tokio::test]
async fn no_answer_of_the_vault_is_stored() {
    let world = World::new().await;
    for (method, path) in [
        ("GET", "/v1/user/@me"),
        ("GET", "/v1/company/companies"),
        ("GET", "/v1/credential-type/credential-types"),
        ("GET", "/v1/user/users"),
        ("GET", "/v1/teapot"),
        ("GET", "/v1/nowhere"),
        ("DELETE", "/v1/teapot"),
        ("OPTIONS", "/v1/teapot"),
    ] {
        let token = [("authorization", "Bearer *")];
        let answer = world.send((method, path), &token, &Value::Null).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
    }
    let keys = world.send(("GET", "/.well-known/jwks.json"), &[], &Value::Null).await;
    assert_ne!(keys.header("cache-control"), Some("no-store"));
}

/// Attack: text of the caller's choice in the log, by a path or a query.
#[tokio::test]
async fn parameters_that_are_no_ids_stay_out() {
    let world = World::new().await;
    let long = "x".repeat(5000);
    for word in ["AWS", "%0a%22%7d", "..", "C0123456789ABCDEFGHIJKLMN", &long] {
        for query in ["", "?token=hunter2"] {
            let path = format!("credential-type/credential-types/{word}{query}");
            let answer = world.ask_with(("GET", &path), "nothing", &[], &Value::Null).await;
            assert_eq!(answer.status, 403, "{path}");
        }
    }
    let asked = json!({ "asked": "GET /v1/credential-type/credential-types/{identifier}" });
    assert_eq!(world.refused().await, vec![asked; 10]);
}
