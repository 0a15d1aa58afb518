//! Why a request got no answer.

use std::fmt;

/// What went wrong, in the words of the plugin contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// Scheme, host and port are not among the destinations.
    NotGranted,
    /// The name leads to addresses that the policy refuses, and to no other.
    AddressRefused,
    /// The name leads nowhere, or nobody could tell.
    Resolve,
    /// Nobody listens there, or the connection broke.
    Connect,
    /// The handshake failed: most often a certificate that nobody here trusts.
    Tls,
    /// The deadline passed, or connecting took too long.
    Timeout,
    /// The answer is larger than allowed.
    TooLarge,
    /// Too many requests of this client are under way.
    TooMany,
    /// The request may not be sent like this, or the answer is no HTTP.
    Malformed,
}

impl FailureCode {
    /// The word that plugins see.
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

    /// Whether the same request may well succeed later.
    const fn may_pass(self) -> bool {
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
    /// A sentence of ours. It names the destination as it was configured, and nothing that a
    /// request or an answer carried.
    pub message: String,
    /// Whether trying again may help.
    pub retry: bool,
    /// Whether the request may have reached the server, and had its effect there.
    pub sent: bool,
}

impl Failure {
    /// A failure before anything was sent.
    pub(crate) fn unsent(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry: code.may_pass(), sent: false }
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
