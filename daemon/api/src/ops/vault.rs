//! Commands about the vault: synchronising companies, restoring and removing what was deleted.

use credsmith_core::vault::deleted::{DeletedId, DeletedView};
use credsmith_core::{Error, Kind};
use serde_json::{Value, json};

use super::request::{Call, Refusal};
use super::{Ops, VaultCore};

pub(super) async fn sync(ops: &Ops, mut call: Call<'_>) -> Result<Value, Refusal> {
    let VaultCore { companies, .. } = configured(ops)?;
    let accept = call.body().await?.get("accept").and_then(Value::as_bool).unwrap_or(false);
    let done = companies.sync(call.operator(), accept).await?;
    Ok(json!({
        "new": done.counts.new,
        "changed": done.counts.changed,
        "returned": done.counts.returned,
        "vanished": done.counts.vanished,
        "unusable": done.unusable.count,
    }))
}

pub(super) async fn list_deleted(ops: &Ops, call: Call<'_>) -> Result<Value, Refusal> {
    let deleted = configured(ops)?.vault.deleted(call.operator()).await?;
    Ok(deleted.iter().map(deleted_json).collect())
}

pub(super) async fn restore(ops: &Ops, call: Call<'_>) -> Result<Value, Refusal> {
    let restored = configured(ops)?.vault.restore(call.operator(), call.id).await?;
    Ok(json!({ "restored": name(&restored) }))
}

pub(super) async fn purge(ops: &Ops, call: Call<'_>) -> Result<Value, Refusal> {
    let purged = configured(ops)?.vault.purge_now(call.operator(), call.id).await?;
    Ok(json!({ "purged": name(&purged) }))
}

fn configured(ops: &Ops) -> Result<&VaultCore, Error> {
    ops.vault.as_ref().ok_or_else(|| Error::new(Kind::NotFound, "The vault is not configured."))
}

fn name(id: &DeletedId) -> String {
    match id {
        DeletedId::Type(id) => format!("type {id}"),
        DeletedId::Credential(id) => format!("credential {id}"),
    }
}

fn deleted_json(view: &DeletedView) -> Value {
    let (kind, id) = match view.id {
        DeletedId::Type(id) => ("type", id.to_string()),
        DeletedId::Credential(id) => ("credential", id.to_string()),
    };
    json!({
        "kind": kind,
        "id": id,
        "name": view.name,
        "company": view.company.map(|company| company.to_string()),
        "credentials": view.credentials,
        "deletedAt": view.since.as_millis(),
        "until": view.until.as_millis(),
    })
}
