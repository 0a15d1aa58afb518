//! Private keys as handles: the daemon signs, the plugin never holds the key.

use std::fmt;

use crate::imports;
use crate::settings::{FromSetting, MISSING, Settings};

/// A way of signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// RSA, PKCS #1 v1.5, with SHA-256.
    RsaPkcs1Sha256,
    /// RSA-PSS with SHA-256.
    RsaPssSha256,
}

impl Algorithm {
    const ALL: [Self; 5] = [
        Self::Ed25519,
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::RsaPkcs1Sha256,
        Self::RsaPssSha256,
    ];

    /// Its name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::RsaPssSha256 => "rsa-pss-sha256",
        }
    }
}

/// A private key that stays in the daemon; a setting of kind signing-key.
pub struct SigningKey(pub(crate) imports::keys::SigningKey);

impl SigningKey {
    /// The algorithms that [`sign`](Self::sign) accepts, as far as this crate knows them.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let names = self.0.algorithms();
        Algorithm::ALL
            .into_iter()
            .filter(|algorithm| names.iter().any(|name| name == algorithm.name()))
            .collect()
    }

    /// The public half as SubjectPublicKeyInfo (RFC 5280), DER.
    pub fn public_key(&self) -> Vec<u8> {
        self.0.public_key()
    }

    /// The signature over the whole message; ECDSA as ASN.1 DER (RFC 3279).
    ///
    /// # Errors
    /// A sentence for the log when the key does not sign this way.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, String> {
        self.0.sign(algorithm.name(), message)
    }
}

impl FromSetting for SigningKey {
    fn read(_: &Settings, key: &str) -> Result<Self, String> {
        imports::keys::get(key).map(Self).ok_or_else(|| MISSING.into())
    }

    fn is_there(_: &Settings, key: &str) -> bool {
        imports::keys::get(key).is_some()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}
