//! The values of one credential as they are stored, and what the definition of its type makes of
//! each.
//!
//! A value was plain or secure when it was written; the definition says what may be done with it
//! now. A plain value of a field that is secure now is *unsealed*: it counts as secure from that
//! moment on, and a job will seal it. A sealed value of a field that is plain now is *hidden*, like
//! every value of a field that the type no longer has: it is kept, and never shown.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::envelope::least_text_len;
use crate::field::Field;
use crate::ids::SecureValueId;
use crate::secret::Secret;

/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;
/// All values of a credential together, hidden ones included, in bytes: as much as one batch of the
/// store takes with everything that belongs to it.
pub const MAX_CREDENTIAL_BYTES: usize = 128 * 1024;
/// Most values of a credential, hidden ones included: its record names them, and each may need an
/// envelope later.
pub const MAX_VALUES: usize = 256;

/// A secure value in its envelope.
#[derive(Debug, Clone)]
pub(crate) struct SealedValue {
    pub(crate) id: SecureValueId,
    pub(crate) envelope: Bytes,
}

/// Values that are stored plain in their credential, by field.
pub(crate) type Plain = BTreeMap<String, Secret>;
/// Sealed values, by field.
pub(crate) type Sealed = BTreeMap<String, SealedValue>;

/// Plain values that may be shown, in the order of the definition.
pub(crate) fn shown<'a>(
    definition: &'a [Field],
    plain: &'a Plain,
) -> impl Iterator<Item = (&'a Field, &'a Secret)> {
    let plain_fields = definition.iter().filter(|field| !field.secure);
    plain_fields.filter_map(|field| plain.get(&field.id).map(|value| (field, value)))
}

/// Plain values of fields that are secure now.
pub(crate) fn unsealed<'a>(
    definition: &'a [Field],
    plain: &'a Plain,
) -> impl Iterator<Item = (&'a Field, &'a Secret)> {
    let secure_fields = definition.iter().filter(|field| field.secure);
    secure_fields.filter_map(|field| plain.get(&field.id).map(|value| (field, value)))
}

/// Envelopes of fields that are secure now, in the order of the definition.
pub(crate) fn revealable<'a>(
    definition: &'a [Field],
    sealed: &'a Sealed,
) -> impl Iterator<Item = (&'a Field, &'a SealedValue)> {
    let secure_fields = definition.iter().filter(|field| field.secure);
    secure_fields.filter_map(|field| sealed.get(&field.id).map(|value| (field, value)))
}

/// Number and total length of values, without what storing them adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    count: usize,
    bytes: usize,
}

impl Extent {
    /// The extent of plain and sealed values. Of a sealed value that is padded, the least that it
    /// can be: no update is refused for its padding, which the batch has room for.
    pub(crate) fn measure(plain: &Plain, sealed: &Sealed) -> Self {
        let sealed = sealed.values().map(|value| least_text_len(&value.envelope));
        Self::default().and(plain.values().map(Secret::len).chain(sealed))
    }

    /// The extent with more values, of these lengths.
    pub(crate) fn and(self, lengths: impl Iterator<Item = usize>) -> Self {
        lengths.fold(self, |Self { count, bytes }, length| Self {
            count: count + 1,
            bytes: bytes + length,
        })
    }

    /// Whether a credential may have values of this extent.
    pub(crate) fn fits(self) -> bool {
        self.count <= MAX_VALUES && self.bytes <= MAX_CREDENTIAL_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::OVERHEAD;
    use crate::field::ValueType;

    fn field(id: &str, secure: bool) -> Field {
        Field {
            id: id.into(),
            name: id.into(),
            required: false,
            secure,
            value_type: ValueType::PlainText,
            choices: Vec::new(),
            computed: false,
        }
    }

    #[test]
    fn number_and_length_are_bounded() {
        let extent =
            |count: usize, length: usize| Extent::default().and(std::iter::repeat_n(length, count));
        assert!(extent(MAX_VALUES, 0).fits() && !extent(MAX_VALUES + 1, 0).fits());
        assert!(
            extent(1, MAX_CREDENTIAL_BYTES).fits() && !extent(1, MAX_CREDENTIAL_BYTES + 1).fits()
        );
        assert!(!extent(2, MAX_CREDENTIAL_BYTES / 2).and([1].into_iter()).fits());
        let envelope = SealedValue {
            id: SecureValueId::from_random([1; 16]),
            envelope: Bytes::from(vec![0; OVERHEAD + 3]),
        };
        let (plain, sealed) =
            ([("a".into(), Secret::new("12"))].into(), [("b".into(), envelope)].into());
        assert_eq!(Extent::measure(&plain, &sealed), Extent { count: 2, bytes: 5 });
    }

    #[test]
    fn the_definition_decides_what_is_shown() {
        let definition =
            [field("b", false), field("a", false), field("s", true), field("late", true)];
        let plain: Plain =
            ["a", "b", "late", "vanished"].map(|id| (id.into(), Secret::new(id))).into();
        let envelope =
            SealedValue { id: SecureValueId::from_random([1; 16]), envelope: Bytes::new() };
        let sealed: Sealed = ["s", "a", "gone"].map(|id| (id.into(), envelope.clone())).into();
        let ids =
            |found: Vec<&Field>| found.iter().map(|field| field.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(shown(&definition, &plain).map(|(field, _)| field).collect()), ["b", "a"]);
        assert_eq!(ids(unsealed(&definition, &plain).map(|(field, _)| field).collect()), ["late"]);
        // A sealed value of a plain field is hidden: to show it would mean that a change of the
        // type decrypts.
        assert_eq!(ids(revealable(&definition, &sealed).map(|(field, _)| field).collect()), ["s"]);
    }
}
