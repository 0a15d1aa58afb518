//! What the committer's thread does with a group: one transaction of redb, which ends in one
//! fdatasync.
//!
//! redb commits in one phase here: it writes pages and header, then syncs once. A start after a
//! crash verifies the checksums of the last transaction and goes back to the one before when they
//! do not fit. What would defeat that, an author of the values who chooses bytes with a given
//! checksum, is ruled out: values arrive sealed.

use std::sync::Arc;

use credsmith_core::ports::store::{Batch, Committed, Expected, Revision, StoreError};
use redb::{ReadableTable, StorageError, Table, WriteTransaction};

use super::Files;
use super::layout::{self, ENTRIES, StoredValue};
use crate::committer::{Answer, Engine, Written, unavailable};
use crate::fatal::{Fatal, Step};
use crate::revisions::Revisions;

type Entries<'t> = Table<'t, &'static [u8], StoredValue>;

/// redb, as the committer uses it.
pub(super) struct Writer {
    pub(super) files: Arc<Files>,
    pub(super) revisions: Revisions,
}

impl Engine for Writer {
    fn commit(&mut self, batches: &[Batch]) -> Written {
        let mut answers = Vec::with_capacity(batches.len());
        let durable = self.write(batches, &mut answers);
        Written { answers, durable }
    }

    fn finish(&mut self) -> Result<(), Fatal> {
        match self.files.database.write().take() {
            Some(database) => database.close().map_err(|cause| Fatal::new(Step::Sync, cause)),
            None => Ok(()),
        }
    }
}

impl Writer {
    fn write(&mut self, batches: &[Batch], answers: &mut Vec<Answer>) -> Result<(), Fatal> {
        let transaction = self.begin()?;
        let changes = self.apply(&transaction, batches, answers);
        let changes = changes.map_err(|cause| Fatal::new(Step::Apply, cause))?;
        let ended = if changes {
            transaction.commit().map_err(|cause| Fatal::new(Step::Sync, cause))
        } else {
            transaction.abort().map_err(|cause| Fatal::new(Step::Apply, cause))
        };
        ended
    }

    fn begin(&self) -> Result<WriteTransaction, Fatal> {
        let database = self.files.database.read();
        let database =
            database.as_ref().ok_or_else(|| Fatal::new(Step::Apply, "the file is closed"))?;
        database.begin_write().map_err(|cause| Fatal::new(Step::Apply, cause))
    }

    /// Puts the group into the transaction; returns whether it changes anything.
    fn apply(
        &mut self,
        transaction: &WriteTransaction,
        batches: &[Batch],
        answers: &mut Vec<Answer>,
    ) -> Result<bool, redb::Error> {
        let mut entries = transaction.open_table(ENTRIES)?;
        let mut changes = false;
        for batch in batches {
            answers.push(match self.admit(&entries, batch)? {
                Ok(None) => Ok(Committed { revision: self.revisions.last() }),
                Ok(Some(revision)) => {
                    changes |= write(&mut entries, batch, revision)?;
                    Ok(Committed { revision })
                }
                Err(refused) => Err(refused),
            });
        }
        if let Some(ceiling) = self.revisions.raised_ceiling() {
            layout::put_header(transaction, ceiling)?;
            changes = true;
        }
        Ok(changes)
    }

    /// The revision for what `batch` writes, `None` when it writes nothing; or why it does not
    /// happen.
    fn admit(
        &mut self,
        entries: &Entries<'_>,
        batch: &Batch,
    ) -> Result<Result<Option<Revision>, StoreError>, StorageError> {
        for (key, expected) in &batch.expectations {
            let there = entries.get(key.as_bytes())?.map(|stored| Revision(stored.value().0));
            let holds = match expected {
                Expected::Absent => there.is_none(),
                Expected::At(revision) => there == Some(*revision),
            };
            if !holds {
                return Ok(Err(StoreError::Conflict { key: key.clone() }));
            }
        }
        if batch.puts.is_empty() && batch.deletes.is_empty() {
            return Ok(Ok(None));
        }
        let used_up = || unavailable("the revisions of this store are used up");
        Ok(self.revisions.next().ok_or_else(used_up).map(Some))
    }
}

/// Writes what `batch` puts and deletes; returns whether it changed anything.
fn write(
    entries: &mut Entries<'_>,
    batch: &Batch,
    revision: Revision,
) -> Result<bool, StorageError> {
    for (key, value) in &batch.puts {
        entries.insert(key.as_bytes(), (revision.0, &value[..]))?;
    }
    let mut changed = !batch.puts.is_empty();
    for key in &batch.deletes {
        changed |= entries.remove(key.as_bytes())?.is_some();
    }
    Ok(changed)
}
