//! Commits that become durable together: each is judged against the tree and what the earlier ones
//! of its group do. One whose expectation fails is left out, whole; the others become one sled
//! batch, which keeps each of them whole too.

use std::collections::BTreeMap;

use credsmith_core::ports::store::{Batch, Committed, Expected, Key, Revision, StoreError};
use sled::{IVec, Tree};

use super::in_flight::Before;
use super::layout;
use super::revisions::Revisions;

/// A group being put together. It reads the tree and changes nothing.
pub(super) struct Group<'a> {
    tree: &'a Tree,
    revisions: &'a mut Revisions,
    slots: BTreeMap<IVec, Slot>,
}

/// One key that the group looked at.
struct Slot {
    before: Option<IVec>,
    now: Option<IVec>,
}

/// What a group does to the tree.
pub(super) struct Effects {
    /// The changes, and the raised ceiling where one is needed.
    pub(super) batch: sled::Batch,
    /// What the changed keys held.
    pub(super) before: Before,
}

impl<'a> Group<'a> {
    pub(super) fn new(tree: &'a Tree, revisions: &'a mut Revisions) -> Self {
        Self { tree, revisions, slots: BTreeMap::new() }
    }

    /// Takes `batch` in, or says why not; then the group is as it was.
    pub(super) fn admit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        for (key, expected) in &batch.expectations {
            self.check(key, *expected)?;
        }
        let mut written = batch.puts.iter().map(|(key, _)| key).chain(&batch.deletes);
        written.try_for_each(|key| self.look_at(key))?;
        if batch.puts.is_empty() && batch.deletes.is_empty() {
            return Ok(Committed { revision: self.revisions.last() });
        }
        let revision = self
            .revisions
            .next()
            .ok_or_else(|| unavailable("the revisions of this store are used up"))?;
        self.write(batch, revision);
        Ok(Committed { revision })
    }

    /// What is left to do; `None` when nothing changes.
    pub(super) fn into_effects(self) -> Option<Effects> {
        let mut effects = Effects { batch: sled::Batch::default(), before: Before::default() };
        for (key, slot) in self.slots {
            match slot.now {
                Some(value) if slot.before.as_ref() != Some(&value) => {
                    effects.batch.insert(&key, value)
                }
                None if slot.before.is_some() => effects.batch.remove(&key),
                _ => continue,
            }
            effects.before.note(key, slot.before);
        }
        let ceiling = self.revisions.raised_ceiling();
        if let Some(ceiling) = ceiling {
            effects.batch.insert(layout::HEADER_KEY, layout::header(ceiling));
        }
        if effects.before.is_empty() && ceiling.is_none() {
            return None;
        }
        Some(effects)
    }

    fn check(&mut self, key: &Key, expected: Expected) -> Result<(), StoreError> {
        self.look_at(key)?;
        let stored = self.slots.get(layout::stored_key(key.as_bytes()).as_slice());
        let now = stored.and_then(|slot| slot.now.as_deref());
        let there = now.map(layout::revision).transpose().map_err(unavailable)?;
        let holds = match expected {
            Expected::Absent => there.is_none(),
            Expected::At(revision) => there == Some(revision),
        };
        if holds { Ok(()) } else { Err(StoreError::Conflict { key: key.clone() }) }
    }

    /// Reads a key that the group has not met yet.
    fn look_at(&mut self, key: &Key) -> Result<(), StoreError> {
        let stored_key = layout::stored_key(key.as_bytes());
        if self.slots.contains_key(stored_key.as_slice()) {
            return Ok(());
        }
        let before = self.tree.get(&stored_key).map_err(unavailable)?;
        let now = before.clone();
        self.slots.insert(IVec::from(stored_key), Slot { before, now });
        Ok(())
    }

    fn write(&mut self, batch: &Batch, revision: Revision) {
        for (key, value) in &batch.puts {
            self.set(key, Some(layout::stored_value(revision, value)));
        }
        for key in &batch.deletes {
            self.set(key, None);
        }
    }

    fn set(&mut self, key: &Key, now: Option<IVec>) {
        if let Some(slot) = self.slots.get_mut(layout::stored_key(key.as_bytes()).as_slice()) {
            slot.now = now;
        }
    }
}

/// Nothing was changed, and this is why.
pub(super) fn unavailable(cause: impl Into<credsmith_core::error::BoxedCause>) -> StoreError {
    StoreError::Unavailable(cause.into())
}
