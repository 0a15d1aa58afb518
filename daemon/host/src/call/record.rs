//! The end of one call of a configured plugin: its log lines, its refusal, and the error when it
//! breaks.

use std::sync::Arc;

use credsmith_core::ports::plugins::{Broken, CallFailure, PluginIdentity, Refusal};
use credsmith_core::secret::Secret;

use crate::call::journal::{CallLabels, Journal, Level, LogLines};
use crate::call::outcome::{self, Forbidden};
use crate::call::run::GuestFailure;
use crate::v0;

/// Identity and journal of a running call.
pub(crate) struct CallRecord {
    pub(crate) journal: Arc<Journal>,
    labels: CallLabels,
    identity: PluginIdentity,
}

/// Names the plugin that broke, the operation and the cause.
#[derive(Debug, thiserror::Error)]
#[error(
    "plugin {} {} (sha256 {}) failed to {operation}: {what}",
    identity.name, identity.version, identity.digest
)]
struct PluginFailure {
    identity: PluginIdentity,
    operation: &'static str,
    what: String,
}

impl CallRecord {
    /// `labels` identifies the call in its log lines.
    pub(crate) fn open(labels: CallLabels, identity: PluginIdentity) -> Self {
        Self { journal: Journal::new(LogLines::Held), labels, identity }
    }

    /// Logs the lines of a call that ended in order, without `secrets`.
    pub(crate) fn publish<'a>(&self, secrets: impl IntoIterator<Item = &'a Secret>) {
        self.journal.publish(&self.labels, secrets);
    }

    /// Checks a refusal, and keeps its text for the log.
    pub(crate) fn refusal(
        &self,
        given: &v0::types::Refusal,
        guarded: &Forbidden<'_>,
    ) -> Result<Refusal, GuestFailure> {
        let refusal = outcome::refusal(given, guarded)?;
        if !given.log.is_empty() {
            let line = format!("refused: {}", given.log);
            self.journal
                .line(Level::Warn, line)
                .map_err(|flood| GuestFailure::bad_output(flood.to_string()))?;
        }
        Ok(refusal)
    }

    /// The end of a call that broke. `secrets` are masked in its last words.
    pub(crate) fn broke<'a>(
        &self,
        failure: GuestFailure,
        secrets: impl IntoIterator<Item = &'a Secret>,
    ) -> CallFailure {
        self.journal.close();
        let last_words = self.journal.break_off(&self.labels, secrets);
        let cause = PluginFailure {
            identity: self.identity.clone(),
            operation: self.labels.operation,
            what: failure.what,
        };
        let cause = Box::new(cause);
        CallFailure::Broken(Broken { how: failure.how, cause, last_words })
    }
}
