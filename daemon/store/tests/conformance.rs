//! Runs the conformance suite on both stores.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use credsmith_store::suite::Factory;
use credsmith_store::{Memory, Sled, SledOptions, conformance_tests};
use tempfile::TempDir;

struct Memories;

#[async_trait]
impl Factory for Memories {
    type Store = Memory;

    async fn empty(&self) -> Arc<Memory> {
        Arc::new(Memory::new())
    }

    async fn reopened(&self, _store: Arc<Memory>) -> Option<Arc<Memory>> {
        None
    }
}

/// The directory of one test, which opens one store only.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    fn open(&self) -> Arc<Sled> {
        Arc::new(
            Sled::open(SledOptions::new(self.0.path().join("store"))).expect("the store opens"),
        )
    }
}

#[async_trait]
impl Factory for Directory {
    type Store = Sled;

    async fn empty(&self) -> Arc<Sled> {
        self.open()
    }

    async fn reopened(&self, store: Arc<Sled>) -> Option<Arc<Sled>> {
        store.close().await.expect("the store closes");
        drop(Arc::into_inner(store).expect("the suite has dropped its other handles"));
        Some(self.open())
    }
}

mod memory {
    use super::*;
    conformance_tests!(Memories);
}

mod sled {
    use super::*;
    conformance_tests!(Directory::new());
}
