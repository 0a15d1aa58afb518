//! Why a store cannot be opened, in sentences for whoever runs the daemon: what is wrong, where,
//! and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use credsmith_core::error::BoxedCause;

/// Why [`Sled::open`](super::Sled::open) failed.
#[derive(Debug)]
pub enum OpenError {
    /// The directory is not one that secrets' ledgers belong in.
    Directory {
        /// Which directory.
        path: PathBuf,
        /// What is wrong, and what mends it.
        problem: &'static str,
    },
    /// Another process has it open.
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// The operating system refused something.
    Io {
        /// Which directory or file.
        path: PathBuf,
        /// What was tried, as in "cannot ...".
        doing: &'static str,
        /// Its answer.
        cause: io::Error,
    },
    /// The data cannot be read, or is not this store's.
    Damaged {
        /// Which directory.
        path: PathBuf,
        /// What was found.
        cause: BoxedCause,
    },
}

impl OpenError {
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { path: path.to_owned(), doing, cause }
    }

    pub(super) fn damaged(path: &Path, cause: impl Into<BoxedCause>) -> Self {
        Self::Damaged { path: path.to_owned(), cause: cause.into() }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, problem } => {
                write!(f, "the store's directory {} {problem}", path.display())
            }
            Self::InUse { path } => write!(
                f,
                "the store in {} is in use by another process: end that one first, or choose another directory",
                path.display()
            ),
            Self::Io { path, doing, cause: _ } => write!(f, "cannot {doing} {}", path.display()),
            Self::Damaged { path, cause: _ } => write!(
                f,
                "the store in {path} cannot be read. Keep a copy of the whole directory as it is. If the file {path}/snap.* \
                 alone is bad, moving it away is enough: it is built anew from {path}/db. Otherwise restore {path} \
                 (the files db, conf and snap.*, all of one moment) from a backup",
                path = path.display()
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { cause, .. } => Some(cause),
            Self::Damaged { cause, .. } => Some(&**cause),
            Self::Directory { .. } | Self::InUse { .. } => None,
        }
    }
}
