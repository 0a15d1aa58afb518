//! The refusal of a plugin.

use crate::http::Failure;

/// A refusal, for two audiences. From `issue` it promises that nothing was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Shown to the user; at most 500 characters, no secret, no text of a third party.
    pub user: String,
    /// For the operator's log.
    pub log: String,
    /// Seconds after which trying again makes sense; `None`: never.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// A final refusal with the sentence that the user sees.
    pub fn new(user: impl Into<String>) -> Self {
        Self { user: user.into(), log: String::new(), retry_after: None }
    }

    /// Settings that were fine at load are not any more: a defect of the plugin.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn misconfigured(faults: &[crate::FieldProblem]) -> Self {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        Self::new("This service is not configured as it should be.")
            .log(faults.join("; "))
            .retry_after(300)
    }

    /// The text for the operator's log.
    #[must_use]
    pub fn log(mut self, log: impl Into<String>) -> Self {
        self.log = log.into();
        self
    }

    /// Not final: it may work after `seconds`. The daemon retries a revoke automatically.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// How long to wait before the next try after a failed request, in seconds.
pub(crate) const RETRY_SECONDS: u32 = 30;

/// The text for users when a server behind the plugin fails: the server's own text stays in the
/// log.
pub(crate) const SERVER_TROUBLE: &str =
    "The server behind this service could not be used. Please try again later.";

/// For `revoke` and for calls that only read, where trying again is always right.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::new(SERVER_TROUBLE).log(failure.to_string()).retry_after(RETRY_SECONDS)
    }
}
