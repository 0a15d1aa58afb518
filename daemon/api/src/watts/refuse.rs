//! Refusals of the dialect: one JSON object, `{"result":"error","user_msg":"..."}`, for every
//! failure (`daemon/dialects/watts.md` sections 1.7 and 14).

use std::time::Duration;

use credsmith_core::{Error, Kind};
use credsmith_http::Fault;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

/// The text of the original for a malformed request.
pub(super) const MALFORMED: &str = "Bad request, please check all parameter";
/// For a token that its provider does not accept, or a provider that is not configured.
pub(super) const UNAUTHENTICATED: &str = "Authorization failed, please check the access token";
/// For everything that is not found, so that the answer does not disclose what exists.
pub(super) const NOT_FOUND: &str = "There is no such resource.";

/// The answer of a request whose plugin demands a sign-in elsewhere, which a token cannot do.
/// Clients compare this very text.
const LOGIN_REQUIRED: &str = "login is required, please use the web interface";

/// When to try again, where nothing more precise is known.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A refusal on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    pub(super) fn malformed() -> Self {
        Self::new(StatusCode::BAD_REQUEST, MALFORMED)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND)
    }
}

/// A refusal as it is sent.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WattsRefusal")]
pub(crate) struct RefusalBody<'a> {
    result: ErrorResult,
    user_msg: &'a str,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum ErrorResult {
    Error,
}

impl<'a> RefusalBody<'a> {
    pub(super) fn new(message: &'a str) -> Self {
        Self { result: ErrorResult::Error, user_msg: message }
    }
}

/// No bearer token, or none that could be one.
pub(super) fn bad_token() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "bad_token")
}

/// An issuer URL that is not configured: it is not dialled, and the answer is that of a bad token.
pub(super) fn unknown_issuer() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, UNAUTHENTICATED)
}

/// A resource of web sessions, which a token does not open.
pub(super) fn no_session() -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "This needs a web session; a bearer token is not enough.",
    )
}

/// `params` is JSON, but no object.
pub(super) fn parameters_are_no_object() -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        "The parameters are invalid: `params` has to be an object of names and values.",
    )
}

/// The body of a request for a credential cannot be read. Encodings are named, since an editor that
/// adds a byte order mark shows nothing of it.
pub(super) fn malformed_body(body: &[u8]) -> Refusal {
    credsmith_http::encoding_fault(body).map_or_else(Refusal::malformed, |fault| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("The body {fault}."))
    })
}

/// A conditional request that ends before its action.
pub(super) fn precondition(status: StatusCode) -> Refusal {
    Refusal::new(
        status,
        "The condition of the request cannot hold: nothing here has an entity tag.",
    )
}

/// Translates a fault of the layers around the surface.
pub(super) fn fault(fault: Fault) -> Refusal {
    let message = match fault {
        Fault::NotFound => NOT_FOUND,
        other => other.sentence(),
    };
    let retry_after = fault.retry_after().map(Duration::from_secs);
    Refusal { status: fault.status(), message: message.to_owned(), retry_after }
}

/// The call that failed: a plugin's refusal is 400 to a request and 500 to a revocation, as in the
/// original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum During {
    Request,
    Revocation,
}

/// Translates a failed core call.
pub(super) fn refusal(error: &Error, during: During) -> Refusal {
    let status = match error.kind() {
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Stale => StatusCode::PRECONDITION_FAILED,
        Kind::Forbidden
        | Kind::Invalid
        | Kind::Conflict
        | Kind::LimitReached
        | Kind::LoginRequired => StatusCode::BAD_REQUEST,
        Kind::Disabled | Kind::Refused | Kind::PluginFailed => match during {
            During::Request => StatusCode::BAD_REQUEST,
            During::Revocation => StatusCode::INTERNAL_SERVER_ERROR,
        },
        Kind::PluginTimeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Busy | Kind::Upstream => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let busy = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(DEFAULT_RETRY_AFTER);
    let message = match error.kind() {
        Kind::LoginRequired => LOGIN_REQUIRED,
        _ => error.public(),
    };
    Refusal { status, message: message.to_owned(), retry_after: error.retry_hint().or(busy) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_plugins_refusal_depends_on_the_call() {
        let error = Error::new(Kind::Refused, "no");
        assert_eq!(refusal(&error, During::Request).status, StatusCode::BAD_REQUEST);
        assert_eq!(refusal(&error, During::Revocation).status, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn a_busy_refusal_says_when_to_try_again() {
        let retry_after = |error: &Error| refusal(error, During::Request).retry_after;
        assert_eq!(retry_after(&Error::new(Kind::Busy, "busy")), Some(DEFAULT_RETRY_AFTER));
        let later = Duration::from_secs(7);
        assert_eq!(retry_after(&Error::new(Kind::Busy, "busy").retry_after(later)), Some(later));
        assert_eq!(retry_after(&Error::new(Kind::Refused, "no")), None);
    }

    #[test]
    fn a_login_elsewhere_has_the_text_that_clients_compare() {
        let error = Error::new(Kind::LoginRequired, "in the words of core");
        assert_eq!(
            refusal(&error, During::Request).message,
            "login is required, please use the web interface"
        );
    }

    #[test]
    fn causes_stay_inside() {
        let error = Error::internal("the disk caught fire");
        assert!(!refusal(&error, During::Request).message.contains("fire"));
    }
}
