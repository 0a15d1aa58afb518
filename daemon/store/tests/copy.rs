//! A copy has every key, value and revision of its source, counts on where the source was, and
//! takes the place of no other data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use credsmith_core::ports::store::{Batch, Expected, Key, Page, Revision, Store, StoreError};
use credsmith_store::{CopyError, Engine, OnDisk, OnDiskOptions, Stage, copy};
use tempfile::TempDir;

fn options(engine: Engine, path: &Path) -> OnDiskOptions {
    OnDiskOptions::new(engine, path, 1 << 20)
}

fn open(engine: Engine, path: &Path) -> OnDisk {
    OnDisk::open(options(engine, path)).unwrap()
}

async fn content(store: &OnDisk) -> Page {
    store.scan(&Key::new(""), None, 10_000).await.unwrap()
}

/// More than a page of entries, with gaps, and a revision that is given and deleted again.
async fn filled(engine: Engine, path: &Path) -> (OnDisk, Revision) {
    let store = open(engine, path);
    for number in 0..1300_usize {
        let key = Key::new([&number.to_be_bytes()[6..], &[0xff; 3]].concat());
        store.commit(Batch::default().put(key, vec![7; number % 900])).await.unwrap();
    }
    for number in (0..1300_usize).step_by(7) {
        let key = Key::new([&number.to_be_bytes()[6..], &[0xff; 3]].concat());
        store.commit(Batch::default().delete(key)).await.unwrap();
    }
    store.commit(Batch::default().put(Key::new("late"), "")).await.unwrap();
    let last = store.commit(Batch::default().delete(Key::new("late"))).await.unwrap().revision;
    (store, last)
}

#[tokio::test]
async fn a_copy_is_its_source() {
    for (from, to) in [
        (Engine::Sled, Engine::Redb),
        (Engine::Redb, Engine::Sled),
        (Engine::Redb, Engine::Redb),
        (Engine::Sled, Engine::Sled),
    ] {
        let directory = TempDir::new().unwrap();
        let (source, last) = filled(from, &directory.path().join("source")).await;
        let target = directory.path().join("target");
        let mut stages = Vec::new();
        let copied =
            copy(&source, options(to, &target), |stage, count| stages.push((stage, count)));
        let copied = copied.await.unwrap();
        let whole = content(&source).await;
        assert_eq!(copied.entries, whole.entries.len() as u64);
        assert_eq!(stages.last(), Some(&(Stage::Verifying, copied.entries)));
        assert_eq!(stages.first().unwrap().0, Stage::Writing);

        let made = open(to, &target);
        assert_eq!(content(&made).await.entries, whole.entries, "{from} to {to}");
        let (key, first) = whole.entries.first().unwrap();
        let stale = Batch::default().expect(key.clone(), Expected::At(first.revision));
        let next = made.commit(stale.put(key.clone(), "new")).await.unwrap().revision;
        assert!(next > last, "{from} to {to}: {next:?} after {last:?}");
        made.close().await.unwrap();
        source.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_copy_replaces_nothing() {
    let directory = TempDir::new().unwrap();
    let (source, _) = filled(Engine::Sled, &directory.path().join("source")).await;
    let target = directory.path().join("target");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("theirs"), "data").unwrap();
    let refused = copy(&source, options(Engine::Redb, &target), |_, _| ()).await;
    assert!(matches!(refused, Err(CopyError::NotEmpty(_))), "{refused:?}");
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1);
}

/// Fails in the middle.
struct Failing(OnDisk);

#[async_trait::async_trait]
impl Store for Failing {
    async fn get(
        &self,
        key: &Key,
    ) -> Result<Option<credsmith_core::ports::store::Versioned>, StoreError> {
        self.0.get(key).await
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        match after {
            None => self.0.scan(prefix, after, limit).await,
            Some(_) => Err(StoreError::Unavailable("the disk is gone".into())),
        }
    }

    async fn commit(
        &self,
        batch: Batch,
    ) -> Result<credsmith_core::ports::store::Committed, StoreError> {
        self.0.commit(batch).await
    }
}

#[tokio::test]
async fn half_a_copy_does_not_open() {
    let directory = TempDir::new().unwrap();
    let (source, _) = filled(Engine::Sled, &directory.path().join("source")).await;
    let source = Failing(source);
    for engine in Engine::ALL {
        let target = directory.path().join(engine.as_str());
        let failed = copy(&source, options(engine, &target), |_, _| ()).await;
        assert!(matches!(failed, Err(CopyError::Source(_))), "{failed:?}");
        let again = copy(&source.0, options(engine, &target), |_, _| ()).await;
        assert!(matches!(again, Err(CopyError::NotEmpty(_))), "{again:?}");
        let error = OnDisk::open(options(engine, &target)).err().expect("half a copy opens");
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
}
