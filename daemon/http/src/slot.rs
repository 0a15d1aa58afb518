//! The limit of requests in work at once.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permit of one request in work. It is in the extensions of every request. Work that goes on
/// after the client has disconnected takes it along, so that disconnecting does not let a client
/// begin more work. The permit is free again when all clones are dropped, or at [`Slot::release`].
/// It is also free while the request waits for its client or for another server: see
/// [`Slot::lend_while`].
#[derive(Clone)]
pub struct Slot(Arc<Mutex<Permit>>);

enum Permit {
    Held(OwnedSemaphorePermit),
    /// Free for other requests until this one goes on.
    Lent(Arc<Semaphore>),
    Released,
}

impl Slot {
    /// Frees the permit early, for all clones: waiting for a plugin does not count as work.
    pub fn release(&self) {
        *self.0.lock() = Permit::Released;
    }

    /// Waits for `outcome`, and lends the permit to other requests meanwhile: whoever makes this
    /// request wait, a client that sends its body byte by byte or a provider that does not answer,
    /// would otherwise keep all other clients out. An outcome that is there at once lends nothing.
    ///
    /// `None` when other requests have taken every permit by then: the server is busy.
    pub async fn lend_while<T>(&self, outcome: impl Future<Output = T>) -> Option<T> {
        let mut outcome = pin!(outcome);
        if let Poll::Ready(outcome) = poll_fn(|cx| Poll::Ready(outcome.as_mut().poll(cx))).await {
            return Some(outcome);
        }
        self.lend();
        let outcome = outcome.await;
        self.reclaim().then_some(outcome)
    }

    fn lend(&self) {
        let mut state = self.0.lock();
        if let Permit::Held(permit) = &*state {
            *state = Permit::Lent(Arc::clone(permit.semaphore()));
        }
    }

    /// Takes a permit again for one that was lent. Returns whether one was free; a slot that was
    /// not lent stays as it is.
    fn reclaim(&self) -> bool {
        let mut state = self.0.lock();
        if let Permit::Lent(permits) = &*state {
            let Ok(permit) = Arc::clone(permits).try_acquire_owned() else { return false };
            *state = Permit::Held(permit);
        }
        true
    }

    /// A slot that belongs to no server, for calls of a surface that come from within the daemon.
    pub fn free() -> Self {
        Self(Arc::new(Mutex::new(Permit::Released)))
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// All permits of one server.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Semaphore>);

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))))
    }

    /// Takes a permit, if one is free: requests do not queue.
    pub(crate) fn take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(Slot(Arc::new(Mutex::new(Permit::Held(permit)))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_permit_is_freed_once() {
        let slots = Slots::new(1);
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
        let slots = Slots::new(1);
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

    /// Attack: requests wait for a provider that does not answer, so that no other is served.
    #[tokio::test]
    async fn a_permit_is_lent_while_its_request_waits() {
        let slots = Slots::new(1);
        let slot = slots.take().unwrap();
        let (answer, answered) = tokio::sync::oneshot::channel();
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
        let mut free_meanwhile = false;
        let at_once = std::future::ready(()).inspect(|()| free_meanwhile = slots.take().is_some());
        assert_eq!(slot.lend_while(at_once).await, Some(()));
        assert!(!free_meanwhile, "an outcome that is there at once lends nothing");
    }
}
