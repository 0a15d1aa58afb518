//! Bounds on concurrent work by key: one at a time ([`KeyedLocks`]), or a number of them at most
//! ([`KeyedPermits`]); and on how often a commit is attempted ([`COMMIT_ATTEMPTS`]).
//!
//! Locks and permits forget a key that is not held: their memory is bounded by the work under way.

mod locks;
mod permits;

pub(crate) use locks::KeyedLocks;
pub(crate) use permits::{KeyedPermit, KeyedPermits};

/// How often a change is attempted that loses against concurrent ones. Each failed attempt means
/// that another change got through, so the store as a whole makes progress.
pub(crate) const COMMIT_ATTEMPTS: u32 = 64;
