//! All configured providers, as core's port `Providers`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use credsmith_core::address::Address;
use credsmith_core::caller::Identity;
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::providers::{ProviderView, Providers};
use credsmith_core::ports::{Clock, Entropy};
use credsmith_core::secret::Secret;
use credsmith_core::{Error, Kind};
use futures_util::future::{BoxFuture, Either, select};
use quick_cache::sync::Cache;
use tokio::sync::watch;

use crate::cache::{IdentityCache, Key};
use crate::error::ProviderError;
use crate::issuer::same_issuer;
use crate::lookup_queue::Lane;
use crate::options::{Fault, Limits, ProviderOptions};
use crate::ports::Ports;
use crate::provider::Provider;
use crate::single_flight::{NoResult, SingleFlight};
use crate::waiting_requests::WaitingRequests;

/// The sentence for every refused token, whatever the reason: it quotes nothing of the provider,
/// and the log has the cause.
const NOT_ACCEPTED: &str = "Authorization failed, please check the access token";

/// The sentence when the provider cannot be asked: the token may be good.
const UNAVAILABLE: &str =
    "The provider of the access token cannot be reached at the moment; please try again later.";

/// When a client is to try again then: a provider that comes back is discovered within a minute.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(10);

/// The longest access token: request heads have the same limit.
const MAX_TOKEN: usize = 16 * 1024;

/// Accepted tokens that are remembered, for each cached identity.
const ACCEPTED: usize = 8;

/// Why a look-up gave no identity.
#[derive(Debug, Clone)]
enum NoIdentity {
    /// Its turn did not come in time.
    Busy,
    /// The provider refused the token, or could not be asked.
    Refused(ProviderError),
}

/// The configured providers. Discovery goes on in the background until [`OidcProviders::stop`] or
/// the last reference is dropped.
pub struct OidcProviders {
    providers: Vec<Arc<Provider>>,
    positions: HashMap<ProviderId, usize>,
    cache: Arc<IdentityCache>,
    lookups: SingleFlight<Key, Result<Arc<Identity>, NoIdentity>>,
    waiting: WaitingRequests,
    /// Tokens that were accepted before, by their keys.
    accepted: Arc<Cache<Key, ()>>,
    stopped: watch::Sender<bool>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl OidcProviders {
    /// Checks the options and starts the discovery of every provider. Waits for none of them: a
    /// provider that is down does not delay the start.
    ///
    /// # Errors
    /// Every fault of the options.
    pub fn start(
        options: Vec<ProviderOptions>,
        limits: &Limits,
        ports: &Ports,
    ) -> Result<Arc<Self>, Vec<Fault>> {
        let faults = check(&options);
        if !faults.is_empty() {
            return Err(faults);
        }
        let count = u32::try_from(options.len()).unwrap_or(u32::MAX);
        let providers: Vec<Arc<Provider>> = (0..count)
            .zip(options)
            .map(|(position, options)| Provider::new(options, count - 1 - position, limits, ports))
            .map(Arc::new)
            .collect();
        let ids = providers.iter().map(|provider| provider.options.id.clone());
        let this = Arc::new(Self {
            positions: ids.zip(0..).collect(),
            cache: Arc::new(IdentityCache::new(
                limits.cache_entries,
                limits.cache_ttl,
                Arc::clone(&ports.clock),
            )),
            accepted: Arc::new(Cache::new(limits.cache_entries.saturating_mul(ACCEPTED))),
            lookups: SingleFlight::new(Arc::clone(&ports.tasks)),
            waiting: WaitingRequests::default(),
            stopped: watch::Sender::new(false),
            clock: Arc::clone(&ports.clock),
            entropy: Arc::clone(&ports.entropy),
            providers,
        });
        for provider in &this.providers {
            let work = keep_until_stopped(Arc::clone(provider), this.stopped.subscribe());
            ports.tasks.spawn("provider discovery", Box::pin(work));
        }
        Ok(this)
    }

    /// Ends the background work, so that a drain can finish. Running look-ups continue, and the
    /// discovered state stays.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// The providers whose last discovery failed, or does not permit signing in with a browser, and
    /// why, for operators. A listed provider may still be ready: by an earlier discovery, or for
    /// bearer tokens.
    pub fn errors(&self) -> Vec<(ProviderId, String)> {
        let error =
            |provider: &Arc<Provider>| Some((provider.options.id.clone(), provider.error()?));
        self.providers.iter().filter_map(error).collect()
    }

    pub(crate) fn find(&self, id: &ProviderId) -> Option<(usize, &Arc<Provider>)> {
        let position = *self.positions.get(id)?;
        Some((position, self.providers.get(position)?))
    }

    fn lane(&self, key: &Key) -> Lane {
        self.accepted.get(key).map_or(Lane::Stranger, |()| Lane::Known)
    }

    /// The look-up of a token that is not cached, when its turn has come.
    fn look_up(
        &self,
        key: Key,
        provider: &Arc<Provider>,
        token: Arc<Secret>,
        (from, lane): (Option<Address>, Lane),
    ) -> BoxFuture<'static, Result<Arc<Identity>, NoIdentity>> {
        let (provider, cache) = (Arc::clone(provider), Arc::clone(&self.cache));
        let accepted = Arc::clone(&self.accepted);
        Box::pin(async move {
            if let Some(identity) = cache.get(&key) {
                // Another look-up has ended since the caller read the cache.
                return Ok(identity);
            }
            let place = provider.look_ups.place(from, lane).await.ok_or(NoIdentity::Busy)?;
            let outcome = provider.look_up(&token).await;
            match &outcome {
                Ok(_) => place.end(true),
                Err(error) if error.is_unavailable() => drop(place),
                Err(_) => {
                    // It has expired or was revoked: from now on it is as good as a made-up one.
                    accepted.remove(&key);
                    place.end(false);
                }
            }
            let cached = outcome.map_err(NoIdentity::Refused)?;
            accepted.insert(key, ());
            cache.put(key, cached.clone());
            Ok(cached.identity)
        })
    }
}

