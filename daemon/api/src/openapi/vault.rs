//! Rows of the vault dialect as operations.

use std::collections::BTreeSet;

use credsmith_core::paging::Paging;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::parts::{self, header, json_response, set};
use super::schemas::Schemas;
use crate::docs::{Answer, Content, Data, schema_of};
use crate::vault::{Access, Pagination, Route, message};

/// The names of its security scheme and of its failures.
pub(super) const SECURITY: &str = "vault";
const FAILURE: &str = "VaultFailure";

/// Failures of every route: the layers below a dialect refuse requests too.
const ALWAYS: [StatusCode; 7] = [
    StatusCode::BAD_REQUEST,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];
const OF_A_BODY: [StatusCode; 3] = [
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
];
/// Failures that rows name themselves, or that follow from their access, path or tag.
const OTHERS: [StatusCode; 7] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::CONFLICT,
    StatusCode::PRECONDITION_FAILED,
    StatusCode::UPGRADE_REQUIRED,
    StatusCode::BAD_GATEWAY,
];

pub(super) fn security() -> Value {
    json!({
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of a session: sign in at /v1/auth/uri. The description of each operation says which scope \
            the token needs, and which permissions its user needs.",
    })
}

/// `path` is the name of the route's path in the document.
pub(super) fn operation(route: &Route, path: &str, schemas: &mut Schemas) -> Value {
    let mut parameters = parts::parameters(path, &route.docs, schemas);
    parameters.extend(condition(route));
    let mut operation = json!({
        "operationId": route.docs.name,
        "tags": [tag(route.path())],
        "summary": route.docs.summary,
        "description": description(route),
        "security": needs(route.access()),
        "parameters": parameters,
        "responses": responses(route, schemas),
    });
    if let Some(body) = parts::body(&route.docs, schemas) {
        set(&mut operation, "requestBody", body);
    }
    operation
}

/// The tags, and what their operations are about.
pub(super) const TAGS: [(&str, &str); 7] = [
    (
        "auth",
        "Signing in to the vault with a browser at an OpenID provider, and the tokens that come of it.",
    ),
    ("user", "The users of the vault, their roles, and the caller's own profile."),
    ("company", "The companies whose credentials the vault keeps."),
    (
        "credential-type",
        "Types: the fields that credentials have, and the plugin that checks them.",
    ),
    (
        "credential",
        "Credentials of companies. Secure values are sealed one by one and shown by `revealSecureValues` alone.",
    ),
    ("keys", "The public keys that the tokens of the vault are signed with."),
    ("teapot", "Whether a vault answers here."),
];

/// What it does, and what its caller needs.
fn description(route: &Route) -> String {
    let needs = match route.access() {
        Access::Public => "Needs no token.".to_owned(),
        Access::Caller => "Needs an access token.".to_owned(),
        Access::Needs { scopes, permissions } => {
            let of = |one: &str, many: &str, names: &[&str]| match names {
                [] => None,
                [name] => Some(format!("the {one} `{name}`")),
                names => Some(format!("the {many} `{}`", names.join("` and `"))),
            };
            let needs =
                [of("scope", "scopes", scopes), of("permission", "permissions", permissions)];
            let needs: Vec<_> = needs.into_iter().flatten().collect();
            format!("Needs an access token with {}.", needs.join(" and "))
        }
    };
    format!("{} {needs}", route.docs.summary)
}

fn tag(path: &str) -> &str {
    path.strip_prefix("/v1/").and_then(|rest| rest.split('/').next()).unwrap_or("keys")
}

fn needs(access: Access) -> Value {
    match access {
        Access::Public => json!([]),
        Access::Caller | Access::Needs { .. } => json!([{ SECURITY: [] }]),
    }
}

fn reads(route: &Route) -> bool {
    *route.method() == Method::GET
}

/// The condition that a request for a record with an entity tag may carry.
fn condition(route: &Route) -> Option<Value> {
    let (name, about) = if reads(route) {
        (
            "If-None-Match",
            "Entity tags that the client has: 304 when one is still that of the record.",
        )
    } else {
        ("If-Match", "Entity tags of which one has to be that of the record: 412 otherwise.")
    };
    let parameter = json!({ "name": name, "in": "header", "description": about, "required": false, "schema": { "type": "string" } });
    route.docs.tagged.then_some(parameter)
}

