//! The document says what the tables say, and is an OpenAPI 3.1 document.

use std::collections::BTreeSet;

use credsmith_http::Body;
use serde_json::{Map, json};

use super::*;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

fn of_us() -> Value {
    document("https://vault.example", "1.2.3", Documented::All)
}

fn map(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Path, method and operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let items = map(&document["paths"]).iter();
    items
        .flat_map(|(path, item)| {
            map(item)
                .iter()
                .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

#[test]
fn every_row_is_in_it_and_nothing_else() {
    let document = of_us();
    let written: BTreeSet<_> = operations(&document)
        .iter()
        .map(|(path, method, _)| format!("{} {}", method.to_uppercase(), document::shape(path)))
        .collect();
    let row = |method: &Method, path| format!("{method} {}", document::shape(path));
    let vault = crate::vault::routes().into_iter().map(|route| row(route.method(), route.path()));
    let watts = crate::watts::rows().into_iter().map(|watts| row(&watts.method, watts.path));
    assert_eq!(written, vault.chain(watts).collect());
    for path in [
        "/v1/teapot",
        "/.well-known/jwks.json",
        "/api/v2/{issuer}/credential",
        "/api/v1/credential",
    ] {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
}

/// "Templated paths with the same hierarchy but different templated names MUST NOT exist as they
/// are identical."
#[test]
fn no_path_is_in_it_twice() {
    let document = of_us();
    let mut shapes = BTreeSet::new();
    for path in map(&document["paths"]).keys() {
        assert!(shapes.insert(document::shape(path)), "{path}");
    }
    let item = &document["paths"]["/v1/credential-type/credential-types/{identifier}"];
    let methods: BTreeSet<_> = map(item).keys().map(String::as_str).collect();
    assert_eq!(methods, BTreeSet::from(["delete", "get", "patch"]));
}

#[test]
fn every_row_says_what_it_does() {
    for route in crate::vault::routes() {
        assert!(!route.docs.summary.is_empty(), "{route:?} has no summary");
        assert!(!route.docs.answers.is_empty(), "{route:?} has no answer");
    }
}

fn only(object: &Value, allowed: &[&str], place: &str) {
    for key in map(object).keys() {
        assert!(allowed.contains(&key.as_str()), "{place}: {key}");
    }
}

#[test]
fn the_document_has_the_structure_of_openapi() {
    let document = of_us();
    only(&document, &["openapi", "info", "servers", "tags", "paths", "components"], "document");
    assert_eq!(document["openapi"], "3.1.0");
    only(&document["info"], &["title", "version", "description", "license"], "info");
    assert_eq!(document["info"]["version"], "1.2.3");
    assert_eq!(document["servers"][0]["url"], "https://vault.example");
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let place = format!("{method} {path}");
        assert!(path.starts_with('/') && METHODS.contains(&method), "{place}");
        check_operation(&document, path, operation, &place);
        assert!(ids.insert(text(&operation["operationId"])), "{place}: its id stands twice");
    }
}

fn check_operation(document: &Value, path: &str, operation: &Value, place: &str) {
    let allowed = [
        "operationId",
        "tags",
        "summary",
        "description",
        "security",
        "parameters",
        "requestBody",
        "responses",
    ];
    only(operation, &allowed, place);
    assert!(!text(&operation["description"]).is_empty(), "{place}");
    let tags: Vec<_> = list(&document["tags"]).iter().map(|tag| text(&tag["name"])).collect();
    assert!(list(&operation["tags"]).iter().all(|tag| tags.contains(&text(tag))), "{place}");
    for requirement in list(&operation["security"]) {
        for scheme in map(requirement).keys() {
            assert!(
                document["components"]["securitySchemes"].get(scheme).is_some(),
                "{place}: {scheme}"
            );
        }
    }
    check_parameters(path, list(&operation["parameters"]), place);
    if let Some(body) = operation.get("requestBody") {
        only(body, &["required", "content"], place);
        check_content(&body["content"], place);
    }
    assert!(!map(&operation["responses"]).is_empty(), "{place}");
    for (status, response) in map(&operation["responses"]) {
        let place = format!("{place} {status}");
        assert!((100..600).contains(&status.parse::<u16>().unwrap()), "{place}");
        check_response(resolve(document, response), &place);
    }
}

fn check_parameters(path: &str, parameters: &[Value], place: &str) {
    let mut seen = BTreeSet::new();
    let mut in_path = BTreeSet::new();
    for parameter in parameters {
        only(parameter, &["name", "in", "description", "required", "schema"], place);
        assert!(!text(&parameter["description"]).is_empty(), "{place}: {parameter}");
        let (name, position) = (text(&parameter["name"]), text(&parameter["in"]));
        assert!(seen.insert((name, position)), "{place}: {name} stands twice");
        assert!(["path", "query", "header"].contains(&position), "{place}: {name}");
        assert!(
            !["accept", "content-type", "authorization"].contains(&name.to_lowercase().as_str()),
            "{place}"
        );
        assert!(parameter["schema"].is_object(), "{place}: {name}");
        if position == "path" {
            assert_eq!(parameter["required"], json!(true), "{place}: {name}");
            in_path.insert(name);
        }
    }
    let named = path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .collect();
    assert_eq!(in_path, named, "{place}");
}

fn check_content(content: &Value, place: &str) {
    for (media_type, value) in map(content) {
        assert!(media_type.contains('/'), "{place}: {media_type}");
        only(value, &["schema", "example"], place);
        assert!(value["schema"].is_object(), "{place}");
    }
}

fn check_response(response: &Value, place: &str) {
    only(response, &["description", "headers", "content"], place);
    assert!(!text(&response["description"]).is_empty(), "{place}");
    if let Some(content) = response.get("content") {
        check_content(content, place);
    }
    for header in response.get("headers").map(map).into_iter().flat_map(Map::values) {
        only(header, &["description", "required", "schema"], place);
    }
}

/// What a reference refers to; what is none, as it is.
fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let Some(reference) = value.get("$ref") else { return value };
    assert_eq!(map(value).len(), 1, "{value}");
    let pointer = text(reference).strip_prefix('#').unwrap();
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// Calls `look` with everything in `value`.
fn walk<'v>(value: &'v Value, look: &mut impl FnMut(&'v str, &'v Value)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            look(key, value);
            walk(value, look);
        }),
        Value::Array(items) => items.iter().for_each(|item| walk(item, look)),
        _ => {}
    }
}