async fn keep_until_stopped(provider: Arc<Provider>, mut stopped: watch::Receiver<bool>) {
    let stop = std::pin::pin!(stopped.wait_for(|stopped| *stopped));
    let keep = std::pin::pin!(provider.keep_discovered());
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

// Two providers with one issuer would be two ways to become the same user.
fn overlap(one: &ProviderOptions, other: &ProviderOptions) -> bool {
    let others = other.issuers();
    one.issuers().iter().any(|issuer| others.iter().any(|other| same_issuer(issuer, other)))
}

// b64token of RFC 6750 section 2.1: nothing else is an access token or fits into the header.
fn is_token(token: &[u8]) -> bool {
    let body = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(b);
    let padding = token.iter().rev().take_while(|b| **b == b'=').count();
    let kept = token.get(..token.len() - padding).unwrap_or_default();
    token.len() <= MAX_TOKEN && !kept.is_empty() && kept.iter().all(body)
}

fn unauthenticated(public: &'static str) -> Error {
    Error::new(Kind::Unauthenticated, public)
}

fn busy() -> Error {
    Error::new(Kind::Busy, "Too many sign-ins at once; please try again.")
        .because("as many token look-ups as the provider may have are under way")
        .retry_after(Duration::from_secs(1))
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
        from: Option<Address>,
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
        if let Some(Err(foreign)) = token.expose_str().map(|text| provider.refuse_foreign(text)) {
            return Err(unauthenticated(NOT_ACCEPTED).because(foreign));
        }
        let lane = self.lane(&key);
        let mut permit = self.waiting.enter(from, lane).ok_or_else(busy)?;
        let look_up = || Some(self.look_up(key, provider, token, (from, lane)));
        let found = std::pin::pin!(self.lookups.run(key, look_up));
        let displaced = std::pin::pin!(permit.displaced());
        let Either::Left((found, _)) = select(found, displaced).await else { return Err(busy()) };
        match found {
            Ok(Ok(identity)) => Ok(identity),
            Ok(Err(NoIdentity::Refused(error))) if error.is_unavailable() => {
                Err(Error::new(Kind::Upstream, UNAVAILABLE)
                    .because(error)
                    .retry_after(RETRY_UNAVAILABLE))
            }
            Ok(Err(NoIdentity::Refused(error))) => {
                Err(unauthenticated(NOT_ACCEPTED).because(error))
            }
            Ok(Err(NoIdentity::Busy)) | Err(NoResult::TooMany) => Err(busy()),
            Err(NoResult::Aborted) => {
                Err(Error::internal("a token look-up ended without an answer"))
            }
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
