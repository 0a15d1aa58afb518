//! All configured providers behind core's port.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use credsmith_core::caller::Identity;
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::providers::{ProviderView, Providers};
use credsmith_core::ports::{Clock, Entropy, Tasks};
use credsmith_core::secret::Secret;
use credsmith_core::{Error, Kind};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::cache::{IdentityCache, Key};
use crate::flights::{Flights, Grounded};
use crate::issuer;
use crate::options::{Fault, Limits, ProviderOptions, same_issuer};
use crate::provider::Provider;
use crate::trouble::Trouble;

/// Said for every token that does not hold, whatever the reason: the provider's own words stay out,
/// and the log has the cause.
const NOT_ACCEPTED: &str = "Authorization failed, please check the access token";

/// No access token is longer: request heads are bounded by the same number.
const MAX_TOKEN: usize = 16 * 1024;

/// What the providers need of the world.
#[derive(Clone)]
pub struct World {
    /// For expiry, refresh and back-off.
    pub clock: Arc<dyn Clock>,
    /// Runs discovery and look-ups.
    pub tasks: Arc<dyn Tasks>,
    /// For jitter, and for what makes a sign-in unguessable.
    pub entropy: Arc<dyn Entropy>,
}

/// The configured providers. Discovery goes on in the background until [`OidcProviders::stop`] or
/// the last reference is dropped.
pub struct OidcProviders {
    providers: Vec<Arc<Provider>>,
    positions: HashMap<ProviderId, usize>,
    cache: Arc<IdentityCache>,
    flights: Flights<Key, Result<Arc<Identity>, Trouble>>,
    stopped: watch::Sender<bool>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl OidcProviders {
    /// Checks the options and begins to discover every provider. Waits for none of them: one that
    /// is down delays nobody.
    ///
    /// # Errors
    /// Every fault of the options.
    pub fn start(
        options: Vec<ProviderOptions>,
        limits: &Limits,
        world: &World,
    ) -> Result<Arc<Self>, Vec<Fault>> {
        let faults = check(&options);
        if !faults.is_empty() {
            return Err(faults);
        }
        let count = u32::try_from(options.len()).unwrap_or(u32::MAX);
        let providers: Vec<Arc<Provider>> = (0..count)
            .zip(options)
            .map(|(position, options)| {
                Provider::new(options, count - position, limits, Arc::clone(&world.clock))
            })
            .map(Arc::new)
            .collect();
        let ids = providers.iter().map(|provider| provider.options.id.clone());
        let this = Arc::new(Self {
            positions: ids.zip(0..).collect(),
            cache: Arc::new(IdentityCache::new(
                limits.cache_entries,
                limits.cache_ttl,
                Arc::clone(&world.clock),
            )),
            flights: Flights::new(Arc::clone(&world.tasks)),
            stopped: watch::Sender::new(false),
            clock: Arc::clone(&world.clock),
            entropy: Arc::clone(&world.entropy),
            providers,
        });
        for provider in &this.providers {
            let work = keep_until_stopped(
                Arc::clone(provider),
                Arc::clone(&world.entropy),
                this.stopped.subscribe(),
            );
            world.tasks.spawn("provider discovery", Box::pin(work));
        }
        Ok(this)
    }

    /// Ends the background work, so that a drain can finish. Look-ups under way go on, and what is
    /// known stays known.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Providers whose last discovery failed, or found that nobody can sign in there with a
    /// browser, and why, for operators. One that is listed here may be ready still: by what an
    /// earlier discovery found, or for bearers of tokens.
    pub fn troubles(&self) -> Vec<(ProviderId, String)> {
        let trouble =
            |provider: &Arc<Provider>| Some((provider.options.id.clone(), provider.trouble()?));
        self.providers.iter().filter_map(trouble).collect()
    }

    pub(crate) fn find(&self, id: &ProviderId) -> Option<(usize, &Arc<Provider>)> {
        let position = *self.positions.get(id)?;
        Some((position, self.providers.get(position)?))
    }

    /// What to run for a token that is not in the cache; `None` when enough look-ups are under way.
    fn look_up(
        &self,
        key: Key,
        provider: &Arc<Provider>,
        token: Arc<Secret>,
    ) -> Option<BoxFuture<'static, Result<Arc<Identity>, Trouble>>> {
        if let Some(identity) = self.cache.get(&key) {
            // Another look-up landed between our glance at the cache and now.
            return Some(async move { Ok(identity) }.boxed());
        }
        let slot = Arc::clone(&provider.slots).try_acquire_owned().ok()?;
        let (provider, cache) = (Arc::clone(provider), Arc::clone(&self.cache));
        let work = async move {
            let known = provider.look_up(&token).await?;
            drop(slot);
            cache.put(key, known.clone());
            Ok(known.identity)
        };
        Some(work.boxed())
    }
}

