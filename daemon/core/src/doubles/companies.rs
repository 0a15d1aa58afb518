//! Companies to begin with.

use std::sync::Arc;
use std::time::Duration;

use super::{ManualClock, MemoryStore, SeededEntropy, TestTasks};
use crate::company::{Companies, Parts, Source};
use crate::keyring::{Kek, Keyring};
use crate::ports::Clock;

/// Companies from `source` over a store of their own, started.
///
/// # Panics
/// When the list of a [`Source::Listed`] cannot be taken over.
#[expect(clippy::expect_used, reason = "a store in memory that nobody has told to fail")]
pub async fn companies(source: Source) -> Arc<Companies> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let store = Arc::new(MemoryStore::new());
    let entropy = Arc::new(SeededEntropy::new(7));
    let kek = Kek::generate(&SeededEntropy::new(42));
    let keyring = Keyring::load(store.clone(), kek, entropy.clone(), Arc::clone(&clock));
    let keyring = Arc::new(keyring.await.expect("a keyring in an empty store"));
    let (tasks, interval) = (Arc::new(TestTasks::new()), Duration::from_secs(3600));
    let companies =
        Companies::new(Parts { clock, tasks, entropy, store, keyring, source, interval });
    companies.start().await.expect("companies in an empty store");
    companies
}
