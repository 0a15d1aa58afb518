//! The document around the operations.

use http::Method;
use serde_json::{Map, Value, json};

use super::parts::set;
use super::schemas::Schemas;
use super::{vault, watts};

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
