//! Copies a store into a new one, of the same engine or another: every key, value and revision. The
//! copy is read back and compared by a digest before it counts as made.
//!
//! A copy that is cut off does not open: a new store gets its header, or its name, at the end.

use std::io;
use std::path::Path;

use bytes::Bytes;
use credsmith_core::error::BoxedCause;
use credsmith_core::ports::store::{Batch, Key, Revision, Store, StoreError, Versioned};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::engine::Engine;
use crate::error::OpenError;
use crate::on_disk::{OnDisk, OnDiskOptions};
use crate::on_redb::{RedbImport, RedbOptions};
use crate::on_sled::{SledImport, SledOptions};

/// Entries that are read, and written, at once.
const PAGE: usize = 512;

/// A finished copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// How many entries it has.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// SHA-256 over keys, revisions and values, in byte order of the keys.
    pub digest: [u8; 32],
}

/// Why a store was not copied. The source is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is something in the directory of the copy.
    #[error("the directory {0} is not empty: a copy is made in a new or an empty one")]
    NotEmpty(String),
    /// The directory of the copy cannot be looked at.
    #[error("cannot look at the directory of the copy")]
    Target(#[source] io::Error),
    /// The source cannot be read.
    #[error("the store to copy cannot be read")]
    Source(#[source] StoreError),
    /// The copy cannot be written, or not be opened.
    #[error("the copy cannot be made")]
    Copy(#[source] OpenError),
    /// The copy cannot be read back.
    #[error("the copy cannot be read back; do not use it")]
    Unreadable(#[source] StoreError),
    /// What was read back is not what was written.
    #[error("the copy differs from its source; do not use it")]
    Differs,
    /// The thread that writes the copy has broken down.
    #[error("the copy was not finished; do not use it")]
    Unfinished,
}

/// Copies `source`, which no other process or task changes meanwhile, into a new store. `progress`
/// is called with the number of entries so far, of a copy that is written and then read back.
///
/// # Errors
/// See [`CopyError`].
pub async fn copy(
    source: &dyn Store,
    to: OnDiskOptions,
    mut progress: impl FnMut(Stage, u64),
) -> Result<Copied, CopyError> {
    check_empty(&to.path)?;
    // No revision that the source has ever given may be given again by the copy, nor by chance look
    // like one of before: it counts on from here. A batch without changes returns the newest.
    let Revision(ceiling) =
        source.commit(Batch::default()).await.map_err(CopyError::Source)?.revision;
    let (pages, incoming) = mpsc::channel(4);
    let options = to.clone();
    let writing = tokio::task::spawn_blocking(move || write(&options, incoming));
    let read = read(source, |count| progress(Stage::Writing, count), Some(&pages)).await;
    let read = read.map_err(CopyError::Source);
    if read.is_ok() {
        let _gone = pages.send(Incoming::End { ceiling }).await;
    }
    drop(pages);
    let written = writing.await.map_err(|_| CopyError::Unfinished)?;
    let read = read?;
    written.map_err(CopyError::Copy)?;

    let opening = tokio::task::spawn_blocking(move || OnDisk::open(to)).await;
    let copy = opening.map_err(|_| CopyError::Unfinished)?.map_err(CopyError::Copy)?;
    let again = self::read(&copy, |count| progress(Stage::Verifying, count), None).await;
    let closed = copy.close().await;
    let again = again.map_err(CopyError::Unreadable)?;
    closed.map_err(CopyError::Unreadable)?;
    if again == read { Ok(read) } else { Err(CopyError::Differs) }
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Entries are read from the source and written.
    Writing,
    /// They are read back.
    Verifying,
}

/// What the thread that writes receives. Without an end the copy is not finished.
enum Incoming {
    Entries(Vec<(Key, Versioned)>),
    End { ceiling: u64 },
}

fn check_empty(path: &Path) -> Result<(), CopyError> {
    match std::fs::read_dir(path).map(|mut entries| entries.next()) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(CopyError::NotEmpty(path.display().to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CopyError::Target(error)),
    }
}

/// Reads all of `store`, and hands it on.
async fn read(
    store: &dyn Store,
    mut progress: impl FnMut(u64),
    pages: Option<&mpsc::Sender<Incoming>>,
) -> Result<Copied, StoreError> {
    let mut digest = Sha256::new();
    let (mut count, mut bytes) = (0, 0);
    let mut after: Option<Key> = None;
    loop {
        let page = store.scan(&Key::new(Bytes::new()), after.as_ref(), PAGE).await?;
        for (key, stored) in &page.entries {
            add(&mut digest, key.as_bytes());
            digest.update(stored.revision.0.to_be_bytes());
            add(&mut digest, &stored.value);
            count += 1;
            bytes += (key.as_bytes().len() + stored.value.len()) as u64;
        }
        progress(count);
        after = page.entries.last().map(|(key, _)| key.clone());
        if let Some(pages) = pages {
            // The error of a thread that has ended early is its result.
            let _gone = pages.send(Incoming::Entries(page.entries)).await;
        }
        if !page.more || after.is_none() {
            return Ok(Copied { entries: count, bytes, digest: digest.finalize().into() });
        }
    }
}

fn add(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}

fn write(to: &OnDiskOptions, mut incoming: mpsc::Receiver<Incoming>) -> Result<(), OpenError> {
    let OnDiskOptions { engine, path, cache_bytes, .. } = to.clone();
    match engine {
        Engine::Sled => {
            let options = SledOptions { cache_bytes, ..SledOptions::new(path) };
            SledImport::make(&options, |import| fill(&mut incoming, |page| import.put(page)))
        }
        Engine::Redb => {
            let options = RedbOptions { cache_bytes, ..RedbOptions::new(path) };
            RedbImport::make(&options, |import| fill(&mut incoming, |page| import.put(page)))
        }
    }
}

/// Puts what comes; returns the ceiling.
fn fill(
    incoming: &mut mpsc::Receiver<Incoming>,
    mut put: impl FnMut(&[(Key, Versioned)]) -> Result<(), BoxedCause>,
) -> Result<u64, BoxedCause> {
    loop {
        match incoming.blocking_recv() {
            Some(Incoming::Entries(page)) => put(&page)?,
            Some(Incoming::End { ceiling }) => return Ok(ceiling),
            None => return Err("the store to copy could not be read to its end".into()),
        }
    }
}
