//! Tokens of our own: signed, of two kinds that never pass for each other.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::secret::Secret;

/// The purpose of a token of ours. One kind never passes for the other (RFC 8725 section 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Opens the vault for minutes (`typ` `at+jwt`, RFC 9068).
    Access,
    /// Gets new tokens, once (`typ` `rt+jwt`).
    Refresh,
}

/// Signs and checks tokens of ours. It checks the signature, kind and key alone: times, issuer,
/// audience and session are core's to judge.
pub trait Tokens: Send + Sync + 'static {
    /// `claims` as a signed token.
    ///
    /// # Errors
    /// `Internal`.
    fn sign(&self, kind: TokenKind, claims: &Map<String, Value>) -> Result<Secret, Error>;

    /// The claims of a token that we signed as one of `kind`; `None` for everything else.
    fn verify(&self, kind: TokenKind, token: &Secret) -> Option<Map<String, Value>>;

    /// The public keys, as a JSON Web Key Set (RFC 7517).
    fn public_keys(&self) -> Value;
}