async fn keep_until_stopped(
    provider: Arc<Provider>,
    entropy: Arc<dyn Entropy>,
    mut stopped: watch::Receiver<bool>,
) {
    let stop = std::pin::pin!(stopped.wait_for(|stopped| *stopped));
    let keep = std::pin::pin!(provider.keep_discovered(&*entropy));
    futures_util::future::select(stop, keep).await;
}

fn check(options: &[ProviderOptions]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = options.iter().flat_map(ProviderOptions::check).collect();
    for (position, one) in options.iter().enumerate() {
        let earlier = || options.iter().take(position);
        let mut wrong =
            |setting, problem| faults.push(Fault { provider: one.id.clone(), setting, problem });
        if earlier().any(|other| other.id == one.id) {
            wrong("id", "another provider has it already");
        }
        if earlier().any(|other| overlap(other, one)) {
            wrong("issuer", "another provider has it already, or a tenant of it");
        }
    }
    faults
}

// Two that may speak as one issuer would be two ways to be the same person.
fn overlap(one: &ProviderOptions, other: &ProviderOptions) -> bool {
    let theirs = issuer::configured(other);
    issuer::configured(one).iter().any(|own| theirs.iter().any(|their| same_issuer(own, their)))
}

// b64token of RFC 6750 section 2.1: nothing else can be an access token, nor stand in a header.
fn is_token(token: &[u8]) -> bool {
    let body = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(b);
    let padding = token.iter().rev().take_while(|b| **b == b'=').count();
    let kept = token.get(..token.len() - padding).unwrap_or_default();
    token.len() <= MAX_TOKEN && !kept.is_empty() && kept.iter().all(body)
}

fn unauthenticated(public: &'static str) -> Error {
    Error::new(Kind::Unauthenticated, public)
}

#[async_trait]
impl Providers for OidcProviders {
    fn list(&self) -> Vec<ProviderView> {
        self.providers.iter().map(|provider| provider.view()).collect()
    }

    fn get(&self, id: &ProviderId) -> Option<ProviderView> {
        self.find(id).map(|(_, provider)| provider.view())
    }

    fn by_issuer(&self, issuer: &str) -> Option<ProviderId> {
        self.providers
            .iter()
            .find(|provider| provider.has_issuer(issuer))
            .map(|provider| provider.options.id.clone())
    }

    async fn identify(
        &self,
        provider: &ProviderId,
        token: Arc<Secret>,
    ) -> Result<Arc<Identity>, Error> {
        let (position, provider) = self
            .find(provider)
            .ok_or_else(|| unauthenticated(NOT_ACCEPTED).because("no such provider"))?;
        if provider.options.login_disabled {
            return Err(unauthenticated("login_disabled"));
        }
        if !is_token(token.expose()) {
            return Err(unauthenticated("bad_token"));
        }
        let key = Key { provider: position, digest: token.digest() };
        if let Some(identity) = self.cache.get(&key) {
            return Ok(identity);
        }
        match self.flights.join(key, || self.look_up(key, provider, token)).await {
            Ok(Ok(identity)) => Ok(identity),
            Ok(Err(trouble)) => Err(unauthenticated(NOT_ACCEPTED).because(trouble)),
            Err(Grounded::Full) => {
                Err(Error::new(Kind::Busy, "Too many sign-ins at once; please try again.")
                    .because("as many token look-ups as the provider may have are under way")
                    .retry_after(Duration::from_secs(1)))
            }
            Err(Grounded::Lost) => Err(Error::internal("a token look-up ended without an answer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_a_header_can_carry() {
        for good in ["a", "abc.DEF-1_~+/", "abc=", "abc=="] {
            assert!(is_token(good.as_bytes()), "{good}");
        }
        for bad in ["", "=", "a b", "a=b", "ä", "a\r\nx: y", "a,b", &"x".repeat(MAX_TOKEN + 1)] {
            assert!(!is_token(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn ids_and_issuers_are_unique() {
        let provider =
            |id, issuer| ProviderOptions::new(ProviderId::parse(id).unwrap(), issuer, "us");
        let options = [
            provider("a", "https://op"),
            provider("b", "https://op/"),
            provider("a", "https://other"),
            provider("c", "https://op/.well-known/openid-configuration"),
        ];
        let faults: Vec<_> = check(&options)
            .into_iter()
            .map(|fault| (fault.provider.to_string(), fault.setting))
            .collect();
        let expected = [("b", "issuer"), ("a", "id"), ("c", "issuer")]
            .map(|(id, setting)| (id.to_owned(), setting));
        assert_eq!(faults, expected);
    }
}
