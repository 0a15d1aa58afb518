//! The byte format of a sealed value: `format u8 | key-id u32 | nonce 12 | ciphertext | tag 16`,
//! numbers in network order.
//!
//! The format is 1, or 2 for a padded text: its length is a multiple of 64 bytes, so that the
//! length of the sealed value, which others may see, tells little of that of the text. The padding
//! is a byte 0x80 and then zeros (ISO/IEC 7816-4), sealed with the text.
//!
//! AES-256-GCM. What is authenticated beside the text: format, key id, the full key that the value
//! is kept under, and the field. A value therefore opens only where it was put. That it is the
//! *newest* one ever put there is not proven.
//!
//! Pure functions over a [`DataKey`]; which key, and how often it may seal, is the matter of
//! [`crate::keyring`].

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit, inout::InOutBuf};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::ports::Entropy;
use crate::ports::store::Key;

/// Bytes of a data key.
pub const KEY_BYTES: usize = 32;
/// How much longer a sealed value is than its plain text.
pub const OVERHEAD: usize = HEADER + NONCE + TAG;

/// What the length of a padded text is a multiple of, in bytes.
pub const PADDED_TO: usize = 64;

const FORMAT: u8 = 1;
const FORMAT_PADDED: u8 = 2;
const PADDING_BEGINS: u8 = 0x80;
const HEADER: usize = 1 + size_of::<u32>();
const NONCE: usize = 12;
const TAG: usize = 16;

/// Names a data key. Never given to two keys of one keyring; 0 is the KEK's, which seals nothing
/// but the keyring itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

/// Why a sealed value does not open. Callers of the daemon learn none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvelopeError {
    /// It is not a sealed value, or of a format that this daemon does not know.
    Malformed,
    /// It was sealed with a key that this keyring does not have.
    UnknownKey(KeyId),
    /// It was changed, or moved from another key or field, or sealed with another key of the same
    /// id.
    Tampered,
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                f.write_str("a stored value is not a sealed value of a known format")
            }
            Self::UnknownKey(id) => {
                write!(
                    f,
                    "a stored value is sealed with key {}, which the keyring does not have",
                    id.0
                )
            }
            Self::Tampered => f.write_str("a stored value was changed, or belongs elsewhere"),
        }
    }
}

impl std::error::Error for EnvelopeError {}

/// A key that seals and opens; wiped when dropped.
pub struct DataKey {
    id: KeyId,
    cipher: Aes256Gcm,
}

impl DataKey {
    /// Prepares the key `bytes`, which are to be random.
    pub fn new(id: KeyId, bytes: &Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let key: &[u8; KEY_BYTES] = bytes;
        Self { id, cipher: Aes256Gcm::new(key.into()) }
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id.0)
    }
}

/// Seals `plain` for `field` of the value at `key`, under a fresh random nonce.
///
/// A random nonce of 96 bits carries some 2^32 seals of one key before a repetition is worth
/// fearing; counting them is the caller's.
///
/// # Errors
/// [`EnvelopeError::Malformed`] for a key, field or text beyond 4 GiB.
pub fn seal(
    with: &DataKey,
    entropy: &dyn Entropy,
    key: &Key,
    field: &str,
    plain: &[u8],
) -> Result<Bytes, EnvelopeError> {
    seal_as(FORMAT, (with, entropy), (key, field), plain)
}

/// As [`seal`], for a text whose length is to stay hidden: it is padded.
///
/// # Errors
/// As [`seal`].
pub fn seal_padded(
    with: &DataKey,
    entropy: &dyn Entropy,
    key: &Key,
    field: &str,
    plain: &[u8],
) -> Result<Bytes, EnvelopeError> {
    seal_as(FORMAT_PADDED, (with, entropy), (key, field), plain)
}

fn seal_as(
    format: u8,
    (with, entropy): (&DataKey, &dyn Entropy),
    (key, field): (&Key, &str),
    plain: &[u8],
) -> Result<Bytes, EnvelopeError> {
    let mut nonce = [0; NONCE];
    entropy.fill(&mut nonce);
    // All of it at once: a vector that grows leaves copies of the text behind.
    let mut value = Vec::with_capacity(OVERHEAD + plain.len() + PADDED_TO);
    value.push(format);
    value.extend_from_slice(&with.id.0.to_be_bytes());
    value.extend_from_slice(&nonce);
    value.extend_from_slice(plain);
    if format == FORMAT_PADDED {
        value.push(PADDING_BEGINS);
        let padded = (plain.len() + 1).next_multiple_of(PADDED_TO);
        value.resize(HEADER + NONCE + padded, 0);
    }

    let body = value.get_mut(HEADER + NONCE..).unwrap_or_default();
    let associated = associated(format, with.id, key, field)?;
    let sealed =
        with.cipher.encrypt_inout_detached(&Nonce::from(nonce), &associated, InOutBuf::from(body));
    let tag = sealed.map_err(|_| EnvelopeError::Malformed)?;
    value.extend_from_slice(&tag);
    Ok(value.into())
}