#[test]
fn references_lead_somewhere_and_schemas_are_schemas() {
    let document = of_us();
    let mut schemas = 0;
    walk(&document, &mut |key, value| match key {
        "$ref" => {
            resolve(&document, &json!({ "$ref": value }));
        }
        "schema" => {
            schemas += 1;
            jsonschema::draft202012::meta::validate(value).unwrap();
        }
        _ => {}
    });
    assert!(schemas > 50, "{schemas}");
    for (name, schema) in map(&document["components"]["schemas"]) {
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{name}");
        jsonschema::draft202012::meta::validate(schema).unwrap();
    }
    let unused: Vec<_> = map(&document["components"]["responses"])
        .keys()
        .filter(|name| !name.starts_with("VaultFailure"))
        .collect();
    let text = document["paths"].to_string();
    assert!(unused.iter().all(|name| text.contains(name.as_str())));
}

/// A body is read by one view of a type and written by the other: under one name there is room for
/// one of them.
#[test]
fn names_mean_one_thing() {
    let mut schemas = schemas::Schemas::new();
    document::paths(&mut schemas, Documented::All);
    assert_eq!(schemas.conflicts(), Vec::<&String>::new());
}

/// A client that follows the document and sends `null` must not be refused for it.
#[test]
fn null_may_be_sent_where_it_takes_something_away_and_nowhere_else() {
    let document = of_us();
    let sent =
        map(&document["components"]["schemas"]).iter().filter(|(name, _)| name.ends_with("Sent"));
    let nullable = sent.flat_map(|(name, schema)| {
        let keys = map(&schema["properties"]).iter();
        let keys = keys.filter(|(_, schema)| {
            schema["type"].as_array().is_some_and(|of| of.contains(&json!("null")))
        });
        keys.map(move |(key, _)| format!("{name}.{key}"))
    });
    assert_eq!(
        nullable.collect::<Vec<_>>(),
        ["ChangeSent.value", "ProfileSent.image", "TypeChangeSent.icon", "TypeSent.icon"]
    );
}

