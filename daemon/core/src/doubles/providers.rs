//! Providers out of a table.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::{ISSUER, identity, lock};
use crate::address::Address;
use crate::caller::Identity;
use crate::error::{Error, Kind};
use crate::ids::ProviderId;
use crate::ports::providers::{ProviderView, Providers};
use crate::secret::Secret;

/// The provider of a token, and the SHA-256 of the token.
type TokenKey = (ProviderId, [u8; 32]);

/// Knows the providers and the tokens that a test added.
#[derive(Debug, Default)]
pub struct FakeProviders {
    providers: Mutex<Vec<ProviderView>>,
    tokens: Mutex<BTreeMap<TokenKey, Arc<Identity>>>,
}

impl FakeProviders {
    /// Without providers and tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// [`super::PROVIDER`] alone, which takes the name of a user for their token: `alice` is alice.
    pub fn with_users<'a>(users: impl IntoIterator<Item = &'a str>) -> Self {
        let fake = Self::new();
        for user in users {
            let identity = identity(user);
            fake.add_provider(view(identity.provider().clone(), ISSUER));
            fake.add_token(user, identity);
        }
        fake
    }

    /// Adds a provider, or puts it in the place of the one with its id.
    pub fn add_provider(&self, provider: ProviderView) {
        let mut providers = lock(&self.providers);
        providers.retain(|known| known.id != provider.id);
        providers.push(provider);
    }

    /// From now on `token` is the identity's, at its provider.
    pub fn add_token(&self, token: &str, identity: Identity) {
        let key = (identity.provider().clone(), Secret::new(token).digest());
        lock(&self.tokens).insert(key, Arc::new(identity));
    }
}

fn view(id: ProviderId, issuer: &str) -> ProviderView {
    ProviderView {
        description: format!("The provider {id}"),
        id,
        issuer: issuer.into(),
        ready: true,
        login_disabled: false,
        priority: 1,
    }
}

#[async_trait]
impl Providers for FakeProviders {
    fn list(&self) -> Vec<ProviderView> {
        lock(&self.providers).clone()
    }

    fn get(&self, id: &ProviderId) -> Option<ProviderView> {
        lock(&self.providers).iter().find(|provider| provider.id == *id).cloned()
    }

    fn by_issuer(&self, issuer: &str) -> Option<ProviderId> {
        let bare = |text: &str| text.trim_end_matches('/').to_owned();
        let providers = lock(&self.providers);
        let found = providers.iter().find(|provider| bare(&provider.issuer) == bare(issuer));
        found.map(|provider| provider.id.clone())
    }

    async fn identify(
        &self,
        provider: &ProviderId,
        token: Arc<Secret>,
        _: Option<Address>,
    ) -> Result<Arc<Identity>, Error> {
        if self.get(provider).is_some_and(|view| view.login_disabled) {
            return Err(Error::new(Kind::Unauthenticated, "login_disabled"));
        }
        let known = lock(&self.tokens).get(&(provider.clone(), token.digest())).cloned();
        known.ok_or_else(|| Error::new(Kind::Unauthenticated, "bad_token"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles::PROVIDER;

    #[tokio::test]
    async fn a_token_is_its_users_at_its_provider() {
        let fake = FakeProviders::with_users(["alice", "bob"]);
        let op = fake.by_issuer("https://op.example.org/").unwrap();
        assert_eq!(op.as_str(), PROVIDER);
        assert_eq!(fake.list().len(), 1);

        let token = |text: &str| Arc::new(Secret::new(text));
        let bob = fake.identify(&op, token("bob"), None).await.unwrap();
        assert_eq!(bob.subject().subject, "bob");
        for (provider, text) in [("op", "carol"), ("other", "bob")] {
            let provider = ProviderId::parse(provider).unwrap();
            let refused = fake.identify(&provider, token(text), None).await.unwrap_err();
            assert_eq!(refused.public(), "bad_token");
        }

        fake.add_provider(ProviderView { login_disabled: true, ..fake.get(&op).unwrap() });
        assert_eq!(
            fake.identify(&op, token("bob"), None).await.unwrap_err().public(),
            "login_disabled"
        );
    }
}
