//! Runs the conformance suite on every store.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use credsmith_store::suite::Factory;
use credsmith_store::{Engine, Memory, OnDisk, OnDiskOptions, conformance_tests};
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
struct Directory(Engine, TempDir);

impl Directory {
    fn new(engine: Engine) -> Self {
        Self(engine, TempDir::new().expect("a temporary directory"))
    }

    fn open(&self) -> Arc<OnDisk> {
        let Self(engine, directory) = self;
        let path = directory.path().join("store");
        let options = OnDiskOptions::new(*engine, path, 1 << 20);
        Arc::new(OnDisk::open(options).expect("the store opens"))
    }
}

#[async_trait]
impl Factory for Directory {
    type Store = OnDisk;

    async fn empty(&self) -> Arc<OnDisk> {
        self.open()
    }

    async fn reopened(&self, store: Arc<OnDisk>) -> Option<Arc<OnDisk>> {
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
    conformance_tests!(Directory::new(Engine::Sled));
}

mod redb {
    use super::*;
    conformance_tests!(Directory::new(Engine::Redb));
}
