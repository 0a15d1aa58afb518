//! Fills a new store with the entries of another one, each with its revision.

use credsmith_core::error::BoxedCause;
use credsmith_core::ports::store::{Key, Versioned};
use redb::Database;

use super::layout::{self, ENTRIES, Header};
use super::opening;
use super::options::RedbOptions;
use crate::directory::Directory;
use crate::error::OpenError;

/// A store that is being filled. Until it is finished it does not open.
pub(crate) struct RedbImport<'a> {
    database: &'a Database,
}

impl RedbImport<'_> {
    /// Makes a store in the directory of `options`: `fill` puts its entries and returns the ceiling
    /// of their revisions.
    pub(crate) fn make(
        options: &RedbOptions,
        fill: impl FnOnce(&mut RedbImport<'_>) -> Result<u64, BoxedCause>,
    ) -> Result<(), OpenError> {
        let directory = Directory::claim(&options.path)?;
        opening::create(&directory, opening::UNFINISHED_COPY, options, |database| {
            let ceiling = fill(&mut RedbImport { database })?;
            let transaction = database.begin_write()?;
            transaction.open_table(ENTRIES)?;
            // What it has reached is counted, and recorded, when it is opened.
            layout::put_header(&transaction, Header { ceiling, reached: None })?;
            Ok(transaction.commit()?)
        })
    }

    /// Puts `entries`.
    pub(crate) fn put(&mut self, entries: &[(Key, Versioned)]) -> Result<(), BoxedCause> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(ENTRIES)?;
            for (key, stored) in entries {
                table.insert(key.as_bytes(), (stored.revision.0, &stored.value[..]))?;
            }
        }
        Ok(transaction.commit()?)
    }
}
