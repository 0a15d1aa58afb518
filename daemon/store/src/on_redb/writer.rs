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
use super::layout::{self, ENTRIES, Header, StoredValue};
use crate::committer::{Answer, Engine, Written, unavailable};
use crate::fatal::{Fatal, Step};
use crate::guard::Reached;
use crate::revisions::Revisions;

type Entries<'t> = Table<'t, &'static [u8], StoredValue>;

/// redb, as the committer uses it.
pub(super) struct Writer {
    pub(super) files: Arc<Files>,
    pub(super) revisions: Revisions,
    /// What the last group has reached.
    pub(super) reached: Reached,
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
    fn write(
        &mut self,
        batches: &[Batch],
        answers: &mut Vec<Answer>,
    ) -> Result<Option<Reached>, Fatal> {
        let transaction = self.begin()?;
        let reached = self.apply(&transaction, batches, answers);
        let reached = reached.map_err(|cause| Fatal::new(Step::Apply, cause))?;
        if let Some(reached) = reached {
            transaction.commit().map_err(|cause| Fatal::new(Step::Sync, cause))?;
            self.reached = reached;
        } else {
            transaction.abort().map_err(|cause| Fatal::new(Step::Apply, cause))?;
        }
        Ok(reached)
    }

    fn begin(&self) -> Result<WriteTransaction, Fatal> {
        let database = self.files.database.read();
        let database =
            database.as_ref().ok_or_else(|| Fatal::new(Step::Apply, "the file is closed"))?;
        database.begin_write().map_err(|cause| Fatal::new(Step::Apply, cause))
    }

    /// Puts the group into the transaction; returns how far the store comes with it, `None` if it
    /// changes nothing.
    fn apply(
        &mut self,
        transaction: &WriteTransaction,
        batches: &[Batch],
        answers: &mut Vec<Answer>,
    ) -> Result<Option<Reached>, redb::Error> {
        let mut reached = self.reached;
        let mut entries = transaction.open_table(ENTRIES)?;
        let mut changes = false;
        for batch in batches {
            answers.push(match self.admit(&entries, batch)? {
                Ok(None) => Ok(Committed { revision: self.revisions.last() }),
                Ok(Some(revision)) => {
                    changes |= write(&mut entries, &mut reached, batch, revision)?;
                    Ok(Committed { revision })
                }
                Err(refused) => Err(refused),
            });
        }
        changes |= self.revisions.raised_ceiling().is_some();
        if !changes {
            return Ok(None);
        }
        reached.revision = self.revisions.last().0;
        let ceiling = self.revisions.ceiling();
        layout::put_header(transaction, Header { ceiling, reached: Some(reached) })?;
        Ok(Some(reached))
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

/// Writes what `batch` puts and deletes, and counts it in `reached`; returns whether it changed
/// anything.
fn write(
    entries: &mut Entries<'_>,
    reached: &mut Reached,
    batch: &Batch,
    revision: Revision,
) -> Result<bool, StorageError> {
    for (key, value) in &batch.puts {
        let stored = (revision.0, &value[..]);
        if let Some(old) = entries.insert(key.as_bytes(), stored)? {
            reached.remove(key.as_bytes(), &layout::summed(old.value()));
        }
        reached.add(key.as_bytes(), &layout::summed(stored));
    }
    let mut changed = !batch.puts.is_empty();
    for key in &batch.deletes {
        if let Some(old) = entries.remove(key.as_bytes())? {
            reached.remove(key.as_bytes(), &layout::summed(old.value()));
            changed = true;
        }
    }
    Ok(changed)
}
