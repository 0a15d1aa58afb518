//! Commands about the vault: synchronising companies, bringing back what was deleted.

use credsmith_core::vault::deleted::{DeletedId, DeletedView};
use credsmith_core::{Error, Kind, access};
use credsmith_http::{Fault, Request};
use http::Method;
use serde_json::{Value, json};

use super::commands::{Refusal, body, method};
use super::{Ops, VaultParts};

impl Ops {
    pub(super) async fn vault_command(
        &self,
        asked: &Method,
        path: &[&str],
        request: &mut Request,
    ) -> Result<Value, Refusal> {
        let missing = || Error::new(Kind::NotFound, "The vault is not configured.");
        let VaultParts { companies, vault } = self.vault.as_ref().ok_or_else(missing)?;
        match (asked.as_str(), path) {
            ("POST", ["sync"]) => {
                let accept =
                    body(request).await?.get("accept").and_then(Value::as_bool).unwrap_or(false);
                let done = companies.sync(access::operator(), accept).await?;
                Ok(json!({
                    "new": done.counts.new,
                    "changed": done.counts.changed,
                    "returned": done.counts.returned,
                    "vanished": done.counts.vanished,
                    "unusable": done.unusable,
                }))
            }
            ("GET", ["deleted"]) => {
                Ok(vault.deleted(access::operator()).await?.iter().map(deleted).collect())
            }
            ("POST", ["deleted", id, "restore"]) => {
                Ok(json!({ "restored": name(&vault.restore(access::operator(), id).await?) }))
            }
            ("DELETE", ["deleted", id]) => {
                Ok(json!({ "purged": name(&vault.purge_now(access::operator(), id).await?) }))
            }
            (_, ["sync"] | ["deleted", _, "restore"]) => method("POST"),
            (_, ["deleted"]) => method("GET"),
            (_, ["deleted", _]) => method("DELETE"),
            _ => Err(Refusal::Fault(Fault::NotFound)),
        }
    }
}

fn name(id: &DeletedId) -> String {
    match id {
        DeletedId::Type(id) => format!("type {id}"),
        DeletedId::Credential(id) => format!("credential {id}"),
    }
}

fn deleted(view: &DeletedView) -> Value {
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
