//! How a run of the program ends, and with which exit code.

use std::fmt;
use std::process::ExitCode;

use crate::config::Faults;

/// An end that is no success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something failed while running; the sentence is for standard error.
    Run(String),
    /// The configuration is wrong.
    Configuration(Faults),
    /// A second signal: the daemon ended with work undone.
    Forced,
}

impl Failure {
    /// A failure in words.
    pub(crate) fn run(sentence: impl Into<String>) -> Self {
        Self::Run(sentence.into())
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(sentence) => f.write_str(sentence),
            Self::Forced => f.write_str(
                "Ended at once by a second signal; what was in work is cleaned up by the next start.",
            ),
            Self::Configuration(Faults { faults, warnings }) => {
                for warning in warnings {
                    writeln!(f, "warning: {warning}")?;
                }
                for fault in faults {
                    writeln!(f, "{fault}")?;
                }
                let (count, be) = (faults.len(), if faults.len() == 1 { "fault" } else { "faults" });
                write!(f, "The configuration has {count} {be}.")
            }
        }
    }
}
