//! What stands in sled's tree. One header under `h`; every entry under `e` and its key, as eight
//! bytes of revision (big-endian) and the value. Whatever does not look like this was damaged or
//! put there by another program.

use std::fmt;

use bytes::Bytes;
use credsmith_core::ports::store::{Key, Revision, Versioned};
use sled::IVec;

/// Where the header is.
pub(super) const HEADER_KEY: &[u8] = b"h";
const ENTRY: u8 = b'e';
const FORMAT: u8 = 1;
const REVISION_BYTES: usize = 8;

/// Bytes in the tree that this store did not write in this form.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// A format that this version does not know.
    Format(u8),
    /// The header has another length.
    Header,
    /// A stored key without its first byte.
    Key,
    /// A stored value without its revision.
    Value,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(format) => {
                write!(f, "the store has format {format}, this version knows format {FORMAT}")
            }
            Self::Header => f.write_str("the header of the store is damaged"),
            Self::Key => f.write_str("a key in the store is none of ours"),
            Self::Value => f.write_str("a value in the store is too short to be one of ours"),
        }
    }
}

impl std::error::Error for Damage {}

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

/// What is stored for a value that was put at `revision`.
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

/// The header for a store in which no revision above `ceiling` was ever given.
pub(super) fn header(ceiling: u64) -> IVec {
    let mut stored = [FORMAT; 1 + REVISION_BYTES];
    if let Some(rest) = stored.last_chunk_mut::<REVISION_BYTES>() {
        *rest = ceiling.to_be_bytes();
    }
    IVec::from(&stored)
}

/// The ceiling in a header.
pub(super) fn ceiling(header: &[u8]) -> Result<u64, Damage> {
    match header.split_first() {
        Some((&FORMAT, rest)) => {
            rest.try_into().map(u64::from_be_bytes).map_err(|_| Damage::Header)
        }
        Some((&format, _)) => Err(Damage::Format(format)),
        None => Err(Damage::Header),
    }
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
        assert_eq!(ceiling(&header(9)), Ok(9));
    }

    #[test]
    fn damage_is_told_by_its_kind() {
        assert_eq!(key(b""), Err(Damage::Key));
        assert_eq!(key(b"x1"), Err(Damage::Key));
        assert_eq!(revision(b"1234567"), Err(Damage::Value));
        assert_eq!(versioned(b"1234567"), Err(Damage::Value));
        assert_eq!(ceiling(b""), Err(Damage::Header));
        assert_eq!(ceiling(&[FORMAT, 0, 0]), Err(Damage::Header));
        assert_eq!(ceiling(&[2, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Damage::Format(2)));
    }
}
