//! Authenticating what is kept outside the store, where nothing can be sealed because people read
//! it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::mac::mac;
use crate::envelope::KEY_BYTES;

/// Bytes of a message authentication code.
pub const MAC_BYTES: usize = KEY_BYTES;

/// A message authentication code.
pub type MacBytes = [u8; MAC_BYTES];

/// Signs and checks texts with a key that nothing else uses; wiped when dropped.
pub struct Authenticator(Zeroizing<[u8; KEY_BYTES]>);

impl Authenticator {
    pub(super) fn new(key: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(key)
    }

    /// One that a test knows.
    #[cfg(test)]
    pub(crate) fn of_test(seed: u8) -> Self {
        Self(Zeroizing::new([seed; KEY_BYTES]))
    }

    /// The code of `text`.
    pub fn sign(&self, text: &[u8]) -> MacBytes {
        *mac(&self.0, &[text])
    }

    /// Whether `code` is that of `text`; in constant time.
    pub fn has_signed(&self, text: &[u8], code: &MacBytes) -> bool {
        self.sign(text).ct_eq(code).into()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator(..)")
    }
}

/// A code as it stands in a line of the audit log and in records: base64url, no padding.
pub(crate) fn encode_mac(mac: &MacBytes) -> String {
    URL_SAFE_NO_PAD.encode(mac)
}

/// Decodes the text of [`encode_mac`].
pub(crate) fn decode_mac(text: &[u8]) -> Option<MacBytes> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_of_one_text_and_one_key() {
        let code = Authenticator::of_test(1).sign(b"text");
        assert!(Authenticator::of_test(1).has_signed(b"text", &code));
        assert!(!Authenticator::of_test(1).has_signed(b"texT", &code));
        assert!(!Authenticator::of_test(2).has_signed(b"text", &code));
        let mut other = code;
        other[31] ^= 1;
        assert!(!Authenticator::of_test(1).has_signed(b"text", &other));
    }

    #[test]
    fn it_is_not_printed() {
        assert_eq!(format!("{:?}", Authenticator::of_test(1)), "Authenticator(..)");
    }
}
