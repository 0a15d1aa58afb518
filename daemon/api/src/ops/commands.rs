//! What only operators do: suspend somebody, look after parked leases, trust the clock again.
//!
//! | request | body | what it does |
//! |---|---|---|
//! | `POST /suspensions` | `{"issuer", "subject"}` | suspends somebody on every surface |
//! | `DELETE /suspensions` | the same | lifts the suspension |
//! | `GET /leases/parked` | | lists leases that wait for an operator |
//! | `POST /leases/ID/retry` | | has the revocation of a parked lease tried again |
//! | `POST /leases/ID/drop` | `{"reason"}` | lets go of a parked lease |
//! | `GET /ledger` | | reads the whole ledger against itself |
//! | `POST /vault/sync` | `{"accept"}` | synchronises companies |
//! | `GET /vault/deleted` | | lists what can be restored |
//! | `POST /vault/deleted/ID/restore` | | brings it back |
//! | `DELETE /vault/deleted/ID` | | removes it for good |
//! | `POST /clock/trust` | | takes the clock for right after it has jumped |
//! | `POST /audit/verify` | `{"files", "from"}` | holds the audit log against what the daemon knows of it |
//!
//! All of it is audited: what changes something with the change, the rest here.

use bytes::Bytes;
use credsmith_core::caller::Subject;
use credsmith_core::ids::LeaseId;
use credsmith_core::leases::operate::ParkedView;
use credsmith_core::{Error, Kind, access};
use credsmith_http::{Fault, Reply, Request, StrictJson, Surface as _};
use http::{Method, StatusCode};
use serde::de::DeserializeSeed as _;
use serde_json::{Map, Value, json};

use super::{Ops, answer};

/// Largest body, in bytes.
const MAX_BODY: usize = 16 * 1024;
/// Most parked leases in one list.
const MAX_PARKED: usize = 1000;

/// A no to an operator.
pub(super) enum Refusal {
    Fault(Fault),
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Refusal {
    /// In the dialect of operators: they get the cause too.
    pub(super) fn reply(&self, ops: &Ops) -> Reply {
        let error = match self {
            Self::Fault(fault) => return ops.fault(*fault),
            Self::Error(error) => error,
        };
        tracing::warn!(%error, cause = error.cause(), "an operator's command failed");
        let status = match error.kind() {
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
        };
        answer(status, &json!({ "error": error.public(), "cause": error.cause() }))
    }
}

impl Ops {
    /// Does what an operator asks, and has it audited where the change that it makes does not tell
    /// of it.
    pub(super) async fn audited_command(&self, request: &mut Request) -> Result<Value, Refusal> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let done = self.command(request).await;
        let refused = match &done {
            Ok(_) => None,
            Err(Refusal::Error(error)) => Some(error),
            // Nothing was commanded.
            Err(Refusal::Fault(_)) => return done,
        };
        let tells = refused.is_none()
            && method != Method::GET
            && !path.starts_with("/clock/")
            && !path.starts_with("/audit/");
        // Synchronising tells of itself also where it comes to nothing.
        if !tells && path != "/vault/sync" {
            let asked = format!("{method} {path}");
            self.core.record_command(access::operator(), asked, refused).await?;
        }
        done
    }

    async fn command(&self, request: &mut Request) -> Result<Value, Refusal> {
        let path = request.uri().path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match (request.method().clone(), segments.as_slice()) {
            (Method::POST, ["suspensions"]) => {
                let subject = subject(&body(request).await?)?;
                self.core.suspend(access::operator(), &subject).await?;
                Ok(json!({ "suspended": subject }))
            }
            (Method::DELETE, ["suspensions"]) => {
                let subject = subject(&body(request).await?)?;
                self.core.resume(access::operator(), &subject).await?;
                Ok(json!({ "resumed": subject }))
            }
            (Method::GET, ["leases", "parked"]) => {
                let parked = self.core.parked(access::operator(), MAX_PARKED).await?;
                Ok(parked.iter().map(parked_json).collect())
            }
            (Method::POST, ["leases", id, "retry"]) => {
                self.core.retry(access::operator(), lease(id)?).await?;
                Ok(json!({ "retried": id }))
            }
            (Method::POST, ["leases", id, "drop"]) => {
                let reason = text(&body(request).await?, "reason")?;
                self.core.drop_lease(access::operator(), lease(id)?, &reason).await?;
                Ok(json!({ "dropped": id }))
            }
            (Method::GET, ["ledger"]) => {
                let examination = self.core.examine(access::operator()).await?;
                Ok(json!({ "counted": examination.counted.len(), "faults": examination.faults }))
            }
            (Method::POST, ["clock", "trust"]) => {
                self.core.trust_clock(access::operator());
                Ok(json!({ "trusted": true }))
            }
            (Method::POST, ["audit", "verify"]) => self.verify_audit(request).await,
            (method, ["vault", rest @ ..]) => self.vault_command(&method, rest, request).await,
            (_, ["suspensions"]) => method("POST, DELETE"),
            (_, ["leases", "parked"] | ["ledger"]) => method("GET"),
            (_, ["leases", _, "retry" | "drop"] | ["clock", "trust"] | ["audit", "verify"]) => {
                method("POST")
            }
            _ => Err(Refusal::Fault(Fault::NotFound)),
        }
    }
}

pub(super) fn method<T>(allow: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Fault(Fault::MethodNotAllowed { allow }))
}

fn parked_json(parked: &ParkedView) -> Value {
    json!({
        "id": parked.id.to_string(),
        "issuer": parked.owner.issuer,
        "subject": parked.owner.subject,
        "service": parked.service.as_str(),
        "since": parked.since.as_millis(),
        "reason": parked.reason,
    })
}

pub(super) async fn body(request: &mut Request) -> Result<Map<String, Value>, Refusal> {
    let bytes: Bytes =
        request.body_mut().read(MAX_BODY).await.map_err(|fault| Refusal::Fault(fault.into()))?;
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let value = StrictJson::new(4).deserialize(&mut reader);
    match (value, reader.end()) {
        (Ok(Value::Object(members)), Ok(())) => Ok(members),
        _ => Err(Refusal::Fault(Fault::BadRequest("the body is no JSON object"))),
    }
}

fn text(body: &Map<String, Value>, key: &'static str) -> Result<String, Refusal> {
    let text = body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let missing = || Error::new(Kind::Invalid, format!("The body has no text `{key}`."));
    text.map(ToOwned::to_owned).ok_or_else(|| missing().into())
}

fn subject(body: &Map<String, Value>) -> Result<Subject, Refusal> {
    Ok(Subject { issuer: text(body, "issuer")?, subject: text(body, "subject")? })
}

fn lease(id: &str) -> Result<LeaseId, Refusal> {
    LeaseId::parse(id)
        .map_err(|_| Error::new(Kind::NotFound, "There is no parked lease of that id.").into())
}
