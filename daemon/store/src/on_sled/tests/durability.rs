//! The order of the steps, the reads between them, and the failure of each.

use std::sync::{Arc, Mutex};

use credsmith_core::ports::store::{Batch, Committed, Expected, Key, Store, StoreError};
use tokio::task::{JoinHandle, yield_now};

use super::{Recorded, Step};

type Commit = JoinHandle<Result<Committed, StoreError>>;

fn commit(recorded: &Recorded, batch: Batch) -> Commit {
    let (store, record) = (Arc::clone(&recorded.store), recorded.record.clone());
    tokio::spawn(async move {
        let answer = store.commit(batch).await;
        record.add("ack");
        answer
    })
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

#[tokio::test]
async fn apply_then_flush_then_sync_then_acknowledge() {
    let mut recorded = Recorded::open();
    let waiting = commit(&recorded, put("a", "1"));
    recorded.sync_begins().await;
    settle().await;
    assert!(!waiting.is_finished(), "it was acknowledged before the sync was over");
    assert_eq!(recorded.record.so_far(), ["apply", "flush", "sync"]);
    recorded.let_sync();
    waiting.await.unwrap().unwrap();
    assert_eq!(recorded.record.so_far(), ["apply", "flush", "sync", "ack"]);
}

#[tokio::test]
async fn a_read_returns_durable_values_only() {
    let mut recorded = Recorded::open();
    recorded.put("changed", "old").await;
    recorded.put("deleted", "old").await;
    recorded.put("other", "old").await;
    let batch = put("changed", "new").delete(Key::new("deleted")).put(Key::new("added"), "new");
    let waiting = commit(&recorded, batch);
    recorded.sync_begins().await;

    assert_eq!(recorded.value("changed").await.as_deref(), Some("old"));
    assert_eq!(recorded.value("deleted").await.as_deref(), Some("old"));
    assert_eq!(recorded.value("added").await, None);
    for size in 1..5 {
        assert_eq!(
            recorded.entries(size).await,
            "changed=old deleted=old other=old",
            "in pages of {size}"
        );
    }

    recorded.let_sync();
    waiting.await.unwrap().unwrap();
    assert_eq!(recorded.value("changed").await.as_deref(), Some("new"));
    assert_eq!(recorded.value("deleted").await, None);
    for size in 1..5 {
        assert_eq!(
            recorded.entries(size).await,
            "added=new changed=new other=old",
            "in pages of {size}"
        );
    }
}

#[tokio::test]
async fn queued_commits_share_a_sync() {
    let mut recorded = Recorded::open();
    let first = commit(&recorded, put("a", "1"));
    recorded.sync_begins().await;
    let create = |value| put("b", value).expect(Key::new("b"), Expected::Absent);
    let group = [
        commit(&recorded, create("1")),
        commit(&recorded, create("2")),
        commit(&recorded, put("c", "1")),
    ];
    settle().await;
    recorded.let_sync();
    first.await.unwrap().unwrap();

    recorded.sync_begins().await;
    settle().await;
    assert!(
        group.iter().all(|waiting| !waiting.is_finished()),
        "a conflict is answered after the sync too"
    );
    recorded.let_sync();
    let mut answers = Vec::new();
    for waiting in group {
        answers.push(waiting.await.unwrap());
    }
    assert!(answers[0].is_ok(), "{:?}", answers[0]);
    assert!(
        matches!(&answers[1], Err(StoreError::Conflict { key }) if *key == Key::new("b")),
        "{:?}",
        answers[1]
    );
    assert!(answers[2].is_ok(), "{:?}", answers[2]);
    let steps: Vec<_> =
        recorded.record.so_far().into_iter().filter(|event| *event != "ack").collect();
    assert_eq!(
        steps,
        ["apply", "flush", "sync", "apply", "flush", "sync"],
        "three commits have shared one sync"
    );
    assert_eq!(recorded.entries(10).await, "a=1 b=1 c=1");
}

#[tokio::test]
async fn a_group_has_limits() {
    let mut recorded = Recorded::failing(None, |mut options| {
        options.group.commits = 2;
        options
    });
    let first = commit(&recorded, put("a", "1"));
    recorded.sync_begins().await;
    let others = ["b", "c", "d"].map(|key| commit(&recorded, put(key, "1")));
    settle().await;
    for _ in 0..3 {
        recorded.let_sync();
    }
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    let syncs = recorded.record.so_far().iter().filter(|event| **event == "sync").count();
    assert_eq!(syncs, 3, "one commit, then two, then one");
}

#[tokio::test]
async fn a_commit_without_changes_writes_nothing() {
    let mut recorded = Recorded::open();
    recorded.put("a", "1").await;
    let before = recorded.record.so_far();
    let refused =
        recorded.store.commit(put("a", "2").expect(Key::new("a"), Expected::Absent)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    recorded.store.commit(Batch::default().expect(Key::new("b"), Expected::Absent)).await.unwrap();
    recorded.store.commit(Batch::default().delete(Key::new("never"))).await.unwrap();
    assert_eq!(recorded.record.so_far(), before);
}

#[tokio::test]
async fn closing_syncs_and_ends() {
    let recorded = Recorded::open();
    recorded.let_sync();
    recorded.store.close().await.unwrap();
    assert_eq!(recorded.record.so_far(), ["flush", "sync"]);
    let late = recorded.store.commit(put("a", "1")).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    recorded.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_failed_write_is_the_end() {
    for step in [Step::Apply, Step::Flush, Step::Sync, Step::Panic] {
        let reported = Arc::new(Mutex::new(Vec::new()));
        let hook = Arc::clone(&reported);
        // The first group of this store fails, so the acknowledged value comes from an earlier
        // store.
        let mut recorded = Recorded::failing(Some(step), |mut options| {
            let before = super::Sled::open(options.clone()).unwrap();
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    before.commit(put("a", "old")).await.unwrap();
                    before.close().await.unwrap();
                });
            });
            drop(before);
            options.on_fatal = Arc::new(move |fatal| hook.lock().unwrap().push(fatal.step));
            options
        });
        recorded.let_sync();
        let answer = recorded.store.commit(put("a", "new")).await;
        assert!(matches!(answer, Err(StoreError::Unknown(_))), "{step:?}: {answer:?}");
        assert_eq!(
            recorded.value("a").await.as_deref(),
            Some("old"),
            "{step:?}: an uncertain value is returned"
        );
        assert_eq!(recorded.entries(10).await, "a=old", "{step:?}");
        let late = recorded.store.commit(put("b", "1")).await;
        assert!(matches!(late, Err(StoreError::Unavailable(_))), "{step:?}: {late:?}");
        assert_eq!(*reported.lock().unwrap(), [step], "reported once, with the right step");
        recorded.begun.close();
    }
}
