//! The key-encryption key: it wraps the keyring and nothing else. It lives outside the store.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::mac::mac;
use crate::envelope::{DataKey, KEY_BYTES, KeyId};
use crate::ports::Entropy;

/// The beginning of a key file: the number identifies the format.
const PREFIX: &str = "credsmith-kek-1:";
/// Characters of 32 bytes in base64.
const ENCODED: usize = 44;
/// Longest key file; a longer file is not one.
const MAX_FILE: usize = 256;

/// Bytes of the check value.
pub(super) const CHECK_BYTES: usize = 16;

/// The key-encryption key: 32 random bytes, wiped when dropped.
///
/// They stay in one place in memory: a key that is moved about leaves copies behind that nothing
/// wipes.
pub struct Kek(Box<Zeroizing<[u8; KEY_BYTES]>>);

/// Why a file is not a key file. Quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KekError {
    /// It is empty.
    Empty,
    /// It is another file.
    NotAKeyFile,
    /// The right beginning, and then not 44 characters of base64.
    BadKey,
}

impl fmt::Display for KekError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the key file is empty"),
            Self::NotAKeyFile => {
                write!(f, "this is not a key file: expected one line that begins with `{PREFIX}`")
            }
            Self::BadKey => write!(
                f,
                "the key file is damaged: expected {ENCODED} characters of base64 after `{PREFIX}` and nothing else"
            ),
        }
    }
}

impl std::error::Error for KekError {}

impl Kek {
    /// A fresh key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut kek = Self::blank();
        entropy.fill(kek.0.as_mut_slice());
        kek
    }

    fn blank() -> Self {
        Self(Box::new(Zeroizing::new([0; KEY_BYTES])))
    }

    /// Reads what [`Kek::to_file_text`] wrote; white space at either end does not matter.
    ///
    /// # Errors
    /// [`KekError`] in words for operators.
    pub fn parse(file: &[u8]) -> Result<Self, KekError> {
        let text = file.trim_ascii();
        if text.is_empty() {
            return Err(KekError::Empty);
        }
        let encoded = text.strip_prefix(PREFIX.as_bytes()).ok_or(KekError::NotAKeyFile)?;
        if file.len() > MAX_FILE || encoded.len() != ENCODED {
            return Err(KekError::BadKey);
        }
        // One byte more than the key has: the decoder asks for whole groups.
        let mut decoded = Zeroizing::new([0; KEY_BYTES + 1]);
        let length =
            STANDARD.decode_slice(encoded, decoded.as_mut_slice()).map_err(|_| KekError::BadKey)?;
        match decoded.split_first_chunk::<KEY_BYTES>() {
            Some((bytes, _)) if length == KEY_BYTES => {
                let mut kek = Self::blank();
                kek.0.copy_from_slice(bytes);
                Ok(kek)
            }
            _ => Err(KekError::BadKey),
        }
    }

    /// The one line that a key file consists of.
    pub fn to_file_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + ENCODED + 1));
        text.push_str(PREFIX);
        STANDARD.encode_string(self.0.as_slice(), &mut text);
        text.push('\n');
        text
    }

    /// The cipher that wraps the keyring. Its id, 0, is no data key's.
    pub(super) fn wrapping_key(&self) -> DataKey {
        DataKey::new(KeyId(0), &mac(&self.0, &[b"wrap"]))
    }

    /// A value that differs from key to key and discloses nothing about them.
    pub(super) fn check_value(&self) -> [u8; CHECK_BYTES] {
        super::truncated(&mac(&self.0, &[b"check"]))
    }

    /// Whether `check` is this key's check value; in constant time.
    pub(super) fn made(&self, check: &[u8; CHECK_BYTES]) -> bool {
        self.check_value().ct_eq(check).into()
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles::SeededEntropy;

    fn kek(seed: u64) -> Kek {
        Kek::generate(&SeededEntropy::new(seed))
    }

    #[test]
    fn a_key_file_is_one_line_and_reads_back() {
        let text = kek(1).to_file_text();
        assert_eq!(text.len(), PREFIX.len() + ENCODED + 1);
        assert!(text.starts_with("credsmith-kek-1:") && text.ends_with("=\n"));
        for file in [text.to_string(), text.trim().to_owned(), format!("\r\n {}\r\n", text.trim())]
        {
            assert_eq!(**Kek::parse(file.as_bytes()).unwrap().0, **kek(1).0);
        }
    }

    #[test]
    fn other_files_are_refused_in_words() {
        let text = kek(1).to_file_text();
        let good = text.trim();
        let cases = [
            (String::new(), KekError::Empty),
            (" \n".into(), KekError::Empty),
            ("-----BEGIN PRIVATE KEY-----".into(), KekError::NotAKeyFile),
            (good.replace("kek-1", "kek-2"), KekError::NotAKeyFile),
            (good[..good.len() - 1].into(), KekError::BadKey),
            (format!("{good}A"), KekError::BadKey),
            (format!("{good}\n{good}"), KekError::BadKey),
            (format!("{PREFIX}{}", "!".repeat(ENCODED)), KekError::BadKey),
            // 33 bytes, and 31.
            (format!("{PREFIX}{}", "A".repeat(ENCODED)), KekError::BadKey),
            (format!("{PREFIX}{}==", "A".repeat(ENCODED - 2)), KekError::BadKey),
            (format!("{good}{}", " ".repeat(MAX_FILE)), KekError::BadKey),
        ];
        for (file, expected) in cases {
            assert_eq!(Kek::parse(file.as_bytes()).unwrap_err(), expected, "{file:?}");
        }
        assert_eq!(Kek::parse(&[0xff; 60]).unwrap_err(), KekError::NotAKeyFile);
    }

    #[test]
    fn a_key_knows_its_own_check_value_only() {
        assert!(kek(1).made(&kek(1).check_value()));
        assert!(!kek(1).made(&kek(2).check_value()));
    }

    #[test]
    fn it_is_not_printed() {
        assert_eq!(format!("{:?}", kek(1)), "Kek(..)");
    }
}
