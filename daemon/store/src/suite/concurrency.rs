//! Many callers at once: every commit is checked against all that were acknowledged before it, and
//! is visible from then on.

use std::sync::Arc;

use credsmith_core::ports::store::{Batch, Expected, Store, StoreError, Versioned};
use tokio::task::JoinSet;

use super::{Factory, create, key, put, revision, value};

const CALLERS: usize = 64;
const ROUNDS: usize = 8;

/// 64 tasks add one to the same number, eight times each: the sum is exact.
pub async fn a_counter_is_exact(factory: &impl Factory) {
    let store = factory.empty().await;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            for _ in 0..ROUNDS {
                increment(&*store, "counter").await;
            }
        });
    }
    finish(callers).await;
    assert_eq!(value(&*store, "counter").await, Some((CALLERS * ROUNDS).to_string()));
}

/// Batches over the same keys: each is there whole, whichever came last.
pub async fn whole_under_contention(factory: &impl Factory) {
    let store = factory.empty().await;
    let names = ["w/1", "w/2", "w/3", "w/4", "w/5"];
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            for round in 0..ROUNDS {
                let stamp = format!("{caller} {round}");
                let seen = revision(&*store, "w/1").await;
                let expected = seen.map_or(Expected::Absent, Expected::At);
                let batch = Batch::default().expect(key("w/1"), expected);
                let batch =
                    names.iter().fold(batch, |batch, name| batch.put(key(name), stamp.clone()));
                match store.commit(batch).await {
                    Ok(_) | Err(StoreError::Conflict { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    finish(callers).await;
    let page = store.scan(&key("w/"), None, 10).await.unwrap();
    let found: Vec<&Versioned> = page.entries.iter().map(|(_, versioned)| versioned).collect();
    assert_eq!(found.len(), names.len());
    assert!(found.iter().all(|versioned| *versioned == found[0]), "a batch is torn: {found:?}");
}

/// Of all who create the same key at once, one succeeds, and its value stays.
pub async fn one_winner(factory: &impl Factory) {
    let store = factory.empty().await;
    for round in 0..ROUNDS {
        let name = format!("name/{round}");
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (store, name) = (Arc::clone(&store), name.clone());
            callers.spawn(async move {
                store.commit(create(&name, &caller.to_string())).await.map(|_| caller)
            });
        }
        let winners: Vec<usize> =
            finish(callers).await.into_iter().filter_map(Result::ok).collect();
        assert_eq!(winners.len(), 1, "{winners:?} have all created {name}");
        assert_eq!(value(&*store, &name).await, Some(winners[0].to_string()));
    }
}

/// A read after an acknowledgement returns that commit or a newer one, by `get` and by `scan`.
pub async fn acknowledged_is_seen(factory: &impl Factory) {
    let store = factory.empty().await;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS / 2 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let own = format!("own/{caller:02}");
            for _ in 0..ROUNDS {
                let committed = put(&*store, &own, "1").await;
                assert_eq!(revision(&*store, &own).await, Some(committed));
                let shared = put(&*store, "shared", "1").await;
                assert!(
                    revision(&*store, "shared").await >= Some(shared),
                    "an acknowledged commit is not seen"
                );
                let page = store.scan(&key(&own), None, 10).await.unwrap();
                assert_eq!(page.entries.len(), 1);
                assert_eq!(page.entries[0].1.revision, committed);
                store.commit(Batch::default().delete(key(&own))).await.unwrap();
                assert_eq!(value(&*store, &own).await, None, "an acknowledged delete is not seen");
                let page = store.scan(&key(&own), None, 10).await.unwrap();
                assert!(page.entries.is_empty(), "an acknowledged delete is not seen by a scan");
            }
        });
    }
    finish(callers).await;
}

/// Independent commits are never refused, and each has a revision of
/// its own.
pub async fn unrelated_commits_all_happen(factory: &impl Factory) {
    let store = factory.empty().await;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let mut given = Vec::new();
            for round in 0..ROUNDS {
                given.push(
                    store
                        .commit(create(&format!("u/{caller}/{round}"), "1"))
                        .await
                        .unwrap()
                        .revision,
                );
            }
            given
        });
    }
    let mut given: Vec<_> = finish(callers).await.into_iter().flatten().collect();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), CALLERS * ROUNDS, "a revision was given twice");
    let page = store.scan(&key("u/"), None, usize::MAX).await.unwrap();
    assert_eq!(page.entries.len(), CALLERS * ROUNDS);
}

async fn increment(store: &impl Store, at: &str) {
    loop {
        let seen = store.get(&key(at)).await.unwrap();
        let number = seen.as_ref().map_or(0, |versioned| {
            std::str::from_utf8(&versioned.value).unwrap().parse::<usize>().unwrap()
        });
        let expected = seen.map_or(Expected::Absent, |versioned| Expected::At(versioned.revision));
        let batch =
            Batch::default().expect(key(at), expected).put(key(at), (number + 1).to_string());
        match store.commit(batch).await {
            Ok(_) => return,
            Err(StoreError::Conflict { .. }) => tokio::task::yield_now().await,
            Err(other) => panic!("{other:?}"),
        }
    }
}

async fn finish<T: 'static>(mut callers: JoinSet<T>) -> Vec<T> {
    let mut results = Vec::new();
    while let Some(result) = callers.join_next().await {
        results.push(result.unwrap());
    }
    results
}
