//! The layout of sled's tree. One header under `h`: format, ceiling of the revisions, and what the
//! last group has reached (format 1 had no such record). Every entry under `e` and its key, as
//! eight bytes of revision (big-endian) and the value. Anything else is damaged, or was written
//! by another program.

use bytes::Bytes;
use credsmith_core::ports::store::{Key, Revision, Versioned};
use sled::IVec;

use crate::guard::{REACHED_BYTES, Reached};

/// The key of the header.
pub(super) const HEADER_KEY: &[u8] = b"h";
const ENTRY: u8 = b'e';
const FORMAT: u8 = 2;
/// The format whose header has the ceiling alone.
const FORMAT_WITHOUT_RECORD: u8 = 1;
const REVISION_BYTES: usize = 8;

/// Bytes in the tree that this store did not write in this form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    /// A format that this version does not know.
    #[error("the store has format {0}, this version knows format {FORMAT}")]
    Format(u8),
    /// The header has another length.
    #[error("the header of the store is damaged")]
    Header,
    /// A stored key without its first byte.
    #[error("a key in the store is not one of this store")]
    Key,
    /// A stored value without its revision.
    #[error("a value in the store is too short to be one of this store")]
    Value,
}

/// The first bytes of every entry whose key begins with `prefix`, and the whole stored key where
/// `prefix` is a key.
pub(super) fn stored_key(prefix: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(1 + prefix.len());
    stored.push(ENTRY);
    stored.extend_from_slice(prefix);
    stored
}

/// The key that is stored as `stored`.
pub(super) fn key(stored: &[u8]) -> Result<Key, Damage> {
    match stored.split_first() {
        Some((&ENTRY, key)) => Ok(Key::new(Bytes::copy_from_slice(key))),
        _ => Err(Damage::Key),
    }
}

/// The stored form of a value that was put at `revision`.
pub(super) fn stored_value(revision: Revision, value: &[u8]) -> IVec {
    let mut stored = Vec::with_capacity(REVISION_BYTES + value.len());
    stored.extend_from_slice(&revision.0.to_be_bytes());
    stored.extend_from_slice(value);
    IVec::from(stored)
}

/// The revision of a stored value.
pub(super) fn revision(stored: &[u8]) -> Result<Revision, Damage> {
    let bytes = stored.first_chunk::<REVISION_BYTES>().ok_or(Damage::Value)?;
    Ok(Revision(u64::from_be_bytes(*bytes)))
}

/// The value that is stored as `stored`, with its revision.
pub(super) fn versioned(stored: &[u8]) -> Result<Versioned, Damage> {
    let (bytes, value) = stored.split_first_chunk::<REVISION_BYTES>().ok_or(Damage::Value)?;
    Ok(Versioned {
        value: Bytes::copy_from_slice(value),
        revision: Revision(u64::from_be_bytes(*bytes)),
    })
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// No revision above was given.
    pub(super) ceiling: u64,
    /// What the last group has reached; `None` in format 1.
    pub(super) reached: Option<Reached>,
}

/// The header of a store that has given no revision above `ceiling`, and has `reached` that far.
pub(super) fn header(ceiling: u64, reached: Reached) -> IVec {
    IVec::from([&[FORMAT][..], &ceiling.to_be_bytes(), &reached.to_bytes()].concat())
}

/// The header of a store of which it is not recorded how far it has come.
pub(super) fn header_without_record(ceiling: u64) -> IVec {
    IVec::from([&[FORMAT_WITHOUT_RECORD][..], &ceiling.to_be_bytes()].concat())
}

/// Reads a header.
pub(super) fn read_header(stored: &[u8]) -> Result<Header, Damage> {
    let (format, rest) = stored.split_first().ok_or(Damage::Header)?;
    if !matches!(*format, FORMAT | FORMAT_WITHOUT_RECORD) {
        return Err(Damage::Format(*format));
    }
    let (ceiling, rest) = rest.split_first_chunk::<REVISION_BYTES>().ok_or(Damage::Header)?;
    let reached = match <&[u8; REACHED_BYTES]>::try_from(rest) {
        Ok(reached) if *format == FORMAT => Some(Reached::from_bytes(reached)),
        _ if *format == FORMAT_WITHOUT_RECORD && rest.is_empty() => None,
        _ => return Err(Damage::Header),
    };
    Ok(Header { ceiling: u64::from_be_bytes(*ceiling), reached })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back() {
        assert_eq!(key(&stored_key(b"due/1")), Ok(Key::new("due/1")));
        let stored = stored_value(Revision(7), b"sealed");
        assert_eq!(revision(&stored), Ok(Revision(7)));
        assert_eq!(
            versioned(&stored),
            Ok(Versioned { value: Bytes::from("sealed"), revision: Revision(7) })
        );
        let reached = Reached { revision: 8, entries: 7, sum: 6 };
        let header = read_header(&header(9, reached));
        assert_eq!(header, Ok(Header { ceiling: 9, reached: Some(reached) }));
        let older = read_header(&[1, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(older, Ok(Header { ceiling: 9, reached: None }));
    }

    #[test]
    fn each_kind_of_damage_is_detected() {
        assert_eq!(key(b""), Err(Damage::Key));
        assert_eq!(key(b"x1"), Err(Damage::Key));
        assert_eq!(revision(b"1234567"), Err(Damage::Value));
        assert_eq!(versioned(b"1234567"), Err(Damage::Value));
        assert_eq!(read_header(b""), Err(Damage::Header));
        assert_eq!(read_header(&[FORMAT, 0, 0]), Err(Damage::Header));
        assert_eq!(read_header(&[FORMAT, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Damage::Header));
        assert_eq!(read_header(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Damage::Header));
        assert_eq!(read_header(&[3, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Damage::Format(3)));
    }
}
