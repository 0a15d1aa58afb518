//! Reading operators' requests, and refusing them.

use bytes::Bytes;
use credsmith_core::access::{self, Grant, Operate};
use credsmith_core::caller::Subject;
use credsmith_core::{Error, Kind};
use credsmith_http::{Fault, Reply, Request, StrictJson, Surface as _};
use http::header::ALLOW;
use http::{HeaderValue, StatusCode};
use serde::de::DeserializeSeed as _;
use serde_json::{Map, Value, json};

use super::{Ops, answer};
use crate::client::client;

/// Largest body, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// A request for a command, as its handler gets it.
pub(super) struct Call<'r> {
    /// The segment of the path that the row writes `{id}`; empty where the row has none.
    pub(super) id: &'r str,
    request: &'r mut Request,
}

impl<'r> Call<'r> {
    pub(super) fn new(id: &'r str, request: &'r mut Request) -> Self {
        Self { id, request }
    }

    /// The grant of the operator who asks.
    pub(super) fn operator(&self) -> Grant<Operate> {
        access::operator_at(client(self.request.extensions()))
    }

    /// Reads the body, which is a JSON object.
    ///
    /// # Errors
    /// A fault of HTTP when it is too large, arrives too slowly, or is anything else.
    pub(super) async fn body(&mut self) -> Result<Map<String, Value>, Refusal> {
        let bytes: Bytes = self
            .request
            .body_mut()
            .read(MAX_BODY)
            .await
            .map_err(|fault| Refusal::Fault(fault.into()))?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value = StrictJson::new(4).deserialize(&mut reader);
        match (value, reader.end()) {
            (Ok(Value::Object(members)), Ok(())) => Ok(members),
            _ => Err(Refusal::Fault(Fault::BadRequest("the body is no JSON object"))),
        }
    }
}

/// The subject that `body` names.
pub(super) fn subject(body: &Map<String, Value>) -> Result<Subject, Refusal> {
    Ok(Subject { issuer: text(body, "issuer")?, subject: text(body, "subject")? })
}

/// The text that `body` has under `key`.
pub(super) fn text(body: &Map<String, Value>, key: &'static str) -> Result<String, Refusal> {
    let text = body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let missing = || Error::new(Kind::Invalid, format!("The body has no text `{key}`."));
    text.map(ToOwned::to_owned).ok_or_else(|| missing().into())
}

/// Why a command was not carried out.
pub(super) enum Refusal {
    /// HTTP refused the request: no command was recognised.
    Fault(Fault),
    /// The path has commands, of these methods alone.
    MethodNotAllowed(String),
    /// The command failed.
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Refusal {
    /// The reply in the dialect of operators, who get the cause too.
    pub(super) fn reply(&self, ops: &Ops) -> Reply {
        match self {
            Self::Fault(fault) => ops.fault(*fault),
            Self::MethodNotAllowed(allow) => method_not_allowed(ops, allow),
            Self::Error(error) => failed(error),
        }
    }
}

fn method_not_allowed(ops: &Ops, allow: &str) -> Reply {
    let mut reply = ops.fault(Fault::MethodNotAllowed { allow: "" });
    // Method names are always a header value.
    let allow = HeaderValue::from_str(allow).unwrap_or(HeaderValue::from_static(""));
    reply.headers_mut().insert(ALLOW, allow);
    reply
}

fn failed(error: &Error) -> Reply {
    tracing::warn!(%error, cause = error.cause(), "an operator's command failed");
    answer(status(error.kind()), &json!({ "error": error.public(), "cause": error.cause() }))
}

fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Conflict | Kind::Stale => StatusCode::CONFLICT,
        Kind::Busy | Kind::LimitReached => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Upstream => StatusCode::BAD_GATEWAY,
        Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::Disabled
        | Kind::LoginRequired
        | Kind::Refused
        | Kind::PluginFailed
        | Kind::PluginTimeout
        | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
