//! Certificates and keys out of PEM text.

use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What is wrong with a PEM text. The text itself is never quoted: it may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PemError {
    /// It is damaged, or holds no certificate.
    Chain,
    /// It is damaged, or holds no private key that can be read: PKCS#8, PKCS#1 and SEC1 can,
    /// encrypted ones cannot.
    Key,
    /// Certificate and key do not belong together, or the key is of a kind that TLS here does not
    /// use.
    Pair,
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "there is no readable PEM certificate in it",
            Self::Key => "there is no readable, unencrypted PEM private key in it",
            Self::Pair => {
                "the private key does not fit the certificate, or is of a kind that is not supported"
            }
        })
    }
}

impl std::error::Error for PemError {}

/// All certificates of `pem`, at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| PemError::Chain)?;
    if certificates.is_empty() { Err(PemError::Chain) } else { Ok(certificates) }
}

/// The first private key of `pem`.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| PemError::Key)
}
