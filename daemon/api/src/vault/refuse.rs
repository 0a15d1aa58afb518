//! Refusals of the dialect (`daemon/dialects/vault.md`, "Envelope"): the status decides the
//! message; `errors` lists the problems that the caller can fix.

use std::time::Duration;

use credsmith_core::error::{FieldProblem, Segment};
use credsmith_core::{Error, Kind};
use credsmith_http::{Fault, HandshakeError, Reply};
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::envelope;
use super::field_names::{key, spelled};
use crate::log;

/// When to try again, where nothing more precise is known.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A refusal on its way to the client.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Core refused.
    Core(Error),
    /// HTTP refused.
    Fault(Fault),
    /// There is no route of this path, or no record of this name.
    NotFound,
    /// The path has routes, of these methods alone.
    MethodNotAllowed(String),
    /// No token at all.
    NoToken,
    /// A token that is not one of ours.
    BadToken,
    /// The token lacks one of these scopes.
    TokenTooNarrow(&'static [&'static str]),
    /// The body or the query has these problems.
    Invalid(Vec<FieldProblem>),
    /// The route answers as a WebSocket only.
    UpgradeRequired,
}

/// The result of a handler.
pub(super) type Outcome = Result<Reply, Refusal>;

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<HandshakeError> for Refusal {
    fn from(no: HandshakeError) -> Self {
        match no {
            HandshakeError::UpgradeRequired => Self::UpgradeRequired,
            HandshakeError::Malformed => {
                Fault::BadRequest("the handshake is not that of a WebSocket").into()
            }
        }
    }
}

impl Refusal {
    /// One problem of a body or a query.
    pub(super) fn invalid(
        path: impl IntoIterator<Item = Segment>,
        message: impl Into<String>,
    ) -> Self {
        Self::Invalid(vec![FieldProblem::new(path, message)])
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Core(error) => status(error.kind()),
            Self::Fault(fault) => fault.status(),
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoToken | Self::BadToken => StatusCode::UNAUTHORIZED,
            Self::TokenTooNarrow(_) => StatusCode::FORBIDDEN,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
        }
    }

    /// The sentence for a person.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Core(error) => error.public().to_owned(),
            Self::Invalid(problems) => {
                let sentences = problems
                    .iter()
                    .map(spelled)
                    .map(|problem| format!("{}: {}", problem.place(), problem.message));
                sentences.collect::<Vec<_>>().join(" ")
            }
            _ => format!("{}.", message(self.status())),
        }
    }

    /// The problems, of which a 400 has at least one, and a 403 or a 409 may have some.
    fn problems(self) -> Vec<FieldProblem> {
        match self {
            Self::Invalid(problems) => problems,
            Self::Core(error)
                if matches!(
                    status(error.kind()),
                    StatusCode::BAD_REQUEST | StatusCode::CONFLICT
                ) =>
            {
                match error.fields() {
                    [] => vec![FieldProblem::new([], error.public())],
                    fields => fields.to_vec(),
                }
            }
            Self::Core(error) if error.kind() == Kind::Forbidden => error.fields().to_vec(),
            Self::TokenTooNarrow(scopes) => scopes
                .iter()
                .map(|scope| FieldProblem::new([], format!("The token lacks the scope {scope}.")))
                .collect(),
            Self::Fault(Fault::BadRequest(sentence)) => vec![FieldProblem::new([], sentence)],
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Core(error) => {
                let later = matches!(
                    status(error.kind()),
                    StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
                );
                error.retry_hint().or(later.then_some(DEFAULT_RETRY_AFTER))
            }
            Self::Fault(fault) => {
                let unavailable = fault.status() == StatusCode::SERVICE_UNAVAILABLE;
                fault
                    .retry_after()
                    .map(Duration::from_secs)
                    .or(unavailable.then_some(DEFAULT_RETRY_AFTER))
            }
            _ => None,
        }
    }

    /// RFC 6750 section 3: the challenge to a request without a token names no error.
    fn challenge(&self) -> Option<String> {
        const BEARER: &str = "Bearer realm=\"credsmith\"";
        match self {
            Self::NoToken => Some(BEARER.to_owned()),
            Self::BadToken => Some(format!("{BEARER}, error=\"invalid_token\"")),
            Self::Core(error) if error.kind() == Kind::Unauthenticated => {
                Some(format!("{BEARER}, error=\"invalid_token\""))
            }
            Self::TokenTooNarrow(scopes) => Some(format!(
                "{BEARER}, error=\"insufficient_scope\", scope=\"{}\"",
                scopes.join(" ")
            )),
            _ => None,
        }
    }
}

