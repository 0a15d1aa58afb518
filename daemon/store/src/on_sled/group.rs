//! Commits that become durable together: each is checked against the tree and the earlier commits
//! of its group. One whose expectation fails is left out as a whole; the others become one sled
//! batch, which is atomic, and so each of them is.

use std::collections::BTreeMap;

use credsmith_core::ports::store::{Batch, Committed, Expected, Key, Revision, StoreError};
use sled::{IVec, Tree};

use super::in_flight::PreviousValues;
use super::layout;
use crate::committer::unavailable;
use crate::guard::Reached;
use crate::revisions::Revisions;

/// A group under construction. It reads the tree and changes nothing.
pub(super) struct Group<'a> {
    tree: &'a Tree,
    revisions: &'a mut Revisions,
    keys: BTreeMap<IVec, KeyState>,
}

/// A key that the group has read: its value in the tree, and after the group.
struct KeyState {
    stored: Option<IVec>,
    staged: Option<IVec>,
}

/// The changes of a group to the tree.
pub(super) struct Changes {
    /// The changes, and the header.
    pub(super) batch: sled::Batch,
    /// How far the store has come with them.
    pub(super) reached: Reached,
    /// The values of the changed keys before them.
    pub(super) previous: PreviousValues,
}

impl<'a> Group<'a> {
    pub(super) fn new(tree: &'a Tree, revisions: &'a mut Revisions) -> Self {
        Self { tree, revisions, keys: BTreeMap::new() }
    }

    /// Adds `batch` to the group, or returns why not and leaves the group unchanged.
    pub(super) fn admit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        for (key, expected) in &batch.expectations {
            self.check(key, *expected)?;
        }
        let mut written = batch.puts.iter().map(|(key, _)| key).chain(&batch.deletes);
        written.try_for_each(|key| self.load(key))?;
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

    /// The changes to apply to a store that has `reached` so far; `None` if there are none.
    pub(super) fn into_changes(self, reached: Reached) -> Option<Changes> {
        let batch = sled::Batch::default();
        let mut changes = Changes { batch, reached, previous: PreviousValues::default() };
        for (key, state) in self.keys {
            if state.stored == state.staged {
                continue;
            }
            if let Some(stored) = &state.stored {
                changes.reached.remove(&key, stored);
            }
            match state.staged {
                Some(value) => {
                    changes.reached.add(&key, &value);
                    changes.batch.insert(&key, value);
                }
                None => changes.batch.remove(&key),
            }
            changes.previous.insert(key, state.stored);
        }
        let is_raised = self.revisions.raised_ceiling().is_some();
        if changes.previous.is_empty() && !is_raised {
            return None;
        }
        changes.reached.revision = self.revisions.last().0;
        let header = layout::header(self.revisions.ceiling(), changes.reached);
        changes.batch.insert(layout::HEADER_KEY, header);
        Some(changes)
    }

    fn check(&mut self, key: &Key, expected: Expected) -> Result<(), StoreError> {
        self.load(key)?;
        let state = self.keys.get(layout::stored_key(key.as_bytes()).as_slice());
        let staged = state.and_then(|state| state.staged.as_deref());
        let current = staged.map(layout::revision).transpose().map_err(unavailable)?;
        let holds = match expected {
            Expected::Absent => current.is_none(),
            Expected::At(revision) => current == Some(revision),
        };
        if holds { Ok(()) } else { Err(StoreError::Conflict { key: key.clone() }) }
    }

    /// Reads a key from the tree, unless the group has read it already.
    fn load(&mut self, key: &Key) -> Result<(), StoreError> {
        let stored_key = layout::stored_key(key.as_bytes());
        if self.keys.contains_key(stored_key.as_slice()) {
            return Ok(());
        }
        let stored = self.tree.get(&stored_key).map_err(unavailable)?;
        let staged = stored.clone();
        self.keys.insert(IVec::from(stored_key), KeyState { stored, staged });
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

    fn set(&mut self, key: &Key, value: Option<IVec>) {
        if let Some(state) = self.keys.get_mut(layout::stored_key(key.as_bytes()).as_slice()) {
            state.staged = value;
        }
    }
}
