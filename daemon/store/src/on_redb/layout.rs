//! The tables of redb's file. One has the entries: key, revision and value. The other has the
//! header: the format, and the ceiling of the revisions. A file without a header is unfinished, or
//! was written by another program.

use bytes::Bytes;
use credsmith_core::error::BoxedCause;
use credsmith_core::ports::store::{Revision, Versioned};
use redb::{ReadTransaction, TableDefinition, TableError, WriteTransaction};

/// The file in the store's directory.
pub(crate) const FILE: &str = "data.redb";

/// A value's revision and its bytes.
pub(super) type StoredValue = (u64, &'static [u8]);

pub(super) const ENTRIES: TableDefinition<'static, &[u8], StoredValue> =
    TableDefinition::new("entries");
const HEADER: TableDefinition<'static, &str, u64> = TableDefinition::new("header");
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

/// Writes the header of a store that has given no revision above `ceiling`.
pub(super) fn put_header(
    transaction: &WriteTransaction,
    ceiling: u64,
) -> Result<(), redb::TableError> {
    let mut header = transaction.open_table(HEADER)?;
    header.insert(FORMAT, THIS_FORMAT)?;
    header.insert(CEILING, ceiling)?;
    Ok(())
}

/// The ceiling in the header.
pub(super) fn ceiling(transaction: &ReadTransaction) -> Result<u64, BoxedCause> {
    let header = match transaction.open_table(HEADER) {
        Err(TableError::TableDoesNotExist(_)) => return Err(Foreign::Header.into()),
        opened => opened?,
    };
    match header.get(FORMAT)?.map(|format| format.value()) {
        Some(THIS_FORMAT) => {}
        Some(other) => return Err(Foreign::Format(other).into()),
        None => return Err(Foreign::Header.into()),
    }
    Ok(header.get(CEILING)?.ok_or(Foreign::Header)?.value())
}