fn responses(route: &Route, schemas: &mut Schemas) -> Map<String, Value> {
    let mut responses: Map<_, _> =
        failures_of(route).into_iter().map(|status| parts::failure(FAILURE, status)).collect();
    for answer in &route.docs.answers {
        let mut response = response(answer, schemas);
        if route.docs.tagged && *route.method() != Method::DELETE {
            set(&mut response, "headers", revision());
        }
        let status = answer.status.as_str().to_owned();
        let response = match responses.remove(&status) {
            None => response,
            Some(first) if answer.status.is_success() => with_alternative(first, response),
            // A reference cannot be extended.
            Some(_) => with_alternative(failed(answer.status), response),
        };
        responses.insert(status, response);
    }
    if route.docs.tagged && reads(route) {
        let response =
            json!({ "description": "The client has the present revision.", "headers": revision() });
        responses.insert("304".to_owned(), response);
    }
    responses
}

/// The header with the revision of a record.
fn revision() -> Value {
    json!({ "ETag": parts::required_header("The revision of the record.") })
}

fn failures_of(route: &Route) -> BTreeSet<StatusCode> {
    let mut failures = BTreeSet::from(ALWAYS);
    failures.extend(&route.docs.failures);
    match route.access() {
        Access::Public => {}
        Access::Caller => failures.extend([StatusCode::UNAUTHORIZED]),
        Access::Needs { .. } => failures.extend([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]),
    }
    if route.path_parameters().next().is_some() {
        failures.insert(StatusCode::NOT_FOUND);
    }
    if route.docs.body.is_some() {
        failures.extend(OF_A_BODY);
    }
    if route.docs.tagged && !reads(route) {
        failures.insert(StatusCode::PRECONDITION_FAILED);
    }
    failures
}

fn response(answer: &Answer, schemas: &mut Schemas) -> Value {
    match answer.content {
        Content::Envelope { message, data } => {
            json_response(message, &envelope(answer.status, message, data, schemas))
        }
        Content::Json { about, schema } => json_response(about, &schemas.written(schema)),
        Content::Other { about, media_type } => {
            json!({ "description": about, "content": { media_type: { "schema": { "type": "string" } } } })
        }
        Content::Nothing { about } => json!({ "description": about }),
    }
}

fn envelope(status: StatusCode, message: &str, data: Data, schemas: &mut Schemas) -> Value {
    let mut members = envelope_members(status, message);
    let mut optional: &[&str] = &[];
    match data {
        Data::Absent => {}
        Data::One(schema) => {
            let mut schema = schemas.written(schema);
            if schema.get("$ref").is_none() && schema.get("description").is_none() {
                set(&mut schema, "description", json!("What was asked for."));
            }
            members.insert("data".to_owned(), schema);
        }
        Data::Page(schema) => {
            let list = json!({
                "type": "array",
                "items": schemas.written(schema),
                "description": "The records of the page.",
            });
            members.insert("data".to_owned(), list);
            members.insert("pagination".to_owned(), schemas.written(schema_of::<Pagination>));
        }
        Data::Part(schema) => {
            let items = schemas.written(schema);
            let list = json!({
                "type": "array",
                "items": items,
                "maxItems": Paging::MAX_PER_PAGE,
                "description": "The records: those of the page, or the first ones.",
            });
            members.insert("data".to_owned(), list);
            members.insert("pagination".to_owned(), schemas.written(schema_of::<Pagination>));
            optional = &["pagination"];
        }
    }
    object(&members, optional)
}

/// The members that every envelope has.
fn envelope_members(status: StatusCode, message: &str) -> Map<String, Value> {
    Map::from_iter([
        (
            "status".to_owned(),
            json!({ "type": "integer", "const": status.as_u16(), "description": "The status of the answer." }),
        ),
        (
            "message".to_owned(),
            json!({ "type": "string", "const": message, "description": "What the status means here." }),
        ),
        (
            "successful".to_owned(),
            // Without a `const`: some generators compare it with the word.
            json!({ "type": "boolean", "description": "Whether the request succeeded." }),
        ),
    ])
}

