//! The keyring's records in the store: every part is wrapped by the KEK, none is sealed
//! by a data key.
//!
//! | key | value |
//! |---|---|
//! | `keyring/root` | `format u8 \| check 16 \| envelope of: pseudonym key 32, derivation key 32` |
//! | `keyring/dek/<id in hex>` | `envelope of: data key 32, made at u64 (ms), reserved seals u64` |

use bytes::Bytes;
use zeroize::Zeroizing;

use super::KeyringError;
use super::kek::{CHECK_BYTES, Kek};
use crate::envelope::{self, DataKey, KEY_BYTES, KeyId};
use crate::ports::Entropy;
use crate::ports::store::Key;
use crate::time::Timestamp;

const ROOT_FORMAT: u8 = 1;
const ROOT_FIELD: &str = "root";
const DEK_FIELD: &str = "dek";
const DEK_PREFIX: &str = "keyring/dek/";

/// Bytes of a key; wiped when dropped.
pub(super) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// Fresh key bytes.
pub(super) fn random_key(entropy: &dyn Entropy) -> KeyBytes {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    entropy.fill(bytes.as_mut_slice());
    bytes
}

/// The key of the root.
pub(super) fn root_key() -> Key {
    Key::new("keyring/root")
}

/// The prefix of the data keys.
pub(super) fn dek_prefix() -> Key {
    Key::new(DEK_PREFIX)
}

/// The key of the data key of that id.
pub(super) fn dek_key(id: KeyId) -> Key {
    Key::new(format!("{DEK_PREFIX}{:08x}", id.0))
}

/// Which data key is there.
pub(super) fn dek_id(key: &Key) -> Result<KeyId, KeyringError> {
    let text =
        std::str::from_utf8(key.as_bytes()).ok().and_then(|text| text.strip_prefix(DEK_PREFIX));
    let id = text.and_then(|hex| u32::from_str_radix(hex, 16).ok()).map(KeyId);
    // The key must be the one that is written for the id: `1` and `+0000001` are not.
    id.filter(|id| id.0 > 0 && dek_key(*id) == *key).ok_or(KeyringError::Damaged)
}

/// The keys that are never rotated.
pub(super) struct Root {
    pub(super) pseudonyms: KeyBytes,
    pub(super) derivations: KeyBytes,
}

impl Root {
    pub(super) fn generate(entropy: &dyn Entropy) -> Self {
        Self { pseudonyms: random_key(entropy), derivations: random_key(entropy) }
    }

    pub(super) fn wrap(&self, kek: &Kek, entropy: &dyn Entropy) -> Result<Bytes, KeyringError> {
        let mut plain = Zeroizing::new(Vec::with_capacity(2 * KEY_BYTES));
        plain.extend_from_slice(self.pseudonyms.as_slice());
        plain.extend_from_slice(self.derivations.as_slice());
        let sealed = envelope::seal(&kek.wrapping_key(), entropy, &root_key(), ROOT_FIELD, &plain)?;
        Ok([&[ROOT_FORMAT][..], &kek.check_value(), &sealed].concat().into())
    }

    pub(super) fn unwrap(kek: &Kek, value: &[u8]) -> Result<Self, KeyringError> {
        let (format, rest) = value.split_first().ok_or(KeyringError::Damaged)?;
        if *format != ROOT_FORMAT {
            return Err(KeyringError::Damaged);
        }
        let (check, sealed) =
            rest.split_first_chunk::<CHECK_BYTES>().ok_or(KeyringError::Damaged)?;
        if !kek.made(check) {
            return Err(KeyringError::WrongKey);
        }
        let plain = envelope::open(&kek.wrapping_key(), &root_key(), ROOT_FIELD, sealed)?;
        let (pseudonyms, rest) = take(&plain)?;
        let (derivations, rest) = take(rest)?;
        ended(rest)?;
        Ok(Self {
            pseudonyms: Zeroizing::new(*pseudonyms),
            derivations: Zeroizing::new(*derivations),
        })
    }
}

/// A data key as it is kept.
pub(super) struct Dek {
    bytes: KeyBytes,
    made: Timestamp,
    /// Seals that some daemon may have used up.
    pub(super) reserved: u64,
}

impl Dek {
    pub(super) fn generate(entropy: &dyn Entropy, made: Timestamp, reserved: u64) -> Self {
        Self { bytes: random_key(entropy), made, reserved }
    }

    pub(super) fn data_key(&self, id: KeyId) -> DataKey {
        DataKey::new(id, &self.bytes)
    }

    pub(super) fn wrap(
        &self,
        with: &DataKey,
        entropy: &dyn Entropy,
        id: KeyId,
    ) -> Result<Bytes, KeyringError> {
        let mut plain = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 16));
        plain.extend_from_slice(self.bytes.as_slice());
        plain.extend_from_slice(&self.made.as_millis().to_be_bytes());
        plain.extend_from_slice(&self.reserved.to_be_bytes());
        Ok(envelope::seal(with, entropy, &dek_key(id), DEK_FIELD, &plain)?)
    }

    pub(super) fn unwrap(with: &DataKey, id: KeyId, value: &[u8]) -> Result<Self, KeyringError> {
        let plain = envelope::open(with, &dek_key(id), DEK_FIELD, value)?;
        let (bytes, rest) = take(&plain)?;
        let (made, rest) = take(rest)?;
        let (reserved, rest) = take(rest)?;
        ended(rest)?;
        Ok(Self {
            bytes: Zeroizing::new(*bytes),
            made: Timestamp::from_millis(u64::from_be_bytes(*made)),
            reserved: u64::from_be_bytes(*reserved),
        })
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), KeyringError> {
    bytes.split_first_chunk().ok_or(KeyringError::Damaged)
}

fn ended(rest: &[u8]) -> Result<(), KeyringError> {
    if rest.is_empty() { Ok(()) } else { Err(KeyringError::Damaged) }
}
