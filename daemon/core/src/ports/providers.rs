//! The OpenID providers that vouch for users.

use std::sync::Arc;

use async_trait::async_trait;

use crate::address::Address;
use crate::caller::Identity;
use crate::error::Error;
use crate::ids::ProviderId;
use crate::secret::Secret;

/// A configured provider as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderView {
    /// Its id.
    pub id: ProviderId,
    /// Its name for people.
    pub description: String,
    /// Its issuer: the discovered spelling once there is one, before that the configured one.
    pub issuer: String,
    /// Whether its discovery succeeded.
    pub ready: bool,
    /// Whether sign-ins with it are disabled (it then serves additional logins only).
    pub login_disabled: bool,
    /// Higher is listed earlier by clients: the first configured one has the highest.
    pub priority: u32,
}

/// The configured OpenID providers.
#[async_trait]
pub trait Providers: Send + Sync + 'static {
    /// All of them, as configured.
    fn list(&self) -> Vec<ProviderView>;

    /// The provider of that id.
    fn get(&self, id: &ProviderId) -> Option<ProviderView>;

    /// The provider with that issuer; a trailing slash makes no difference. Makes no request.
    fn by_issuer(&self, issuer: &str) -> Option<ProviderId>;

    /// Identifies the holder of `token` at `provider`, for a client at `from`: the look-ups of a
    /// provider are shared among addresses. `None`: a caller on this machine, without an address.
    ///
    /// # Errors
    /// `Unauthenticated` with `bad_token`, `login_disabled` or a fixed sentence; `Busy` when too
    /// many look-ups are under way for longer than a request waits.
    async fn identify(
        &self,
        provider: &ProviderId,
        token: Arc<Secret>,
        from: Option<Address>,
    ) -> Result<Arc<Identity>, Error>;
}
