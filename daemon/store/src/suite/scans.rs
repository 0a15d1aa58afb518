//! Scans: by prefix, in byte order, in pages.

use credsmith_core::ports::store::{Batch, Key, Store};

use super::{Factory, key, names, put};

async fn filled(factory: &impl Factory, keys: &[&[u8]]) -> std::sync::Arc<impl Store> {
    let store = factory.empty().await;
    for name in keys {
        store.commit(Batch::default().put(Key::new(name.to_vec()), name.to_vec())).await.unwrap();
    }
    store
}

/// Bytes decide, not letters, lengths or the order of the puts.
pub async fn in_byte_order(factory: &impl Factory) {
    let store = filled(factory, &[b"b", b"a\xff", b"B", b"a", b"aa", b"a\x00", b"\xc3\xa4"]).await;
    let page = store.scan(&key(""), None, 100).await.unwrap();
    assert_eq!(names(&page), ["B", "a", r"a\x00", "aa", r"a\xff", "b", r"\xc3\xa4"]);
    assert!(!page.more);
    for (key, versioned) in &page.entries {
        assert_eq!(key.as_bytes(), &versioned.value[..], "a value is at another's key");
        let got = store.get(key).await.unwrap().unwrap();
        assert_eq!(&got, versioned, "a scan and a get differ");
    }
}

/// Only what begins with the prefix, the prefix itself included.
pub async fn by_prefix_alone(factory: &impl Factory) {
    let store =
        filled(factory, &[b"own/a/1", b"own/a/2", b"own/a", b"own/b/1", b"own/ab", b"own", b"p"])
            .await;
    for (prefix, found) in [
        ("own/a/", &["own/a/1", "own/a/2"][..]),
        ("own/a", &["own/a", "own/a/1", "own/a/2", "own/ab"]),
        ("own/c", &[]),
        ("q", &[]),
    ] {
        let page = store.scan(&key(prefix), None, 100).await.unwrap();
        assert_eq!(names(&page), found, "prefix {prefix}");
        assert!(!page.more);
    }
}

/// Pages of every size show every entry once, in order; `more` is right at the end of each.
pub async fn page_by_page(factory: &impl Factory) {
    let all: Vec<String> = (0..23).map(|number| format!("due/{number:04}")).collect();
    let store = factory.empty().await;
    for name in all.iter().map(String::as_str).chain(["dud", "due0"]) {
        put(&*store, name, "1").await;
    }
    for size in [1, 2, 7, 22, 23, 24, 1000, usize::MAX] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = store.scan(&key("due/"), after.as_ref(), size).await.unwrap();
            assert!(
                page.entries.len() <= size,
                "a page of {} where {size} were asked",
                page.entries.len()
            );
            found.extend(names(&page));
            assert_eq!(
                page.more,
                found.len() < all.len(),
                "after {} of {}",
                found.len(),
                all.len()
            );
            after = page.entries.last().map(|(key, _)| key.clone());
            if !page.more {
                break;
            }
            assert!(after.is_some(), "an empty page promises more");
        }
        assert_eq!(found, all, "in pages of {size}");
    }
}

/// 0xff is a byte like the others, at the end of a prefix too.
pub async fn the_edge_of_the_byte_range(factory: &impl Factory) {
    let store = filled(
        factory,
        &[b"a\xfe", b"a\xff", b"a\xff\xff", b"a\xff\x00", b"b", b"\xff", b"\xff\xff\x01"],
    )
    .await;
    let scan = |prefix: &'static [u8], after: Option<&'static [u8]>| {
        let store = std::sync::Arc::clone(&store);
        async move {
            names(&store.scan(&Key::new(prefix), after.map(Key::new).as_ref(), 100).await.unwrap())
        }
    };
    assert_eq!(scan(b"a\xff", None).await, [r"a\xff", r"a\xff\x00", r"a\xff\xff"]);
    assert_eq!(scan(b"a\xff\xff", None).await, [r"a\xff\xff"]);
    assert_eq!(scan(b"\xff", None).await, [r"\xff", r"\xff\xff\x01"]);
    assert_eq!(scan(b"\xff\xff", None).await, [r"\xff\xff\x01"]);
    assert_eq!(scan(b"\xff\xff\xff", None).await, [""; 0]);
    assert_eq!(scan(b"a\xff", Some(b"a\xff")).await, [r"a\xff\x00", r"a\xff\xff"]);
    assert_eq!(scan(b"", Some(b"\xff")).await, [r"\xff\xff\x01"]);
}

/// `after` may be no key at all, may lie before the prefix and behind it.
pub async fn from_anywhere(factory: &impl Factory) {
    let store = filled(factory, &[b"a", b"b/1", b"b/2", b"b/4", b"c"]).await;
    for (after, found) in [
        ("b/1", &["b/2", "b/4"][..]),
        ("b/3", &["b/4"]),
        ("b/4", &[]),
        ("a", &["b/1", "b/2", "b/4"]),
        ("b/", &["b/1", "b/2", "b/4"]),
        ("b0", &[]),
        ("c", &[]),
    ] {
        let page = store.scan(&key("b/"), Some(&key(after)), 100).await.unwrap();
        assert_eq!(names(&page), found, "after {after}");
        assert!(!page.more);
    }
}

/// An empty store, and a page of no entries.
pub async fn of_nothing(factory: &impl Factory) {
    let store = factory.empty().await;
    let page = store.scan(&key(""), None, 10).await.unwrap();
    assert!(
        page.entries.is_empty() && !page.more,
        "there is something in an empty store: {page:?}"
    );
    put(&*store, "a", "1").await;
    let page = store.scan(&key(""), None, 0).await.unwrap();
    assert!(page.entries.is_empty() && page.more, "one entry is left: {page:?}");
    store.commit(Batch::default().delete(key("a"))).await.unwrap();
    let page = store.scan(&key(""), None, 10).await.unwrap();
    assert!(page.entries.is_empty() && !page.more, "a deleted entry is shown: {page:?}");
}
