//! The tables of redb's file. One has the entries: key, revision and value. The other has the
//! header: the format, and the ceiling of the revisions. A file without a header is unfinished, or
//! was written by another program.

use bytes::Bytes;
use credsmith_core::error::BoxedCause;
use credsmith_core::ports::store::{Revision, Versioned};
use redb::{ReadTransaction, TableDefinition, TableError, WriteTransaction};

use crate::guard::{REACHED_BYTES, Reached};

/// The file in the store's directory.
pub(crate) const FILE: &str = "data.redb";

/// A value's revision and its bytes.
pub(super) type StoredValue = (u64, &'static [u8]);

pub(super) const ENTRIES: TableDefinition<'static, &[u8], StoredValue> =
    TableDefinition::new("entries");
const HEADER: TableDefinition<'static, &str, u64> = TableDefinition::new("header");
/// What the last group has reached, in a table of its own, since it is of another type. A copy that
/// has not been opened yet has none.
const RECORD: TableDefinition<'static, &str, [u8; REACHED_BYTES]> = TableDefinition::new("record");
const REACHED: &str = "reached";
const FORMAT: &str = "format";
const CEILING: &str = "ceiling";
const THIS_FORMAT: u64 = 1;

/// A file that this store did not write in this form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Foreign {
    #[error("the store has format {0}, this version knows format {THIS_FORMAT}")]
    Format(u64),
    #[error(
        "it has no header of this store: it is of another program, or a copy that was not finished"
    )]
    Header,
}

/// The value that is stored as `stored`, with its revision.
pub(super) fn versioned((revision, value): (u64, &[u8])) -> Versioned {
    Versioned { value: Bytes::copy_from_slice(value), revision: Revision(revision) }
}

/// What a value and its revision are in the sum over all entries: the same bytes as in sled's.
pub(super) fn summed((revision, value): (u64, &[u8])) -> Vec<u8> {
    [&revision.to_be_bytes()[..], value].concat()
}

/// What the header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// No revision above was given.
    pub(super) ceiling: u64,
    /// What the last group has reached.
    pub(super) reached: Option<Reached>,
}

/// Writes the header.
pub(super) fn put_header(
    transaction: &WriteTransaction,
    Header { ceiling, reached }: Header,
) -> Result<(), redb::TableError> {
    let mut header = transaction.open_table(HEADER)?;
    header.insert(FORMAT, THIS_FORMAT)?;
    header.insert(CEILING, ceiling)?;
    if let Some(reached) = reached {
        transaction.open_table(RECORD)?.insert(REACHED, reached.to_bytes())?;
    }
    Ok(())
}

/// Reads the header.
pub(super) fn header(transaction: &ReadTransaction) -> Result<Header, BoxedCause> {
    let header = match transaction.open_table(HEADER) {
        Err(TableError::TableDoesNotExist(_)) => return Err(Foreign::Header.into()),
        opened => opened?,
    };
    match header.get(FORMAT)?.map(|format| format.value()) {
        Some(THIS_FORMAT) => {}
        Some(other) => return Err(Foreign::Format(other).into()),
        None => return Err(Foreign::Header.into()),
    }
    let ceiling = header.get(CEILING)?.ok_or(Foreign::Header)?.value();
    let reached = match transaction.open_table(RECORD) {
        Err(TableError::TableDoesNotExist(_)) => None,
        opened => {
            let record = opened?;
            let reached = record.get(REACHED)?;
            reached.map(|bytes| Reached::from_bytes(&bytes.value()))
        }
    };
    Ok(Header { ceiling, reached })
}
