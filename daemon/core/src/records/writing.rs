//! A batch that is being built, for all records but leases: sealed values, indexes, names, the
//! event of the change.

use bytes::Bytes;
use tracing::Span;

use super::change::Witness;
use super::{CommitError, Records, keys};
use crate::error::Error;
use crate::ports::audit::Event;
use crate::ports::store::{Batch, Expected, Key, Revision};

/// A batch that is being built. [`Writing::commit`] writes all of it or nothing.
pub(crate) struct Writing<'a> {
    records: &'a Records,
    batch: Batch,
    witness: Option<Witness>,
}

impl Records {
    /// When `space` last changed, for projections of it; `None`: never.
    pub(crate) async fn epoch(&self, space: &str) -> Result<Option<Revision>, Error> {
        let found = self.store.get(&keys::epoch(space)).await.map_err(Error::internal)?;
        Ok(found.map(|found| found.revision))
    }

    /// An empty batch.
    pub(crate) fn writing(&self) -> Writing<'_> {
        Writing { records: self, batch: Batch::default(), witness: None }
    }
}

impl<'a> Writing<'a> {
    pub(super) fn records(&self) -> &'a Records {
        self.records
    }

    /// Demands that `key` is as it was read.
    pub(crate) fn expect(&mut self, key: &Key, expected: Expected) {
        self.batch.expectations.push((key.clone(), expected));
    }

    /// Seals `plain` for `field` of the value at `key`, and puts it there.
    pub(crate) async fn put(&mut self, key: &Key, field: &str, plain: &[u8]) -> Result<(), Error> {
        let sealed = self.records.keyring.seal(key, field, plain).await?;
        // Sealing a text twice gives different values: this value proves that this batch happened.
        self.witness.get_or_insert_with(|| Witness { key: key.clone(), put: Some(sealed.clone()) });
        self.batch.puts.push((key.clone(), sealed));
        Ok(())
    }

    /// Puts a key without a value.
    pub(crate) fn index(&mut self, key: Key) {
        self.batch.puts.push((key, Bytes::new()));
    }

    /// Deletes `key`, if it is there.
    pub(crate) fn delete(&mut self, key: Key) {
        self.batch.deletes.push(key);
    }

    /// Demands that nothing in `space` changed since [`Records::epoch`] said `epoch`.
    pub(crate) fn expect_epoch(&mut self, space: &str, epoch: Option<Revision>) {
        self.expect(&keys::epoch(space), epoch.map_or(Expected::Absent, Expected::At));
    }

    /// Moves the epoch of `space`: projections of it are read again.
    pub(crate) fn bump(&mut self, space: &str) {
        self.index(keys::epoch(space));
    }

    /// Adds an audit event to the batch: it exists if and only if the batch happens.
    pub(crate) async fn event(&mut self, event: &Event) -> Result<(), Error> {
        self.event_of(event, &Span::current()).await
    }

    /// The same for an event that another request caused: that of `span`.
    pub(super) async fn event_of(&mut self, event: &Event, span: &Span) -> Result<(), Error> {
        let (key, sealed) = self.records.sealed_event(event, span).await?;
        // Some batches are only an event: a refusal, a command that changed nothing.
        self.witness.get_or_insert_with(|| Witness { key: key.clone(), put: Some(sealed.clone()) });
        self.batch.puts.push((key, sealed));
        Ok(())
    }

    /// Has the batch written on a disk that is almost full, too: it takes something away, or
    /// records what has happened already.
    pub(super) fn is_urgent(&mut self) {
        self.batch.urgent = true;
    }

    /// The size of the batch so far, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.batch.puts.iter().map(|(key, value)| key.as_bytes().len() + value.len()).sum()
    }

    /// Makes the batch durable.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when an expectation does not hold: nothing has happened then.
    pub(crate) async fn commit(self) -> Result<Revision, CommitError> {
        let Self { records, batch, witness } = self;
        let only_deleted =
            || batch.deletes.first().map(|key| Witness { key: key.clone(), put: None });
        let witness = witness
            .or_else(only_deleted)
            .ok_or_else(|| Error::internal("a batch that changes nothing"))?;
        records.submit(batch, &witness).await
    }
}
