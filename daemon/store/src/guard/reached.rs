//! How far a store has come: its last revision, and a sum over all its entries. An engine keeps it
//! in each group of commits, in the same atomic write, so that content which does not belong to
//! the last revision shows, whichever part of it is missing.
//!
//! The sum is of truncated SHA-256 digests, one an entry, so that a group changes it by its own
//! entries alone. It shows damage, not an attack: entries are sealed and chained above the store.

use sha2::{Digest as _, Sha256};

/// Bytes of the stored form.
pub(crate) const REACHED_BYTES: usize = 32;

/// The state of a store after a group of commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The last revision that changed something.
    pub(crate) revision: u64,
    /// How many entries there are.
    pub(crate) entries: u64,
    /// The sum of their digests.
    pub(crate) sum: u128,
}

impl Reached {
    /// An entry was added: its key, and its value with its revision, both as they are stored.
    pub(crate) fn add(&mut self, key: &[u8], stored: &[u8]) {
        self.entries = self.entries.wrapping_add(1);
        self.sum = self.sum.wrapping_add(digest(key, stored));
    }

    /// An entry was removed.
    pub(crate) fn remove(&mut self, key: &[u8], stored: &[u8]) {
        self.entries = self.entries.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(digest(key, stored));
    }

    /// Whether both are of the same entries.
    pub(crate) fn has_entries_of(&self, other: &Self) -> bool {
        self.entries == other.entries && self.sum == other.sum
    }

    /// The stored form.
    pub(crate) fn to_bytes(self) -> [u8; REACHED_BYTES] {
        let mut bytes = [0; REACHED_BYTES];
        let parts = [&self.revision.to_be_bytes()[..], &self.entries.to_be_bytes()].concat();
        let fields = parts.into_iter().chain(self.sum.to_be_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }

    /// The state that [`Self::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8; REACHED_BYTES]) -> Self {
        let [revision, entries] = [0, 8].map(|at| {
            let field = bytes.get(at..at + 8).and_then(|field| field.try_into().ok());
            field.map_or(0, u64::from_be_bytes)
        });
        let sum = bytes.last_chunk().map_or(0, |sum| u128::from_be_bytes(*sum));
        Self { revision, entries, sum }
    }
}

fn digest(key: &[u8], stored: &[u8]) -> u128 {
    let mut digest = Sha256::new();
    digest.update((key.len() as u64).to_be_bytes());
    digest.update(key);
    digest.update(stored);
    let full: [u8; 32] = digest.finalize().into();
    full.first_chunk().map_or(0, |first| u128::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_the_entries_and_not_of_their_order() {
        let (mut one, mut other) = (Reached::default(), Reached::default());
        one.add(b"a", b"1");
        one.add(b"b", b"2");
        other.add(b"b", b"2");
        other.add(b"ab", b"");
        other.add(b"a", b"1");
        assert!(!one.has_entries_of(&other));
        other.remove(b"ab", b"");
        assert_eq!(one, other);
        for (key, value) in [("a", "2"), ("b", "1"), ("a1", ""), ("", "a1")] {
            let mut changed = one;
            changed.remove(b"a", b"1");
            changed.add(key.as_bytes(), value.as_bytes());
            assert!(!changed.has_entries_of(&one), "{key} {value}");
        }
        one.revision = 7;
        assert_eq!(Reached::from_bytes(&one.to_bytes()), one);
    }
}
