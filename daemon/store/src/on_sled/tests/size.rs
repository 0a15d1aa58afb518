//! Nothing is ever so large that sled keeps it beside its log, where no sync would reach it.

use std::fs;

use credsmith_core::ports::store::{Batch, Key, MAX_KEY_BYTES, MAX_VALUE_BYTES, Store};
use tempfile::TempDir;

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
        // Every leaf is filled, split, thinned out until leaves are merged, and written again and again in between.
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
