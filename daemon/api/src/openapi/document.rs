//! The document around the operations.

use http::Method;
use serde_json::{Map, Value, json};

use super::parts::{self, set};
use super::schemas::Schemas;
use super::{Documented, examples, vault, watts};

pub(super) fn of(public_url: &str, version: &str, surfaces: Documented) -> Value {
    let mut schemas = Schemas::new();
    let mut paths = paths(&mut schemas, surfaces);
    let mut responses = watts::failures(&mut schemas);
    let mut security = json!({ watts::SECURITY: watts::security() });
    let mut named = schemas.into_named();
    let mut tags = Vec::from(watts::TAGS);
    if surfaces == Documented::All {
        responses.extend(vault::failures());
        set(&mut security, vault::SECURITY, vault::security());
        named.extend(vault::schemas());
        tags.extend(vault::TAGS);
    }
    responses.values_mut().for_each(parts::with_request_id);
    paths.values_mut().for_each(with_request_ids);
    examples::add(&mut paths, &named);
    let tags: Vec<_> = tags
        .into_iter()
        .map(|(name, about)| json!({ "name": name, "description": about }))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Credsmith",
            "version": version,
            "description": "Issues and revokes credentials, and keeps those of companies. Two dialects over one core: that of WaTTS below \
                /api/v1 and /api/v2 and, where it is configured, the vault below /v1.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": public_url, "description": "This daemon." }],
        "tags": tags,
        "paths": paths,
        "components": { "schemas": named, "responses": responses, "securitySchemes": security },
    })
}

/// Adds the header with the id of the request to every answer of a path.
fn with_request_ids(item: &mut Value) {
    let operations = item.as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in operations {
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
        responses.into_iter().flat_map(Map::values_mut).for_each(parts::with_request_id);
    }
}

/// The operations of the dialects that are served.
pub(super) fn paths(schemas: &mut Schemas, surfaces: Documented) -> Map<String, Value> {
    let mut paths = Map::new();
    let of_the_vault = crate::vault::routes().into_iter();
    for route in of_the_vault.filter(|_| surfaces == Documented::All) {
        let path = name_of(&paths, route.path());
        let operation = vault::operation(&route, &path, schemas);
        add(&mut paths, path, route.method(), operation);
    }
    for row in crate::watts::rows() {
        let path = name_of(&paths, row.path);
        let operation = watts::operation(&row, &path, schemas);
        add(&mut paths, path, &row.method, operation);
    }
    paths
}

/// The name of `path` in the document. Paths that differ only in the names of their parameters
/// share the name of the first: to OpenAPI they are the same path.
fn name_of(paths: &Map<String, Value>, path: &str) -> String {
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