/// Which key sealed the value.
///
/// # Errors
/// [`EnvelopeError::Malformed`].
pub fn key_id(sealed: &[u8]) -> Result<KeyId, EnvelopeError> {
    Parts::of(sealed).map(|parts| parts.key_id)
}

/// Opens what was sealed for `field` of the value at `key`. The text is wiped when dropped.
///
/// # Errors
/// All of [`EnvelopeError`]; [`EnvelopeError::UnknownKey`] when `with` is another key.
pub fn open(
    with: &DataKey,
    key: &Key,
    field: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let parts = Parts::of(sealed)?;
    if parts.key_id != with.id {
        return Err(EnvelopeError::UnknownKey(parts.key_id));
    }
    let mut plain = Zeroizing::new(parts.body.to_vec());
    let opened = with.cipher.decrypt_inout_detached(
        &Nonce::from(*parts.nonce),
        &associated(parts.format, with.id, key, field)?,
        InOutBuf::from(plain.as_mut_slice()),
        &Tag::from(*parts.tag),
    );
    opened.map_err(|_| EnvelopeError::Tampered)?;
    if parts.format == FORMAT_PADDED {
        let length = text_len(&plain).ok_or(EnvelopeError::Malformed)?;
        plain.truncate(length);
    }
    Ok(plain)
}

/// The length of the text in `padded`.
fn text_len(padded: &[u8]) -> Option<usize> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    (padded.get(end) == Some(&PADDING_BEGINS)).then_some(end)
}

/// The length that a sealed text has at least, which is all that a sealed value tells.
pub fn least_text_len(sealed: &[u8]) -> usize {
    let body = sealed.len().saturating_sub(OVERHEAD);
    if sealed.first() == Some(&FORMAT_PADDED) { body.saturating_sub(PADDED_TO) } else { body }
}

struct Parts<'a> {
    format: u8,
    key_id: KeyId,
    nonce: &'a [u8; NONCE],
    body: &'a [u8],
    tag: &'a [u8; TAG],
}

impl<'a> Parts<'a> {
    fn of(sealed: &'a [u8]) -> Result<Self, EnvelopeError> {
        Self::split(sealed).ok_or(EnvelopeError::Malformed)
    }

    fn split(sealed: &'a [u8]) -> Option<Self> {
        let (format, rest) = sealed.split_first()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (body, tag) = rest.split_last_chunk()?;
        let is_known = [FORMAT, FORMAT_PADDED].contains(format);
        is_known.then_some(Self {
            format: *format,
            key_id: KeyId(u32::from_be_bytes(*id)),
            nonce,
            body,
            tag,
        })
    }
}

