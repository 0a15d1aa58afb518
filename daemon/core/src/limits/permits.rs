//! At most so many at a time for each key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Counts<K> = Arc<Mutex<HashMap<K, usize>>>;

/// Permits by key, without a queue: a permit is there or it is not.
pub(crate) struct KeyedPermits<K> {
    most: usize,
    taken: Counts<K>,
}

impl<K: Eq + Hash + Clone> KeyedPermits<K> {
    /// At most `most` at a time for each key.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, taken: Counts::default() }
    }

    /// A permit for `key`, given back when dropped; `None` when all are taken.
    pub(crate) fn take(&self, key: &K) -> Option<KeyedPermit<K>> {
        let mut taken = lock(&self.taken);
        let count = taken.get(key).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        taken.insert(key.clone(), count + 1);
        Some(KeyedPermit { key: key.clone(), taken: Arc::clone(&self.taken) })
    }
}

/// One permit of [`KeyedPermits`].
pub(crate) struct KeyedPermit<K: Eq + Hash> {
    key: K,
    taken: Counts<K>,
}

impl<K: Eq + Hash> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        match taken.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.key)),
        }
    }
}

fn lock<K>(counts: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_and_gets_them_back() {
        let permits = KeyedPermits::new(2);
        let first = permits.take(&"a").unwrap();
        let second = permits.take(&"a").unwrap();
        assert!(permits.take(&"a").is_none());
        assert!(permits.take(&"b").is_some());
        drop(first);
        let third = permits.take(&"a").unwrap();
        assert!(permits.take(&"a").is_none());
        drop((second, third));
        assert!(lock(&permits.taken).is_empty());
    }

    #[test]
    fn of_none_there_is_none() {
        assert!(KeyedPermits::new(0).take(&"a").is_none());
    }
}
