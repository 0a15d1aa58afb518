//! The keys of sign-ins whose browser has come back: a second visit with such a key is told that it
//! was used, not that it is unknown. Bounded, and for a time; only hashes of keys are here.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// SHA-256 of a key.
type KeyHash = [u8; 32];

/// The keys, the oldest first.
#[derive(Default)]
pub(super) struct UsedKeys {
    order: VecDeque<(Duration, KeyHash)>,
    known: HashSet<KeyHash>,
}

impl UsedKeys {
    /// Remembers `key` until `until`. Of more than `most` keys the oldest are forgotten. Later keys
    /// are remembered longer.
    pub(super) fn add(&mut self, key: KeyHash, until: Duration, most: usize) {
        if self.known.insert(key) {
            self.order.push_back((until, key));
        }
        while self.order.len() > most {
            self.forget_first();
        }
    }

    /// Whether `key` is remembered.
    pub(super) fn contains(&mut self, key: &KeyHash, now: Duration) -> bool {
        self.forget(now);
        self.known.contains(key)
    }

    /// Forgets the keys whose time is over.
    pub(super) fn forget(&mut self, now: Duration) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.known.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_few_and_for_a_time() {
        let at = Duration::from_secs;
        let mut used = UsedKeys::default();
        for number in 0..4 {
            used.add([number; 32], at(10 + u64::from(number)), 3);
        }
        assert!(!used.contains(&[0; 32], at(0)), "the oldest of too many");
        assert!(used.contains(&[1; 32], at(10)) && !used.contains(&[1; 32], at(11)));
        used.forget(at(12));
        assert_eq!((used.len(), used.order.len()), (1, 1));
    }
}
