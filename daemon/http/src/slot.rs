//! How many requests may be in work at once.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One request's place among those in work. It is in the extensions of every request; whoever goes
/// on working after the client has hung up takes it along, so that hanging up buys nobody more
/// work. The place is free again when all clones are dropped, or at [`Slot::release`]. It is also
/// free while the client is being waited for: see `Slot::lend`.
#[derive(Clone)]
pub struct Slot(Arc<Mutex<Place>>);

enum Place {
    Taken(OwnedSemaphorePermit),
    /// Free for others until the work goes on.
    Lent(Arc<Semaphore>),
    Free,
}

impl Slot {
    /// Gives the place back early, for all clones: waiting for a plugin does not count as work.
    pub fn release(&self) {
        *self.place() = Place::Free;
    }

    /// Lets others have the place for as long as nothing is done but waiting for the client: one
    /// that sends its body drop by drop, or never, would otherwise keep everybody else out.
    pub(crate) fn lend(&self) {
        let mut place = self.place();
        if let Place::Taken(permit) = &*place {
            *place = Place::Lent(Arc::clone(permit.semaphore()));
        }
    }

    /// Takes a place again for one that was lent. Whether there was one; a slot that was not lent
    /// stays as it is.
    pub(crate) fn reclaim(&self) -> bool {
        let mut place = self.place();
        if let Place::Lent(places) = &*place {
            let Ok(permit) = Arc::clone(places).try_acquire_owned() else { return false };
            *place = Place::Taken(permit);
        }
        true
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot that belongs to no server, for callers of a surface that come from within.
    pub fn free() -> Self {
        Self(Arc::new(Mutex::new(Place::Free)))
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
        Some(Slot(Arc::new(Mutex::new(Place::Taken(permit)))))
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

    #[test]
    fn a_lent_place_is_for_others_until_it_is_wanted_back() {
        let slots = Slots::new(1);
        let slot = slots.take().unwrap();
        slot.lend();
        let other = slots.take().unwrap();
        assert!(!slot.reclaim(), "somebody else has it");
        drop(other);
        assert!(slot.reclaim());
        assert!(slots.take().is_none());
        slot.release();
        slot.lend();
        assert!(slot.reclaim(), "what was given back is not taken again");
        assert!(slots.take().is_some());
        assert!(Slot::free().reclaim());
    }
}
