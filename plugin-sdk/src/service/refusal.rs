//! How a plugin says no, and how it says that it does not know.

use super::http::Failure;

/// A no, for two audiences. From `issue` it promises that nothing was left behind.
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
    /// A final no with the sentence that the user sees.
    pub fn new(user: impl Into<String>) -> Self {
        Self { user: user.into(), log: String::new(), retry_after: None }
    }

    /// What the operator should read in the log.
    #[must_use]
    pub fn log(mut self, log: impl Into<String>) -> Self {
        self.log = log.into();
        self
    }

    /// Not a final no: it may work after `seconds`. The daemon retries a revoke by itself.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// How long to wait before the next try after a failed request, in seconds.
const RETRY_SECONDS: u32 = 30;

/// What a user reads when a server behind the plugin does not play along: its own words stay in the log.
const SERVER_TROUBLE: &str = "The server behind this service could not be used. Please try again later.";

/// For `revoke`, where trying again is always right: it is idempotent.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::new(SERVER_TROUBLE).log(failure.to_string()).retry_after(RETRY_SECONDS)
    }
}

/// Why `issue` made nothing, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotIssued {
    /// No, and nothing was left behind.
    Refused(Refusal),
    /// Something may have been made, and the plugin cannot tell: a request was sent and its answer lost. The call breaks off, and the
    /// daemon revokes with an empty state until it is sure that nothing is left. The text is for tests: of a call that breaks off, the
    /// daemon logs no line.
    Unsure(String),
}

impl From<Refusal> for NotIssued {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A request that never left is a refusal; one that may have had an effect makes the call unsure.
impl From<Failure> for NotIssued {
    fn from(failure: Failure) -> Self {
        if failure.may_have_acted() {
            return Self::Unsure(failure.to_string());
        }
        let mut refusal = Refusal::new(SERVER_TROUBLE).log(failure.to_string());
        refusal.retry_after = failure.retry.then_some(RETRY_SECONDS);
        Self::Refused(refusal)
    }
}
