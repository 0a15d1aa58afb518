//! PEM files that a configuration names: read and checked at start, not at the first connection.

use std::time::{Duration, UNIX_EPOCH};

use credsmith_core::secret::Secret;
use credsmith_http::TlsIdentity;
use credsmith_http::client::{Client, ClientError, ClientOptions, Destination, Scheme};
use x509_cert::Certificate;
use x509_cert::der::DecodePem as _;
use zeroize::Zeroizing;

use super::read::Value;

/// How long before its end a certificate is a warning: enough for a person to act.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

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
        .ok()?;
    check_dates(value, certificates)
}

/// Refuses a certificate that peers refuse because of its dates, and warns of one that ends soon.
/// Those behind the first one are of the authorities above it, and end no later in practice.
fn check_dates(value: &Value<'_>, certificates: &[u8]) -> Option<()> {
    // What cannot be read here was not refused by the TLS library, which judges the form.
    let Some(first) = first(certificates) else { return Some(()) };
    let validity = first.tbs_certificate.validity;
    let now = value.reading.environment().now();
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (begin, end) =
        (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
    if end <= now {
        value.fault(format!(
            "has a certificate that ended at {}, expected one that is valid now",
            validity.not_after
        ));
        return None;
    }
    if now < begin {
        value.fault(format!(
            "has a certificate that begins at {} only, expected one that is valid now",
            validity.not_before
        ));
        return None;
    }
    if end.saturating_sub(now) < SOON {
        value.warning(format!("has a certificate that ends at {}", validity.not_after));
    }
    Some(())
}

/// The first certificate of a file, which may have other blocks as well.
fn first(pem: &[u8]) -> Option<Certificate> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = std::str::from_utf8(pem).ok()?;
    let block = text.get(text.find("-----BEGIN CERTIFICATE-----")?..)?;
    let block = block.get(..block.find(END)? + END.len())?;
    Certificate::from_pem(block).ok()
}

/// Certificates and key as the server takes them.
pub(crate) fn tls_identity(certificates: &[u8], private_key: &Secret) -> TlsIdentity {
    TlsIdentity {
        chain_pem: certificates.to_vec(),
        key_pem: Zeroizing::new(private_key.expose().to_vec()),
    }
}
