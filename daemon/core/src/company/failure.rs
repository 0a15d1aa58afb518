//! Why companies could not be synchronised, for operators: as a warning, as the error of a command,
//! as an audit outcome.

use std::fmt;

use super::plan::MassVanishing;
use crate::error::{Error, Kind};
use crate::ports::audit::Outcome;
use crate::records::CommitError;

/// Why nothing, or not everything, was synchronised.
#[derive(Debug)]
pub(super) enum SyncFailure {
    /// The directory was not read to its end. The companies read so far are written, unless the
    /// walk was cut off.
    Interrupted(String),
    /// The directory's answers are inconsistent; nothing is written.
    Inconsistent(&'static str),
    /// Too many companies would vanish; nothing is written.
    MassVanishing(MassVanishing),
    /// Other daemons kept writing.
    Contended,
    Stopping,
    /// The store failed, or a synchronisation is running already.
    Own(Error),
}

impl SyncFailure {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::MassVanishing(_) => Outcome::Refused(self.to_string()),
            Self::Interrupted(_)
            | Self::Inconsistent(_)
            | Self::Contended
            | Self::Stopping
            | Self::Own(_) => Outcome::Failed(self.to_string()),
        }
    }

    /// The cause for the log.
    pub(super) fn cause(&self) -> Option<String> {
        if let Self::Own(error) = self { error.cause() } else { None }
    }
}

impl From<Error> for SyncFailure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl From<CommitError> for SyncFailure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Contended,
            CommitError::Failed(error) => Self::Own(error),
        }
    }
}

impl From<SyncFailure> for Error {
    fn from(failure: SyncFailure) -> Self {
        let sentence = failure.to_string();
        let kind = match failure {
            SyncFailure::Own(error) => return error,
            SyncFailure::Interrupted(_) | SyncFailure::Inconsistent(_) => Kind::Upstream,
            SyncFailure::MassVanishing(_) => Kind::Conflict,
            SyncFailure::Contended | SyncFailure::Stopping => Kind::Busy,
        };
        Self::new(kind, sentence)
    }
}

impl fmt::Display for SyncFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted(reason) => {
                write!(f, "the directory of companies could not be read to its end: {reason}")
            }
            Self::Inconsistent(reason) => {
                write!(f, "the answers of the directory of companies are inconsistent: {reason}")
            }
            Self::MassVanishing(MassVanishing { vanished, present }) => write!(
                f,
                "the directory lacks {vanished} of {present} companies; nothing was changed. If this is right: \
                 credsmith vault sync --accept"
            ),
            Self::Contended => f.write_str("another daemon kept changing the companies meanwhile"),
            Self::Stopping => f.write_str("the daemon is ending"),
            Self::Own(_) => {
                f.write_str("the companies cannot be read or written; the log has the cause")
            }
        }
    }
}
