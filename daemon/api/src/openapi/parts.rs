//! Parts of operations that both dialects write alike: parameters, bodies, responses, headers.

use http::StatusCode;
use serde_json::{Value, json};

use super::schemas::Schemas;
use crate::docs::{Docs, Place};

/// Adds a member to `object`.
pub(super) fn set(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(key.to_owned(), value);
    }
}

/// What the parameters of paths mean, by path up to the parameter and by its name.
const IN_PATHS: [(&str, &str, &str); 12] = [
    (
        "/api/v2/",
        "issuer",
        "The id of the provider that gave out the token, as `listProviders` has it; or its issuer, percent-encoded.",
    ),
    (
        "/api/v2/{issuer}/credential/",
        "id",
        "The id of the credential, as `listIssuedCredentials` has it.",
    ),
    ("/api/v1/credential/", "id", "The id of the credential, as `listIssuedCredentialsV1` has it."),
    ("/api/v2/{issuer}/credential_data/", "id", "The last segment of the `location` of the 303."),
    ("/api/v1/credential_data/", "id", "The last segment of the `location` of the 303."),
    (
        "/v1/company/companies/",
        "identifier",
        "The id of the company; or its number or its identifier in the directory.",
    ),
    ("/v1/credential/credentials/company/", "companyId", "The id of the company."),
    ("/v1/credential/credentials/", "id", "The id of the credential."),
    (
        "/v1/credential-type/credential-types/",
        "identifier",
        "The id of the type, or its name, whatever the case. Changes take the id alone.",
    ),
    ("/v1/credential-type/credential-types/", "id", "The id of the type."),
    ("/v1/user/users/", "id", "The id of the user."),
    ("/v1/auth/redirect/", "provider", "The id of the provider that sends the browser back."),
];

/// What the parameter `name` of `path` means.
pub(super) fn about_path_parameter(path: &str, name: &str) -> Option<&'static str> {
    let before = path.split_once(&format!("{{{name}}}")).map(|(before, _)| before)?;
    let row = IN_PATHS.iter().find(|(start, of, _)| *start == before && *of == name);
    row.map(|(_, _, about)| *about)
}

/// The parameters: those in braces in the path, then the others.
pub(super) fn parameters(path: &str, docs: &Docs, schemas: &mut Schemas) -> Vec<Value> {
    let in_path =
        path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        json!({
            "name": name,
            "in": "path",
            "description": about_path_parameter(path, name).unwrap_or_default(),
            "required": true,
            "schema": { "type": "string", "minLength": 1 },
        })
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

/// The header by which an answer is found in the log of the daemon.
pub(super) const REQUEST_ID: (&str, &str) =
    ("x-request-id", "The id of the request: the log and the audit log have it, too.");

/// Adds the header that every response has.
pub(super) fn with_request_id(response: &mut Value) {
    let (name, about) = REQUEST_ID;
    if response.get("$ref").is_some() {
        return;
    }
    if response.get("headers").is_none() {
        set(response, "headers", json!({}));
    }
    if let Some(headers) = response.get_mut("headers") {
        set(headers, name, header(about));
    }
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
