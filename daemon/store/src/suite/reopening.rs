//! The data of a durable store after it is opened again. A store without durability passes
//! trivially.

use credsmith_core::ports::store::{Batch, Store};

use super::{Factory, assert_conflict, key, names, put, replace, revision, value};

/// Values, revisions and deletions.
pub async fn everything_is_still_there(factory: &impl Factory) {
    let store = factory.empty().await;
    for number in 0..200 {
        put(&*store, &format!("k{number:03}"), &number.to_string()).await;
    }
    store.commit(Batch::default().delete(key("k007")).put(key("k008"), "new")).await.unwrap();
    let before = store.scan(&key(""), None, 1000).await.unwrap();
    let Some(store) = factory.reopened(store).await else { return };
    let after = store.scan(&key(""), None, 1000).await.unwrap();
    assert_eq!(names(&before), names(&after));
    assert_eq!(before.entries, after.entries, "a value or a revision has changed");
    assert_eq!(value(&*store, "k007").await, None);
}

/// No revision of before is given again, neither of an entry that is there nor of one that was
/// deleted.
pub async fn revisions_go_on(factory: &impl Factory) {
    let mut store = factory.empty().await;
    let mut last = put(&*store, "a", "1").await;
    for round in 0..4 {
        let old = last;
        last = store.commit(Batch::default().delete(key("a"))).await.unwrap().revision;
        let Some(reopened) = factory.reopened(store).await else { return };
        store = reopened;
        let next = put(&*store, "a", "1").await;
        assert!(next > last, "round {round}: {next:?} came after {last:?}");
        assert_conflict(store.commit(replace("a", old, "late")).await, "a");
        assert_eq!(revision(&*store, "a").await, Some(next));
        last = next;
    }
}
