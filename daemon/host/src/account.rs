//! How one call of a configured plugin ends: its log lines, its no, and what is said of it when it
//! breaks.

use std::fmt;
use std::sync::Arc;

use credsmith_core::ports::plugins::{Broken, CallFailure, PluginIdentity, Refusal};
use credsmith_core::secret::Secret;

use crate::journal::{About, Journal, Keep, Level};
use crate::outcome;
use crate::run::Broke;
use crate::v0;

/// What is kept of a call while it runs.
pub(crate) struct Account {
    pub(crate) journal: Arc<Journal>,
    about: About,
    identity: PluginIdentity,
}

/// Says which plugin broke, at what, and how.
#[derive(Debug)]
struct PluginBroke {
    identity: PluginIdentity,
    operation: &'static str,
    what: String,
}

impl fmt::Display for PluginBroke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PluginIdentity { name, version, digest } = &self.identity;
        write!(
            f,
            "plugin {name} {version} (sha256 {digest}) failed to {}: {}",
            self.operation, self.what
        )
    }
}

impl std::error::Error for PluginBroke {}

impl Account {
    /// `about` says whose lines they are.
    pub(crate) fn open(about: About, identity: PluginIdentity) -> Self {
        Self { journal: Journal::new(Keep::Held), about, identity }
    }

    /// Logs the lines of a call that ended in order, without `secrets`.
    pub(crate) fn publish<'a>(&self, secrets: impl IntoIterator<Item = &'a Secret>) {
        self.journal.publish(&self.about, secrets);
    }

    /// Checks a no, and keeps what it says to the log.
    pub(crate) fn refusal(
        &self,
        given: &v0::types::Refusal,
        guarded: &[&Secret],
    ) -> Result<Refusal, Broke> {
        let refusal = outcome::refusal(given, guarded)?;
        if !given.log.is_empty() {
            let line = format!("refused: {}", given.log);
            self.journal
                .line(Level::Warn, line)
                .map_err(|flood| Broke::bad_output(flood.to_string()))?;
        }
        Ok(refusal)
    }

    /// The end of a call that broke.
    pub(crate) fn broke(&self, broke: Broke) -> CallFailure {
        self.journal.withhold(&self.about);
        let cause = PluginBroke {
            identity: self.identity.clone(),
            operation: self.about.operation,
            what: broke.what,
        };
        CallFailure::Broken(Broken { how: broke.how, cause: Box::new(cause) })
    }
}
