//! The limit of requests in work at once.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::Extensions;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fault::Fault;

/// So many requests that wait keep their permits, however few permits there are.
const LEAST_WITH_PERMIT: usize = 2;

/// The permit of one request in work. It is in the extensions of every request. Work that goes on
/// after the client has disconnected takes it along, so that disconnecting does not let a client
/// begin more work. The permit is free again when all clones are dropped, or at [`Slot::release`].
/// It is also free while the request waits for its client, see `Slot::lend_while`, and while it
/// waits for another server as many requests do, see [`Slot::wait_for`].
#[derive(Clone)]
pub struct Slot {
    permit: Arc<Mutex<Permit>>,
    waiting: Arc<Waiting>,
}

/// How many requests wait for other servers.
struct Waiting {
    count: AtomicUsize,
    /// How many of them keep their permits.
    with_permit: usize,
    /// The `retry-after` of the refusal when no permit is free once the wait is over.
    retry_after: Duration,
}

enum Permit {
    Held(OwnedSemaphorePermit),
    /// Free for other requests until this one goes on.
    Lent(Arc<Semaphore>),
    Released,
}

impl Slot {
    /// Frees the permit early, for all clones: waiting for a plugin does not count as work.
    pub fn release(&self) {
        *self.permit.lock() = Permit::Released;
    }

    /// Waits for what another server does. The first quarter of the permits stays with requests
    /// that wait; where more of them wait, each further one lends its permit meanwhile: a slow
    /// server does not keep out the clients that need nothing of it, and a client that begins with
    /// many requests at once is not refused. An outcome that is there at once counts as no wait.
    ///
    /// # Errors
    /// [`Fault::Busy`] when the permit was lent, and other requests have taken every one by then.
    pub async fn wait_for<T>(&self, outcome: impl Future<Output = T>) -> Result<T, Fault> {
        let mut outcome = pin!(outcome);
        if let Poll::Ready(outcome) = poll_once(outcome.as_mut()).await {
            return Ok(outcome);
        }
        let waits = Waits::begin(&self.waiting);
        if waits.keeps_permit {
            return Ok(outcome.await);
        }
        let busy = Fault::Busy { retry_after: self.retry_after() };
        self.lend_while(outcome).await.ok_or(busy)
    }

    /// Lends the permit to other requests until `outcome` is there: a client that sends its body
    /// byte by byte, or never, would otherwise keep all other clients out.
    ///
    /// `None` when other requests have taken every permit by then: the server is busy.
    pub(crate) async fn lend_while<T>(&self, outcome: impl Future<Output = T>) -> Option<T> {
        self.lend();
        let outcome = outcome.await;
        self.reclaim().then_some(outcome)
    }

    fn lend(&self) {
        let mut state = self.permit.lock();
        if let Permit::Held(permit) = &*state {
            *state = Permit::Lent(Arc::clone(permit.semaphore()));
        }
    }

    /// Takes a permit again for one that was lent. Returns whether one was free; a slot that was
    /// not lent stays as it is.
    fn reclaim(&self) -> bool {
        let mut state = self.permit.lock();
        if let Permit::Lent(permits) = &*state {
            let Ok(permit) = Arc::clone(permits).try_acquire_owned() else { return false };
            *state = Permit::Held(permit);
        }
        true
    }

    /// The `retry-after` of the refusal when no permit is free once a wait is over.
    pub(crate) fn retry_after(&self) -> Duration {
        self.waiting.retry_after
    }

    /// The slot of the request with these extensions; a free one where it has none.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_else(Self::free)
    }

    /// A slot that belongs to no server, for calls of a surface that come from within the daemon.
    pub fn free() -> Self {
        Self {
            permit: Arc::new(Mutex::new(Permit::Released)),
            waiting: Waiting::new(0, Duration::ZERO),
        }
    }
}

/// What `future` has now, without waiting for it.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

impl Waiting {
    fn new(with_permit: usize, retry_after: Duration) -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), with_permit, retry_after })
    }
}

/// One request that waits, counted until it is dropped.
struct Waits<'a> {
    waiting: &'a Waiting,
    keeps_permit: bool,
}

