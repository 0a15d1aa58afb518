//! The ports of core that this crate uses.

use std::sync::Arc;

use credsmith_core::ports::{Clock, Entropy, Tasks};

/// The ports of core that the providers use.
#[derive(Clone)]
pub struct Ports {
    /// For expiry, refresh and back-off.
    pub clock: Arc<dyn Clock>,
    /// Runs discovery and look-ups.
    pub tasks: Arc<dyn Tasks>,
    /// For jitter, and for the random values of a sign-in.
    pub entropy: Arc<dyn Entropy>,
}
