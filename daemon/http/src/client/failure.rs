//! Why a request got no answer.

use std::fmt;

use super::destination::Origin;

/// What went wrong, as the plugin contract names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// Scheme, host and port are not among the destinations.
    NotGranted,
    /// The policy refuses every address of the name.
    AddressRefused,
    /// The name has no address, or its resolution failed.
    Resolve,
    /// The server does not listen, or the connection broke.
    Connect,
    /// The TLS handshake failed, most often because the certificate is not trusted here.
    Tls,
    /// The deadline passed, or connecting took too long.
    Timeout,
    /// The answer is larger than allowed.
    TooLarge,
    /// Too many requests of this client are under way.
    TooMany,
    /// The request must not be sent like this, or the answer is not HTTP.
    Malformed,
}

impl FailureCode {
    /// The code that plugins see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotGranted => "not-granted",
            Self::AddressRefused => "address-refused",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::TooLarge => "too-large",
            Self::TooMany => "too-many",
            Self::Malformed => "malformed",
        }
    }

    /// Whether the same request may succeed later.
    const fn is_transient(self) -> bool {
        matches!(self, Self::Resolve | Self::Connect | Self::Timeout | Self::TooMany)
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub code: FailureCode,
    /// A sentence that names the configured destination, and quotes neither the request nor the
    /// answer.
    pub message: String,
    /// Whether trying again may help.
    pub retry: bool,
    /// Whether the request may have reached the server and taken effect there.
    pub sent: bool,
}

impl Failure {
    /// A failure before anything was sent.
    pub(crate) fn unsent(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry: code.is_transient(), sent: false }
    }

    /// The server closed the connection before anything was sent.
    pub(super) fn closed(origin: &Origin) -> Self {
        Self::unsent(FailureCode::Connect, format!("{origin} closed the connection"))
    }

    /// A failure after the request had been handed to a connection.
    pub(crate) fn sent(code: FailureCode, message: impl Into<String>) -> Self {
        Self { sent: true, ..Self::unsent(code, message) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Failure {}
