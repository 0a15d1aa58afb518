//! For the tests of what a loss of power leaves: a workload whose every commit can be recognised,
//! the check of a store that was opened afterwards, and dice that fall the same way in every run.

use std::collections::BTreeSet;

use credsmith_core::ports::store::{Batch, Key, Revision, Store, Versioned};

/// Keys that one commit writes together.
const PARTS: u64 = 5;
/// Entries of the journal that are kept: each commit adds one and deletes the one that falls out.
const KEPT: u64 = 4;

/// An acknowledged commit: its number and revision. The first has number 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Acknowledged {
    pub(crate) number: u64,
    pub(crate) revision: u64,
}

/// Makes the commit of that `number`.
pub(crate) async fn commit(store: &impl Store, number: u64) -> Acknowledged {
    let parts = (0..PARTS).fold(Batch::default(), |batch, part| {
        // Of different lengths, and occasionally of pages.
        let length = if (number + part).is_multiple_of(11) { 9000 } else { 30 + 70 * part };
        let text = format!("{number} {}", "x".repeat(usize::try_from(length).unwrap()));
        batch.put(Key::new(format!("part/{part}")), text)
    });
    let batch = parts.put(journal(number), number.to_string());
    let batch = if number > KEPT { batch.delete(journal(number - KEPT)) } else { batch };
    let Revision(revision) = store.commit(batch).await.unwrap().revision;
    Acknowledged { number, revision }
}

/// Checks a store after a loss of power: everything that was acknowledged is there, the commit
/// after it completely or not at all, and revisions go on.
pub(crate) async fn check(store: &impl Store, acknowledged: Acknowledged) -> Result<(), String> {
    let entries = store.scan(&Key::new(""), None, 1000).await.map_err(|e| format!("{e:?}"))?;
    let of = |prefix: &str| {
        let entries = entries.entries.iter();
        let below = entries.filter(|(key, _)| key.as_bytes().starts_with(prefix.as_bytes()));
        below.cloned().collect::<Vec<(Key, Versioned)>>()
    };
    let parts = of("part/");
    let numbers: BTreeSet<u64> = parts.iter().map(|(_, part)| leading(part)).collect();
    let found = numbers.first().copied().unwrap_or_default();
    if numbers.len() > 1 || (found > 0 && parts.len() as u64 != PARTS) {
        return Err(format!("half of a commit is there: {numbers:?}, {} parts", parts.len()));
    }
    let expected = acknowledged.number..=acknowledged.number + 1;
    if !expected.contains(&found) {
        return Err(format!("{acknowledged:?} was acknowledged, {found} is there"));
    }
    let oldest = found.saturating_sub(KEPT) + 1;
    let kept: Vec<Key> = (oldest..=found).map(journal).collect();
    let there: Vec<Key> = of("journal/").into_iter().map(|(key, _)| key).collect();
    if there != kept {
        return Err(format!("at {found} the journal is {there:?}"));
    }
    let next = commit(store, found + 1).await;
    if next.revision <= acknowledged.revision {
        return Err(format!("{next:?} comes after {acknowledged:?}"));
    }
    Ok(())
}

fn journal(number: u64) -> Key {
    Key::new(format!("journal/{number:010}"))
}

fn leading(part: &Versioned) -> u64 {
    let text = std::str::from_utf8(&part.value).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Numbers that look random and are the same in every run (splitmix64).
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `sides`.
    pub(crate) fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % sides as u64).unwrap()
    }

    /// Heads or tails.
    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}