impl<'a> Waits<'a> {
    fn begin(waiting: &'a Waiting) -> Self {
        let before = waiting.count.fetch_add(1, Ordering::Relaxed);
        Self { waiting, keeps_permit: before < waiting.with_permit }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.waiting.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// All permits of one server.
#[derive(Clone)]
pub(crate) struct Slots {
    permits: Arc<Semaphore>,
    waiting: Arc<Waiting>,
}

impl Slots {
    /// `retry_after`: that of the refusal when a request has waited and finds no permit free.
    pub(crate) fn new(count: usize, retry_after: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self { permits, waiting: Waiting::new((count / 4).max(LEAST_WITH_PERMIT), retry_after) }
    }

    /// Takes a permit, if one is free: requests do not queue.
    pub(crate) fn take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        let permit = Arc::new(Mutex::new(Permit::Held(permit)));
        Some(Slot { permit, waiting: Arc::clone(&self.waiting) })
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const RETRY: Duration = Duration::from_secs(7);

    fn slots(count: usize) -> Slots {
        Slots::new(count, RETRY)
    }

    #[test]
    fn a_permit_is_freed_once() {
        let slots = slots(1);
        let slot = slots.take().unwrap();
        let clone = slot.clone();
        assert!(slots.take().is_none());
        drop(slot);
        assert!(slots.take().is_none(), "a clone still works");
        clone.release();
        clone.release();
        let again = slots.take().unwrap();
        drop(clone);
        assert!(slots.take().is_none());
        drop(again);
        assert!(slots.take().is_some());
    }

    #[test]
    fn a_lent_permit_is_free_until_it_is_reclaimed() {
        let slots = slots(1);
        let slot = slots.take().unwrap();
        slot.lend();
        let other = slots.take().unwrap();
        assert!(!slot.reclaim(), "another request has it");
        drop(other);
        assert!(slot.reclaim());
        assert!(slots.take().is_none());
        slot.release();
        slot.lend();
        assert!(slot.reclaim(), "a released permit is not taken again");
        assert!(slots.take().is_some());
        assert!(Slot::free().reclaim());
    }

    #[tokio::test]
    async fn a_permit_is_lent_while_its_request_waits_for_its_client() {
        let slots = slots(1);
        let slot = slots.take().unwrap();
        let (answer, answered) = oneshot::channel();
        let waiting = tokio::spawn({
            let slot = slot.clone();
            async move { slot.lend_while(answered).await }
        });
        tokio::task::yield_now().await;
        let other = slots.take().unwrap();
        answer.send(()).unwrap();
        assert!(waiting.await.unwrap().is_none(), "another request has the permit");
        drop(other);
        assert_eq!(slot.lend_while(tokio::task::yield_now()).await, Some(()));
        assert!(slots.take().is_none(), "it has its permit again");
    }

    /// Attack: requests wait for a provider that does not answer, so that no other is served.
    #[tokio::test]
    async fn requests_that_wait_for_another_server_keep_a_quarter_of_the_permits() {
        let slots = slots(16);
        let mut answers = Vec::new();
        let mut waiting: Vec<_> = (0..15)
            .map(|_| {
                let slot = slots.take().unwrap();
                let (answer, answered) = oneshot::channel::<()>();
                answers.push(answer);
                tokio::spawn(async move { slot.wait_for(answered).await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        let others: Vec<_> = (0..16).map_while(|_| slots.take()).collect();
        assert_eq!(others.len(), 12, "four wait with their permits");
        let (keep, lend) = waiting.split_at_mut(4);
        drop(answers.split_off(4));
        for one in lend {
            let refused = one.await.unwrap();
            assert_eq!(refused, Err(Fault::Busy { retry_after: RETRY }), "it finds no permit");
        }
        drop(answers);
        for one in keep {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
        drop(others);
        assert_eq!(slots.waiting.count.load(Ordering::Relaxed), 0);
        let slot = slots.take().unwrap();
        assert_eq!(slot.wait_for(tokio::task::yield_now()).await, Ok(()));
    }
}
