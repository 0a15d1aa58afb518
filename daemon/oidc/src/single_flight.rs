//! Shares running look-ups: concurrent calls with the same key wait for one look-up.
//!
//! A look-up runs as a task of its own: it continues for the other callers when the first one is
//! cancelled.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use credsmith_core::ports::Tasks;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

type Running<K, V> = Mutex<HashMap<K, watch::Receiver<Option<V>>>>;

/// The running look-ups, by key.
pub(crate) struct SingleFlight<K, V> {
    running: Arc<Running<K, V>>,
    tasks: Arc<dyn Tasks>,
}

/// Why a look-up has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoResult {
    /// The limit of running look-ups is reached.
    TooMany,
    /// The look-up ended without a result: it panicked, or the daemon is shutting down.
    Aborted,
}

impl<K, V> SingleFlight<K, V>
where
    K: Eq + Hash + Copy + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(tasks: Arc<dyn Tasks>) -> Self {
        Self { running: Arc::default(), tasks }
    }

    /// Waits for the look-up of `key`. If none is running, starts the one that `start` returns;
    /// `start` returns `None` at the limit of running look-ups. Cancelling the wait does not cancel
    /// the look-up.
    pub(crate) async fn run(
        &self,
        key: K,
        start: impl FnOnce() -> Option<BoxFuture<'static, V>>,
    ) -> Result<V, NoResult> {
        let mut result = self.subscribe(key, start)?;
        let result = result.wait_for(Option::is_some).await.map_err(|_| NoResult::Aborted)?;
        result.clone().ok_or(NoResult::Aborted)
    }

    fn subscribe(
        &self,
        key: K,
        start: impl FnOnce() -> Option<BoxFuture<'static, V>>,
    ) -> Result<watch::Receiver<Option<V>>, NoResult> {
        let mut running = self.running.lock();
        if let Some(result) = running.get(&key) {
            return Ok(result.clone());
        }
        let work = start().ok_or(NoResult::TooMany)?;
        let (sender, result) = watch::channel(None);
        running.insert(key, result.clone());
        drop(running);

        let registration = Registration { running: Arc::clone(&self.running), key };
        let look_up = async move {
            let value = work.await;
            drop(registration);
            sender.send_replace(Some(value));
        };
        self.tasks.spawn("token look-up", Box::pin(look_up));
        Ok(result)
    }
}

/// Removes the key of a running look-up on drop, however the look-up ends.
struct Registration<K: Eq + Hash, V> {
    running: Arc<Running<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Registration<K, V> {
    fn drop(&mut self) {
        self.running.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use credsmith_core::doubles::TestTasks;
    use tokio::sync::Notify;

    use super::*;

    fn lookups() -> Arc<SingleFlight<u8, u8>> {
        Arc::new(SingleFlight::new(Arc::new(TestTasks::default())))
    }

    #[tokio::test]
    async fn concurrent_callers_share_one_look_up_and_the_first_may_leave() {
        let lookups = lookups();
        let (gate, started) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let call = || {
            let (lookups, gate, started) = (lookups.clone(), gate.clone(), started.clone());
            tokio::spawn(async move {
                let start = || {
                    started.fetch_add(1, Ordering::SeqCst);
                    Some(Box::pin(async move {
                        gate.notified().await;
                        7_u8
                    }) as BoxFuture<'static, u8>)
                };
                lookups.run(1, start).await
            })
        };
        let first = call();
        while started.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..20).map(|_| call()).collect();
        tokio::task::yield_now().await;
        first.abort();
        gate.notify_one();
        let answers =
            tokio::time::timeout(Duration::from_secs(60), futures_util::future::join_all(others));
        for answer in answers.await.expect("all callers share one look-up") {
            assert_eq!(answer.unwrap(), Ok(7));
        }
        assert_eq!(started.load(Ordering::SeqCst), 1);
        assert!(lookups.running.lock().is_empty());
    }

    #[tokio::test]
    async fn a_look_up_that_panics_is_an_error_and_is_forgotten() {
        let lookups = lookups();
        let panics = || {
            let (_, lost) = tokio::sync::oneshot::channel::<u8>();
            Some(Box::pin(async { lost.await.expect("a panic on purpose") })
                as BoxFuture<'static, u8>)
        };
        assert_eq!(lookups.run(1, panics).await, Err(NoResult::Aborted));
        assert_eq!(lookups.run(1, || Some(Box::pin(async { 8_u8 }) as _)).await, Ok(8));
        assert_eq!(lookups.run(1, || None).await, Err(NoResult::TooMany));
    }
}
