//! Commands about subjects, leases and the clock.

use credsmith_core::ids::LeaseId;
use credsmith_core::leases::operate::{Examination, ParkedView};
use credsmith_core::user::{SuspendedBy, Suspension};
use credsmith_core::{Error, Kind};
use serde_json::{Value, json};

use super::Ops;
use super::request::{Call, Refusal, subject, text};

/// Most parked leases in one list.
const MAX_PARKED: usize = 1000;

pub(super) async fn suspend(ops: &Ops, mut call: Call<'_>) -> Result<Value, Refusal> {
    let body = call.body().await?;
    let subject = subject(&body)?;
    let unseen = body.get("unseen").and_then(Value::as_bool).unwrap_or(false);
    ops.leases.suspend(call.operator(), &subject, unseen).await?;
    Ok(json!({ "suspended": subject }))
}

pub(super) async fn resume(ops: &Ops, mut call: Call<'_>) -> Result<Value, Refusal> {
    let subject = subject(&call.body().await?)?;
    ops.leases.resume(call.operator(), &subject).await?;
    Ok(json!({ "resumed": subject }))
}

pub(super) async fn list_suspended(ops: &Ops, call: Call<'_>) -> Result<Value, Refusal> {
    let suspensions = ops.leases.suspensions(call.operator()).await?;
    Ok(suspensions.iter().map(suspension_json).collect())
}

fn suspension_json(suspension: &Suspension) -> Value {
    let by = match suspension.by {
        SuspendedBy::User => "user",
        SuspendedBy::Operator => "operator",
    };
    json!({
        "issuer": suspension.subject.issuer,
        "subject": suspension.subject.subject,
        "since": suspension.since.as_millis(),
        "by": by,
    })
}

pub(super) async fn list_parked(ops: &Ops, call: Call<'_>) -> Result<Value, Refusal> {
    let parked = ops.leases.parked(call.operator(), MAX_PARKED).await?;
    Ok(parked.iter().map(parked_json).collect())
}

pub(super) async fn retry(ops: &Ops, call: Call<'_>) -> Result<Value, Refusal> {
    ops.leases.retry(call.operator(), lease(call.id)?).await?;
    Ok(json!({ "retried": call.id }))
}

pub(super) async fn drop_lease(ops: &Ops, mut call: Call<'_>) -> Result<Value, Refusal> {
    let reason = text(&call.body().await?, "reason")?;
    ops.leases.drop_lease(call.operator(), lease(call.id)?, &reason).await?;
    Ok(json!({ "dropped": call.id }))
}

pub(super) async fn examine(ops: &Ops, call: Call<'_>) -> Result<Value, Refusal> {
    let Examination { faults, more_faults, counted } =
        ops.leases.examine(call.operator(), |_| ()).await?;
    Ok(json!({ "counted": counted, "faults": faults, "more_faults": more_faults }))
}

pub(super) async fn trust_clock(ops: &Ops, call: Call<'_>) -> Result<Value, Refusal> {
    ops.leases.trust_clock(call.operator()).await?;
    Ok(json!({ "trusted": true }))
}

fn parked_json(parked: &ParkedView) -> Value {
    json!({
        "id": parked.id.to_string(),
        "issuer": parked.owner.issuer,
        "subject": parked.owner.subject,
        "service": parked.service.as_str(),
        "since": parked.since.as_millis(),
        "reason": parked.reason,
        "last_words": parked.last_words,
    })
}

fn lease(id: &str) -> Result<LeaseId, Refusal> {
    LeaseId::parse(id)
        .map_err(|_| Error::new(Kind::NotFound, "There is no parked lease of that id.").into())
}
