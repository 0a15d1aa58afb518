//! The store on disk: sled, one tree, and one thread that writes to it.
//!
//! | file | what it holds |
//! |---|---|
//! | `opening`, `remains` | from a path to a running store; what an interrupted start left |
//! | `writer` | makes a group of commits durable, on the committer's thread |
//! | `group` | checks the commits of a group |
//! | `in_flight` | why no read returns what could still be lost |
//! | `write` | the three steps of a write |
//! | `layout` | the stored bytes |
//!
//! Never here: a second tree (a sled batch is atomic within one), a value as large as 32 KiB (sled
//! would keep it beside its log), a write outside the committer's thread.

mod group;
mod import;
mod in_flight;
mod layout;
mod opening;
mod options;
mod remains;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use credsmith_core::ports::store::{Batch, Committed, Key, Page, Store, StoreError, Versioned};
use parking_lot::RwLock;
use sled::{Db, IVec, Tree};

use self::in_flight::InFlight;
use crate::committer::{Queue, unavailable};
use crate::error::OpenError;
use crate::guard::Guard;
use crate::limits::{check_key, check_prefix};
use crate::loss::Loss;
use crate::range::KeyRange;

pub(crate) use import::SledImport;
pub use options::SledOptions;

/// How many entries a scan reads from the tree under one lock, since the committer waits meanwhile.
const READ_ENTRIES: usize = 64;

/// A store in a directory of its own.
///
/// A commit is durable when it is acknowledged, against loss of power too. Dropping its future does
/// not cancel it: once it is in the queue it may be applied.
///
/// Reads run on the caller's thread: sled answers from memory, or reads a file that the operating
/// system mostly has in memory. They wait (without blocking the thread) while a group is applied,
/// some milliseconds at most, never for a sync; and return durable values only.
pub struct Sled {
    queue: Queue,
    files: Arc<Files>,
    in_flight: Arc<InFlight>,
    /// Holds the lock of the directory: dropped last.
    guard: Arc<Guard>,
}

/// The open files, until the store is closed.
struct Files(RwLock<Option<Db>>);

impl Files {
    fn new(db: Db) -> Self {
        Self(RwLock::new(Some(db)))
    }

    fn close(&self) {
        let db = self.0.write().take();
        drop(db);
    }

    /// For one read and no longer: sled lets go of its files when the last tree is dropped.
    fn tree(&self) -> Result<Tree, StoreError> {
        let db = self.0.read();
        db.as_ref().map(|db| Tree::clone(db)).ok_or_else(|| unavailable("the store is closed"))
    }
}

impl Sled {
    /// Opens the store, and creates it if the directory is missing or empty and nothing shows that
    /// there was one. Blocks while it reads the files, copies them and counts the entries.
    ///
    /// # Errors
    /// Anything that was acknowledged is missing, or cannot be read. The files are then as they
    /// were.
    pub fn open(options: SledOptions) -> Result<Self, OpenError> {
        opening::open(options, |tree, file| (Box::new(tree), Box::new(file)))
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

    /// Finishes every earlier commit, flushes, syncs, ends the committer and closes the files,
    /// whose digests are noted; later commits and reads are refused. The directory is free for
    /// another process once the last handle is dropped as well.
    ///
    /// # Errors
    /// `Unavailable` when the final flush failed, in a process whose `on_fatal` returned.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.queue.close().await
    }

    /// The durable entries of `range`, up to `limit` and one more, which shows that there are more.
    async fn durable_entries(
        &self,
        range: KeyRange,
        limit: usize,
    ) -> Result<Vec<(IVec, IVec)>, StoreError> {
        let wanted = limit.saturating_add(1);
        let KeyRange { mut lower, upper } = range;
        let tree = self.files.tree()?;
        let mut entries = Vec::new();
        loop {
            let asked = (wanted - entries.len()).min(READ_ENTRIES);
            let bounds = (as_slice(&lower), as_slice(&upper));
            let previous = self.in_flight.read().await;
            let seen = tree.range::<&[u8], _>(bounds).take(asked).collect::<Result<Vec<_>, _>>();
            let seen = seen.map_err(unavailable)?;
            let last =
                if seen.len() < asked { None } else { seen.last().map(|(key, _)| key.to_vec()) };
            let covered = last.as_deref().map_or(as_slice(&upper), Bound::Included);
            entries.extend(previous.durable_range(as_slice(&lower), covered, seen));
            drop(previous);
            match last {
                Some(last) if entries.len() < wanted => lower = Bound::Excluded(last),
                _ => return Ok(entries),
            }
        }
    }
}

#[async_trait]
impl Store for Sled {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        check_key(key)?;
        let stored_key = layout::stored_key(key.as_bytes());
        let previous = self.in_flight.read().await;
        let seen = self.files.tree()?.get(&stored_key).map_err(unavailable)?;
        let durable = previous.durable(&stored_key, seen);
        drop(previous);
        durable.map(|stored| layout::versioned(&stored)).transpose().map_err(unavailable)
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        check_prefix(prefix)?;
        after.map_or(Ok(()), check_prefix)?;
        let prefix = layout::stored_key(prefix.as_bytes());
        let after = after.map(|after| layout::stored_key(after.as_bytes()));
        let Some(range) = KeyRange::new(&prefix, after.as_deref()) else {
            return Ok(Page::default());
        };
        let found = self.durable_entries(range, limit).await?;
        let more = found.len() > limit;
        let entries = found
            .iter()
            .take(limit)
            .map(|(key, stored)| Ok((layout::key(key)?, layout::versioned(stored)?)))
            .collect::<Result<_, layout::Damage>>()
            .map_err(unavailable)?;
        Ok(Page { entries, more })
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.queue.commit(batch).await
    }
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}
