use credsmith_core::doubles::NormaliseStep;
use credsmith_core::ports::plugins::BrokenHow;
use serde_json::json;

use super::super::test_vault::{World, keys, success};
use super::super::testing::assert_reads;
use super::*;

const CREDENTIALS: &str = "credential/credentials";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

async fn one() -> (World, String, String) {
    let world = World::new().await;
    let of = world.aws().await;
    let id = world.production(&of).await;
    (world, of, id)
}

#[tokio::test]
async fn making_a_credential_answers_five_keys() {
    let world = World::new().await;
    let of = world.aws().await;
    let body = json!({
        "name": "Production AWS Credentials",
        "typeId": of,
        "companyId": world.acme,
        "fields": [
            { "id": { "means": "nothing" }, "fieldId": "secretAccessKey", "value": SECRET },
            { "fieldId": "accessKeyId", "value": "AKIAIOSFODNN7EXAMPLE" }
        ]
    });
    let made = world.ask("POST", CREDENTIALS, body).await;
    let data = json!({
        "id": made.id(), "name": "Production AWS Credentials", "typeId": of, "companyId": world.acme,
        "fields": { "accessKeyId": "AKIAIOSFODNN7EXAMPLE" }
    });
    assert_eq!(made.body, success(201, "Credential Created Successfully!", &data));
}

#[tokio::test]
async fn a_credential_is_that_of_the_route_list() {
    let (world, of, id) = one().await;
    let found = world.get(&format!("{CREDENTIALS}/{id}")).await;
    let at = found.body["data"]["createdAt"].clone();
    let listed = json!({
        "id": id, "name": "Production AWS Credentials", "typeId": of, "companyId": world.acme,
        "fields": { "accessKeyId": "AKIAIOSFODNN7EXAMPLE" },
        "type": {
            "id": of, "name": "AWS", "permissionScope": "aws.credentials",
            "fields": world.get("credential-type/credential-types/AWS").await.body["data"]["fields"]
        },
        "company": { "id": world.acme, "name": "Acme Corp" }
    });
    let mut whole = listed.clone();
    whole["createdAt"] = at.clone();
    whole["updatedAt"] = at;
    assert_eq!(found.body, success(200, "Credential Fetched Successfully!", &whole));

    let of_company = world.get(&format!("{CREDENTIALS}/company/{}", world.acme)).await;
    assert_eq!(
        of_company.body,
        success(200, "Company Credentials Fetched Successfully!", &json!([listed]))
    );
    assert_eq!(
        world.get(&format!("{CREDENTIALS}/company/{}", world.globex)).await.body["data"],
        json!([])
    );
    for unknown in ["c0000000000000000000000000", "unknown", "acmecorp"] {
        assert_eq!(
            world.get(&format!("{CREDENTIALS}/company/{unknown}")).await.status,
            404,
            "our id only"
        );
        assert_eq!(world.get(&format!("{CREDENTIALS}/{unknown}")).await.status, 404);
    }
}

