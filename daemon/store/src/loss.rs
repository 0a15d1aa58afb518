//! What a store has lost, and why that is known.

use std::fmt;

/// What a store has lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Why it is known.
    pub(crate) reason: Reason,
    /// The last revision in the store, and its entries.
    pub(crate) has: (u64, u64),
    /// The last acknowledged revision, and the entries then, where that is known.
    pub(crate) acknowledged: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It ends before the last acknowledged commit.
    Behind,
    /// Its entries are not those of its last commit.
    Entries,
    /// The last acknowledged commit is not known.
    TipMissing,
    TipDamaged,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (revision, entries) = self.has;
        let (last, expected) = self.acknowledged.unwrap_or_default();
        match self.reason {
            Reason::Behind => write!(
                f,
                "it ends with revision {revision} and has {entries} entries, but revision {last} \
                 with {expected} entries was acknowledged: up to {} commits are missing",
                last.saturating_sub(revision)
            ),
            Reason::Entries => write!(
                f,
                "some of its entries are missing, or are older ones: it has {entries} at revision \
                 {revision}, and they are not the {expected} of the last commit, revision {last}"
            ),
            Reason::TipMissing => write!(
                f,
                "the file that knows the last acknowledged commit is missing: the store ends with \
                 revision {revision} and has {entries} entries, and may be an older one"
            ),
            Reason::TipDamaged => write!(
                f,
                "the file that knows the last acknowledged commit is damaged: the store ends with \
                 revision {revision} and has {entries} entries, and may be an older one"
            ),
        }
    }
}
