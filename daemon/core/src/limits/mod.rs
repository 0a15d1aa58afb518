//! Bounds on what happens at a time, by key: one at a time ([`KeyedLocks`]), or some at most
//! ([`KeyedPermits`]).
//!
//! Both forget a key that nobody holds: what they remember is bounded by the work under way.

mod locks;
mod permits;

pub(crate) use locks::KeyedLocks;
pub(crate) use permits::{KeyedPermit, KeyedPermits};
