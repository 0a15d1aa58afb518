//! A store in memory that keeps the promises of the port, and fails when a test makes it fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use super::lock;
use crate::ports::store::{
    Batch, Committed, Expected, Key, MAX_BATCH_BYTES, MAX_BATCH_KEYS, MAX_KEY_BYTES,
    MAX_VALUE_BYTES, Page, Revision, Store, StoreError, Versioned,
};
use crate::records::let_others_run;

/// The fault of a commit that would otherwise be judged by its expectations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Another commit was faster; nothing changed. Names the first key of the batch.
    Conflict,
    /// The fate is unknown. `applied` says what really happened, if the expectations held.
    Unknown {
        /// Whether the batch was applied.
        applied: bool,
    },
    /// Nothing changed.
    Unavailable,
}

/// Keeps everything in a map. Clones are the same store; a [`MemoryStore::snapshot`] is another
/// one.
///
/// Every call lets other tasks run before it acts and again before it answers, so that tests meet
/// the interleavings of a real store; a call that is dropped in between has acted, or has not.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    data: BTreeMap<Key, Versioned>,
    revision: u64,
    commits: u64,
    faults: VecDeque<Fault>,
    // After so many commits the daemon is dead.
    stop_at: Option<u64>,
    // Only what is urgent is written.
    is_full: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next commit ends like this; one after another when called again.
    pub fn fail_next(&self, fault: Fault) {
        lock(&self.0).faults.push_back(fault);
    }

    /// `commits` more are made, and from then on nothing answers but `Unavailable`: as for a daemon
    /// that was killed in between. What is durable is in the [`MemoryStore::snapshot`].
    pub fn stop_after(&self, commits: u64) {
        let mut state = lock(&self.0);
        state.stop_at = Some(state.commits.saturating_add(commits));
    }

    /// From now on the disk is almost full, or has room again.
    pub fn set_full(&self, is_full: bool) {
        lock(&self.0).is_full = is_full;
    }

    /// The store of a daemon that is started anew: the same data, and no faults.
    pub fn snapshot(&self) -> Self {
        let state = lock(&self.0);
        let (data, revision) = (state.data.clone(), state.revision);
        Self(Arc::new(Mutex::new(State { data, revision, ..State::default() })))
    }

    /// How many commits were applied.
    pub fn commits(&self) -> u64 {
        lock(&self.0).commits
    }

    /// Everything under `prefix`, in order.
    pub fn dump(&self, prefix: &str) -> Vec<(Key, Bytes)> {
        let state = lock(&self.0);
        let below =
            state.data.iter().filter(|(key, _)| key.as_bytes().starts_with(prefix.as_bytes()));
        below.map(|(key, stored)| (key.clone(), stored.value.clone())).collect()
    }

    /// Changes a value behind the daemon's back; `None` takes it away.
    pub fn tamper(&self, key: &Key, value: Option<Bytes>) {
        let mut state = lock(&self.0);
        state.revision += 1;
        let revision = Revision(state.revision);
        match value {
            Some(value) => state.data.insert(key.clone(), Versioned { value, revision }),
            None => state.data.remove(key),
        };
    }
}

