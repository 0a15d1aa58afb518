//! Rows of the WaTTS dialect as operations.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::parts::{self, header, json_response, set};
use super::schemas::Schemas;
use crate::docs::{Content, schema_of};
use crate::watts::{RefusalBody, Row};

/// The names of its security scheme and of its failures.
pub(super) const SECURITY: &str = "provider";
const FAILURE: &str = "WattsFailure";

const ALWAYS: [StatusCode; 11] = [
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_ACCEPTABLE,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PRECONDITION_FAILED,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];
const OTHERS: [StatusCode; 3] =
    [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::NOT_MODIFIED];

const V1: &str = "watts-v1";
const V2: &str = "watts";

/// The tags, and what their operations are about.
pub(super) const TAGS: [(&str, &str); 2] = [
    (
        V2,
        "Credentials that services issue to users of an OpenID provider: version 2 of the interface of WaTTS.",
    ),
    (V1, "The same in version 1, whose clients name the issuer of their token in a header."),
];

/// What it does, and what its caller needs.
fn description(row: &Row) -> String {
    let needs = if row.secured {
        "Needs an access token of the provider that the request names."
    } else {
        "Needs no token."
    };
    format!("{} {needs}", row.docs.summary)
}

pub(super) fn security() -> Value {
    json!({
        "type": "http",
        "scheme": "bearer",
        "description": "An access token of the OpenID provider that the request names.",
    })
}

/// `path` is the name of the row's path in the document.
pub(super) fn operation(row: &Row, path: &str, schemas: &mut Schemas) -> Value {
    let mut operation = json!({
        "operationId": row.docs.name,
        "tags": [if row.path.starts_with("/api/v1/") { V1 } else { V2 }],
        "summary": row.docs.summary,
        "description": description(row),
        "security": if row.secured { json!([{ SECURITY: [] }]) } else { json!([]) },
        "parameters": parts::parameters(path, &row.docs, schemas),
        "responses": responses(row, schemas),
    });
    if let Some(body) = parts::body(&row.docs, schemas) {
        set(&mut operation, "requestBody", body);
    }
    operation
}

fn responses(row: &Row, schemas: &mut Schemas) -> Map<String, Value> {
    let has_id = row.path.contains("{id}");
    let more = OTHERS.into_iter().filter(|status| match *status {
        StatusCode::UNAUTHORIZED => row.secured,
        StatusCode::NOT_FOUND => has_id,
        _ => row.method == Method::GET,
    });
    let mut responses: Map<_, _> =
        ALWAYS.into_iter().chain(more).map(|status| parts::failure(FAILURE, status)).collect();
    for answer in &row.docs.answers {
        let response = match answer.content {
            Content::Json { about, schema } => json_response(about, &schemas.written(schema)),
            Content::Envelope { message: about, .. }
            | Content::Other { about, .. }
            | Content::Nothing { about } => json!({ "description": about }),
        };
        responses.insert(answer.status.as_str().to_owned(), response);
    }
    if let Some(redirect) = responses.get_mut(StatusCode::SEE_OTHER.as_str()) {
        set(redirect, "headers", json!({ "Location": header("The address of the result.") }));
    }
    responses
}

/// A response for each status of failure.
pub(super) fn failures(schemas: &mut Schemas) -> Map<String, Value> {
    let statuses = ALWAYS.into_iter().chain(OTHERS);
    statuses
        .map(|status| {
            let about = status.canonical_reason().unwrap_or_default();
            let mut response = match status {
                StatusCode::NOT_MODIFIED => json!({ "description": about }),
                _ => json_response(about, &schemas.written(schema_of::<RefusalBody>)),
            };
            let headers = match status {
                StatusCode::UNAUTHORIZED => {
                    Some(("WWW-Authenticate", "That a bearer token is needed."))
                }
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                    Some(("Retry-After", "When to try again, in seconds."))
                }
                _ => None,
            };
            if let Some((name, about)) = headers {
                set(&mut response, "headers", json!({ name: header(about) }));
            }
            (parts::failure_name(FAILURE, status), response)
        })
        .collect()
}