#[tokio::test]
async fn a_rename_answers_the_whole_credential() {
    let (world, _, id) = one().await;
    let path = format!("{CREDENTIALS}/{id}");
    let renamed = world.ask("PATCH", &path, json!({ "name": "Updated Credential Name" })).await;
    let now = world.get(&path).await;
    assert_eq!(now.body["data"]["name"], "Updated Credential Name");
    assert_eq!(renamed.body, success(200, "Credential Updated Successfully!", &now.body["data"]));
    assert_eq!(renamed.header("etag"), now.header("etag"));
    // A client may send back the members that it got, with the values that it got, and no others.
    assert_eq!(world.ask("PATCH", &path, now.body["data"].clone()).await.body, renamed.body);
    assert_eq!(world.ask("PATCH", &path, json!({})).await.body, renamed.body);
    let refused = world
        .ask("PATCH", &path, json!({ "companyId": world.globex, "name": null, "secret": 1 }))
        .await;
    let mut paths = refused.paths();
    paths.sort();
    assert_eq!(paths, [r#"["companyId"]"#, r#"["name"]"#, r#"["secret"]"#]);
}

#[tokio::test]
async fn an_update_of_values_answers_three_keys() {
    let (world, _, id) = one().await;
    let path = format!("{CREDENTIALS}/{id}/fields");
    let body = json!({ "fields": [
        { "id": "ckx1...", "fieldId": "accessKeyId", "value": "AKIAIOSFODNN7NEWVALUE" },
        { "id": "ckx2...", "fieldId": "secretAccessKey", "value": "newSecretKeyValue123" }
    ] });
    let changed = world.ask("PUT", &path, body).await;
    let data = json!({ "id": id, "name": "Production AWS Credentials", "fields": { "accessKeyId": "AKIAIOSFODNN7NEWVALUE" } });
    assert_eq!(changed.body, success(200, "Credential Fields Updated Successfully!", &data));
    let revealed = world.get(&format!("{CREDENTIALS}/{id}/secure-values")).await;
    assert_eq!(revealed.body["data"], json!({ "secretAccessKey": "newSecretKeyValue123" }));
}

#[tokio::test]
async fn stored_values_are_shown_encrypted() {
    let (world, _, id) = one().await;
    let shown = world.get(&format!("{CREDENTIALS}/{id}/fields")).await;
    let secure = shown.body["data"][1].clone();
    let data = json!([
        { "id": format!("{id}-accessKeyId"), "fieldId": "accessKeyId", "value": "AKIAIOSFODNN7EXAMPLE" },
        { "id": secure["id"], "fieldId": "secretAccessKey", "value": secure["value"] }
    ]);
    assert_eq!(shown.body, success(200, "Credential Fields Fetched Successfully!", &data));
    let value = secure["value"].as_str().unwrap();
    let bytes = STANDARD.decode(value).unwrap();
    assert_eq!(STANDARD.encode(&bytes), value, "padded, of the standard alphabet");
    assert!(
        !bytes.windows(8).any(|part| SECRET.as_bytes().windows(8).any(|secret| secret == part))
    );
    assert!(credsmith_core::ids::SecureValueId::parse(secure["id"].as_str().unwrap()).is_ok());
}

#[tokio::test]
async fn secure_values_are_handed_out_once_for_each_request() {
    let (world, _, id) = one().await;
    let path = format!("{CREDENTIALS}/{id}/secure-values");
    let revealed = world.get(&path).await;
    assert_eq!(
        revealed.body,
        success(200, "Secure Values Fetched Successfully!", &json!({ "secretAccessKey": SECRET }))
    );
    assert_eq!(
        (revealed.header("cache-control"), revealed.header("etag")),
        (Some("no-store"), None)
    );
    let again = world.ask_with(("GET", &path), "*", &[("if-none-match", "*")], &Value::Null).await;
    assert_eq!(again.status, 200, "never a 304");
}

/// A secure value stands in one answer alone.
#[tokio::test]
async fn secure_values_stand_in_no_other_answer() {
    let (world, of, id) = one().await;
    let path = format!("{CREDENTIALS}/{id}");
    let change = json!({ "fields": [{ "fieldId": "accessKeyId", "value": "x" }] });
    let refused = json!({ "fields": [{ "fieldId": "secretAccessKey", "value": "" }, { "fieldId": SECRET, "value": SECRET }] });
    for answer in [
        world.get(&path).await,
        world.get(&format!("{path}/fields")).await,
        world.get(&format!("{CREDENTIALS}/company/{}", world.acme)).await,
        world.get(&format!("credential-type/credential-types/{of}/credentials")).await,
        world.ask("PATCH", &path, json!({ "name": "x" })).await,
        world.ask("PUT", &format!("{path}/fields"), change).await,
        world.ask("PUT", &format!("{path}/fields"), refused).await,
    ] {
        assert!(!answer.body.to_string().contains(SECRET), "{}", answer.body);
    }
}

#[tokio::test]
async fn every_fault_of_a_body_is_reported_with_its_path() {
    let world = World::new().await;
    let of = world.aws().await;
    let body = json!({
        "name": 5,
        "typeId": of,
        "companyId": "c0000000000000000000000000",
        "fields": [
            { "fieldId": "nothing", "value": "x" },
            { "fieldId": "accessKeyId", "value": true },
            { "fieldId": "accessKeyId", "value": "x" },
            { "value": "x" },
            { "fieldId": "secretAccessKey", "value": null, "extra": 1 },
            null
        ],
        "unknown": {}
    });
    let refused = world.ask("POST", CREDENTIALS, body).await;
    assert_eq!((refused.status, refused.body["message"].clone()), (400, json!("Validation error")));
    let mut paths = refused.paths();
    paths.sort();
    let mut expected = [
        r#"["name"]"#,
        r#"["companyId"]"#,
        r#"["unknown"]"#,
        r#"["fields",0,"fieldId"]"#,
        r#"["fields",1,"value"]"#,
        r#"["fields",2,"fieldId"]"#,
        r#"["fields",3,"fieldId"]"#,
        r#"["fields",4,"value"]"#,
        r#"["fields",4,"extra"]"#,
        r#"["fields",5]"#,
    ];
    expected.sort_unstable();
    assert_eq!(paths, expected);
    let missing = json!({ "name": "x", "typeId": of, "companyId": world.acme, "fields": [] });
    let refused = world.ask("POST", CREDENTIALS, missing).await;
    assert_eq!(refused.paths(), [r#"["fields","accessKeyId"]"#, r#"["fields","secretAccessKey"]"#]);
    let nothing = world.ask("POST", CREDENTIALS, json!({})).await;
    assert_eq!(
        nothing.paths(),
        [r#"["name"]"#, r#"["typeId"]"#, r#"["companyId"]"#, r#"["fields"]"#]
    );
    let unknown =
        json!({ "name": "x", "typeId": "unknown", "companyId": world.acme, "fields": [] });
    assert_eq!(world.ask("POST", CREDENTIALS, unknown).await.paths(), [r#"["typeId"]"#]);
}

#[tokio::test]
async fn a_value_is_taken_away_by_null() {
    let world = World::new().await;
    let fields = json!([
        { "id": "a", "name": "A", "required": true, "secure": false, "valueType": "plain_text" },
        { "id": "b", "name": "B", "required": false, "secure": false, "valueType": "number" }
    ]);
    let of = json!({ "name": "T", "permissionScope": "a.b", "fields": fields });
    let of = world.ask("POST", "credential-type/credential-types", of).await.id();
    let body = json!({ "name": "C", "typeId": of, "companyId": world.acme,
        "fields": [{ "fieldId": "a", "value": "1" }, { "fieldId": "b", "value": "2" }] });
    let path = format!("{CREDENTIALS}/{}/fields", world.ask("POST", CREDENTIALS, body).await.id());
    let taken =
        world.ask("PUT", &path, json!({ "fields": [{ "fieldId": "b", "value": null }] })).await;
    assert_eq!(taken.body["data"]["fields"], json!({ "a": "1" }));
    let refused = world
        .ask(
            "PUT",
            &path,
            json!({ "fields": [{ "fieldId": "b", "value": "lots" }, { "fieldId": "a", "value": null }] }),
        )
        .await;
    assert_eq!(refused.paths(), [r#"["fields",1,"value"]"#, r#"["fields",0,"value"]"#]);
}

#[tokio::test]
async fn versions_are_heeded_after_rights() {
    let (world, _, id) = one().await;
    let path = format!("{CREDENTIALS}/{id}");
    let fields = format!("{path}/fields");
    let tag = world.get(&path).await.header("etag").unwrap().to_owned();
    assert_eq!(world.get(&fields).await.header("etag"), Some(tag.as_str()));
    for path in [&path, &fields] {
        let known =
            world.ask_with(("GET", path), "*", &[("if-none-match", &tag)], &Value::Null).await;
        assert_eq!((known.status, known.body), (304, Value::Null));
        let stranger =
            world.ask_with(("GET", path), "a.b", &[("if-none-match", &tag)], &Value::Null).await;
        assert_eq!(stranger.status, 403);
    }
    let change = json!({ "fields": [{ "fieldId": "accessKeyId", "value": "AKIA2" }] });
    let changed = world.ask_with(("PUT", &fields), "*", &[("if-match", &tag)], &change).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    let old = [("if-match", tag.as_str())];
    for (method, path, body) in [
        ("PUT", &fields, &change),
        ("PATCH", &path, &json!({ "name": "x" })),
        ("DELETE", &path, &Value::Null),
    ] {
        let refused = world.ask_with((method, path), "*", &old, body).await;
        assert_eq!(
            refused.body,
            json!({ "status": 412, "message": "Precondition failed", "successful": false })
        );
        let narrow = "credential.update,credential.fields.update,credential.delete";
        let stranger = world.ask_with((method, path), narrow, &old, body).await;
        assert_eq!(stranger.status, 403, "its scope is missing");
    }
    let now = changed.header("etag").unwrap().to_owned();
    let deleted = world.ask_with(("DELETE", &path), "*", &[("if-match", &now)], &Value::Null).await;
    assert_eq!(deleted.body, success(200, "Credential Deleted Successfully!", &Value::Null));
    assert_eq!(world.get(&path).await.status, 404);
}

/// RFC 9110 section 13.1.1: a list names several, `*` any, and a weak tag none.
#[tokio::test]
async fn a_write_names_the_versions_it_expects_as_http_does() {
    let (world, _, id) = one().await;
    let path = format!("{CREDENTIALS}/{id}");
    for (method, path, body) in [
        ("PATCH", path.clone(), json!({ "name": "Another" })),
        (
            "PUT",
            format!("{path}/fields"),
            json!({ "fields": [{ "fieldId": "accessKeyId", "value": "AKIA2" }] }),
        ),
        ("DELETE", path.clone(), Value::Null),
    ] {
        let tag =
            world.get(&format!("{CREDENTIALS}/{id}")).await.header("etag").unwrap().to_owned();
        let (weak, list) = (format!("W/{tag}"), format!("\"999\", {tag}"));
        for wrong in [weak.as_str(), "\"999\"", "\"999\", \"998\"", "", "1"] {
            let refused = world.ask_with((method, &path), "*", &[("if-match", wrong)], &body).await;
            assert_eq!(refused.status, 412, "{method} {wrong}");
        }
        let any = world.ask_with((method, &path), "a.b", &[("if-match", "*")], &body).await;
        assert_eq!(any.status, 403, "{method}");
        let headers: &[(&str, &str)] =
            if method == "PATCH" { &[("if-match", "*")] } else { &[("if-match", &list)] };
        assert_eq!(
            world.ask_with((method, &path), "*", headers, &body).await.status,
            200,
            "{method}"
        );
    }
    let gone = world.ask_with(("DELETE", &path), "*", &[("if-match", "*")], &Value::Null).await;
    assert_eq!(gone.status, 404);
}

/// Faults of a body are reported for the present version only: a client with an old version reads
/// again first.
#[tokio::test]
async fn an_old_version_is_reported_before_faults_of_the_body() {
    let (world, _, id) = one().await;
    let fields = format!("{CREDENTIALS}/{id}/fields");
    let faulty = json!({ "fields": [{ "fieldId": "nothing", "value": "x" }] });
    let old = world.ask_with(("PUT", &fields), "*", &[("if-match", "\"999\"")], &faulty).await;
    assert_eq!(old.status, 412);
    assert_eq!(world.ask("PUT", &fields, faulty).await.status, 400);
    let weak = format!("W/{}", world.get(&fields).await.header("etag").unwrap());
    let again =
        world.ask_with(("GET", &fields), "*", &[("if-none-match", &weak)], &Value::Null).await;
    assert_eq!(again.status, 304, "weak tags do for reading");
}

/// A field that becomes secure is in no map of any answer from that moment on, and its tag is
/// another.
#[tokio::test]
async fn a_newly_secure_field_leaves_every_map_at_once() {
    let (world, of, id) = one().await;
    let path = format!("{CREDENTIALS}/{id}");
    let before = world.get(&path).await.header("etag").unwrap().to_owned();
    let type_path = format!("credential-type/credential-types/{of}");
    let mut fields = world.get(&type_path).await.body["data"]["fields"].clone();
    fields[0]["secure"] = json!(true);
    assert_eq!(world.ask("PATCH", &type_path, json!({ "fields": fields })).await.status, 200);

    let after =
        world.ask_with(("GET", &path), "*", &[("if-none-match", &before)], &Value::Null).await;
    assert_eq!(after.status, 200, "what a client has is out of date");
    for answer in [
        after,
        world.ask("PATCH", &path, json!({ "name": "x" })).await,
        world.ask("PUT", &format!("{path}/fields"), json!({ "fields": [] })).await,
        world.get(&format!("{path}/fields")).await,
        world.get(&format!("{CREDENTIALS}/company/{}", world.acme)).await,
        world.get(&format!("{type_path}/credentials")).await,
    ] {
        assert_eq!(answer.status, 200);
        assert!(!answer.body.to_string().contains("AKIAIOSFODNN7EXAMPLE"), "{}", answer.body);
    }
    let revealed = world.get(&format!("{path}/secure-values")).await;
    assert_eq!(
        revealed.body["data"],
        json!({ "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": SECRET })
    );
}

#[tokio::test]
async fn each_route_wants_its_own_permissions() {
    let (world, of, id) = one().await;
    let one = format!("{CREDENTIALS}/{id}");
    let (fields, secrets) = (format!("{one}/fields"), format!("{one}/secure-values"));
    let company = format!("{CREDENTIALS}/company/{}", world.acme);
    let change = json!({ "fields": [] });
    let new = json!({ "name": "x", "typeId": of, "companyId": world.acme,
        "fields": [{ "fieldId": "accessKeyId", "value": "x" }, { "fieldId": "secretAccessKey", "value": "y" }] });
    for (method, path, body, permissions) in [
        ("GET", &one, &Value::Null, &["credential.fetch"][..]),
        ("GET", &company, &Value::Null, &["credential.fetch.many"]),
        ("POST", &CREDENTIALS.to_owned(), &new, &["credential.create"]),
        ("PATCH", &one, &json!({}), &["credential.update"]),
        ("PUT", &fields, &change, &["credential.update", "credential.fields.update"]),
        ("GET", &fields, &Value::Null, &["credential.fetch", "credential.fields.fetch"]),
        ("GET", &secrets, &Value::Null, &["credential.fetch", "credential.secure_values.read"]),
        ("DELETE", &one, &Value::Null, &["credential.delete"]),
    ] {
        for missing in permissions {
            let rest: Vec<_> = permissions
                .iter()
                .filter(|one| one != &missing)
                .copied()
                .chain(["aws.credentials"])
                .collect();
            let refused = world.ask_with((method, path), &rest.join(","), &[], body).await;
            assert_eq!(
                refused.body,
                json!({
                    "status": 403,
                    "message": "Insufficient permissions",
                    "errors": [{
                        "path": [],
                        "message": format!("The permission {missing} is missing."),
                    }],
                    "successful": false,
                }),
                "{method} {path}"
            );
        }
        let whole = permissions.join(",");
        let foreign = world
            .ask_with((method, path), &format!("{whole},aws.credentials@globex"), &[], body)
            .await;
        assert_eq!(foreign.status, 403, "{method} {path}: another company's");
        let allowed = world
            .ask_with((method, path), &format!("{whole},aws.credentials@acmecorp"), &[], body)
            .await;
        assert!(allowed.status < 300, "{method} {path}: {}", allowed.body);
    }
}

#[tokio::test]
async fn the_status_shows_that_a_plugin_failed() {
    let (world, _, id) = one().await;
    let path = format!("{CREDENTIALS}/{id}/fields");
    for (step, status) in [
        (NormaliseStep::Busy, 503),
        (NormaliseStep::Broken(BrokenHow::Timeout), 503),
        (NormaliseStep::Broken(BrokenHow::Trap), 500),
    ] {
        world.plugins.next(step);
        let failed = world.ask("PUT", &path, json!({ "fields": [] })).await;
        assert_eq!(
            (failed.status, keys(&failed.body)),
            (status, vec!["message", "status", "successful"])
        );
    }
    world.plugins.remove("generic");
    let refused = world.ask("PUT", &path, json!({ "fields": [] })).await;
    assert_eq!((refused.status, refused.paths()), (409, vec!["[]".to_owned()]));
    assert_eq!(world.get(&format!("{CREDENTIALS}/{id}")).await.status, 200);
}

#[test]
fn bodies_are_read_as_they_are_documented() {
    assert_reads::<CredentialSent>(|object| drop(new_credential(object)));
    assert_reads::<RenameSent>(|object| drop(new_name(object, &json!({}))));
    assert_reads::<ValuesSent>(|object| drop(changes(object, &json!({}))));
}

/// A list comes whole, as in the original, until it is too long for that; with `page` or `rpp` it
/// comes in pages.
#[tokio::test]
async fn both_lists_have_pages_on_demand() {
    let world = World::new().await;
    let of = world.aws().await;
    for name in ["b", "A", "c"] {
        let body = json!({
            "name": name, "typeId": of, "companyId": world.acme,
            "fields": [
                { "fieldId": "accessKeyId", "value": "x" },
                { "fieldId": "secretAccessKey", "value": SECRET },
            ]
        });
        assert_eq!(world.ask("POST", CREDENTIALS, body).await.status, 201);
    }
    for list in [
        format!("{CREDENTIALS}/company/{}", world.acme),
        format!("credential-type/credential-types/{of}/credentials"),
    ] {
        let names = |body: &serde_json::Value| -> Vec<_> {
            let listed = body["data"].as_array().unwrap().iter();
            listed.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        let whole = world.get(&list).await.body;
        assert_eq!(names(&whole), ["A", "b", "c"]);
        assert!(whole.get("pagination").is_none(), "{whole}");
        let second = world.get(&format!("{list}?page=2&rpp=2")).await.body;
        assert_eq!(names(&second), ["c"]);
        let pagination = json!({
            "previousPage": 1, "currentPage": 2, "nextPage": null,
            "totalPages": 2, "totalRecords": 3, "listedRecords": 1
        });
        assert_eq!(second["pagination"], pagination);
        for bad in ["page=0", "rpp=1001", "page=1&page=2"] {
            let refused = world.get(&format!("{list}?{bad}")).await;
            assert_eq!(refused.status, 400, "{bad}");
        }
    }
}
