//! Look-ups under way: whoever asks for the same thing while it is being fetched waits for that one
//! fetch.
//!
//! A look-up runs as a task of its own: one whose first asker hung up goes on for the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use credsmith_core::ports::Tasks;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

type Board<K, V> = Mutex<HashMap<K, watch::Receiver<Option<V>>>>;

/// The look-ups under way, by key.
pub(crate) struct Flights<K, V> {
    board: Arc<Board<K, V>>,
    tasks: Arc<dyn Tasks>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grounded {
    /// As many look-ups as there may be are under way.
    Full,
    /// The look-up ended without an answer: it panicked, or the daemon is ending.
    Lost,
}

impl<K, V> Flights<K, V>
where
    K: Eq + Hash + Copy + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(tasks: Arc<dyn Tasks>) -> Self {
        Self { board: Arc::default(), tasks }
    }

    /// Waits for the look-up of `key`, which `start` makes if none is under way. `start` says
    /// `None` when there may be no further one. Cancelling the wait does not cancel the look-up.
    pub(crate) async fn join(
        &self,
        key: K,
        start: impl FnOnce() -> Option<BoxFuture<'static, V>>,
    ) -> Result<V, Grounded> {
        let mut answer = self.board(key, start)?;
        let answer = answer.wait_for(Option::is_some).await.map_err(|_| Grounded::Lost)?;
        answer.clone().ok_or(Grounded::Lost)
    }

    fn board(
        &self,
        key: K,
        start: impl FnOnce() -> Option<BoxFuture<'static, V>>,
    ) -> Result<watch::Receiver<Option<V>>, Grounded> {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = board.get(&key) {
            return Ok(under_way.clone());
        }
        let work = start().ok_or(Grounded::Full)?;
        let (land, answer) = watch::channel(None);
        board.insert(key, answer.clone());
        drop(board);

        let entry = Entry { board: Arc::clone(&self.board), key };
        let flight = async move {
            let value = work.await;
            drop(entry);
            land.send_replace(Some(value));
        };
        self.tasks.spawn("token look-up", Box::pin(flight));
        Ok(answer)
    }
}

/// Takes the key off the board, whichever way the look-up ends.
struct Entry<K: Eq + Hash, V> {
    board: Arc<Board<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Entry<K, V> {
    fn drop(&mut self) {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use credsmith_core::doubles::TestTasks;
    use tokio::sync::Notify;

    use super::*;

    fn flights() -> Arc<Flights<u8, u8>> {
        Arc::new(Flights::new(Arc::new(TestTasks::default())))
    }

    #[tokio::test]
    async fn many_askers_share_one_look_up_and_the_first_may_leave() {
        let flights = flights();
        let (gate, started) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let (flights, gate, started) = (flights.clone(), gate.clone(), started.clone());
            tokio::spawn(async move {
                let start = || {
                    started.fetch_add(1, Ordering::SeqCst);
                    Some(Box::pin(async move {
                        gate.notified().await;
                        7_u8
                    }) as BoxFuture<'static, u8>)
                };
                flights.join(1, start).await
            })
        };
        let first = ask();
        while started.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..20).map(|_| ask()).collect();
        tokio::task::yield_now().await;
        first.abort();
        gate.notify_one();
        let answers =
            tokio::time::timeout(Duration::from_secs(60), futures_util::future::join_all(others));
        for answer in answers.await.expect("nobody waits for a look-up of their own") {
            assert_eq!(answer.unwrap(), Ok(7));
        }
        assert_eq!(started.load(Ordering::SeqCst), 1);
        assert!(flights.board.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_look_up_that_panics_is_told_and_forgotten() {
        let flights = flights();
        let dies = || {
            let (_, lost) = tokio::sync::oneshot::channel::<u8>();
            Some(Box::pin(async { lost.await.expect("a panic on purpose") })
                as BoxFuture<'static, u8>)
        };
        assert_eq!(flights.join(1, dies).await, Err(Grounded::Lost));
        assert_eq!(flights.join(1, || Some(Box::pin(async { 8_u8 }) as _)).await, Ok(8));
        assert_eq!(flights.join(1, || None).await, Err(Grounded::Full));
    }
}
