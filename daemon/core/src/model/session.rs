//! A session of the vault.

use crate::ids::{SessionId, UserId};
use crate::time::Timestamp;

/// A session as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    /// The session generation of the user when the session began.
    pub(crate) session_generation: u64,
    pub(crate) created: Timestamp,
    pub(crate) idle_until: Timestamp,
    pub(crate) ends: Timestamp,
    /// SHA-256 of the current refresh token.
    pub(crate) refresh: [u8; 32],
}

impl Session {
    /// When the session is over, unless its tokens are refreshed before.
    pub(crate) fn over_at(&self) -> Timestamp {
        self.idle_until.min(self.ends)
    }
}
