//! Signing in at an OpenID provider in a browser: the authorization-code flow with PKCE and nonce
//! (RFC 6749, RFC 7636, OpenID Connect Core). Core keeps the state of a sign-in under way; the
//! implementation speaks to the provider.

use async_trait::async_trait;

use crate::address::Address;
use crate::caller::{Claims, Subject};
use crate::error::Error;
use crate::ids::ProviderId;
use crate::secret::Secret;

/// The state that a sign-in needs when the browser comes back. Kept in memory, used once.
#[derive(Debug)]
pub struct Flow {
    /// The provider.
    pub provider: ProviderId,
    /// The PKCE verifier.
    pub verifier: Secret,
    /// The nonce that the ID token has to name.
    pub nonce: Secret,
    /// The redirect URI that was named at the beginning.
    pub redirect_uri: String,
}

/// A flow that has begun.
#[derive(Debug)]
pub struct Begun {
    /// The address to send the browser to.
    pub uri: String,
    /// The state for [`SignIn::finish`].
    pub flow: Flow,
}

/// A subject that has signed in, as the ID token says.
#[derive(Debug, Clone, PartialEq)]
pub struct Vouched {
    /// The provider.
    pub provider: ProviderId,
    /// The subject.
    pub subject: Subject,
    /// All claims of the ID token.
    pub claims: Claims,
    /// Whether the `email` claim may decide anything: the provider verified it, or the
    /// configuration trusts it.
    pub email_is_trusted: bool,
}

/// Providers at which one can sign in with a browser.
#[async_trait]
pub trait SignIn: Send + Sync + 'static {
    /// Begins a flow. `state` comes back with the browser.
    ///
    /// # Errors
    /// `NotFound` for a provider that is unknown or has no code flow configured; `Upstream` while
    /// it cannot be reached.
    fn begin(&self, provider: &ProviderId, redirect_uri: &str, state: &str)
    -> Result<Begun, Error>;

    /// Finishes a flow for a browser at `from`: the exchanges of a provider are shared among
    /// addresses. `issuer` is the `iss` parameter of the redirect (RFC 9207), where there was
    /// one: one that is not the provider's is refused, and so is its absence where the provider
    /// promises it.
    ///
    /// # Errors
    /// `Unauthenticated` when code, issuer, nonce, signature, audience or tenant do not hold;
    /// `Upstream` when the provider cannot be asked; `Busy` when too many exchanges are under way,
    /// before anything was sent.
    async fn finish(
        &self,
        flow: &Flow,
        code: Secret,
        issuer: Option<&str>,
        from: Address,
    ) -> Result<Vouched, Error>;
}
