//! The promises of the store port, as tests for every implementation. An implementation brings a
//! [`Factory`] and calls [`conformance_tests!`](crate::conformance_tests) in a test file: one test
//! for each promise of [`credsmith_core::ports::store`]. The machinery of a failing case panics; so
//! this module is for tests alone and hides behind the feature `suite`.
//!
//! Cases are in files by promise: [`commits`], [`revisions`], [`scans`], [`limits`],
//! [`concurrency`], [`reopening`].
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test-suite fails by panicking"
)]

pub mod commits;
pub mod concurrency;
pub mod limits;
pub mod reopening;
pub mod revisions;
pub mod scans;

use std::sync::Arc;

use async_trait::async_trait;
use credsmith_core::ports::store::{Batch, Expected, Key, Page, Revision, Store, StoreError};

/// Creates the stores that the suite tests.
#[async_trait]
pub trait Factory: Send + Sync {
    /// The store under test.
    type Store: Store;

    /// A new store with nothing in it. Stores of one factory share nothing.
    async fn empty(&self) -> Arc<Self::Store>;

    /// Closes `store`, the only handle to it, and opens its data again; `None` from a store without
    /// durability.
    async fn reopened(&self, store: Arc<Self::Store>) -> Option<Arc<Self::Store>>;
}

/// One test for each case of the suite, over the factory that the expression makes. The crate that
/// calls it needs tokio with the features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr) => {
        $crate::conformance_tests! { $factory;
            commits: a_put_is_read_back, a_deleted_key_is_absent, an_empty_batch_changes_nothing,
                absent_means_absent, a_revision_means_this_one, expectations_alone_are_checked,
                all_or_nothing, the_first_failed_expectation_is_named;
            revisions: they_only_grow, one_commit_has_one, a_recreated_key_has_changed, the_same_bytes_are_a_change;
            scans: in_byte_order, by_prefix_alone, page_by_page, the_edge_of_the_byte_range, from_anywhere, of_nothing;
            limits: of_keys_in_a_batch, of_bytes_in_a_batch, of_a_value, of_a_key, a_key_is_named_once;
            concurrency: a_counter_is_exact, whole_under_contention, one_winner, acknowledged_is_seen, unrelated_commits_all_happen;
            reopening: everything_is_still_there, revisions_go_on;
        }
    };
    ($factory:expr; $($file:ident: $($case:ident),+;)+) => {
        $(mod $file {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $crate::suite::$file::$case(&$factory).await;
                }
            )+
        })+
    };
}

fn key(text: &str) -> Key {
    Key::new(text.as_bytes().to_vec())
}

async fn put(store: &impl Store, at: &str, value: &str) -> Revision {
    store.commit(Batch::default().put(key(at), value.as_bytes().to_vec())).await.unwrap().revision
}

/// The value at a key, as text.
async fn value(store: &impl Store, at: &str) -> Option<String> {
    let found = store.get(&key(at)).await.unwrap();
    found.map(|versioned| String::from_utf8(versioned.value.to_vec()).unwrap())
}

async fn revision(store: &impl Store, at: &str) -> Option<Revision> {
    store.get(&key(at)).await.unwrap().map(|versioned| versioned.revision)
}

/// The keys of a page, as text.
fn names(page: &Page) -> Vec<String> {
    page.entries.iter().map(|(key, _)| key.as_bytes().escape_ascii().to_string()).collect()
}

fn assert_conflict(answer: Result<impl std::fmt::Debug, StoreError>, at: &str) {
    match answer {
        Err(StoreError::Conflict { key: named }) => {
            assert_eq!(named, key(at), "another key is blamed")
        }
        other => panic!("expected a conflict at {at}, got {other:?}"),
    }
}

fn assert_limits(answer: Result<impl std::fmt::Debug, StoreError>, what: &str) {
    assert!(
        matches!(answer, Err(StoreError::Limits(_))),
        "{what}: expected a refusal by the limits, got {answer:?}"
    );
}

/// Expected absent, with a value to put.
fn create(at: &str, value: &str) -> Batch {
    Batch::default().expect(key(at), Expected::Absent).put(key(at), value.as_bytes().to_vec())
}

/// Expected at a revision, with a value to put.
fn replace(at: &str, revision: Revision, value: &str) -> Batch {
    Batch::default().expect(key(at), Expected::At(revision)).put(key(at), value.as_bytes().to_vec())
}
