//! Companies to begin with.

use std::sync::Arc;
use std::time::Duration;

use super::{ManualClock, MemoryStore, TestTasks, ground};
use crate::company::{Companies, Source};

/// Companies from `source` over a store of their own, started.
///
/// # Panics
/// When the list of a [`Source::Listed`] cannot be taken over.
#[expect(clippy::expect_used, reason = "a store in memory that no test has made fail")]
pub async fn companies(source: Source) -> Arc<Companies> {
    let (clock, store) = (ManualClock::default(), MemoryStore::new());
    let ground = ground(&clock, &store, Arc::new(TestTasks::new()), 7).await;
    let companies = Companies::new(ground, source, Duration::from_secs(3600));
    companies.start().await.expect("companies in an empty store");
    companies
}
