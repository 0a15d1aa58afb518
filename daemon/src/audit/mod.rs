//! The audit log on this machine: the file, its verification, and a copy of its events in the log
//! of the daemon. Core decides which events there are and how they are written.

mod echo;
mod file;
pub(crate) mod read;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use credsmith_api::ops::AuditCheck;
use credsmith_core::Error;
use credsmith_core::audit::{AuditLog, Verdict};
use credsmith_http::Drain;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

pub(crate) use echo::Echo;
pub(crate) use file::LogFile;

/// Verifies the log that this daemon writes, for operators.
pub(crate) struct DaemonLogCheck {
    pub(crate) log: Arc<AuditLog>,
    /// Ends the verification when the daemon drains.
    pub(crate) drain: Drain,
}

/// Present as long as the caller waits for the verdict.
struct AwaitedFlag(Arc<AtomicBool>);

impl Drop for AwaitedFlag {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl AuditCheck for DaemonLogCheck {
    fn verify(&self, files: Vec<PathBuf>, from: u64) -> BoxFuture<'_, Result<Verdict, Error>> {
        async move {
            // Taken before the files are read, since the daemon keeps writing.
            let check = self.log.check(from).await?;
            let is_awaited = Arc::new(AtomicBool::new(true));
            let _waiting = AwaitedFlag(Arc::clone(&is_awaited));
            let drain = self.drain.clone();
            let give_up = move || drain.has_begun() || !is_awaited.load(Ordering::Relaxed);
            let read =
                tokio::task::spawn_blocking(move || read::against(&files, check, give_up)).await;
            read.map_err(Error::internal)?
                .map_err(|why| Error::new(credsmith_core::Kind::Invalid, why))
        }
        .boxed()
    }
}