/// Whether `body` is an answer that the document knows.
fn is_known(path: &str, method: &str, status: &str, body: &Value) -> bool {
    let document = of_us();
    let response = resolve(&document, &document["paths"][path][method]["responses"][status]);
    let mut schema = response["content"]["application/json"]["schema"].clone();
    schema["components"] = document["components"].clone();
    jsonschema::draft202012::new(&schema).unwrap().is_valid(body)
}

#[test]
fn an_answer_has_the_keys_of_its_schema_and_no_others() {
    let good = json!({ "status": 418, "message": "I'm a teapot", "successful": false });
    assert!(is_known("/v1/teapot", "get", "418", &good));
    for (key, value) in [("status", json!(200)), ("message", json!("")), ("data", json!(null))] {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(!is_known("/v1/teapot", "get", "418", &bad), "{key}");
    }
    let failure = json!({
        "status": 400, "message": "Validation error", "successful": false,
        "errors": [{ "path": ["fields", 1, "value"], "message": "No." }],
    });
    assert!(is_known("/v1/teapot", "get", "400", &failure));
    let empty =
        json!({ "status": 400, "message": "Validation error", "successful": false, "errors": [] });
    assert!(!is_known("/v1/teapot", "get", "400", &empty), "a 400 says why");
    let watts = json!({ "result": "error", "user_msg": "no" });
    assert!(is_known("/api/v2/{issuer}/service", "get", "401", &watts));
    let service = json!({ "service_list": [{ "id": "x", "type": "none", "host": "localhost", "port": "1234" }] });
    assert!(is_known("/api/v1/{issuer}/service", "get", "200", &service));
    assert!(!is_known("/api/v2/{issuer}/service", "get", "200", &service));
}

/// Generators of clients call a function by the id of its operation.
#[test]
fn operations_have_the_names_that_people_would_choose() {
    let document = of_us();
    for (path, method, operation) in operations(&document) {
        let name = text(&operation["operationId"]);
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        assert!(is_name, "{method} {path}: {name}");
    }
}

#[test]
fn every_key_has_a_meaning() {
    let document = of_us();
    let mut without = Vec::new();
    walk(&document, &mut |_, value| {
        let properties = value.get("properties").filter(|_| value.get("type").is_some());
        for (key, property) in properties.into_iter().filter_map(Value::as_object).flatten() {
            let is_said = property.get("description").or_else(|| property.get("$ref")).is_some();
            if !is_said {
                without.push(format!("{key}: {property}"));
            }
        }
    });
    assert_eq!(without, Vec::<String>::new());
}

/// `true` and `{"type": "null"}` are valid schemas, and stop generators of clients.
#[test]
fn no_schema_is_one_that_generators_do_not_take() {
    let document = of_us();
    let mut odd = Vec::new();
    walk(&document, &mut |key, value| {
        let nothing = value.get("type") == Some(&json!("null"));
        let lists = ["anyOf", "oneOf", "allOf"].contains(&key).then(|| value.as_array()).flatten();
        let listed = lists.into_iter().flatten().any(|one| one.get("type") == Some(&json!("null")));
        let anything = ["schema", "items", "data"].contains(&key) && *value == json!(true);
        if nothing || listed || anything {
            odd.push(format!("{key}: {value}"));
        }
    });
    assert_eq!(odd, Vec::<String>::new());
}

/// An example that does not fit its schema teaches what is refused.
#[test]
fn every_operation_has_an_example_that_fits() {
    let document = of_us();
    let mut examples = 0;
    let mut check = |place: &str, part: &Value| {
        let Some(json) = part["content"].get("application/json") else { return };
        let mut schema = json["schema"].clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let faults: Vec<_> =
            validator.iter_errors(&json["example"]).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{place}: {faults:?}: {}", json["example"]);
        examples += 1;
    };
    for (path, method, operation) in operations(&document) {
        let place = format!("{method} {path}");
        if let Some(body) = operation.get("requestBody") {
            check(&format!("{place} body"), body);
        }
        for (status, response) in map(&operation["responses"]) {
            if status.starts_with('2') {
                check(&format!("{place} {status}"), resolve(&document, response));
            }
        }
    }
    assert!(examples > 40, "{examples}");
}

