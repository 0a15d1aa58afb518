//! The order of the steps, the reads between them, and the failure of a write.

use std::path::Path;
use std::sync::{Arc, Mutex};

use credsmith_core::ports::store::{Batch, Committed, Expected, Key, Store, StoreError};
use tokio::task::{JoinHandle, yield_now};

use super::disk::Disk;
use super::{Redb, on, options, value};
use crate::Step;

type Commit = JoinHandle<Result<Committed, StoreError>>;

fn commit(store: &Arc<Redb>, batch: Batch) -> Commit {
    let store = Arc::clone(store);
    tokio::spawn(async move { store.commit(batch).await })
}

fn put(key: &'static str, value: &'static str) -> Batch {
    Batch::default().put(Key::new(key), value)
}

/// Runs every task that can make progress.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

fn open(disk: &Disk) -> Arc<Redb> {
    Arc::new(on(disk, options(Path::new("nowhere"))).unwrap())
}

#[tokio::test]
async fn a_commit_is_acknowledged_after_its_sync() {
    let disk = Disk::default();
    let store = open(&disk);
    store.commit(put("changed", "old").put(Key::new("deleted"), "old")).await.unwrap();
    assert!(!disk.syncs().1, "something is unsynced after an acknowledgement");
    let (mut begun, go) = disk.gate();
    let waiting = commit(&store, put("changed", "new").delete(Key::new("deleted")));
    begun.recv().await.unwrap();
    settle().await;
    assert!(!waiting.is_finished(), "it was acknowledged before the sync was over");
    assert!(disk.syncs().1, "nothing was written before the sync");
    assert_eq!(value(&store, "changed").await.as_deref(), Some("old"), "it is read too early");
    assert_eq!(value(&store, "deleted").await.as_deref(), Some("old"));
    let page = store.scan(&Key::new(""), None, 10).await.unwrap();
    assert!(page.entries.iter().all(|(_, found)| found.value == "old"), "{page:?}");
    go.send(()).unwrap();
    waiting.await.unwrap().unwrap();
    assert!(!disk.syncs().1);
    assert_eq!(value(&store, "changed").await.as_deref(), Some("new"));
    assert_eq!(value(&store, "deleted").await, None);
}

#[tokio::test]
async fn queued_commits_share_a_sync() {
    let disk = Disk::default();
    let store = open(&disk);
    let (mut begun, go) = disk.gate();
    let first = commit(&store, put("a", "1"));
    begun.recv().await.unwrap();
    let create = |value| put("b", value).expect(Key::new("b"), Expected::Absent);
    let group =
        [commit(&store, create("1")), commit(&store, create("2")), commit(&store, put("c", "1"))];
    settle().await;
    let before = disk.syncs().0;
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    begun.recv().await.unwrap();
    go.send(()).unwrap();
    let mut answers = Vec::new();
    for waiting in group {
        answers.push(waiting.await.unwrap());
    }
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(
        matches!(&answers[1], Err(StoreError::Conflict { key }) if *key == Key::new("b")),
        "{answers:?}"
    );
    assert_eq!(disk.syncs().0, before + 2, "four commits have had two syncs");
}

#[tokio::test]
async fn a_commit_without_changes_writes_nothing() {
    let disk = Disk::default();
    let store = open(&disk);
    store.commit(put("a", "1")).await.unwrap();
    let before = disk.ops().len();
    let refused = store.commit(put("a", "2").expect(Key::new("a"), Expected::Absent)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    store.commit(Batch::default().expect(Key::new("b"), Expected::Absent)).await.unwrap();
    store.commit(Batch::default().delete(Key::new("never"))).await.unwrap();
    assert_eq!(disk.ops().len(), before);
}

#[tokio::test]
async fn a_closed_store_refuses_and_opens_again() {
    let disk = Disk::default();
    let store = open(&disk);
    store.commit(put("a", "1")).await.unwrap();
    store.close().await.unwrap();
    assert!(!disk.syncs().1);
    assert!(matches!(store.commit(put("a", "2")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.get(&Key::new("a")).await, Err(StoreError::Unavailable(_))));
    store.close().await.unwrap();
    drop(store);
    assert_eq!(value(&open(&disk), "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_failed_write_is_the_end() {
    let disk = Disk::default();
    let mut options = options(Path::new("nowhere"));
    let reported = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&reported);
    options.on_fatal = Arc::new(move |fatal| hook.lock().unwrap().push(fatal.step));
    let store = Arc::new(on(&disk, options).unwrap());
    store.commit(put("a", "old")).await.unwrap();
    let durable = disk.image();
    disk.fail();
    let answer = store.commit(put("a", "new")).await;
    assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    assert_eq!(value(&store, "a").await.as_deref(), Some("old"), "an uncertain value is read");
    let late = store.commit(put("b", "1")).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    assert_eq!(*reported.lock().unwrap(), [Step::Sync], "reported once");
    let again = open(&Disk::of(durable));
    assert_eq!(value(&again, "a").await.as_deref(), Some("old"));
}

/// redb's own checks (of debug builds) end the committer when it frees a page that is being read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_not_freed_while_it_is_read() {
    let store = open(&Disk::default());
    let reader = Arc::clone(&store);
    let reads = tokio::spawn(async move {
        for _ in 0..3000 {
            reader.get(&Key::new("a")).await.unwrap();
            reader.scan(&Key::new(""), None, 10).await.unwrap();
        }
    });
    while !reads.is_finished() {
        store.commit(put("a", "1").put(Key::new("b"), "2")).await.unwrap();
    }
    reads.await.unwrap();
}