/// An object of exactly these keys, of which only the `optional` ones may be left out.
fn object(members: &Map<String, Value>, optional: &[&str]) -> Value {
    let required: Vec<_> = members.keys().filter(|key| !optional.contains(&key.as_str())).collect();
    json!({ "type": "object", "properties": members, "required": required, "additionalProperties": false })
}

/// `first`, with the content of `other` as an alternative.
fn with_alternative(mut first: Value, mut other: Value) -> Value {
    let more = other.get_mut("content").and_then(Value::as_object_mut);
    if let (Some(content), Some(more)) =
        (first.get_mut("content").and_then(Value::as_object_mut), more)
    {
        content.append(more);
    }
    first
}

/// A response for each status of failure.
pub(super) fn failures() -> Map<String, Value> {
    let statuses = ALWAYS.into_iter().chain(OF_A_BODY).chain(OTHERS);
    statuses.map(|status| (parts::failure_name(FAILURE, status), failed(status))).collect()
}

fn failed(status: StatusCode) -> Value {
    let mut response = json_response(message(status), &failure(status));
    let headers = match (header_of(status), status) {
        (Some((name, about)), _) => json!({ name: parts::required_header(about) }),
        (None, StatusCode::FORBIDDEN) => {
            json!({ "WWW-Authenticate": header("The scopes that the token lacks, where that is the reason (RFC 6750).") })
        }
        (None, _) => return response,
    };
    set(&mut response, "headers", headers);
    response
}

fn failure(status: StatusCode) -> Value {
    let mut members = envelope_members(status, message(status));
    let may = matches!(status, StatusCode::FORBIDDEN | StatusCode::CONFLICT);
    if may || status == StatusCode::BAD_REQUEST {
        members.insert("errors".to_owned(), problems());
    }
    object(&members, if may { &["errors"] } else { &[] })
}

fn problems() -> Value {
    json!({
        "type": "array",
        "minItems": 1,
        "description": "What is wrong, place by place.",
        "items": { "$ref": "#/components/schemas/Problem" },
    })
}

/// The schemas that no type of ours writes: of a problem in a request, and of the messages at the
/// socket of a sign-in.
pub(super) fn schemas() -> Map<String, Value> {
    let about = |about: &str, mut schema: Value| {
        set(&mut schema, "description", json!(about));
        schema
    };
    let segment = json!({
        "type": ["string", "integer"],
        "description": "A key, or a place in a list, from 0.",
    });
    let problem = Map::from_iter([
        (
            "path".to_owned(),
            json!({ "type": "array", "items": segment, "description": "Where in the body or the query it is." }),
        ),
        (
            "message".to_owned(),
            json!({ "type": "string", "description": "What was expected there." }),
        ),
    ]);
    let event = |name: &str, data: Value| {
        let members = Map::from_iter([
            (
                "event".to_owned(),
                json!({ "const": name, "type": "string", "description": "What happened." }),
            ),
            ("data".to_owned(), data),
        ]);
        object(&members, &[])
    };
    let failure = Map::from_iter([(
        "message".to_owned(),
        json!({ "type": "string", "description": "Why the sign-in failed, in words for the user." }),
    )]);
    let failure = about("The reason.", object(&failure, &[]));
    Map::from_iter([
        ("Problem".to_owned(), about("A problem of a request.", object(&problem, &[]))),
        (
            "SignedInMessage".to_owned(),
            about(
                "The text at the socket of `waitForSignIn` once the user has signed in; the socket is closed behind it.",
                event("auth:callback", json!({ "$ref": "#/components/schemas/Tokens" })),
            ),
        ),
        (
            "NotSignedInMessage".to_owned(),
            about(
                "The text at the socket of `waitForSignIn` when the sign-in came to nothing; the socket is closed behind it.",
                event("auth:error", failure),
            ),
        ),
    ])
}

fn header_of(status: StatusCode) -> Option<(&'static str, &'static str)> {
    match status {
        StatusCode::UNAUTHORIZED => {
            Some(("WWW-Authenticate", "The fault of the token (RFC 6750)."))
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            Some(("Retry-After", "When to try again, in seconds."))
        }
        StatusCode::UPGRADE_REQUIRED => Some(("Upgrade", "The protocol to upgrade to.")),
        StatusCode::METHOD_NOT_ALLOWED => Some(("Allow", "The methods of the path.")),
        _ => None,
    }
}
