//! The functions of the daemon, by the names under which the rest of the crate uses them. The test
//! kit has a module of the same shape.

#[cfg(feature = "credential-type")]
pub(crate) use super::credential_type::credsmith::plugin::log;
#[cfg(feature = "directory")]
pub(crate) use super::directory::credsmith::plugin::{http, log, settings};
#[cfg(feature = "service")]
pub(crate) use super::service::credsmith::plugin::{call, http, keys, log, settings};

/// The clock of WASI.
pub(crate) mod clock {
    use std::time::{SystemTime, UNIX_EPOCH};

    /// Seconds since 1970; 0 should the clock be before it.
    pub(crate) fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// The random numbers of WASI.
pub(crate) mod random {
    /// Fills `bytes`. A host without randomness ends the call: no plugin should go on with
    /// guessable keys.
    pub(crate) fn fill(bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}
