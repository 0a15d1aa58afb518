//! The audit log on this machine: the file, its verification, and an echo of it in the daemon's own
//! log. What is told, and in which form, is core's.

mod command;
mod echo;
mod file;
mod read;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use credsmith_api::ops::AuditCheck;
use credsmith_core::Error;
use credsmith_core::audit::{AuditLog, Verdict};
use credsmith_http::Drain;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

pub(crate) use command::verify;
pub(crate) use echo::Echo;
pub(crate) use file::LogFile;

/// Verifies for operators what the daemon itself writes.
pub(crate) struct Checker {
    pub(crate) log: Arc<AuditLog>,
    /// The end of the daemon does not wait for a long log.
    pub(crate) drain: Drain,
}

/// Somebody waits for a verdict.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl AuditCheck for Checker {
    fn verify(&self, files: Vec<PathBuf>, from: u64) -> BoxFuture<'_, Result<Verdict, Error>> {
        async move {
            // Asked before the files are read: the daemon goes on writing.
            let check = self.log.check(from).await?;
            let is_awaited = Arc::new(AtomicBool::new(true));
            let _waiting = Waiting(Arc::clone(&is_awaited));
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
