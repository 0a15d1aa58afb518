//! The audit log on this machine: the file, its verification, and an echo of it in the daemon's own log. What is told, and in which form,
//! is core's.

mod command;
mod echo;
mod file;
mod read;

use std::path::PathBuf;
use std::sync::Arc;

use credsmith_api::ops::AuditCheck;
use credsmith_core::Error;
use credsmith_core::audit::{AuditLog, Verdict};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

pub(crate) use command::verify;
pub(crate) use echo::Echo;
pub(crate) use file::LogFile;

/// Verifies for operators what the daemon itself writes.
pub(crate) struct Checker(pub(crate) Arc<AuditLog>);

impl AuditCheck for Checker {
    fn verify(&self, files: Vec<PathBuf>, from: u64) -> BoxFuture<'_, Result<Verdict, Error>> {
        async move {
            // Asked before the files are read: the daemon goes on writing.
            let check = self.0.check(from).await?;
            let read = tokio::task::spawn_blocking(move || read::against(&files, check)).await;
            read.map_err(Error::internal)?.map_err(|why| Error::new(credsmith_core::Kind::Invalid, why))
        }
        .boxed()
    }
}
