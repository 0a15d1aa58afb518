//! One of a thing for all tests that run at the same time.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Makes a thing when the first test asks, and drops it when the last one has gone: a static would
/// never be dropped, and a process that it owns would live on.
#[derive(Debug)]
pub struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// The thing, made by `make` if there is none.
    pub fn get(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.upgrade().unwrap_or_else(|| {
            let made = Arc::new(make());
            *known = Arc::downgrade(&made);
            made
        })
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self::new()
    }
}