impl State {
    fn check_alive(&self) -> Result<(), StoreError> {
        match self.stop_at {
            Some(at) if self.commits >= at => {
                Err(StoreError::Unavailable("the daemon was killed".into()))
            }
            _ => Ok(()),
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<Committed, StoreError> {
        self.check_alive()?;
        check_limits(&batch)?;
        if self.is_full && !batch.urgent && !batch.puts.is_empty() {
            return Err(StoreError::NoRoom);
        }
        match self.faults.pop_front() {
            None => self.apply(batch),
            Some(Fault::Conflict) => Err(StoreError::Conflict { key: first_key(&batch) }),
            Some(Fault::Unavailable) => Err(StoreError::Unavailable("a test makes it fail".into())),
            Some(Fault::Unknown { applied: false }) => {
                Err(StoreError::Unknown("a test makes it fail".into()))
            }
            Some(Fault::Unknown { applied: true }) => {
                self.apply(batch)?;
                Err(StoreError::Unknown("a test makes it fail".into()))
            }
        }
    }

    fn apply(&mut self, batch: Batch) -> Result<Committed, StoreError> {
        for (key, expected) in &batch.expectations {
            let found = self.data.get(key).map(|stored| stored.revision);
            let holds = match expected {
                Expected::Absent => found.is_none(),
                Expected::At(revision) => found == Some(*revision),
            };
            if !holds {
                return Err(StoreError::Conflict { key: key.clone() });
            }
        }
        self.revision += 1;
        self.commits += 1;
        let revision = Revision(self.revision);
        for key in &batch.deletes {
            self.data.remove(key);
        }
        for (key, value) in batch.puts {
            self.data.insert(key, Versioned { value, revision });
        }
        Ok(Committed { revision })
    }
}

fn first_key(batch: &Batch) -> Key {
    let expected = batch.expectations.iter().map(|(key, _)| key);
    let first = expected.chain(batch.puts.iter().map(|(key, _)| key)).chain(&batch.deletes).next();
    first.cloned().unwrap_or_else(|| Key::new(""))
}

fn check_limits(batch: &Batch) -> Result<(), StoreError> {
    let expected = || batch.expectations.iter().map(|(key, _)| key);
    let written = || batch.puts.iter().map(|(key, _)| key).chain(&batch.deletes);
    let distinct = |keys: Vec<&Key>| keys.iter().collect::<BTreeSet<_>>().len() == keys.len();
    if !distinct(expected().collect()) || !distinct(written().collect()) {
        return Err(StoreError::Limits("a key is named twice"));
    }
    let keys: BTreeSet<&Key> = expected().chain(written()).collect();
    if keys.len() > MAX_BATCH_KEYS {
        return Err(StoreError::Limits("too many keys"));
    }
    keys.iter().try_for_each(|key| check_key(key))?;
    if batch.puts.iter().any(|(_, value)| value.len() >= MAX_VALUE_BYTES) {
        return Err(StoreError::Limits("a value is too long"));
    }
    let bytes = keys.iter().map(|key| key.as_bytes().len()).sum::<usize>()
        + batch.puts.iter().map(|(_, value)| value.len()).sum::<usize>();
    if bytes > MAX_BATCH_BYTES {
        return Err(StoreError::Limits("too many bytes"));
    }
    Ok(())
}

fn check_key(key: &Key) -> Result<(), StoreError> {
    match key.as_bytes().len() {
        0 => Err(StoreError::Limits("a key is empty")),
        1..=MAX_KEY_BYTES => Ok(()),
        _ => Err(StoreError::Limits("a key is too long")),
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        check_key(key)?;
        let_others_run().await;
        let found = {
            let state = lock(&self.0);
            state.check_alive().map(|()| state.data.get(key).cloned())
        };
        let_others_run().await;
        found
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let_others_run().await;
        let page = {
            let state = lock(&self.0);
            state.check_alive()?;
            let from = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            let range = state.data.range::<Key, _>((from, Bound::Unbounded));
            let mut below =
                range.take_while(|(key, _)| key.as_bytes().starts_with(prefix.as_bytes()));
            let entries = below
                .by_ref()
                .take(limit)
                .map(|(key, stored)| (key.clone(), stored.clone()))
                .collect();
            Page { entries, more: below.next().is_some() }
        };
        let_others_run().await;
        Ok(page)
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let_others_run().await;
        let committed = lock(&self.0).commit(batch);
        let_others_run().await;
        committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text.to_owned())
    }

    fn put(name: &str) -> Batch {
        Batch::default().put(key(name), "value")
    }

    async fn names(
        store: &MemoryStore,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<String>, bool) {
        let after = after.map(key);
        let page = store.scan(&key(prefix), after.as_ref(), limit).await.unwrap();
        let text = |key: &Key| String::from_utf8(key.as_bytes().to_vec()).unwrap();
        (page.entries.iter().map(|(key, _)| text(key)).collect(), page.more)
    }

    #[tokio::test]
    async fn a_batch_is_all_or_nothing() {
        let store = MemoryStore::new();
        let first = store.commit(put("a").put(key("b"), "1")).await.unwrap().revision;
        let late = put("c").delete(key("a")).expect(key("b"), Expected::Absent);
        assert!(
            matches!(store.commit(late).await, Err(StoreError::Conflict { key: at }) if at == key("b"))
        );
        assert_eq!(names(&store, "", None, 9).await, (vec!["a".into(), "b".into()], false));

        let timely = put("c").delete(key("a")).expect(key("b"), Expected::At(first));
        assert!(store.commit(timely).await.unwrap().revision > first);
        assert_eq!(names(&store, "", None, 9).await.0, ["b", "c"]);
        assert_eq!(store.get(&key("b")).await.unwrap().unwrap().revision, first);
    }

    #[tokio::test]
    async fn a_key_that_comes_back_has_another_revision() {
        let store = MemoryStore::new();
        let first = store.commit(put("a")).await.unwrap().revision;
        store.commit(Batch::default().delete(key("a"))).await.unwrap();
        store.commit(put("a")).await.unwrap();
        let stale = put("a").expect(key("a"), Expected::At(first));
        assert!(matches!(store.commit(stale).await, Err(StoreError::Conflict { .. })));
    }

    #[tokio::test]
    async fn scans_are_paged_and_stay_below_their_prefix() {
        let store = MemoryStore::new();
        for name in ["a/1", "a/2", "a/3", "b/1"] {
            store.commit(put(name)).await.unwrap();
        }
        assert_eq!(names(&store, "a/", None, 2).await, (vec!["a/1".into(), "a/2".into()], true));
        assert_eq!(names(&store, "a/", Some("a/2"), 2).await, (vec!["a/3".into()], false));
        assert_eq!(names(&store, "a/", Some("0"), 9).await.0.len(), 3);
        assert_eq!(names(&store, "a/", Some("b"), 9).await.0.len(), 0);
    }

    #[tokio::test]
    async fn it_is_as_strict_as_the_port() {
        let store = MemoryStore::new();
        let many = |count: usize| {
            (0..count).fold(Batch::default(), |batch, n| batch.put(key(&n.to_string()), "v"))
        };
        store.commit(many(MAX_BATCH_KEYS)).await.unwrap();
        store.commit(put(&"k".repeat(MAX_KEY_BYTES))).await.unwrap();
        store.commit(Batch::default().put(key("v"), vec![0; MAX_VALUE_BYTES - 1])).await.unwrap();

        let fat =
            |batch: Batch, n: usize| batch.put(key(&n.to_string()), vec![0; MAX_VALUE_BYTES - 1]);
        let too_much = [
            many(MAX_BATCH_KEYS + 1),
            put(&"k".repeat(MAX_KEY_BYTES + 1)),
            put(""),
            Batch::default().put(key("v"), vec![0; MAX_VALUE_BYTES]),
            (0..9).fold(Batch::default(), fat),
            put("a").delete(key("a")),
            put("b").put(key("b"), "again"),
            put("c").expect(key("c"), Expected::Absent).expect(key("c"), Expected::Absent),
        ];
        for batch in too_much {
            assert!(matches!(store.commit(batch).await, Err(StoreError::Limits(_))));
        }
        assert!(matches!(store.get(&key("")).await, Err(StoreError::Limits(_))));
    }

    #[tokio::test]
    async fn faults_come_once_and_do_what_they_say() {
        let store = MemoryStore::new();
        let faults = [
            (Fault::Conflict, 0),
            (Fault::Unavailable, 0),
            (Fault::Unknown { applied: false }, 0),
            (Fault::Unknown { applied: true }, 1),
        ];
        for (fault, kept) in faults {
            store.fail_next(fault);
            let error = store.commit(put("a")).await.unwrap_err();
            let fits = match fault {
                Fault::Conflict => matches!(error, StoreError::Conflict { .. }),
                Fault::Unavailable => matches!(error, StoreError::Unavailable(_)),
                Fault::Unknown { .. } => matches!(error, StoreError::Unknown(_)),
            };
            assert!(fits, "{fault:?}: {error:?}");
            assert_eq!(store.dump("").len(), kept, "{fault:?}");
        }
        store.commit(put("b")).await.unwrap();
    }

    #[tokio::test]
    async fn a_stopped_store_keeps_what_was_committed() {
        let store = MemoryStore::new();
        store.stop_after(1);
        store.commit(put("a")).await.unwrap();
        assert!(matches!(store.commit(put("b")).await, Err(StoreError::Unavailable(_))));
        assert!(store.get(&key("a")).await.is_err());
        assert!(store.scan(&key(""), None, 1).await.is_err());

        let reopened = store.snapshot();
        assert_eq!(names(&reopened, "", None, 9).await.0, ["a"]);
        reopened.commit(put("b")).await.unwrap();
        assert_eq!(store.dump("").len(), 1);
    }
}
