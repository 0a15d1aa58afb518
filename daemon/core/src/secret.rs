//! A value that must not be seen: it cannot be printed, compared with `==`, or serialised, and is
//! wiped when dropped.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret byte string: a token, a password, a key. Cloning copies the bytes; share with `Arc`
/// where one copy will do.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves. Every call of this is a place that a reviewer looks at.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text, if it is text.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether `candidate` is this secret, in a time that depends on the lengths alone.
    pub fn verify(&self, candidate: &[u8]) -> bool {
        self.0.ct_eq(candidate).into()
    }

    /// SHA-256 of the secret: a key for caches, which then hold no secret.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_slice()).into()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_printed() {
        let text = format!("{:?}", Some(Secret::new("hunter2")));
        assert_eq!(text, "Some(Secret(..))");
    }

    #[test]
    fn it_knows_itself() {
        let secret = Secret::new("hunter2");
        assert!(secret.verify(b"hunter2"));
        for other in [&b""[..], b"hunter", b"hunter3", b"hunter22"] {
            assert!(!secret.verify(other));
        }
    }
}
