//! Checks answers of the vault against the document: for the tests that send requests to the vault,
//! so that each of them checks it.

use std::sync::OnceLock;

use http::response::Parts;
use http::{Method, StatusCode, header};
use serde_json::{Map, Value};

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT
        .get_or_init(|| super::document("https://vault.example", "1.2.3", super::Documented::All))
}

/// Panics unless the document has the status, the content type, the headers and the body of an
/// answer.
pub(crate) fn assert_documented(method: &str, path: &str, parts: &Parts, body: &[u8]) {
    let place = format!("{method} {path}: {}", parts.status);
    let path = path.split('?').next().unwrap();
    let Some(item) = item(path) else {
        assert_eq!(parts.status, StatusCode::NOT_FOUND, "{place}: no such path is documented");
        return;
    };
    let asked = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    let Some(operation) = item.get(&asked) else {
        let expected = if method == Method::OPTIONS {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::METHOD_NOT_ALLOWED
        };
        assert_eq!(parts.status, expected, "{place}: no such operation is documented");
        assert!(parts.headers.contains_key(header::ALLOW), "{place}: no allow");
        return;
    };
    if method == "HEAD" && parts.status == StatusCode::METHOD_NOT_ALLOWED {
        return;
    }
    let response = resolve(&operation["responses"][parts.status.as_str()]);
    assert!(response.is_object(), "{place} is not documented");
    check_headers(response, parts, &place);
    check_body(response, parts, body, &place);
}

/// Of the paths that fit, the one with the fewest parameters: words come before parameters.
fn item(path: &str) -> Option<&'static Map<String, Value>> {
    let paths = document()["paths"].as_object().unwrap();
    let fits = |template: &str| {
        let (wanted, given): (Vec<_>, Vec<_>) =
            (template.split('/').collect(), path.split('/').collect());
        let alike = |(wanted, given): (&&str, &&str)| {
            wanted == given || wanted.starts_with('{') && !given.is_empty()
        };
        wanted.len() == given.len() && wanted.iter().zip(&given).all(alike)
    };
    let fitting = paths.iter().filter(|(template, _)| fits(template));
    fitting
        .min_by_key(|(template, _)| template.matches('{').count())
        .and_then(|(_, item)| item.as_object())
}

fn resolve(response: &'static Value) -> &'static Value {
    match response.get("$ref").and_then(Value::as_str) {
        Some(reference) => document().pointer(reference.trim_start_matches('#')).unwrap(),
        None => response,
    }
}

/// Required headers are there, and headers that are there are documented.
fn check_headers(response: &Value, parts: &Parts, place: &str) {
    let documented = response["headers"].as_object().cloned().unwrap_or_default();
    for (name, header) in &documented {
        if header["required"] == true {
            assert!(parts.headers.contains_key(name), "{place}: {name} is missing");
        }
    }
    for name in [header::ETAG, header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::LOCATION] {
        let is_documented =
            documented.keys().any(|documented| documented.eq_ignore_ascii_case(name.as_str()));
        assert!(
            is_documented || !parts.headers.contains_key(&name),
            "{place}: {name} is not documented"
        );
    }
}

fn check_body(response: &Value, parts: &Parts, body: &[u8], place: &str) {
    let Some(content) = response.get("content").and_then(Value::as_object) else {
        assert!(body.is_empty(), "{place}: a body that is not documented");
        return;
    };
    let kind = parts.headers[header::CONTENT_TYPE].to_str().unwrap().split(';').next().unwrap();
    let documented =
        content.get(kind).unwrap_or_else(|| panic!("{place}: {kind} is not documented"));
    if kind != "application/json" {
        return;
    }
    let body: Value = serde_json::from_slice(body).unwrap();
    let mut schema = documented["schema"].clone();
    schema["components"] = document()["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults: Vec<_> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
    assert!(faults.is_empty(), "{place}: {faults:?}: {body}");
}
