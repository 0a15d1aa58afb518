//! The store on disk: redb, one file, and one thread that writes to it.
//!
//! | file | what it holds |
//! |---|---|
//! | `opening` | from a path to a running store |
//! | `writer` | makes a group of commits durable, on the committer's thread |
//! | `layout` | the tables |
//! | `options` | what a caller may choose |
//!
//! Never here: a write outside the committer's thread, a transaction that is not durable when it is
//! over (redb shows those to readers).

mod import;
mod layout;
mod opening;
mod options;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use credsmith_core::ports::store::{Batch, Committed, Key, Page, Store, StoreError, Versioned};
use parking_lot::RwLock;
use redb::{Database, ReadOnlyTable, ReadableDatabase};

use self::layout::{ENTRIES, StoredValue};
use crate::committer::{Queue, unavailable};
use crate::error::OpenError;
use crate::guard::Guard;
use crate::limits::{check_key, check_prefix};
use crate::loss::Loss;
use crate::range::KeyRange;

pub(crate) use import::RedbImport;
pub(crate) use layout::FILE;
pub use options::RedbOptions;

/// A store in a directory of its own.
///
/// A commit is durable when it is acknowledged, against loss of power too. Dropping its future does
/// not cancel it: once it is in the queue it may be applied.
///
/// Reads run on the caller's thread: redb answers from memory, or reads a file that the operating
/// system mostly has in memory. A read is of the last durable group: redb shows a transaction to
/// readers after it has been synced.
pub struct Redb {
    queue: Queue,
    files: Arc<Files>,
    /// Holds the lock of the directory: dropped last.
    guard: Arc<Guard>,
}

/// What the committer's thread and the readers share.
struct Files {
    /// `None` once it is closed.
    database: RwLock<Option<Database>>,
}

impl Files {
    fn new(database: Database) -> Self {
        Self { database: RwLock::new(Some(database)) }
    }

    fn close(&self) {
        let database = self.database.write().take();
        drop(database);
    }
}

impl Redb {
    /// Opens the store, and creates it if the directory is missing or empty. Blocks while it
    /// verifies the file.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: RedbOptions) -> Result<Self, OpenError> {
        opening::open(options)
    }

    /// What the store has lost, where it was opened despite that ([`Safeguards::despite_loss`]) and
    /// is not settled yet.
    ///
    /// [`Safeguards::despite_loss`]: crate::Safeguards::despite_loss
    pub fn loss(&self) -> Option<Loss> {
        self.guard.loss()
    }

    /// Takes a store that is held ([`Safeguards::held`]) as it is, with all that was committed
    /// since it was opened. Returns where the files are kept as they were before, if the store was
    /// opened despite a loss. Without this, closing the store puts the files back.
    ///
    /// # Errors
    /// A file could not be written.
    ///
    /// [`Safeguards::held`]: crate::Safeguards::held
    pub fn settle(&self) -> Result<Option<PathBuf>, OpenError> {
        self.guard.settle()
    }

    /// Finishes every earlier commit, closes the file and ends the committer; later commits and
    /// reads are refused. The directory is free for another process once the last handle is
    /// dropped as well.
    ///
    /// # Errors
    /// `Unavailable` when the file could not be closed in order, in a process whose `on_fatal`
    /// returned. Everything that was acknowledged is durable nevertheless.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.queue.close().await
    }

    /// The entries as they are now. What is read from the table refers to pages that are kept only
    /// as long as the table lives: redb's types do not say so.
    fn entries(&self) -> Result<ReadOnlyTable<&'static [u8], StoredValue>, StoreError> {
        let database = self.files.database.read();
        let database = database.as_ref().ok_or_else(|| unavailable("the store is closed"))?;
        let transaction = database.begin_read().map_err(unavailable)?;
        transaction.open_table(ENTRIES).map_err(unavailable)
    }
}

#[async_trait]
impl Store for Redb {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        check_key(key)?;
        let table = self.entries()?;
        let found = table.get(key.as_bytes()).map_err(unavailable)?;
        Ok(found.map(|stored| layout::versioned(stored.value())))
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        check_prefix(prefix)?;
        after.map_or(Ok(()), check_prefix)?;
        let Some(range) = KeyRange::new(prefix.as_bytes(), after.map(Key::as_bytes)) else {
            return Ok(Page::default());
        };
        let bounds = (as_slice(&range.lower), as_slice(&range.upper));
        let table = self.entries()?;
        let mut found = table.range::<&[u8]>(bounds).map_err(unavailable)?;
        let mut entries = Vec::new();
        for next in found.by_ref().take(limit) {
            let (key, stored) = next.map_err(unavailable)?;
            entries.push((Key::new(key.value().to_vec()), layout::versioned(stored.value())));
        }
        let more = found.next().transpose().map_err(unavailable)?.is_some();
        Ok(Page { entries, more })
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.queue.commit(batch).await
    }
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}
