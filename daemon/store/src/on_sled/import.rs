//! Fills a new store with the entries of another one, each with its revision.

use std::fs::File;

use credsmith_core::error::BoxedCause;
use credsmith_core::ports::store::{Key, Versioned};
use sled::{Batch, Db};

use super::options::SledOptions;
use super::{layout, opening};
use crate::directory::Directory;
use crate::error::OpenError;

/// A store that is being filled. It gets its header last: until then it does not open.
pub(crate) struct SledImport<'a> {
    db: &'a Db,
}

impl SledImport<'_> {
    /// Makes a store in the directory of `options`: `fill` puts its entries and returns the ceiling
    /// of their revisions.
    pub(crate) fn make(
        options: &SledOptions,
        fill: impl FnOnce(&mut SledImport<'_>) -> Result<u64, BoxedCause>,
    ) -> Result<(), OpenError> {
        let directory = Directory::claim(&options.path)?;
        let db = opening::open_sled(options)?;
        let log = directory.file("db");
        let failed = |cause: BoxedCause| OpenError::io(&log, "write")(std::io::Error::other(cause));
        // What it has reached is counted, and recorded, when it is opened.
        let ceiling = fill(&mut SledImport { db: &db }).map_err(failed)?;
        db.insert(layout::HEADER_KEY, layout::header_without_record(ceiling))
            .map_err(|e| failed(e.into()))?;
        db.flush().map_err(|cause| failed(cause.into()))?;
        let synced = File::open(&log).and_then(|file| file.sync_all());
        synced.map_err(OpenError::io(&log, "make durable"))?;
        directory.sync(&["db", "conf", "blobs"])
    }

    /// Puts `entries`.
    pub(crate) fn put(&mut self, entries: &[(Key, Versioned)]) -> Result<(), BoxedCause> {
        let mut batch = Batch::default();
        for (key, stored) in entries {
            let value = layout::stored_value(stored.revision, &stored.value);
            batch.insert(layout::stored_key(key.as_bytes()), value);
        }
        Ok(self.db.apply_batch(batch)?)
    }
}
