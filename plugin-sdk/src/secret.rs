//! Secrets as handles: a plugin says where one goes, the daemon puts it there.

use std::fmt;

use crate::imports;

/// A secret of the configuration, or an access token. The value stays in the daemon unless `reveal`
/// is granted for it.
pub struct Secret(pub(crate) imports::settings::Secret);

/// The hash of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Hash {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl Secret {
    /// The value itself.
    ///
    /// # Errors
    /// A sentence that says so where the configuration does not grant `reveal` for this secret.
    pub fn reveal(&self) -> Result<String, String> {
        self.0.reveal()
    }

    /// Begins with k = `prefix` followed by the secret, sets k = HMAC(k, message) for each message
    /// in turn, and returns the last k. One message is a plain HMAC; several make the chained keys
    /// of request signatures.
    ///
    /// # Errors
    /// A sentence that says so where the configuration does not grant `hmac` for this secret.
    pub fn hmac(&self, hash: Hash, prefix: &str, messages: &[Vec<u8>]) -> Result<Vec<u8>, String> {
        self.0.hmac(hash.name(), prefix, messages)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
