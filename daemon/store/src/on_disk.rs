//! A store on disk with the engine that the configuration names.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use credsmith_core::ports::store::{Batch, Committed, Key, Page, Store, StoreError, Versioned};

use crate::engine::Engine;
use crate::error::OpenError;
use crate::guard::Safeguards;
use crate::loss::Loss;
use crate::on_redb::{self, Redb, RedbOptions};
use crate::on_sled::{Sled, SledOptions};

/// The file by which a directory with sled's data is known.
const SLEDS_FILE: &str = "db";

/// The options of an [`OnDisk`].
#[derive(Debug, Clone)]
pub struct OnDiskOptions {
    /// The engine.
    pub engine: Engine,
    /// The store's own directory; created with mode 0700 if it is missing. It must have no other
    /// content.
    pub path: PathBuf,
    /// Bytes that the engine may use for cached pages.
    pub cache_bytes: u64,
    /// How its files are watched over.
    pub safeguards: Safeguards,
}

/// A store of one of the engines.
pub enum OnDisk {
    /// On sled.
    Sled(Sled),
    /// On redb.
    Redb(Redb),
}

impl OnDiskOptions {
    /// The default options for a store in `path`.
    pub fn new(engine: Engine, path: impl Into<PathBuf>, cache_bytes: u64) -> Self {
        Self { engine, path: path.into(), cache_bytes, safeguards: Safeguards::default() }
    }
}

impl OnDisk {
    /// Opens the store, and creates it if the directory is missing or empty. Blocks while it reads
    /// files.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::OtherEngine`] when the directory has a store of another
    /// engine, which is left as it is.
    pub fn open(options: OnDiskOptions) -> Result<Self, OpenError> {
        let OnDiskOptions { engine: asked, path, cache_bytes, safeguards } = options;
        match engine_of(&path) {
            Some(found) if found != asked => Err(OpenError::OtherEngine { path, found, asked }),
            _ => match asked {
                Engine::Sled => {
                    Sled::open(SledOptions { cache_bytes, safeguards, ..SledOptions::new(path) })
                        .map(Self::Sled)
                }
                Engine::Redb => {
                    Redb::open(RedbOptions { cache_bytes, safeguards, ..RedbOptions::new(path) })
                        .map(Self::Redb)
                }
            },
        }
    }

    /// What the store has lost, where it was opened despite that and is not settled yet.
    pub fn loss(&self) -> Option<Loss> {
        match self {
            Self::Sled(sled) => sled.loss(),
            Self::Redb(redb) => redb.loss(),
        }
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
        match self {
            Self::Sled(sled) => sled.settle(),
            Self::Redb(redb) => redb.settle(),
        }
    }

    /// Finishes every earlier commit and ends the committer; later commits are refused. The
    /// directory is free for another process once the last handle is dropped as well.
    ///
    /// # Errors
    /// `Unavailable` when the engine did not close in order.
    pub async fn close(&self) -> Result<(), StoreError> {
        match self {
            Self::Sled(sled) => sled.close().await,
            Self::Redb(redb) => redb.close().await,
        }
    }

    fn store(&self) -> &dyn Store {
        match self {
            Self::Sled(sled) => sled,
            Self::Redb(redb) => redb,
        }
    }
}

/// The engine whose data is in the directory at `path`, if there is any.
fn engine_of(path: &Path) -> Option<Engine> {
    let file = |engine| match engine {
        Engine::Sled => SLEDS_FILE,
        Engine::Redb => on_redb::FILE,
    };
    Engine::ALL.into_iter().find(|engine| path.join(file(*engine)).exists())
}

#[async_trait]
impl Store for OnDisk {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.store().get(key).await
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.store().scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.store().commit(batch).await
    }
}
