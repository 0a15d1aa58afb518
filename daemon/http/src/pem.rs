//! Reads certificates and keys from PEM text.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What is wrong with a PEM text. The text itself is never quoted: it may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// It is damaged, or contains no certificate.
    #[error("there is no readable PEM certificate in it")]
    Chain,
    /// It is damaged, or contains no private key that can be read: PKCS#8, PKCS#1 and SEC1 can,
    /// encrypted ones cannot.
    #[error("there is no readable, unencrypted PEM private key in it")]
    Key,
    /// Certificate and key do not belong together, or TLS here does not support the kind of key.
    #[error("the private key does not fit the certificate, or is of a kind that is not supported")]
    Pair,
}

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
