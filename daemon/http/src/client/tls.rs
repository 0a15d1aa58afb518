//! TLS towards servers: the roots that are trusted, and the client certificate.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use rustls::pki_types::{IpAddr as PkiIpAddr, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use url::Host;

use super::destination::{ClientIdentity, Destination, Origin};
use super::error::ClientError;
use crate::pem::{self, PemError};

/// What a TLS handshake with a target needs.
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// The roots of this system, read once, when the first destination needs them.
static SYSTEM_ROOTS: LazyLock<Result<RootCertStore, String>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems carry a few old certificates that are no valid roots any more; they are skipped.
    let _ = roots.add_parsable_certificates(found.certs);
    match (roots.is_empty(), found.errors.first()) {
        (false, _) => Ok(roots),
        (true, Some(error)) => Err(error.to_string()),
        (true, None) => Err("none were found".to_owned()),
    }
});

/// Prepares TLS handshakes with `destination`.
pub(super) fn prepare(destination: &Destination, origin: &Origin) -> Result<Tls, ClientError> {
    let roots = roots(destination.extra_roots_pem.as_deref(), origin)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let identity_failed = |cause| ClientError::Identity(origin.to_string(), cause);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| identity_failed(PemError::Pair))?
        .with_root_certificates(roots);
    let mut config = match &destination.identity {
        None => builder.with_no_client_auth(),
        Some(ClientIdentity { chain_pem, key_pem }) => {
            let chain = pem::certificates(chain_pem).map_err(identity_failed)?;
            let key = pem::private_key(key_pem).map_err(identity_failed)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| identity_failed(PemError::Pair))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls { config: Arc::new(config), name: server_name(origin)? })
}

fn roots(extra: Option<&[u8]>, origin: &Origin) -> Result<RootCertStore, ClientError> {
    let mut roots = match (&*SYSTEM_ROOTS, extra) {
        (Ok(roots), _) => roots.clone(),
        (Err(_), Some(_)) => RootCertStore::empty(),
        (Err(cause), None) => {
            return Err(ClientError::SystemRoots(origin.to_string(), cause.clone()));
        }
    };
    if let Some(extra) = extra {
        let failed = |cause| ClientError::Roots(origin.to_string(), cause);
        for certificate in pem::certificates(extra).map_err(failed)? {
            roots.add(certificate).map_err(|_| failed(PemError::Chain))?;
        }
    }
    Ok(roots)
}

fn server_name(origin: &Origin) -> Result<ServerName<'static>, ClientError> {
    match &origin.host {
        Host::Domain(name) => {
            ServerName::try_from(name.clone()).map_err(|_| ClientError::Host(origin.to_string()))
        }
        Host::Ipv4(address) => Ok(ip_name(IpAddr::V4(*address))),
        Host::Ipv6(address) => Ok(ip_name(IpAddr::V6(*address))),
    }
}

fn ip_name(address: IpAddr) -> ServerName<'static> {
    ServerName::IpAddress(PkiIpAddr::from(address))
}

/// The TLS error among the sources of `error`.
pub(super) fn find_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An I/O error returns the source of its inner error as its own, which would skip the inner
        // error.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Describes a failed handshake without quoting the server.
pub(super) fn describe(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(problem) => match problem {
            CertificateError::UnknownIssuer => {
                "its certificate is signed by an authority that is not trusted here"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name"
            }
            CertificateError::Revoked => "its certificate is revoked",
            _ => "its certificate is not valid",
        },
        rustls::Error::AlertReceived(_) => "it refused the TLS handshake",
        rustls::Error::PeerIncompatible(_) => {
            "it speaks no TLS version or cipher that is accepted here"
        }
        rustls::Error::InvalidMessage(_) => "it does not speak TLS",
        _ => "the TLS handshake failed",
    }
}
