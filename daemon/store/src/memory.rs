//! A store in memory, for tests and for a daemon without a data directory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use credsmith_core::ports::store::{
    Batch, Committed, Expected, Key, Page, Revision, Store, StoreError, Versioned,
};
use parking_lot::Mutex;

use crate::limits::{check_batch, check_key, check_prefix};
use crate::range::KeyRange;

/// Keeps every promise of the port but durability: its content ends with the process. A panic while
/// the lock is held leaves no change half done, since every change follows the last check.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Vec<u8>, Versioned>,
    last: u64,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl State {
    fn check(&self, expectations: &[(Key, Expected)]) -> Result<(), StoreError> {
        let failed = expectations.iter().find(|(key, expected)| {
            let there = self.entries.get(key.as_bytes()).map(|versioned| versioned.revision);
            match expected {
                Expected::Absent => there.is_some(),
                Expected::At(revision) => there != Some(*revision),
            }
        });
        match failed {
            Some((key, _)) => Err(StoreError::Conflict { key: key.clone() }),
            None => Ok(()),
        }
    }

    fn apply(&mut self, batch: Batch) -> Committed {
        self.last += 1;
        let revision = Revision(self.last);
        for (key, value) in batch.puts {
            self.entries.insert(key.as_bytes().to_vec(), Versioned { value, revision });
        }
        for key in batch.deletes {
            self.entries.remove(key.as_bytes());
        }
        Committed { revision }
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        check_key(key)?;
        Ok(self.state.lock().entries.get(key.as_bytes()).cloned())
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        check_prefix(prefix)?;
        after.map_or(Ok(()), check_prefix)?;
        let Some(range) = KeyRange::new(prefix.as_bytes(), after.map(Key::as_bytes)) else {
            return Ok(Page::default());
        };
        let state = self.state.lock();
        let mut found = state.entries.range((range.lower, range.upper));
        let entries = found
            .by_ref()
            .take(limit)
            .map(|(key, value)| (Key::new(key.clone()), value.clone()))
            .collect();
        Ok(Page { entries, more: found.next().is_some() })
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        check_batch(&batch)?;
        let mut state = self.state.lock();
        state.check(&batch.expectations)?;
        Ok(state.apply(batch))
    }
}
