//! The wall clock as the domain reads it: never before the last time that was trusted.
//!
//! A clock that was set back would otherwise bring back what has ended: a lease past its end would
//! be listed again, a session would be valid again. Time stands still instead, until the clock has
//! caught up or an operator accepts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::clock_watch::Clocks;
use crate::ports::Clock;
use crate::time::Timestamp;

/// A clock with a floor.
pub(super) struct KeptClock {
    machine: Arc<dyn Clock>,
    /// In milliseconds.
    floor: AtomicU64,
}

impl KeptClock {
    pub(super) fn new(machine: Arc<dyn Clock>) -> Self {
        Self { machine, floor: AtomicU64::new(0) }
    }

    /// Both clocks of the machine, without the floor.
    pub(super) fn machine(&self) -> Clocks {
        Clocks { wall: self.machine.now(), monotonic: self.machine.monotonic() }
    }

    /// Sets the floor.
    pub(super) fn keep(&self, floor: Timestamp) {
        self.floor.store(floor.as_millis(), Ordering::Relaxed);
    }
}

impl Clock for KeptClock {
    fn now(&self) -> Timestamp {
        self.machine.now().max(Timestamp::from_millis(self.floor.load(Ordering::Relaxed)))
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.machine.sleep(duration)
    }
}
