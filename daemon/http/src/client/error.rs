//! Why a client cannot be made.

use crate::pem::PemError;

/// Why a client cannot be made. Each variant names the destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The host is neither a name nor an address.
    #[error("{0:?} is no host name or address")]
    Host(String),
    /// Two destinations have the same host and port: it is ambiguous which policy holds. With two
    /// schemes, a secret that is bound to that place for TLS could be sent in the clear.
    #[error("{0} is listed twice")]
    Repeated(String),
    /// The extra roots cannot be read.
    #[error("the extra roots of {0} cannot be used: {1}")]
    Roots(String, PemError),
    /// The client certificate or its key cannot be read or used.
    #[error("the client certificate for {0} cannot be used: {1}")]
    Identity(String, PemError),
    /// TLS settings at a destination without TLS.
    #[error("{0} has roots or a client certificate, but no TLS to use them with")]
    UnusedTlsSettings(String),
    /// The roots of this system cannot be read, or there are none, and the destination brings none
    /// of its own.
    #[error(
        "{0} cannot be verified: this system has no readable root certificates ({1}); install \
         them (package ca-certificates), or give the destination roots of its own"
    )]
    SystemRoots(String, String),
    /// The `user-agent` is no header value.
    #[error("the user agent contains characters that a header cannot hold")]
    UserAgent,
}
