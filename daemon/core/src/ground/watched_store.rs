//! The store, and whether it fails: each read and commit of the domain passes here, so that
//! readiness knows of a failure whichever use-case met it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::ports::Clock;
use crate::ports::store::{Batch, Committed, Key, Page, Store, StoreError, Versioned};

/// How long a failure counts. The sweeper reads at least every few seconds, so that a store that
/// goes on failing is never well in between.
const MEMORY: Duration = Duration::from_secs(30);

/// A store that remembers its last failures.
pub(super) struct WatchedStore {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    failed: Mutex<Failed>,
}

/// When reads and commits last failed, on the monotonic clock.
#[derive(Default)]
struct Failed {
    read: Option<Duration>,
    commit: Option<Duration>,
}

impl WatchedStore {
    pub(super) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, failed: Mutex::default() }
    }

    /// What failed lately, as a sentence for operators.
    pub(super) fn complaint(&self) -> Option<String> {
        let now = self.clock.monotonic();
        let lately = |at: Option<Duration>| at.is_some_and(|at| now.saturating_sub(at) < MEMORY);
        let failed = self.failed.lock();
        let what = match (lately(failed.read), lately(failed.commit)) {
            (false, false) => return None,
            (true, false) => "reads of the store fail",
            (false, true) => "commits to the store fail",
            (true, true) => "reads of the store and commits to it fail",
        };
        Some(format!("{what}: the log says why"))
    }

    fn note<T>(&self, result: Result<T, StoreError>, is_read: bool) -> Result<T, StoreError> {
        if let Err(StoreError::Unavailable(cause)) = &result {
            let now = self.clock.monotonic();
            let mut failed = self.failed.lock();
            let last = if is_read { &mut failed.read } else { &mut failed.commit };
            // One line for each run of failures, not one for each failure.
            if last.is_none_or(|last| now.saturating_sub(last) >= MEMORY) {
                tracing::error!(%cause, is_read, "the store fails");
            }
            *last = Some(now);
        }
        result
    }
}

#[async_trait]
impl Store for WatchedStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.note(self.store.get(key).await, true)
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.note(self.store.scan(prefix, after, limit).await, true)
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.note(self.store.commit(batch).await, false)
    }
}
