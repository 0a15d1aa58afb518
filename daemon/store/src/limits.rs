//! The limits of the port, checked the same way for every implementation before it looks at
//! anything else.

use std::collections::BTreeSet;

use credsmith_core::ports::store::{
    Batch, Key, MAX_BATCH_BYTES, MAX_BATCH_KEYS, MAX_KEY_BYTES, MAX_VALUE_BYTES, StoreError,
};

/// Checks a batch, and returns how many bytes of keys and values it has.
pub(crate) fn check_batch(batch: &Batch) -> Result<usize, StoreError> {
    let listed = batch.expectations.len().max(batch.puts.len()).max(batch.deletes.len());
    if listed > MAX_BATCH_KEYS {
        return Err(StoreError::Limits("it names more keys than a batch may"));
    }
    check_keys(batch)?;
    let bytes = batch.keys().map(|key| key.as_bytes().len()).sum::<usize>()
        + batch.puts.iter().map(|(_, value)| value.len()).sum::<usize>();
    if bytes > MAX_BATCH_BYTES {
        return Err(StoreError::Limits("its keys and values are too large together"));
    }
    if batch.puts.iter().any(|(_, value)| value.len() >= MAX_VALUE_BYTES) {
        return Err(StoreError::Limits("a value is too large"));
    }
    Ok(bytes)
}

/// Checks a key that is read or written. An empty one is refused, because not every store has room
/// for it.
pub(crate) fn check_key(key: &Key) -> Result<(), StoreError> {
    if key.as_bytes().is_empty() {
        return Err(StoreError::Limits("a key is empty"));
    }
    check_prefix(key)
}

/// Checks a prefix or the key that a scan continues after; both may be empty.
pub(crate) fn check_prefix(key: &Key) -> Result<(), StoreError> {
    if key.as_bytes().len() > MAX_KEY_BYTES {
        return Err(StoreError::Limits("a key is too long"));
    }
    Ok(())
}

fn check_keys(batch: &Batch) -> Result<(), StoreError> {
    let mut expected = BTreeSet::new();
    let mut written = BTreeSet::new();
    for key in batch.keys() {
        check_key(key)?;
    }
    let expected_once = batch.expectations.iter().all(|(key, _)| expected.insert(key));
    if !expected_once {
        return Err(StoreError::Limits("two expectations name the same key"));
    }
    let written_once = batch.written_keys().all(|key| written.insert(key));
    if !written_once {
        return Err(StoreError::Limits("a key is written twice"));
    }
    if expected.union(&written).count() > MAX_BATCH_KEYS {
        return Err(StoreError::Limits("it names more keys than a batch may"));
    }
    Ok(())
}

/// The keys of a batch by operation.
trait Keys {
    /// Every key, as often as it is named.
    fn keys(&self) -> impl Iterator<Item = &Key>;
    /// The keys of puts and deletes.
    fn written_keys(&self) -> impl Iterator<Item = &Key>;
}

impl Keys for Batch {
    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.expectations.iter().map(|(key, _)| key).chain(self.written_keys())
    }

    fn written_keys(&self) -> impl Iterator<Item = &Key> {
        self.puts.iter().map(|(key, _)| key).chain(&self.deletes)
    }
}
