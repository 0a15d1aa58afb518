//! The answers of a service plugin that made nothing, or that cannot know whether it did.

use crate::http::Failure;
use crate::refusal::{RETRY_SECONDS, Refusal, SERVER_TROUBLE};

/// Why `issue` made nothing, or cannot know whether it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotIssued {
    /// A refusal: nothing was left behind.
    Refused(Refusal),
    /// Something may have been made, and the plugin cannot know: a request was sent and its answer
    /// lost. The call breaks off, and the daemon revokes with an empty state until it is sure that
    /// nothing is left. The text is for the operator: the daemon logs it, masked, as the last words
    /// of the call, and keeps it with the lease.
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
