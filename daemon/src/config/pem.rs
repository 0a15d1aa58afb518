//! PEM files that a configuration names: read and checked at start, not at the first connection.

use credsmith_core::secret::Secret;
use credsmith_http::TlsIdentity;
use credsmith_http::client::{Client, ClientError, ClientOptions, Destination, Scheme};
use zeroize::Zeroizing;

use super::read::Value;

/// The certificates in the file that `value` names.
pub(crate) fn certificates(value: &Value<'_>) -> Option<Vec<u8>> {
    let path = value.path()?;
    match value.reading.environment().file(&path) {
        Ok(text) if text.windows(27).any(|part| part == b"-----BEGIN CERTIFICATE-----") => {
            Some(text)
        }
        Ok(_) => {
            value.fault(format!(
                "the file {} has no certificate, expected PEM with `BEGIN CERTIFICATE`",
                path.display()
            ));
            None
        }
        Err(why) => {
            value.fault(format!("the file {} {why}", path.display()));
            None
        }
    }
}

/// The certificates in the file that `value` names, as roots of trust.
pub(crate) fn roots(value: &Value<'_>) -> Option<Vec<u8>> {
    let roots = certificates(value)?;
    // Only a client can check whether it can use the roots; it opens no connection here.
    let anywhere = Destination {
        extra_roots_pem: Some(roots.clone()),
        ..Destination::new(Scheme::Https, "localhost", 443)
    };
    let options = ClientOptions { destinations: vec![anywhere], ..ClientOptions::default() };
    match Client::new(options) {
        Err(ClientError::Roots(_, error)) => {
            value.fault(format!("cannot be used as roots of trust: {error}"));
            None
        }
        // Other errors do not concern the file and are reported where they matter.
        Ok(_) | Err(_) => Some(roots),
    }
}

/// Checks that certificates and key belong together.
pub(crate) fn check_identity(
    value: &Value<'_>,
    certificates: &[u8],
    private_key: &Secret,
) -> Option<()> {
    let identity = tls_identity(certificates, private_key);
    identity
        .check()
        .map_err(|error| value.fault(format!("certificate and private_key are no pair: {error}")))
        .ok()
}

/// Certificates and key as the server takes them.
pub(crate) fn tls_identity(certificates: &[u8], private_key: &Secret) -> TlsIdentity {
    TlsIdentity {
        chain_pem: certificates.to_vec(),
        key_pem: Zeroizing::new(private_key.expose().to_vec()),
    }
}
