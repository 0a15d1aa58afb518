//! The document around the operations.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use super::{vault, watts};
use crate::docs::{Docs, Place};

pub(super) fn of(public_url: &str, version: &str) -> Value {
    let mut schemas = Schemas::new();
    let paths = paths(&mut schemas);
    let mut responses = vault::failures();
    responses.extend(watts::failures(&mut schemas));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Credsmith",
            "version": version,
            "description": "Issues and revokes credentials, and keeps those of companies. Two dialects over one core: the vault below /v1, \
                and that of WaTTS below /api/v1 and /api/v2.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": public_url }],
        "paths": paths,
        "components": {
            "schemas": schemas.into_named(),
            "responses": responses,
            "securitySchemes": { vault::SECURITY: vault::security(), watts::SECURITY: watts::security() },
        },
    })
}

/// The operations of both dialects.
pub(super) fn paths(schemas: &mut Schemas) -> Map<String, Value> {
    let mut paths = Map::new();
    for route in crate::vault::routes() {
        let path = known_as(&paths, route.path());
        let operation = vault::operation(&route, &path, schemas);
        add(&mut paths, path, route.method(), operation);
    }
    for row in crate::watts::rows() {
        let path = known_as(&paths, row.path);
        let operation = watts::operation(&row, &path, schemas);
        add(&mut paths, path, &row.method, operation);
    }
    paths
}

/// What the document calls `path`. Where rows differ in nothing but the names of parameters there
/// is one path, called as the first of them calls it: to OpenAPI the others would be the same path
/// once more.
fn known_as(paths: &Map<String, Value>, path: &str) -> String {
    paths.keys().find(|known| shape(known) == shape(path)).map_or(path, String::as_str).to_owned()
}

/// A path without the names of its parameters.
pub(super) fn shape(path: &str) -> String {
    let segments =
        path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

fn add(paths: &mut Map<String, Value>, path: String, method: &Method, operation: Value) {
    let item = paths.entry(path).or_insert_with(|| json!({}));
    set(item, &method.as_str().to_ascii_lowercase(), operation);
}

/// Gives `object` one more member.
pub(super) fn set(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(key.to_owned(), value);
    }
}

/// What an operation is called: its method and path in one word.
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
    Some(json!({ "required": true, "content": { "application/json": { "schema": schema } } }))
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

/// What a failure of `status` is called among the responses of a dialect.
pub(super) fn failure_name(dialect: &str, status: StatusCode) -> String {
    format!("{dialect}{}", status.as_u16())
}

/// The key of a response, and a reference to the failure of that status.
pub(super) fn failure(dialect: &str, status: StatusCode) -> (String, Value) {
    let name = failure_name(dialect, status);
    (status.as_str().to_owned(), json!({ "$ref": format!("#/components/responses/{name}") }))
}