/// Lengths stand before key and field, so that no pair of them reads like another.
fn associated(format: u8, id: KeyId, key: &Key, field: &str) -> Result<Vec<u8>, EnvelopeError> {
    let mut data = Vec::with_capacity(HEADER + 8 + key.as_bytes().len() + field.len());
    data.push(format);
    data.extend_from_slice(&id.0.to_be_bytes());
    for part in [key.as_bytes(), field.as_bytes()] {
        let length = u32::try_from(part.len()).map_err(|_| EnvelopeError::Malformed)?;
        data.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(part);
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::doubles::SeededEntropy;

    const FIELD: &str = "record";

    fn data_key(id: u32, byte: u8) -> DataKey {
        DataKey::new(KeyId(id), &Zeroizing::new([byte; KEY_BYTES]))
    }

    fn at(key: &str) -> Key {
        Key::new(key.as_bytes().to_vec())
    }

    fn sealed(plain: &[u8]) -> Bytes {
        seal(&data_key(7, 1), &SeededEntropy::new(1), &at("lease/1"), FIELD, plain).unwrap()
    }

    fn open_error(with: &DataKey, key: &str, field: &str, sealed: &[u8]) -> EnvelopeError {
        open(with, &at(key), field, sealed).unwrap_err()
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_where_it_was_put(
            plain in proptest::collection::vec(any::<u8>(), 0..300),
            key in proptest::collection::vec(any::<u8>(), 0..40),
            field in ".{0,10}",
            id: u32,
            seed: u64,
        ) {
            let (with, key) = (data_key(id, 9), Key::new(key));
            let value = seal(&with, &SeededEntropy::new(seed), &key, &field, &plain).unwrap();
            prop_assert_eq!(value.len(), plain.len() + OVERHEAD);
            prop_assert_eq!(key_id(&value).unwrap(), KeyId(id));
            let opened = open(&with, &key, &field, &value).unwrap();
            prop_assert_eq!(&*opened, &plain);
        }

        #[test]
        fn foreign_bytes_never_open(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(open(&data_key(7, 1), &at("lease/1"), FIELD, &bytes).is_err());
        }
    }

    /// An independent implementation computed the value: Python's `cryptography`, AESGCM over the
    /// documented AAD.
    #[test]
    fn the_format_is_as_documented() {
        struct Fixed;
        impl Entropy for Fixed {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(0xab);
            }
        }
        let value = seal(&data_key(7, 1), &Fixed, &at("lease/1"), FIELD, b"hello").unwrap();
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0100000007abababababababababababab1fe397fc5263f133a2f75acc4933606e623ded5399"
        );
    }

    fn padded(plain: &[u8]) -> Bytes {
        seal_padded(&data_key(7, 1), &SeededEntropy::new(1), &at("lease/1"), FIELD, plain).unwrap()
    }

    /// Attack: a reader without the right to reveal tells a PIN of four digits from one of six, and
    /// "true" from "false", by the length of what is stored.
    #[test]
    fn the_length_of_a_padded_value_tells_little() {
        let with = data_key(7, 1);
        for length in 0..300 {
            for end in [0, 1, PADDING_BEGINS] {
                let mut plain = vec![7; length];
                plain.extend([end]);
                let value = padded(&plain);
                assert_eq!((value.len() - OVERHEAD) % PADDED_TO, 0, "{length}");
                let expected = (plain.len() + 1).next_multiple_of(PADDED_TO);
                assert_eq!(value.len() - OVERHEAD, expected, "{length}");
                assert_eq!(*open(&with, &at("lease/1"), FIELD, &value).unwrap(), plain);
                let least = least_text_len(&value);
                assert!((least..least + PADDED_TO).contains(&plain.len()), "{length}");
            }
        }
        assert_eq!(padded(b"true").len(), padded(b"false").len());
        assert_eq!(*open(&with, &at("lease/1"), FIELD, &padded(b"")).unwrap(), b"");
        assert_eq!(least_text_len(&sealed(b"hello")), 5, "a value that is not padded tells it");
    }

    /// Attack: a padded value is passed off as one that is not, or the other way round.
    #[test]
    fn the_two_formats_are_not_taken_for_each_other() {
        for (value, other) in [(sealed(&[PADDING_BEGINS; 64]), 2), (padded(b"hello"), 1)] {
            let mut changed = value.to_vec();
            changed[0] = other;
            assert_eq!(
                open_error(&data_key(7, 1), "lease/1", FIELD, &changed),
                EnvelopeError::Tampered
            );
        }
        assert_eq!((text_len(&[0; 64]), text_len(&[1, 0]), text_len(&[])), (None, None, None));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let value = sealed(b"hello");
        for bit in 0..value.len() * 8 {
            let mut changed = value.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            let error = open_error(&data_key(7, 1), "lease/1", FIELD, &changed);
            let expected = match bit / 8 {
                0 => EnvelopeError::Malformed,
                1..=4 => EnvelopeError::UnknownKey(key_id(&changed).unwrap()),
                _ => EnvelopeError::Tampered,
            };
            assert_eq!(error, expected, "bit {bit}");
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_noticed() {
        let value = sealed(b"hello");
        for length in 0..value.len() {
            assert!(
                open(&data_key(7, 1), &at("lease/1"), FIELD, &value[..length]).is_err(),
                "{length}"
            );
        }
        let longer = [&value[..], &[0]].concat();
        assert_eq!(open_error(&data_key(7, 1), "lease/1", FIELD, &longer), EnvelopeError::Tampered);
    }

    /// Attack: a person who can write to the store puts the victim's record under their own key,
    /// and reads it through the daemon.
    #[test]
    fn a_value_moved_to_another_key_is_refused() {
        assert_eq!(
            open_error(&data_key(7, 1), "lease/2", FIELD, &sealed(b"hello")),
            EnvelopeError::Tampered
        );
    }

    /// Attack: a secret field is copied into a field that every reader is shown.
    #[test]
    fn a_value_moved_to_another_field_is_refused() {
        let with = data_key(7, 1);
        assert_eq!(
            open_error(&with, "lease/1", "display", &sealed(b"hello")),
            EnvelopeError::Tampered
        );
    }

    /// Attack: the border between key and field is moved, so that both together read the same.
    #[test]
    fn key_and_field_do_not_run_together() {
        let with = data_key(7, 1);
        let value = seal(&with, &SeededEntropy::new(1), &at("ab"), "c", b"hello").unwrap();
        assert_eq!(open_error(&with, "a", "bc", &value), EnvelopeError::Tampered);
    }

    /// Attack: the store claims another key for a value, of which the daemon then leaks whether it
    /// fits.
    #[test]
    fn another_key_opens_nothing() {
        let value = sealed(b"hello");
        let same_id = open_error(&data_key(7, 2), "lease/1", FIELD, &value);
        assert_eq!(same_id, EnvelopeError::Tampered);
        let other_id = open_error(&data_key(8, 1), "lease/1", FIELD, &value);
        assert_eq!(other_id, EnvelopeError::UnknownKey(KeyId(7)));
    }

    #[test]
    fn equal_texts_seal_differently() {
        let (with, entropy) = (data_key(7, 1), SeededEntropy::new(1));
        let seal_one = || seal(&with, &entropy, &at("lease/1"), FIELD, b"hello").unwrap();
        assert_ne!(seal_one(), seal_one());
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", data_key(7, 1)), "DataKey(7)");
    }
}
