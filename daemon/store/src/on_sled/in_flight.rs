//! What the group in flight replaces. Between apply and sync sled already shows values that a loss
//! of power could still take back; a read that let one out could carry it into an answer. So the
//! committer keeps here, from before it applies a group until it is durable, what every key of it
//! held before, and a read prefers that to what the tree shows.
//!
//! A read holds the lock while it looks into the tree, the committer while it applies: sled would
//! let one wait for the other too, but by blocking the thread, and that thread has other requests
//! to serve.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;

use sled::IVec;
use tokio::sync::{RwLock, RwLockReadGuard};

/// For every key that the group in flight changes: the stored value before it, if there was one.
/// Empty between groups.
#[derive(Debug, Default)]
pub(super) struct Before(BTreeMap<IVec, Option<IVec>>);

/// The one group in flight.
#[derive(Debug, Default)]
pub(super) struct InFlight(RwLock<Before>);

impl InFlight {
    /// For one look into the tree and no longer: the committer waits for it.
    pub(super) async fn read(&self) -> RwLockReadGuard<'_, Before> {
        self.0.read().await
    }

    /// Applies a group while nobody reads. Blocks; for the committer's thread alone.
    pub(super) fn apply<T>(&self, before: Before, apply: impl FnOnce() -> T) -> T {
        let mut current = self.0.blocking_write();
        *current = before;
        apply()
    }

    /// To be called once the group is durable, before anybody is told. Blocks; for the committer's
    /// thread alone.
    pub(super) fn withdraw(&self) {
        let old = mem::take(&mut *self.0.blocking_write());
        drop(old);
    }
}

impl Before {
    /// Notes what a key held.
    pub(super) fn note(&mut self, key: IVec, value: Option<IVec>) {
        self.0.insert(key, value);
    }

    /// Whether the group changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What may be shown for `key`, when the tree showed `seen`.
    pub(super) fn settled(&self, key: &[u8], seen: Option<IVec>) -> Option<IVec> {
        match self.0.get(key) {
            Some(before) => before.clone(),
            None => seen,
        }
    }

    /// What may be shown for the keys from `lower` to `upper`, when the tree showed `seen`, in
    /// order.
    pub(super) fn settled_range(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        seen: Vec<(IVec, IVec)>,
    ) -> Vec<(IVec, IVec)> {
        let mut changed = self.0.range::<[u8], _>((lower, upper)).peekable();
        if changed.peek().is_none() {
            return seen;
        }
        let mut settled: BTreeMap<IVec, IVec> = seen.into_iter().collect();
        for (key, before) in changed {
            match before {
                Some(value) => settled.insert(key.clone(), value.clone()),
                None => settled.remove(key),
            };
        }
        settled.into_iter().collect()
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
    fn a_range_shows_what_was_before() {
        let before = Before(BTreeMap::from([
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
        assert_eq!(text(before.settled_range(bounds.0, bounds.1, seen())), "a=old c=gone d=same");
        let behind_a = Bound::Excluded(&b"a"[..]);
        assert_eq!(text(before.settled_range(behind_a, Bound::Included(b"b"), vec![])), "");
        let nothing = Before::default();
        assert_eq!(text(nothing.settled_range(bounds.0, bounds.1, seen())), "a=new b=new d=same");
    }
}
