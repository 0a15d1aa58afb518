//! Why a store cannot be opened, in sentences for operators: the fault, its place, and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use credsmith_core::error::BoxedCause;

use crate::on_disk::Engine;

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
    /// A file cannot be read, or is not of this store.
    #[error(
        "the store in {} cannot be read: its file {file} is damaged, or not of this store. Keep a \
         copy of the whole directory as it is, and restore {file} from a backup",
        .path.display()
    )]
    DamagedFile {
        /// The directory.
        path: PathBuf,
        /// The file in it.
        file: &'static str,
        /// The damage.
        #[source]
        cause: BoxedCause,
    },
    /// The directory has the data of another engine.
    #[error(
        "the directory {} has a store of {found}, and {asked} was asked for: set `data.store = \
         \"{found}\"`, or copy the data with `credsmith store copy`",
        .path.display()
    )]
    OtherEngine {
        /// The directory.
        path: PathBuf,
        /// The engine whose data it has.
        found: Engine,
        /// The engine that was asked for.
        asked: Engine,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { path: path.to_owned(), doing, cause }
    }

    pub(crate) fn damaged(path: &Path, cause: impl Into<BoxedCause>) -> Self {
        Self::Damaged { path: path.to_owned(), cause: cause.into() }
    }

    pub(crate) fn damaged_file(
        path: &Path,
        file: &'static str,
        cause: impl Into<BoxedCause>,
    ) -> Self {
        Self::DamagedFile { path: path.to_owned(), file, cause: cause.into() }
    }
}
