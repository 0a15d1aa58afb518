//! Commands about the audit log.

use std::path::PathBuf;

use credsmith_core::audit::Verdict;
use credsmith_core::{Error, Kind};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::Ops;
use super::request::{Call, Refusal};

/// Compares an audit log with what the daemon knows of it.
pub trait AuditCheck: Send + Sync + 'static {
    /// Verifies `files`, which follow each other and begin with line `from`.
    ///
    /// # Errors
    /// `Invalid` when a file cannot be read; `Internal` when the store fails.
    fn verify(&self, files: Vec<PathBuf>, from: u64) -> BoxFuture<'_, Result<Verdict, Error>>;
}

pub(super) async fn verify(ops: &Ops, mut call: Call<'_>) -> Result<Value, Refusal> {
    let body = call.body().await?;
    let files = body.get("files").and_then(Value::as_array).into_iter().flatten();
    let files: Option<Vec<_>> = files.map(|file| file.as_str().map(PathBuf::from)).collect();
    let files = files.filter(|files| !files.is_empty());
    let files =
        files.ok_or_else(|| Error::new(Kind::Invalid, "The body has no list `files` of paths."))?;
    let from = body.get("from").map_or(Some(1), Value::as_u64).filter(|from| *from > 0);
    let from =
        from.ok_or_else(|| Error::new(Kind::Invalid, "`from` is not the number of a line."))?;
    let Verdict { lines, last, unfinished, repeated, faults } =
        ops.audit.verify(files, from).await?;
    Ok(json!({
        "lines": lines,
        "last": last,
        "unfinished": unfinished,
        "repeated": repeated,
        "faults": faults,
    }))
}
