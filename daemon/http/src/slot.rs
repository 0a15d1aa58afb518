//! The limit of requests in work at once.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permit of one request in work. It is in the extensions of every request. Work that goes on
/// after the client has disconnected takes it along, so that disconnecting does not let a client
/// begin more work. The permit is free again when all clones are dropped, or at [`Slot::release`].
/// It is also free while the request waits for its client: see `Slot::lend`.
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

    /// Lends the permit to other requests while this one only waits for its client: a client that
    /// sends its body byte by byte, or never, would otherwise keep all other clients out.
    pub(crate) fn lend(&self) {
        let mut state = self.0.lock();
        if let Permit::Held(permit) = &*state {
            *state = Permit::Lent(Arc::clone(permit.semaphore()));
        }
    }

    /// Takes a permit again for one that was lent. Returns whether one was free; a slot that was
    /// not lent stays as it is.
    pub(crate) fn reclaim(&self) -> bool {
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
}
