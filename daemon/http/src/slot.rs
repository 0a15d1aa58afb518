//! How many requests may be in work at once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One request's place among those in work. It is in the extensions of every request; whoever goes on working after the client has
/// hung up takes it along, so that hanging up buys nobody more work. The place is free again when all clones are dropped, or at
/// [`Slot::release`].
#[derive(Clone)]
pub struct Slot(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Slot {
    /// Gives the place back early, for all clones: waiting for a plugin does not count as work.
    pub fn release(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// A slot that belongs to no server, for callers of a surface that come from within.
    pub fn free() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// All places of one server.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Semaphore>);

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))))
    }

    /// A place, or none: nobody queues.
    pub(crate) fn take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(Slot(Arc::new(Mutex::new(Some(permit)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_once() {
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
}
