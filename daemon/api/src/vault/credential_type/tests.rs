use serde_json::json;

use super::super::test_vault::{World, keys, success};
use super::super::testing::assert_reads;
use super::*;

const TYPES: &str = "credential-type/credential-types";

fn fields() -> Value {
    json!([
        { "id": "accessKeyId", "name": "Access Key ID", "required": true, "secure": false, "valueType": "plain_text" },
        { "id": "secretAccessKey", "name": "Secret Access Key", "required": true, "secure": true, "valueType": "password" }
    ])
}

#[tokio::test]
async fn making_a_type_answers_what_was_made() {
    let world = World::new().await;
    let body = json!({ "name": "AWS", "permissionScope": "aws.credentials", "icon": null, "fields": fields() });
    let made = world.ask("POST", TYPES, body).await;
    let data = json!({
        "id": made.id(), "name": "AWS", "permissionScope": "aws.credentials", "icon": null, "plugin": "generic", "fields": fields()
    });
    assert_eq!(made.body, success(201, "Credential Type Created Successfully!", &data));
    assert_eq!(keys(&made.body), ["data", "message", "status", "successful"]);
    assert_eq!(
        keys(&made.body["data"]),
        ["fields", "icon", "id", "name", "permissionScope", "plugin"]
    );
    assert!(credsmith_core::ids::TypeId::parse(&made.id()).is_ok());
}

#[tokio::test]
async fn a_type_is_that_of_the_route_list() {
    let world = World::new().await;
    let id = world.aws().await;
    world.production(&id).await;
    for identifier in [id.as_str(), "AWS", "aws", "%41ws"] {
        let found = world.get(&format!("{TYPES}/{identifier}")).await;
        let at = found.body["data"]["createdAt"].clone();
        assert!(at.as_str().unwrap().ends_with('Z'));
        let data = json!({
            "id": id, "name": "AWS", "permissionScope": "aws.credentials", "icon": "https://aws.amazon.com/favicon.ico",
            "plugin": "generic", "fields": fields(), "credentialCount": 1, "createdAt": at, "updatedAt": at
        });
        assert_eq!(
            found.body,
            success(200, "Credential Type Fetched Successfully!", &data),
            "{identifier}"
        );
    }
    let slashed = json!({ "name": "A/B 100%", "permissionScope": "a.b", "fields": [] });
    let slashed = world.ask("POST", TYPES, slashed).await.id();
    assert_eq!(world.get(&format!("{TYPES}/a%2Fb%20100%25")).await.id(), slashed);
    for unknown in ["unknown", "%00", "aw"] {
        let found = world.get(&format!("{TYPES}/{unknown}")).await;
        assert_eq!(
            found.body,
            json!({ "status": 404, "message": "Resource not found", "successful": false })
        );
    }
}

#[tokio::test]
async fn the_list_has_all_types_by_name() {
    let world = World::new().await;
    let id = world.aws().await;
    world
        .ask("POST", TYPES, json!({ "name": "alpha", "permissionScope": "a.b", "fields": [] }))
        .await;
    let listed = world.get(TYPES).await;
    let names: Vec<_> =
        listed.body["data"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["alpha", "AWS"]);
    let aws = json!({
        "id": id, "name": "AWS", "permissionScope": "aws.credentials", "icon": "https://aws.amazon.com/favicon.ico",
        "plugin": "generic", "fields": fields(), "credentialCount": 0
    });
    assert_eq!(listed.body["data"][1], aws);
    assert_eq!(listed.body["message"], "Credential Types Fetched Successfully!");
    assert_eq!(keys(&listed.body), ["data", "message", "status", "successful"], "no page");
}

#[tokio::test]
async fn an_update_answers_three_keys() {
    let world = World::new().await;
    let id = world.aws().await;
    let body = json!({
        "name": "GitHub Enterprise",
        "icon": null,
        "fields": [
            { "id": "color", "name": "Colour", "required": false, "secure": false, "valueType": "choice", "choices": ["red", "blue"] },
            { "id": "sum", "name": "Sum", "required": false, "secure": false, "valueType": "number", "computed": true }
        ]
    });
    let changed = world.ask("PATCH", &format!("{TYPES}/{id}"), body.clone()).await;
    let data = json!({ "id": id, "name": "GitHub Enterprise", "fields": body["fields"] });
    assert_eq!(changed.body, success(200, "Credential Type Updated Successfully!", &data));
    assert_eq!(world.get(&format!("{TYPES}/{id}")).await.body["data"]["icon"], Value::Null);
}

#[tokio::test]
async fn a_client_may_send_back_what_it_got() {
    let world = World::new().await;
    let id = world.aws().await;
    let path = format!("{TYPES}/{id}");
    let got = world.get(&path).await.body["data"].clone();
    assert_eq!(world.ask("PATCH", &path, got.clone()).await.status, 200);
    assert_eq!(world.ask("PATCH", &path, json!({})).await.status, 200);
    assert_eq!(world.get(&path).await.body["data"], got, "and nothing changed");
    let mut other = got.clone();
    other["credentialCount"] = json!(7);
    other["createdAt"] = json!("2026-01-01T00:00:00.000Z");
    other["unknown"] = json!(1);
    let refused = world.ask("PATCH", &path, other).await;
    let mut paths = refused.paths();
    paths.sort();
    assert_eq!(
        (refused.status, paths),
        (
            400,
            vec![
                r#"["createdAt"]"#.into(),
                r#"["credentialCount"]"#.into(),
                r#"["unknown"]"#.into()
            ]
        )
    );
}

