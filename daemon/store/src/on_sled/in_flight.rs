//! The values that the group in flight replaces. Between apply and sync sled already returns values
//! that a loss of power could still undo, and a read must not put one into an answer. So the
//! committer keeps the previous value of every key of a group here, from before it applies the
//! group until the group is durable, and a read prefers that to the value in the tree.
//!
//! A read holds the lock while it reads the tree, the committer while it applies. sled would
//! serialise them too, but by blocking the thread, which has other requests to serve.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;

use sled::IVec;
use tokio::sync::{RwLock, RwLockReadGuard};

/// The previous stored value, if there was one, of every key that the group in flight changes.
/// Empty between groups.
#[derive(Debug, Default)]
pub(super) struct PreviousValues(BTreeMap<IVec, Option<IVec>>);

/// The one group in flight.
#[derive(Debug, Default)]
pub(super) struct InFlight(RwLock<PreviousValues>);

impl InFlight {
    /// Locks for one read of the tree and no longer: the committer waits for it.
    pub(super) async fn read(&self) -> RwLockReadGuard<'_, PreviousValues> {
        self.0.read().await
    }

    /// Applies a group while no read holds the lock. Blocks; for the committer's thread alone.
    pub(super) fn apply<T>(&self, previous: PreviousValues, apply: impl FnOnce() -> T) -> T {
        let mut current = self.0.blocking_write();
        *current = previous;
        apply()
    }

    /// Called once the group is durable, before its commits are acknowledged. Blocks; for the
    /// committer's thread alone.
    pub(super) fn clear(&self) {
        let old = mem::take(&mut *self.0.blocking_write());
        drop(old);
    }
}

impl PreviousValues {
    /// Adds the previous value of a key.
    pub(super) fn insert(&mut self, key: IVec, value: Option<IVec>) {
        self.0.insert(key, value);
    }

    /// Whether the group changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The durable value of `key`, when the tree returned `seen`.
    pub(super) fn durable(&self, key: &[u8], seen: Option<IVec>) -> Option<IVec> {
        match self.0.get(key) {
            Some(before) => before.clone(),
            None => seen,
        }
    }

    /// The durable entries from `lower` to `upper`, in order, when the tree returned `seen`.
    pub(super) fn durable_range(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        seen: Vec<(IVec, IVec)>,
    ) -> Vec<(IVec, IVec)> {
        let mut changed = self.0.range::<[u8], _>((lower, upper)).peekable();
        if changed.peek().is_none() {
            return seen;
        }
        let mut durable: BTreeMap<IVec, IVec> = seen.into_iter().collect();
        for (key, before) in changed {
            match before {
                Some(value) => durable.insert(key.clone(), value.clone()),
                None => durable.remove(key),
            };
        }
        durable.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pairs: Vec<(IVec, IVec)>) -> String {
        let shown: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("{}={}", key.escape_ascii(), value.escape_ascii()))
            .collect();
        shown.join(" ")
    }

    #[test]
    fn a_range_has_the_previous_values() {
        let before = PreviousValues(BTreeMap::from([
            (IVec::from("a"), Some(IVec::from("old"))),
            (IVec::from("b"), None),
            (IVec::from("c"), Some(IVec::from("gone"))),
            (IVec::from("z"), Some(IVec::from("outside"))),
        ]));
        let seen = || {
            vec![
                (IVec::from("a"), IVec::from("new")),
                (IVec::from("b"), IVec::from("new")),
                (IVec::from("d"), IVec::from("same")),
            ]
        };
        let bounds = (Bound::Included(&b"a"[..]), Bound::Excluded(&b"z"[..]));
        assert_eq!(text(before.durable_range(bounds.0, bounds.1, seen())), "a=old c=gone d=same");
        let behind_a = Bound::Excluded(&b"a"[..]);
        assert_eq!(text(before.durable_range(behind_a, Bound::Included(b"b"), vec![])), "");
        let nothing = PreviousValues::default();
        assert_eq!(text(nothing.durable_range(bounds.0, bounds.1, seen())), "a=new b=new d=same");
    }
}
