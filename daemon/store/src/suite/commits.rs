//! A batch is applied completely or not at all, by its expectations.

use credsmith_core::ports::store::{Batch, Expected, Revision, Store};

use super::{Factory, assert_conflict, create, key, put, replace, revision, value};

/// A put is read back, bytes and revision; a second one replaces it.
pub async fn a_put_is_read_back(factory: &impl Factory) {
    let store = factory.empty().await;
    assert_eq!(value(&*store, "a").await, None);
    let first = put(&*store, "a", "1").await;
    assert_eq!(
        (value(&*store, "a").await.as_deref(), revision(&*store, "a").await),
        (Some("1"), Some(first))
    );
    let second = put(&*store, "a", "2").await;
    assert_eq!(
        (value(&*store, "a").await.as_deref(), revision(&*store, "a").await),
        (Some("2"), Some(second))
    );
    put(&*store, "empty", "").await;
    assert_eq!(value(&*store, "empty").await.as_deref(), Some(""), "an empty value is a value");
}

/// A delete takes the key away; of one that is not there it is no error.
pub async fn a_deleted_key_is_absent(factory: &impl Factory) {
    let store = factory.empty().await;
    put(&*store, "a", "1").await;
    put(&*store, "b", "1").await;
    store.commit(Batch::default().delete(key("a")).delete(key("never"))).await.unwrap();
    assert_eq!(value(&*store, "a").await, None);
    assert_eq!(value(&*store, "b").await.as_deref(), Some("1"));
}

/// A batch without anything in it is fine.
pub async fn an_empty_batch_changes_nothing(factory: &impl Factory) {
    let store = factory.empty().await;
    let there = put(&*store, "a", "1").await;
    store.commit(Batch::default()).await.unwrap();
    assert_eq!(revision(&*store, "a").await, Some(there));
}

/// `Absent` holds before the first put and after a delete, and not in between.
pub async fn absent_means_absent(factory: &impl Factory) {
    let store = factory.empty().await;
    store.commit(create("a", "1")).await.unwrap();
    assert_conflict(store.commit(create("a", "2")).await, "a");
    assert_eq!(value(&*store, "a").await.as_deref(), Some("1"));
    store.commit(Batch::default().delete(key("a"))).await.unwrap();
    store.commit(create("a", "3")).await.unwrap();
    assert_eq!(value(&*store, "a").await.as_deref(), Some("3"));
}

/// `At` holds for the revision of the last put and for no other.
pub async fn a_revision_means_this_one(factory: &impl Factory) {
    let store = factory.empty().await;
    assert_conflict(store.commit(replace("a", Revision(0), "x")).await, "a");
    assert_conflict(store.commit(replace("a", Revision(1), "x")).await, "a");
    let first = put(&*store, "a", "1").await;
    let second = store.commit(replace("a", first, "2")).await.unwrap().revision;
    for other in [first, Revision(second.0 + 1), Revision(0), Revision(u64::MAX)] {
        assert_conflict(store.commit(replace("a", other, "x")).await, "a");
    }
    let gone = Batch::default().expect(key("a"), Expected::At(second)).delete(key("a"));
    store.commit(gone.clone()).await.unwrap();
    assert_conflict(store.commit(gone).await, "a");
}

/// Expectations without a change are checked too, also on keys that the batch does not
/// write.
pub async fn expectations_alone_are_checked(factory: &impl Factory) {
    let store = factory.empty().await;
    let there = put(&*store, "a", "1").await;
    let holds =
        Batch::default().expect(key("a"), Expected::At(there)).expect(key("b"), Expected::Absent);
    store.commit(holds.clone()).await.unwrap();
    store.commit(holds.put(key("c"), "1")).await.unwrap();
    assert_conflict(store.commit(Batch::default().expect(key("a"), Expected::Absent)).await, "a");
    assert_eq!(revision(&*store, "a").await, Some(there));
}

/// One failed expectation, and no put and no delete of its batch happens.
pub async fn all_or_nothing(factory: &impl Factory) {
    let store = factory.empty().await;
    let there = put(&*store, "stays", "1").await;
    let batch = Batch::default()
        .expect(key("stays"), Expected::At(there))
        .expect(key("missing"), Expected::At(there))
        .put(key("new"), "x")
        .put(key("stays"), "x")
        .delete(key("stays-too"));
    put(&*store, "stays-too", "1").await;
    assert_conflict(store.commit(batch).await, "missing");
    assert_eq!(value(&*store, "new").await, None);
    assert_eq!(revision(&*store, "stays").await, Some(there));
    assert_eq!(value(&*store, "stays-too").await.as_deref(), Some("1"));
}

/// Of several failed expectations the first in the batch's order is named.
pub async fn the_first_failed_expectation_is_named(factory: &impl Factory) {
    let store = factory.empty().await;
    for taken in ["a", "b", "z"] {
        put(&*store, taken, "1").await;
    }
    let batch = ["fine", "z", "a", "b"]
        .iter()
        .fold(Batch::default(), |batch, name| batch.expect(key(name), Expected::Absent));
    assert_conflict(store.commit(batch).await, "z");
}
