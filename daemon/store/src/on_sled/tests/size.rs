//! Large entries, which must stay in the synced log, and large groups in a small cache, which read
//! back pages that were written in the same group.

use std::fs;
use std::sync::Arc;

use credsmith_core::ports::store::{Batch, Key, MAX_KEY_BYTES, MAX_VALUE_BYTES, Store};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{Sled, options};

fn key(number: usize) -> Key {
    // As different as they can be, so that sled cannot shorten them.
    let mut bytes = format!("{:08}", (number * 7919) % 1000).into_bytes();
    bytes.resize(MAX_KEY_BYTES, b'k');
    Key::new(bytes)
}

#[tokio::test]
async fn the_largest_entries_stay_in_the_log() {
    let directory = TempDir::new().unwrap();
    let store = Sled::open(options(directory.path())).unwrap();
    let largest = vec![0x5a; MAX_VALUE_BYTES - 1];
    let blobs = || fs::read_dir(directory.path().join("store/blobs")).unwrap().count();
    for round in 0..3 {
        // Every leaf is filled, split, thinned out until leaves are merged, and written again and
        // again in between.
        for first in (0..160).step_by(4) {
            let batch = (first..first + 4)
                .fold(Batch::default(), |batch, number| batch.put(key(number), largest.clone()));
            store.commit(batch).await.unwrap();
        }
        assert_eq!(blobs(), 0, "after the puts of round {round}");
        for number in (0..160).filter(|number| number % (7 + round) != 0) {
            store.commit(Batch::default().delete(key(number))).await.unwrap();
        }
        assert_eq!(blobs(), 0, "after the deletes of round {round}");
    }
    let left = store.scan(&Key::new(""), None, 1000).await.unwrap().entries;
    assert_eq!(left.len(), (0..160).filter(|number| number % 9 == 0).count());
    assert!(left.iter().all(|(_, versioned)| versioned.value == largest));
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_may_be_larger_than_the_cache() {
    const TASKS: u64 = 48;
    const ROUNDS: u64 = 12;
    const KEYS: u64 = 20;
    let directory = TempDir::new().unwrap();
    let mut options = options(directory.path());
    options.cache_bytes = 64 << 10;
    let store = Arc::new(Sled::open(options).unwrap());
    // Neighbours are written by different tasks, in every round again.
    let name =
        |task: u64, number: u64| Key::new(format!("{:04}/{task:02}", number * 7919 % 10_000));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for round in 0..ROUNDS {
                let batch = (0..KEYS).fold(Batch::default(), |batch, number| {
                    batch.put(name(task, number), format!("{round:0>400}"))
                });
                store.commit(batch).await.unwrap();
                let read = store.get(&name(task, round)).await.unwrap().unwrap();
                assert_eq!(&read.value[..], format!("{round:0>400}").as_bytes());
            }
        });
    }
    tasks.join_all().await;
    let page = store.scan(&Key::new(""), None, usize::MAX).await.unwrap();
    assert_eq!(page.entries.len() as u64, TASKS * KEYS);
    let last = format!("{:0>400}", ROUNDS - 1);
    assert!(page.entries.iter().all(|(_, versioned)| versioned.value == last));
    store.close().await.unwrap();
}
