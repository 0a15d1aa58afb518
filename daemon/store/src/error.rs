//! Why a store cannot be opened, in sentences for operators: the fault, its place, and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use credsmith_core::error::BoxedCause;

/// Why a store on disk could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is not private to the daemon's user.
    #[error("the store's directory {} {problem}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The fault and its remedy.
        problem: &'static str,
    },
    /// Another process has it open.
    #[error(
        "the store in {} is in use by another process: end that one first, or choose another \
         directory",
        .path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system refused an operation.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// The operation, as in "cannot ...".
        doing: &'static str,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The data of sled cannot be read, or is not of this store.
    #[error(
        "the store in {path} cannot be read. Keep a copy of the whole directory as it is. If the \
         file {path}/snap.* alone is bad, moving it away is enough: it is built anew from \
         {path}/db. Otherwise restore {path} (the files db, conf and snap.*, all of one moment) \
         from a backup",
        path = .path.display()
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// The damage.
        #[source]
        cause: BoxedCause,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { path: path.to_owned(), doing, cause }
    }

    pub(crate) fn damaged(path: &Path, cause: impl Into<BoxedCause>) -> Self {
        Self::Damaged { path: path.to_owned(), cause: cause.into() }
    }
}
