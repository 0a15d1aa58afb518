//! Why a store cannot be opened, in sentences for operators: the fault, its place, and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use credsmith_core::error::BoxedCause;

use crate::engine::Engine;
use crate::loss::Loss;

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
    /// The data cannot be read, or is not of this store.
    #[error(
        "the store in {path} cannot be read, and was left as it is. Copy the whole directory \
         {path} and {path}.guard first, whatever comes next. If the file {path}/conf or \
         {path}/snap.* alone is bad, moving it away is enough: it is made anew from {path}/db, and \
         the start finds out whether everything is there. Otherwise put back the files of one copy \
         (`[data] copies`, or a backup of a stopped daemon) and run `credsmith store accept`, which \
         says what the copy lacks",
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
    /// Something that was acknowledged is missing.
    #[error(
        "the store in {path} is not all there, and was left as it is: {loss}. Copy the whole \
         directory {path} and {path}.guard first. If a newer copy exists, put its files in the \
         place of these. To go on without what is missing, run `credsmith store accept --config \
         FILE`: it says what the audit log knows of it, and asks",
        path = .path.display()
    )]
    Lost {
        /// The directory.
        path: PathBuf,
        /// What it has lost.
        loss: Loss,
    },
    /// There was a store, and there is none.
    #[error(
        "there is no store in {}, but {} shows that there was one, and nothing new is made in its \
         place. Put the files of a copy of the store there. To begin with an empty one, copy the \
         data directory and the audit log to another place first, then move both away",
        .path.display(),
        .evidence.display()
    )]
    Gone {
        /// The directory of the store.
        path: PathBuf,
        /// What shows that there was one.
        evidence: PathBuf,
    },
    /// The files of the store cannot be copied before they are opened.
    #[error(
        "the disk of {} has {free} bytes of room, and {needed} are needed to copy the store before \
         it is opened: a fault amid an opening could not be undone. Make room, or move the data to \
         a larger disk",
        .path.display()
    )]
    NoRoom {
        /// Where the copy was to be made.
        path: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
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
