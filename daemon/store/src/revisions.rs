//! The store-wide counter. A durable ceiling stands above every revision that was given; it is
//! raised in blocks, in the same atomic batch as the commit that needs it. After a crash counting
//! goes on above the ceiling: revisions may skip, none comes back.

use credsmith_core::ports::store::Revision;

/// How far the ceiling is raised at once: far enough that most groups need not write its page.
const BLOCK: u64 = 1 << 16;

/// The last revision and the durable ceiling.
#[derive(Debug)]
pub(crate) struct Revisions {
    last: u64,
    ceiling: u64,
}

impl Revisions {
    /// Continues after the ceiling that was read from the store.
    pub(crate) fn above(ceiling: u64) -> Self {
        Self { last: ceiling, ceiling }
    }

    /// The newest revision.
    pub(crate) fn last(&self) -> Revision {
        Revision(self.last)
    }

    /// The durable ceiling, or the one that [`Self::raised_ceiling`] has returned.
    pub(crate) fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// A new revision; `None` when the numbers are used up, which happens to no real store.
    pub(crate) fn next(&mut self) -> Option<Revision> {
        self.last = self.last.checked_add(1)?;
        Some(Revision(self.last))
    }

    /// The ceiling to make durable together with the revisions given since the last call, if the
    /// old one does not cover them.
    pub(crate) fn raised_ceiling(&mut self) -> Option<u64> {
        if self.last <= self.ceiling {
            return None;
        }
        self.ceiling = self.last.saturating_add(BLOCK);
        Some(self.ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_is_always_at_least_the_last() {
        let mut revisions = Revisions::above(10);
        assert_eq!(revisions.raised_ceiling(), None, "nothing was given");
        assert_eq!(revisions.next(), Some(Revision(11)));
        assert_eq!(revisions.raised_ceiling(), Some(11 + BLOCK));
        for _ in 0..BLOCK {
            revisions.next();
            assert_eq!(revisions.raised_ceiling(), None);
        }
        assert_eq!(revisions.next(), Some(Revision(12 + BLOCK)));
        assert_eq!(revisions.raised_ceiling(), Some(12 + 2 * BLOCK));
    }

    #[test]
    fn the_end_of_numbers_is_no_overflow() {
        let mut revisions = Revisions::above(u64::MAX - 1);
        assert_eq!(revisions.next(), Some(Revision(u64::MAX)));
        assert_eq!(revisions.raised_ceiling(), Some(u64::MAX));
        assert_eq!(revisions.next(), None);
        assert_eq!(revisions.last(), Revision(u64::MAX));
    }
}