/// The status of a kind of failure.
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid | Kind::Refused => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        // This dialect has no way to send a user to another sign-in.
        Kind::Conflict | Kind::LoginRequired => StatusCode::CONFLICT,
        Kind::Stale => StatusCode::PRECONDITION_FAILED,
        Kind::LimitReached => StatusCode::TOO_MANY_REQUESTS,
        Kind::Upstream => StatusCode::BAD_GATEWAY,
        Kind::Disabled | Kind::PluginTimeout | Kind::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Kind::PluginFailed | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The one message of each failing status.
pub(crate) fn message(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "Validation error",
        StatusCode::UNAUTHORIZED => "Unauthorized",
        StatusCode::FORBIDDEN => "Insufficient permissions",
        StatusCode::NOT_FOUND => "Resource not found",
        StatusCode::METHOD_NOT_ALLOWED => "Method not allowed",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::PRECONDITION_FAILED => "Precondition failed",
        StatusCode::PAYLOAD_TOO_LARGE => "Payload too large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "Unsupported media type",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        StatusCode::BAD_GATEWAY => "Directory unavailable",
        StatusCode::SERVICE_UNAVAILABLE => "Service unavailable",
        // The original has none of the rest.
        StatusCode::REQUEST_TIMEOUT => "Request timeout",
        StatusCode::MISDIRECTED_REQUEST => "Misdirected request",
        StatusCode::UPGRADE_REQUIRED => "Upgrade required",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "Request header fields too large",
        _ => "Internal server error",
    }
}

/// One of `errors`, as it is sent. A position in a list is a number.
struct WireProblem<'a>(&'a FieldProblem);

impl Serialize for WireProblem<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Step<'a> {
            Index(usize),
            Key(&'a str),
        }
        #[derive(Serialize)]
        struct Problem<'a> {
            path: Vec<Step<'a>>,
            message: &'a str,
        }
        let path = self.0.path.iter().map(|segment| match segment {
            Segment::Index(index) => Step::Index(*index),
            Segment::Field(field) => Step::Key(key(*field)),
            Segment::Key(key) => Step::Key(key),
        });
        Problem { path: path.collect(), message: &self.0.message }.serialize(serializer)
    }
}

#[derive(Serialize)]
struct Failure<'a> {
    status: u16,
    message: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<WireProblem<'a>>,
    successful: bool,
}

/// Presents a refusal, and logs it where core refused.
pub(super) fn present(refusal: Refusal) -> Reply {
    if let Refusal::Core(error) = &refusal {
        log::failure(error);
    }
    let status = refusal.status();
    let headers = [
        (WWW_AUTHENTICATE, refusal.challenge()),
        (RETRY_AFTER, refusal.retry_after().map(|after| after.as_secs().max(1).to_string())),
        (ALLOW, allow(&refusal).map(str::to_owned)),
    ];
    let problems = refusal.problems();
    let errors = problems.iter().map(WireProblem).collect();
    let upgrade = (status == StatusCode::UPGRADE_REQUIRED).then(HandshakeError::headers);
    let failure =
        Failure { status: status.as_u16(), message: message(status), errors, successful: false };
    let mut reply = envelope::json(status, &failure);
    reply.headers_mut().extend(upgrade.into_iter().flatten());
    for (name, value) in headers {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            reply.headers_mut().insert(name, value);
        }
    }
    reply
}

