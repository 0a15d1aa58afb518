//! The time. Read it here rather than from `std`, so that a test can fix it.

/// Seconds since 1970, UTC.
pub fn now() -> u64 {
    crate::imports::clock::now()
}
