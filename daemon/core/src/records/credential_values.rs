//! The values of a credential as bytes: one after the other, cut into parts that the store takes.

use super::encoding::{Unreadable, unreadable};
use crate::ids::SecureValueId;
use crate::model::values::{Plain, Sealed, SealedValue};
use crate::secret::Secret;

use bytes::Bytes;
use zeroize::Zeroizing;

/// Longest part, in bytes, before it is sealed.
pub(super) const PART_BYTES: usize = 30 * 1024;

/// Most parts of one kind that the values of a credential are cut into.
pub(super) const MAX_PARTS: usize = 6;

const ID_LEN: usize = 25;

/// `length u8 | field | length u32 | value`, one after the other.
pub(super) fn pack_plain(plain: &Plain) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    let mut packed = Zeroizing::new(Vec::new());
    for (field, value) in plain {
        put_field(&mut packed, field)?;
        put_bytes(&mut packed, value.expose())?;
    }
    Ok(packed)
}

/// `length u8 | field | id 25 | length u32 | envelope`, one after the other.
pub(super) fn pack_sealed(sealed: &Sealed) -> Result<Vec<u8>, Unreadable> {
    let mut packed = Vec::new();
    for (field, value) in sealed {
        put_field(&mut packed, field)?;
        packed.extend_from_slice(value.id.as_str().as_bytes());
        put_bytes(&mut packed, &value.envelope)?;
    }
    Ok(packed)
}

pub(super) fn unpack_plain(packed: &[u8]) -> Result<Plain, Unreadable> {
    let mut rest = Reader(packed);
    let mut plain = Plain::new();
    while !rest.0.is_empty() {
        let field = rest.field()?;
        plain.insert(field, Secret::new(rest.bytes()?));
    }
    Ok(plain)
}

pub(super) fn unpack_sealed(packed: &[u8]) -> Result<Sealed, Unreadable> {
    let mut rest = Reader(packed);
    let mut sealed = Sealed::new();
    while !rest.0.is_empty() {
        let field = rest.field()?;
        let id = SecureValueId::from_bytes(rest.take(ID_LEN)?).ok_or_else(cut_short)?;
        sealed.insert(field, SealedValue { id, envelope: Bytes::copy_from_slice(rest.bytes()?) });
    }
    Ok(sealed)
}

fn put_field(packed: &mut Vec<u8>, field: &str) -> Result<(), Unreadable> {
    packed.push(u8::try_from(field.len()).map_err(unreadable)?);
    packed.extend_from_slice(field.as_bytes());
    Ok(())
}

fn put_bytes(packed: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Unreadable> {
    packed.extend_from_slice(&u32::try_from(bytes.len()).map_err(unreadable)?.to_be_bytes());
    packed.extend_from_slice(bytes);
    Ok(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<String, Unreadable> {
        let (length, rest) = self.0.split_first().ok_or_else(cut_short)?;
        self.0 = rest;
        let field = self.take(usize::from(*length))?;
        std::str::from_utf8(field).map(str::to_owned).map_err(unreadable)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        let (length, rest) = self.0.split_first_chunk().ok_or_else(cut_short)?;
        self.0 = rest;
        self.take(usize::try_from(u32::from_be_bytes(*length)).map_err(unreadable)?)
    }
}

fn cut_short() -> Unreadable {
    unreadable("its values do not end where they should")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::envelope::{OVERHEAD, PADDED_TO};
    use crate::model::values::{MAX_CREDENTIAL_BYTES, MAX_VALUES};

    proptest! {
        #[test]
        fn values_come_back(
            given in proptest::collection::btree_map("[a-zA-Z0-9_]{1,64}", proptest::collection::vec(any::<u8>(), 0..50), 0..10)
        ) {
            let plain: Plain = given.iter().map(|(field, value)| (field.clone(), Secret::new(value.clone()))).collect();
            let back = unpack_plain(&pack_plain(&plain).unwrap()).unwrap();
            prop_assert!(back.iter().map(|(field, value)| (field, value.expose())).eq(given.iter().map(|(field, value)| (field, value.as_slice()))));

            let sealed: Sealed = given.iter().enumerate().map(|(n, (field, value))| {
                let id = SecureValueId::from_random([u8::try_from(n).unwrap(); 16]);
                (field.clone(), SealedValue { id, envelope: value.clone().into() })
            }).collect();
            let back = unpack_sealed(&pack_sealed(&sealed).unwrap()).unwrap();
            prop_assert!(back.iter().map(|(field, value)| (field, value.id, &value.envelope)).eq(sealed.iter().map(|(field, value)| (field, value.id, &value.envelope))));
        }

        #[test]
        fn foreign_bytes_are_refused_and_nothing_breaks(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = unpack_sealed(&bytes);
            if let Ok(plain) = unpack_plain(&bytes) {
                prop_assert!(pack_plain(&plain).unwrap().len() <= bytes.len());
            }
        }
    }

    #[test]
    fn the_largest_credential_has_no_more_parts_than_are_allowed_for() {
        let entry = 1 + 64 + ID_LEN + 4 + OVERHEAD + PADDED_TO;
        let largest = MAX_CREDENTIAL_BYTES + MAX_VALUES * entry;
        assert!(largest.div_ceil(PART_BYTES) <= MAX_PARTS);
    }
}