fn allow(refusal: &Refusal) -> Option<&str> {
    match refusal {
        Refusal::MethodNotAllowed(allow) => Some(allow),
        Refusal::Fault(fault) => fault.allow(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use credsmith_core::error::RequestField;
    use serde_json::{Value, json};

    use super::*;

    fn body(reply: &Reply) -> Value {
        serde_json::from_slice(reply.body().bytes()).unwrap()
    }

    fn core(kind: Kind) -> Refusal {
        Refusal::Core(Error::new(kind, "so it is"))
    }

    #[test]
    fn the_status_words_the_message() {
        let cases = [
            (Kind::Invalid, 400, "Validation error"),
            (Kind::Refused, 400, "Validation error"),
            (Kind::Unauthenticated, 401, "Unauthorized"),
            (Kind::Forbidden, 403, "Insufficient permissions"),
            (Kind::NotFound, 404, "Resource not found"),
            (Kind::Conflict, 409, "Conflict"),
            (Kind::LoginRequired, 409, "Conflict"),
            (Kind::Stale, 412, "Precondition failed"),
            (Kind::LimitReached, 429, "Too many requests"),
            (Kind::PluginFailed, 500, "Internal server error"),
            (Kind::Internal, 500, "Internal server error"),
            (Kind::Upstream, 502, "Directory unavailable"),
            (Kind::Disabled, 503, "Service unavailable"),
            (Kind::PluginTimeout, 503, "Service unavailable"),
            (Kind::Busy, 503, "Service unavailable"),
        ];
        for (kind, status, message) in cases {
            let reply = present(core(kind));
            let body = body(&reply);
            assert_eq!((reply.status().as_u16(), &body["status"]), (status, &json!(status)));
            assert_eq!((&body["message"], &body["successful"]), (&json!(message), &json!(false)));
            assert_eq!(body.get("errors").is_some(), matches!(status, 400 | 409), "{kind:?}");
            assert_eq!(body.get("data"), None);
            assert_eq!(
                reply.headers().contains_key(RETRY_AFTER),
                matches!(status, 429 | 503),
                "{kind:?}"
            );
            assert_eq!(reply.headers().contains_key(WWW_AUTHENTICATE), status == 401, "{kind:?}");
            assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
        }
    }

    #[test]
    fn places_in_lists_are_numbers() {
        let problem = FieldProblem::new(["fields".into(), 2.into(), "value".into()], "No.");
        let reply = present(Refusal::Invalid(vec![problem]));
        assert_eq!(
            body(&reply)["errors"],
            json!([{ "path": ["fields", 2, "value"], "message": "No." }])
        );
        let reply = present(
            Error::new(Kind::Conflict, "x").with_fields(vec![FieldProblem::new([], "y")]).into(),
        );
        assert_eq!(body(&reply)["errors"], json!([{ "path": [], "message": "y" }]));
    }

    #[test]
    fn fields_of_core_are_spelled_as_clients_know_them() {
        let path = [RequestField::Fields.into(), 0.into(), RequestField::ValueType.into()];
        let type_of_value = FieldProblem::new(path, "No.");
        let per_page = FieldProblem::new([RequestField::PerPage.into()], "No.");
        let refusal = || Refusal::Invalid(vec![type_of_value.clone(), per_page.clone()]);
        assert_eq!(refusal().sentence(), "fields.0.valueType: No. rpp: No.");
        assert_eq!(
            body(&present(refusal()))["errors"],
            json!([
                { "path": ["fields", 0, "valueType"], "message": "No." },
                { "path": ["rpp"], "message": "No." },
            ])
        );
    }

    #[test]
    fn faults_of_the_layers_wear_the_same_envelope() {
        for (fault, status, errors) in [
            (Fault::NotFound, 404, 0),
            (Fault::HeadTooLarge, 431, 0),
            (Fault::PayloadTooLarge, 413, 0),
            (Fault::UnsupportedMediaType, 415, 0),
            (Fault::BadRequest("the host header is missing"), 400, 1),
            (Fault::BodyTimeout, 408, 0),
            (Fault::UnknownHost, 421, 0),
            (Fault::Busy { retry_after: Duration::from_secs(3) }, 503, 0),
            (Fault::Deadline, 503, 0),
            (Fault::Panicked, 500, 0),
        ] {
            let reply = present(fault.into());
            assert_eq!(reply.status().as_u16(), status);
            let body = body(&reply);
            assert_eq!(body["errors"].as_array().map_or(0, Vec::len), errors);
            assert_eq!(reply.headers().contains_key(RETRY_AFTER), status == 503, "{fault:?}");
            assert!(
                status == 500 || body["message"] != "Internal server error",
                "{fault:?} has its own message"
            );
        }
        let busy = present(Fault::Busy { retry_after: Duration::from_secs(3) }.into());
        assert_eq!(busy.headers()[RETRY_AFTER], "3");
        let reply = present(Fault::MethodNotAllowed { allow: "GET" }.into());
        assert_eq!(
            (reply.status().as_u16(), &reply.headers()[ALLOW]),
            (405, &HeaderValue::from_static("GET"))
        );
    }

    #[test]
    fn a_challenge_says_what_was_wrong_with_the_token() {
        let challenge = |refusal| {
            let reply = present(refusal);
            reply.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(challenge(Refusal::NoToken).unwrap(), "Bearer realm=\"credsmith\"");
        let invalid = "Bearer realm=\"credsmith\", error=\"invalid_token\"";
        assert_eq!(challenge(Refusal::BadToken).unwrap(), invalid);
        assert_eq!(challenge(core(Kind::Unauthenticated)).unwrap(), invalid);
        assert_eq!(
            challenge(Refusal::TokenTooNarrow(&["user.read", "user.write"])).unwrap(),
            "Bearer realm=\"credsmith\", error=\"insufficient_scope\", scope=\"user.read user.write\""
        );
        assert_eq!(challenge(core(Kind::Forbidden)), None);
    }

    #[test]
    fn a_request_without_an_upgrade_learns_what_to_upgrade_to() {
        let reply = present(HandshakeError::UpgradeRequired.into());
        assert_eq!(
            (reply.status().as_u16(), &reply.headers()["upgrade"]),
            (426, &HeaderValue::from_static("websocket"))
        );
        assert_eq!(body(&reply)["message"], "Upgrade required");
        assert_eq!(present(HandshakeError::Malformed.into()).status().as_u16(), 400);
    }

    #[test]
    fn causes_stay_inside() {
        let reply = present(Error::internal("the disk caught fire").into());
        assert!(!String::from_utf8_lossy(reply.body().bytes()).contains("fire"));
    }
}
