//! A session of the vault.

use crate::ids::{SessionId, UserId};
use crate::time::Timestamp;

/// A session as we keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    /// The user's era when it began.
    pub(crate) era: u64,
    pub(crate) created: Timestamp,
    pub(crate) idle_until: Timestamp,
    pub(crate) ends: Timestamp,
    /// SHA-256 of the refresh token that is not spent.
    pub(crate) refresh: [u8; 32],
}

impl Session {
    /// When it is over, unless it goes on.
    pub(crate) fn over_at(&self) -> Timestamp {
        self.idle_until.min(self.ends)
    }
}
