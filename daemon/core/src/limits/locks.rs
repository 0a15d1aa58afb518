//! One at a time for each key, first come, first served.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Gate = Arc<tokio::sync::Mutex<()>>;
type Gates<K> = Arc<Mutex<HashMap<K, Gate>>>;

/// Asynchronous locks by key.
pub(crate) struct KeyedLocks<K> {
    gates: Gates<K>,
}

impl<K: Eq + Hash + Clone> KeyedLocks<K> {
    pub(crate) fn new() -> Self {
        Self { gates: Gates::default() }
    }

    /// Waits until `key` is free, and holds it until the guard is dropped. Giving up waiting is
    /// safe.
    pub(crate) async fn lock(&self, key: K) -> KeyedGuard<K> {
        let gate = Arc::clone(lock(&self.gates).entry(key.clone()).or_default());
        // The place in the queue is cleared up even if the caller gives up while it waits.
        let mut guard = KeyedGuard { key, gates: Arc::clone(&self.gates), held: None };
        guard.held = Some(gate.lock_owned().await);
        guard
    }
}

/// Holds a key of [`KeyedLocks`].
pub(crate) struct KeyedGuard<K: Eq + Hash> {
    key: K,
    gates: Gates<K>,
    held: Option<OwnedMutexGuard<()>>,
}

impl<K: Eq + Hash> Drop for KeyedGuard<K> {
    fn drop(&mut self) {
        let mut gates = lock(&self.gates);
        // Under the lock of the map the gate is not handed out: one strong count left means that no
        // other guard holds or awaits it.
        self.held = None;
        if gates.get(&self.key).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.key);
        }
    }
}

fn lock<K>(gates: &Mutex<HashMap<K, Gate>>) -> MutexGuard<'_, HashMap<K, Gate>> {
    gates.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_key_admits_one_and_is_forgotten() {
        let locks = Arc::new(KeyedLocks::new());
        let first = locks.lock("a").await;
        let other_key = locks.lock("b").await;
        let queued = tokio::spawn({
            let locks = Arc::clone(&locks);
            async move { drop(locks.lock("a").await) }
        });
        tokio::task::yield_now().await;
        assert!(!queued.is_finished());
        drop(first);
        queued.await.unwrap();
        drop(other_key);
        assert!(lock(&locks.gates).is_empty());
    }

    #[tokio::test]
    async fn giving_up_leaves_nothing_behind() {
        let locks = Arc::new(KeyedLocks::new());
        let held = locks.lock("a").await;
        let mut waiting = Box::pin(locks.lock("a"));
        assert!((&mut waiting).now_or_never().is_none());
        drop(waiting);
        drop(held);
        assert!(lock(&locks.gates).is_empty());
    }
}
