//! The limits: what is at one is taken, what is over it is refused and changes nothing.

use credsmith_core::ports::store::{
    Batch, Expected, Key, MAX_BATCH_BYTES, MAX_BATCH_KEYS, MAX_KEY_BYTES, MAX_VALUE_BYTES, Store,
};

use super::{Factory, assert_limits, key, value};

fn puts(count: usize) -> Batch {
    (0..count).fold(Batch::default(), |batch, number| batch.put(key(&format!("k{number}")), "1"))
}

/// 64 distinct keys, whatever is done with them.
pub async fn of_keys_in_a_batch(factory: &impl Factory) {
    let store = factory.empty().await;
    assert_limits(store.commit(puts(MAX_BATCH_KEYS + 1)).await, "one put too many");
    assert_eq!(value(&*store, "k0").await, None);

    let full = puts(MAX_BATCH_KEYS / 2);
    let full = (MAX_BATCH_KEYS / 2..MAX_BATCH_KEYS)
        .fold(full, |batch, number| batch.delete(key(&format!("k{number}"))));
    // Expectations on keys that are written anyway do not count twice.
    let full = (0..MAX_BATCH_KEYS)
        .fold(full, |batch, number| batch.expect(key(&format!("k{number}")), Expected::Absent));
    assert_limits(
        store.commit(full.clone().expect(key("one-more"), Expected::Absent)).await,
        "one expectation too many",
    );
    store.commit(full).await.unwrap();
    assert_eq!(value(&*store, "k0").await.as_deref(), Some("1"));
}

/// 256 KiB of keys and values.
pub async fn of_bytes_in_a_batch(factory: &impl Factory) {
    let store = factory.empty().await;
    let count = MAX_BATCH_BYTES / (16 << 10);
    let sized = |last: usize| {
        (0..count).fold(Batch::default(), |batch, number| {
            let name = key(&format!("key-{number:04}"));
            let size = (16 << 10) - name.as_bytes().len() + if number == 0 { last } else { 0 };
            batch.put(name, vec![7; size])
        })
    };
    assert_limits(store.commit(sized(1)).await, "one byte too many");
    assert_eq!(value(&*store, "key-0000").await, None);
    store.commit(sized(0)).await.unwrap();
    let there = store.get(&key("key-0001")).await.unwrap().unwrap();
    assert_eq!(there.value.len(), (16 << 10) - 8);
}

/// A value is shorter than 32 KiB; the longest comes back whole.
pub async fn of_a_value(factory: &impl Factory) {
    let store = factory.empty().await;
    let batch = |size: usize| Batch::default().put(key("a"), vec![0xa5; size]).put(key("b"), "1");
    assert_limits(store.commit(batch(MAX_VALUE_BYTES)).await, "a value of 32 KiB");
    assert_eq!(value(&*store, "b").await, None, "half of a refused batch has happened");
    store.commit(batch(MAX_VALUE_BYTES - 1)).await.unwrap();
    let there = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!(there.value, vec![0xa5; MAX_VALUE_BYTES - 1]);
}

/// A key has between 1 and 512 bytes, wherever it stands.
pub async fn of_a_key(factory: &impl Factory) {
    let store = factory.empty().await;
    let longest = Key::new(vec![b'k'; MAX_KEY_BYTES]);
    store
        .commit(
            Batch::default().expect(longest.clone(), Expected::Absent).put(longest.clone(), "1"),
        )
        .await
        .unwrap();
    assert!(store.get(&longest).await.unwrap().is_some());
    assert_eq!(store.scan(&longest, None, 10).await.unwrap().entries.len(), 1);
    store.commit(Batch::default().delete(longest)).await.unwrap();

    let too_long = Key::new(vec![b'k'; MAX_KEY_BYTES + 1]);
    for bad in [too_long.clone(), key("")] {
        assert_limits(store.commit(Batch::default().put(bad.clone(), "1")).await, "put");
        assert_limits(store.commit(Batch::default().delete(bad.clone())).await, "delete");
        assert_limits(
            store.commit(Batch::default().expect(bad.clone(), Expected::Absent)).await,
            "expect",
        );
        assert_limits(store.get(&bad).await, "get");
    }
    assert_limits(store.scan(&too_long, None, 1).await, "scan by prefix");
    assert_limits(store.scan(&key("k"), Some(&too_long), 1).await, "scan from");
}

/// A list names a key once, and a key is not both put and deleted.
pub async fn a_key_is_named_once(factory: &impl Factory) {
    let store = factory.empty().await;
    let empty = Batch::default;
    assert_limits(store.commit(empty().put(key("a"), "1").put(key("a"), "2")).await, "put twice");
    assert_limits(store.commit(empty().delete(key("a")).delete(key("a"))).await, "deleted twice");
    assert_limits(
        store.commit(empty().put(key("a"), "1").delete(key("a"))).await,
        "put and deleted",
    );
    let twice = empty().expect(key("a"), Expected::Absent).expect(key("a"), Expected::Absent);
    assert_limits(store.commit(twice).await, "expected twice");
    assert_eq!(value(&*store, "a").await, None);
}
