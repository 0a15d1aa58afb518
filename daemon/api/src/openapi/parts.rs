//! Parts of operations that both dialects write alike: parameters, bodies, responses, headers.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::schemas::Schemas;
use crate::docs::{Docs, Place};

/// Adds a member to `object`.
pub(super) fn set(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(key.to_owned(), value);
    }
}

/// The id of an operation: its method and path in one word.
pub(super) fn operation_id(method: &Method, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<_> = std::iter::once(method.as_str().to_ascii_lowercase())
        .chain(words.map(str::to_owned))
        .collect();
    words.join("_")
}

/// The parameters: those in braces in the path, then the others.
pub(super) fn parameters(path: &str, docs: &Docs, schemas: &mut Schemas) -> Vec<Value> {
    let in_path =
        path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
    });
    let others = docs.parameters.iter().map(|parameter| {
        let place = match parameter.place {
            Place::Query => "query",
            Place::Header => "header",
        };
        json!({
            "name": parameter.name,
            "in": place,
            "description": parameter.about,
            "required": parameter.required,
            "schema": schemas.read(parameter.schema),
        })
    });
    in_path.chain(others).collect()
}

/// The body that an operation reads.
pub(super) fn body(docs: &Docs, schemas: &mut Schemas) -> Option<Value> {
    let schema = schemas.read(docs.body?);
    let media_type = docs.body_type.media_type();
    Some(json!({ "required": true, "content": { media_type: { "schema": schema } } }))
}

/// A response of JSON.
pub(super) fn json_response(about: &str, schema: &Value) -> Value {
    json!({ "description": about, "content": { "application/json": { "schema": schema } } })
}

/// A header of a response.
pub(super) fn header(about: &str) -> Value {
    json!({ "description": about, "schema": { "type": "string" } })
}

/// A header that every response of its kind has.
pub(super) fn required_header(about: &str) -> Value {
    json!({ "description": about, "required": true, "schema": { "type": "string" } })
}

/// The name of the failure of `status` among the responses of a dialect.
pub(super) fn failure_name(dialect: &str, status: StatusCode) -> String {
    format!("{dialect}{}", status.as_u16())
}

/// The key of a response, and a reference to the failure of that status.
pub(super) fn failure(dialect: &str, status: StatusCode) -> (String, Value) {
    let name = failure_name(dialect, status);
    (status.as_str().to_owned(), json!({ "$ref": format!("#/components/responses/{name}") }))
}
