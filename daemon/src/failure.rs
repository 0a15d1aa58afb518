//! How a run of the program fails, and with which exit code.

use std::error::Error;
use std::process::ExitCode;

use crate::config::Faults;
use crate::sentence::sentence;

/// Why the program ends without success. Its text goes to standard error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something failed while running.
    #[error("{0}")]
    Run(String),
    /// The configuration is wrong.
    #[error("{0}")]
    Configuration(Faults),
    /// A second signal: the daemon ended with work undone.
    #[error("Ended at once by a second signal; what was in work is cleaned up by the next start.")]
    Forced,
}

impl Failure {
    /// A failure while running, as a sentence.
    pub(crate) fn run(sentence: impl Into<String>) -> Self {
        Self::Run(sentence.into())
    }

    /// A failure while running, with the causes of `error`.
    pub(crate) fn error(error: impl Error) -> Self {
        Self::Run(sentence(&error))
    }

    /// The exit code that the help documents. 78 is `EX_CONFIG` of sysexits.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Run(_) => 1,
            Self::Forced => 3,
            Self::Configuration(_) => 78,
        })
    }
}
