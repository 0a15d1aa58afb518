//! Revisions count for the whole store, and none is given twice.

use credsmith_core::ports::store::{Batch, Store};

use super::{Factory, assert_conflict, key, put, replace, revision, value};

/// Each commit's is larger than those of the commits acknowledged before it, whatever their keys.
pub async fn they_only_grow(factory: &impl Factory) {
    let store = factory.empty().await;
    let mut last = put(&*store, "a", "1").await;
    for round in 0..40 {
        let next = if round % 3 == 0 {
            store.commit(Batch::default().delete(key("a"))).await.unwrap().revision
        } else {
            put(&*store, ["a", "b"][round % 2], "1").await
        };
        assert!(next > last, "{next:?} came after {last:?}");
        last = next;
    }
}

/// All that a batch puts has the revision that the batch was answered with.
pub async fn one_commit_has_one(factory: &impl Factory) {
    let store = factory.empty().await;
    let batch = Batch::default().put(key("a"), "1").put(key("b"), "1").put(key("c"), "1");
    let committed = store.commit(batch).await.unwrap().revision;
    for name in ["a", "b", "c"] {
        assert_eq!(revision(&*store, name).await, Some(committed));
    }
}

/// After delete and recreate, even with the same bytes, an earlier revision is refused.
pub async fn a_recreated_key_has_changed(factory: &impl Factory) {
    let store = factory.empty().await;
    let first = put(&*store, "a", "same").await;
    store.commit(Batch::default().delete(key("a"))).await.unwrap();
    put(&*store, "a", "same").await;
    assert_conflict(store.commit(replace("a", first, "late")).await, "a");
    assert_eq!(value(&*store, "a").await.as_deref(), Some("same"));
}

/// Putting the stored bytes again is a change.
pub async fn the_same_bytes_are_a_change(factory: &impl Factory) {
    let store = factory.empty().await;
    let first = put(&*store, "a", "same").await;
    let second = put(&*store, "a", "same").await;
    assert_ne!(first, second);
    assert_conflict(store.commit(replace("a", first, "late")).await, "a");
    assert_eq!(revision(&*store, "a").await, Some(second));
}