/// Every answer can be found in the log by it.
#[test]
fn every_answer_has_the_id_of_its_request() {
    let document = of_us();
    for (path, method, operation) in operations(&document) {
        for (status, response) in map(&operation["responses"]) {
            let response = resolve(&document, response);
            assert!(response["headers"].get("x-request-id").is_some(), "{method} {path}: {status}");
        }
        for status in ["429", "400"] {
            assert!(operation["responses"].get(status).is_some(), "{method} {path}: {status}");
        }
    }
}

/// A client of a daemon without a vault is not offered one.
#[test]
fn only_what_is_served_is_documented() {
    let document = document("https://vault.example", "1.2.3", Documented::Watts);
    assert!(map(&document["paths"]).keys().all(|path| path.starts_with("/api/")));
    assert!(document["components"]["securitySchemes"].get("vault").is_none());
    assert!(!document["components"]["responses"].to_string().contains("successful"));
    assert!(list(&document["tags"]).iter().all(|tag| text(&tag["name"]).starts_with("watts")));
}

/// The document beside this crate is what a daemon serves, so that a change of the interface is
/// seen where changes are reviewed. `UPDATE_OPENAPI=1 cargo test -p credsmith-api openapi` writes
/// it anew.
#[test]
fn the_copy_in_the_repository_is_the_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let served = document("https://credsmith.example.org", "0.0.0", Documented::All);
    let served = format!("{served:#}\n");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &served).unwrap();
    }
    let copy = std::fs::read_to_string(path).unwrap_or_default();
    assert!(copy == served, "{path} is not what is served: see the comment of this test");
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let request = http::Request::builder().method(method).uri(path);
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_client_that_has_it_gets_it_no_second_time() {
    let surface = OpenApi::new("https://vault.example", "1.2.3", Documented::All);
    let first = surface.call(request("GET", PATH, &[])).await;
    let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
    for tags in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = surface.call(request("GET", PATH, &[("if-none-match", &tags)])).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{tags}");
        assert!(again.body().bytes().is_empty());
    }
    let other = surface.call(request("GET", PATH, &[("if-none-match", "\"x\"")])).await;
    assert_eq!(other.status(), StatusCode::OK);
    let changed = OpenApi::new("https://vault.example", "1.2.4", Documented::All);
    let changed = changed.call(request("GET", PATH, &[("if-none-match", &tag)])).await;
    assert_eq!(changed.status(), StatusCode::OK);
}

#[tokio::test]
async fn it_is_compressed_for_clients_that_take_that() {
    use std::io::Read as _;
    let surface = OpenApi::new("https://vault.example", "1.2.3", Documented::All);
    for (accepted, is_compressed) in [
        ("gzip", true),
        ("br, GZIP;q=0.5", true),
        ("gzip;q=0, identity", false),
        ("br", false),
        ("gzipped", false),
    ] {
        let reply = surface.call(request("GET", PATH, &[("accept-encoding", accepted)])).await;
        assert_eq!(reply.headers().contains_key(CONTENT_ENCODING), is_compressed, "{accepted}");
        let mut text = String::new();
        let body = reply.body().bytes();
        if is_compressed {
            flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
            assert!(body.len() * 4 < text.len());
        } else {
            text = String::from_utf8(body.to_vec()).unwrap();
        }
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), of_us());
    }
}

#[tokio::test]
async fn it_is_served_at_its_path_alone() {
    let ask = async |method: &str, path: &str| {
        let request =
            http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        OpenApi::new("https://vault.example", "1.2.3", Documented::All).call(request).await
    };
    let reply = ask("GET", PATH).await;
    assert_eq!(
        (reply.status(), &reply.headers()["x-content-type-options"]),
        (StatusCode::OK, &HeaderValue::from_static("nosniff"))
    );
    assert_eq!(serde_json::from_slice::<Value>(reply.body().bytes()).unwrap(), of_us());
    assert_eq!(ask("POST", PATH).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ask("GET", "/openapi.json/x").await.status(), StatusCode::NOT_FOUND);
}
