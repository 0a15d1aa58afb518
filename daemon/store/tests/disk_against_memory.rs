//! A store on disk behaves like the one in memory under any sequence of batches, scans and
//! restarts.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use credsmith_core::ports::store::{Batch, Expected, Key, Page, Store, StoreError};
use credsmith_store::{Engine, Memory, OnDisk, OnDiskOptions};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

/// One step on both stores.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Change>),
    Scan { prefix: Vec<u8>, after: Option<Vec<u8>>, limit: usize },
    Reopen,
}

/// The expectation and the operation of a batch on one key.
#[derive(Debug, Clone)]
struct Change {
    key: Vec<u8>,
    expects: Expects,
    does: Does,
}

#[derive(Debug, Clone, Copy)]
enum Expects {
    Nothing,
    Absence,
    /// What is there now, which holds unless the key is gone.
    WhatIsThere,
}

#[derive(Debug, Clone)]
enum Does {
    Nothing,
    Put(usize),
    Delete,
}

/// Few and short, so that they meet; with bytes at both edges.
fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0x00), Just(b'a'), Just(b'b'), Just(0xff)], 1..4)
}

fn change() -> impl Strategy<Value = Change> {
    let expects = prop_oneof![3 => Just(Expects::Nothing), 1 => Just(Expects::Absence), 2 => Just(Expects::WhatIsThere)];
    let does = prop_oneof![1 => Just(Does::Nothing), 3 => (0_usize..200).prop_map(Does::Put), 2 => Just(Does::Delete)];
    (key(), expects, does).prop_map(|(key, expects, does)| Change { key, expects, does })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => vec(change(), 0..8).prop_map(Step::Commit),
        4 => (vec(prop_oneof![Just(b'a'), Just(0xff)], 0..3), proptest::option::of(key()), 0_usize..20)
            .prop_map(|(prefix, after, limit)| Step::Scan { prefix, after, limit }),
        1 => Just(Step::Reopen),
    ]
}

/// Both stores, and the place of the one that has one.
struct Both {
    memory: Memory,
    engine: Engine,
    disk: Option<OnDisk>,
    directory: TempDir,
}

impl Both {
    fn new(engine: Engine) -> Self {
        let directory = TempDir::new().unwrap();
        let disk = Some(open(engine, &directory));
        Self { memory: Memory::new(), engine, disk, directory }
    }

    fn disk(&self) -> &OnDisk {
        self.disk.as_ref().unwrap()
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Commit(changes) => self.commit(changes).await,
            Step::Scan { prefix, after, limit } => {
                self.scan(&Key::new(prefix), after.map(Key::new), limit).await
            }
            Step::Reopen => self.reopen().await,
        }
    }

    /// The same changes to both, each with its own revisions.
    async fn commit(&self, changes: Vec<Change>) {
        let in_memory = outcome(self.memory.commit(batch(&self.memory, &changes).await).await);
        let on_disk = outcome(self.disk().commit(batch(self.disk(), &changes).await).await);
        assert_eq!(on_disk, in_memory, "{changes:?}");
        for change in &changes {
            let key = Key::new(change.key.clone());
            let there = |found: Option<credsmith_core::ports::store::Versioned>| {
                found.map(|found| found.value)
            };
            let expected = there(self.memory.get(&key).await.unwrap());
            assert_eq!(
                there(self.disk().get(&key).await.unwrap()),
                expected,
                "{key:?} after {changes:?}"
            );
        }
    }

    async fn scan(&self, prefix: &Key, after: Option<Key>, limit: usize) {
        let in_memory = self.memory.scan(prefix, after.as_ref(), limit).await.unwrap();
        let on_disk = self.disk().scan(prefix, after.as_ref(), limit).await.unwrap();
        assert_eq!(shown(&on_disk), shown(&in_memory), "{prefix:?} after {after:?}, {limit}");
    }

    async fn reopen(&mut self) {
        let disk = self.disk.take().unwrap();
        disk.close().await.unwrap();
        drop(disk);
        self.disk = Some(open(self.engine, &self.directory));
        self.scan(&Key::new(""), None, usize::MAX).await;
    }
}

fn open(engine: Engine, directory: &TempDir) -> OnDisk {
    let path = directory.path().join("store");
    // So little cache that pages are thrown out and read again all the time.
    OnDisk::open(OnDiskOptions::new(engine, path, 64 << 10)).unwrap()
}

/// Repeated keys are left out: the limits have tests of their own.
async fn batch(store: &impl Store, changes: &[Change]) -> Batch {
    let mut batch = Batch::default();
    let mut met = std::collections::BTreeSet::new();
    for change in changes.iter().filter(|change| met.insert(&change.key)) {
        let key = Key::new(change.key.clone());
        batch = match (change.expects, store.get(&key).await.unwrap()) {
            (Expects::Absence, _) => batch.expect(key.clone(), Expected::Absent),
            (Expects::WhatIsThere, Some(there)) => {
                batch.expect(key.clone(), Expected::At(there.revision))
            }
            (Expects::WhatIsThere, None) | (Expects::Nothing, _) => batch,
        };
        batch = match change.does {
            Does::Put(size) => batch.put(key, vec![0x5a; size]),
            Does::Delete => batch.delete(key),
            Does::Nothing => batch,
        };
    }
    batch
}

/// Whether it happened, or which key was in the way.
fn outcome(answer: Result<impl Sized, StoreError>) -> Option<Key> {
    match answer {
        Ok(_) => None,
        Err(StoreError::Conflict { key }) => Some(key),
        Err(other) => panic!("{other:?}"),
    }
}

fn shown(page: &Page) -> (Vec<(&Key, &[u8])>, bool) {
    (page.entries.iter().map(|(key, found)| (key, &found.value[..])).collect(), page.more)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sled_does_the_same(steps in vec(step(), 1..80)) {
        run(Engine::Sled, steps);
    }

    #[test]
    fn redb_does_the_same(steps in vec(step(), 1..80)) {
        run(Engine::Redb, steps);
    }
}

fn run(engine: Engine, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut both = Both::new(engine);
        for step in steps {
            both.take(step).await;
        }
        both.reopen().await;
    });
}
