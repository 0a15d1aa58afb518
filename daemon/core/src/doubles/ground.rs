//! The common ground of a daemon in a test.

use std::sync::Arc;

use super::{ManualClock, MemoryStore, SeededEntropy};
use crate::ground::{DEFAULT_MAX_DRIFT, DEFAULT_REQUESTS_PER_USER, Ground, GroundDependencies};
use crate::keyring::{Kek, Keyring};
use crate::ports::Tasks;

/// Ground over `clock` and `store`, under a key that is always the same. Two daemons over one store
/// get different ids by different seeds.
///
/// # Panics
/// When the store cannot be read or was written under another key.
#[expect(clippy::expect_used, reason = "a store in memory fails only where a test demands it")]
pub async fn ground(
    clock: &ManualClock,
    store: &MemoryStore,
    tasks: Arc<dyn Tasks>,
    seed: u64,
) -> Arc<Ground> {
    let (clock, store) = (Arc::new(clock.clone()), Arc::new(store.clone()));
    let entropy = Arc::new(SeededEntropy::new(seed));
    let kek = Kek::generate(&SeededEntropy::new(42));
    let keyring = Keyring::load(store.clone(), kek, entropy.clone(), clock.clone()).await;
    let keyring = Arc::new(keyring.expect("a keyring"));
    Ground::new(GroundDependencies {
        clock,
        tasks,
        entropy,
        store,
        keyring,
        max_drift: DEFAULT_MAX_DRIFT,
        requests_per_user: DEFAULT_REQUESTS_PER_USER,
    })
}
