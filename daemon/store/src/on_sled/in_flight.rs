//! What the group in flight replaces. Between apply and sync sled already shows values that a loss of power could still take back;
//! a read that let one out could carry it into an answer. So the committer publishes, before it applies a group, what every key of
//! it held before, and a read prefers that to what the tree shows.
//!
//! The order makes it correct without a lock around the tree: a reader looks into the tree *first* and here *second*; the committer
//! publishes before it applies, and withdraws after the sync and before it acknowledges. Whatever a reader saw in the tree is then
//! either still listed here, and replaced by the older value, or durable.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use sled::IVec;

/// For every key that the group in flight changes: the stored value before it, if there was one.
pub(super) type Before = BTreeMap<IVec, Option<IVec>>;

/// The one group in flight; empty between groups.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<Arc<Before>>);

impl InFlight {
    /// To be called before the group is applied.
    pub(super) fn publish(&self, before: Before) {
        self.set(Arc::new(before));
    }

    /// To be called once the group is durable, before anybody is told.
    pub(super) fn withdraw(&self) {
        self.set(Arc::default());
    }

    /// What a read may show for `key`, when the tree showed `seen`.
    pub(super) fn settled(&self, key: &[u8], seen: Option<IVec>) -> Option<IVec> {
        match self.current().get(key) {
            Some(before) => before.clone(),
            None => seen,
        }
    }

    /// What a read may show for the keys from `lower` to `upper`, when the tree showed `seen`, in order.
    pub(super) fn settled_range(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        seen: Vec<(IVec, IVec)>,
    ) -> Vec<(IVec, IVec)> {
        let current = self.current();
        let mut changed = current.range::<[u8], _>((lower, upper)).peekable();
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

    fn current(&self) -> Arc<Before> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, before: Arc<Before>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = before;
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
        let in_flight = InFlight::default();
        in_flight.publish(Before::from([
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
        assert_eq!(text(in_flight.settled_range(bounds.0, bounds.1, seen())), "a=old c=gone d=same");
        let behind_a = Bound::Excluded(&b"a"[..]);
        assert_eq!(text(in_flight.settled_range(behind_a, Bound::Included(b"b"), vec![])), "");
        in_flight.withdraw();
        assert_eq!(text(in_flight.settled_range(bounds.0, bounds.1, seen())), "a=new b=new d=same");
    }
}