#[tokio::test]
async fn every_fault_of_a_body_is_reported_with_its_path() {
    let world = World::new().await;
    let body = json!({
        "nmae": "x",
        "permissionScope": "user.update",
        "icon": "javascript:alert(1)",
        "plugin": 5,
        "fields": [
            { "id": "1", "name": " ", "required": "yes", "secure": true, "valueType": "hologram" },
            7,
            { "id": "a", "name": "A", "required": false, "secure": false, "valueType": "choice", "choices": [1] }
        ]
    });
    let refused = world.ask("POST", TYPES, body).await;
    assert_eq!(refused.body["message"], "Validation error");
    assert_eq!(keys(&refused.body), ["errors", "message", "status", "successful"]);
    let mut paths = refused.paths();
    paths.sort();
    let mut expected = [
        r#"["name"]"#,
        r#"["nmae"]"#,
        r#"["permissionScope"]"#,
        r#"["icon"]"#,
        r#"["plugin"]"#,
        r#"["fields",0,"id"]"#,
        r#"["fields",0,"name"]"#,
        r#"["fields",0,"required"]"#,
        r#"["fields",0,"valueType"]"#,
        r#"["fields",1]"#,
        r#"["fields",2,"choices",0]"#,
    ];
    expected.sort_unstable();
    assert_eq!(paths, expected);
    for (body, path) in [
        (json!({ "name": null }), r#"["name"]"#),
        (json!({ "permissionScope": null }), r#"["permissionScope"]"#),
        (json!([]), "[]"),
    ] {
        let id = world.aws_or_found().await;
        let refused = world.ask("PATCH", &format!("{TYPES}/{id}"), body).await;
        assert_eq!((refused.status, refused.paths()), (400, vec![path.to_owned()]));
    }
}

impl World {
    async fn aws_or_found(&self) -> String {
        let found = self.get(&format!("{TYPES}/AWS")).await;
        if found.status == 200 { found.id() } else { self.aws().await }
    }
}

#[tokio::test]
async fn a_taken_name_and_a_field_that_cannot_be_opened_are_conflicts() {
    let world = World::new().await;
    let id = world.aws().await;
    world.production(&id).await;
    let again = world
        .ask("POST", TYPES, json!({ "name": "aws", "permissionScope": "a.b", "fields": [] }))
        .await;
    assert_eq!(
        (again.status, again.body["message"].clone(), again.paths()),
        (409, json!("Conflict"), vec![r#"["name"]"#.into()])
    );
    let mut opened = fields();
    opened[1]["secure"] = json!(false);
    let refused = world.ask("PATCH", &format!("{TYPES}/{id}"), json!({ "fields": opened })).await;
    assert_eq!((refused.status, refused.paths()), (409, vec![r#"["fields",1,"secure"]"#.into()]));
    let mut guessed = fields();
    guessed[1]["valueType"] = json!("choice");
    guessed[1]["choices"] = json!(["0000", "0001"]);
    let refused = world.ask("PATCH", &format!("{TYPES}/{id}"), json!({ "fields": guessed })).await;
    assert_eq!(
        (refused.status, refused.paths()),
        (409, vec![r#"["fields",1,"valueType"]"#.into()])
    );
}

#[tokio::test]
async fn a_deleted_type_is_gone_with_its_credentials() {
    let world = World::new().await;
    let id = world.aws().await;
    let credential = world.production(&id).await;
    let deleted = world.ask("DELETE", &format!("{TYPES}/{id}"), Value::Null).await;
    assert_eq!(deleted.body, success(200, "Credential Type Deleted Successfully!", &Value::Null));
    for path in [
        format!("{TYPES}/{id}"),
        format!("{TYPES}/{id}/credentials"),
        format!("credential/credentials/{credential}"),
    ] {
        assert_eq!(world.get(&path).await.status, 404, "{path}");
    }
    assert_eq!(world.ask("DELETE", &format!("{TYPES}/{id}"), Value::Null).await.status, 404);
    assert_eq!(
        world.ask("DELETE", &format!("{TYPES}/AWS"), Value::Null).await.status,
        404,
        "by id alone"
    );
}

#[tokio::test]
async fn the_credentials_of_a_type_have_five_keys() {
    let world = World::new().await;
    let id = world.aws().await;
    let credential = world.production(&id).await;
    let listed = world.get(&format!("{TYPES}/{id}/credentials")).await;
    let data = json!([{
        "id": credential, "name": "Production AWS Credentials", "typeId": id, "companyId": world.acme,
        "fields": { "accessKeyId": "AKIAIOSFODNN7EXAMPLE" }
    }]);
    assert_eq!(listed.body, success(200, "Credentials Fetched Successfully!", &data));
    let bound = "credential_type.fetch,credential.fetch.many,aws.credentials@globex";
    let path = format!("{TYPES}/{id}/credentials");
    assert_eq!(
        world.ask_with(("GET", &path), bound, &[], &Value::Null).await.body["data"],
        json!([])
    );
    let narrow = "credential_type.fetch,credential.fetch.many";
    assert_eq!(
        world.ask_with(("GET", &path), narrow, &[], &Value::Null).await.body["data"],
        json!([])
    );
}

#[test]
fn bodies_are_read_as_they_are_documented() {
    assert_reads::<TypeSent>(|object| drop(new_type(object)));
    assert_reads::<TypeChangeSent>(|object| drop(changed_type(object, &json!({}))));
}
