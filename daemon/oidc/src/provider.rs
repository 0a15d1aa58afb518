//! One provider: the state of its discovery, and its look-ups.

use std::sync::Arc;
use std::time::Duration;

use credsmith_core::caller::Claims;
use credsmith_core::ports::providers::ProviderView;
use credsmith_core::ports::{Clock, Entropy};
use credsmith_core::secret::Secret;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::credentials::OwnClient;
use crate::discovery::{self, Discovered};
use crate::error::ProviderError;
use crate::issuer::{may_be_stated, same_issuer};
use crate::jwt::{self, Header};
use crate::keys::Reading;
use crate::lookup_queue::LookupQueue;
use crate::options::{Limits, ProviderOptions};
use crate::ports::Ports;

/// The wait after the first failed discovery. It doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait between two attempts to discover.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often, at most, tokens that name an unknown key cause a fetch of the keys.
const KEY_REFRESH_INTERVAL: Duration = Duration::from_secs(60);

pub(crate) struct Provider {
    pub(crate) options: ProviderOptions,
    priority: u32,
    timeout: Duration,
    refresh: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    state: RwLock<State>,
    keys_requested: Mutex<Option<Duration>>,
    /// One place per running look-up.
    pub(crate) look_ups: LookupQueue,
    /// One place per sign-in that is being finished.
    pub(crate) exchanges: LookupQueue,
}

#[derive(Default, Clone)]
struct State {
    found: Option<Arc<Discovered>>,
    error: Option<ProviderError>,
}

impl Provider {
    pub(crate) fn new(
        options: ProviderOptions,
        priority: u32,
        limits: &Limits,
        ports: &Ports,
    ) -> Self {
        Self {
            options,
            priority,
            timeout: limits.request_timeout,
            refresh: limits.refresh,
            look_ups: LookupQueue::new(limits.look_ups_in_flight, Arc::clone(&ports.clock)),
            exchanges: LookupQueue::new(limits.sign_ins_in_flight, Arc::clone(&ports.clock)),
            clock: Arc::clone(&ports.clock),
            entropy: Arc::clone(&ports.entropy),
            state: RwLock::new(State {
                found: None,
                error: Some(ProviderError::new("not discovered yet")),
            }),
            keys_requested: Mutex::default(),
        }
    }

    pub(crate) fn view(&self) -> ProviderView {
        let found = self.state().found;
        ProviderView {
            id: self.options.id.clone(),
            description: self.options.description.clone(),
            issuer: found
                .as_ref()
                .map_or_else(
                    || self.options.issuer(),
                    |found| found.issuer.shown(self.options.issuer()),
                )
                .to_owned(),
            ready: found.is_some(),
            login_disabled: self.options.login_disabled,
            priority: self.priority,
        }
    }

    pub(crate) fn has_issuer(&self, issuer: &str) -> bool {
        self.options.issuers().iter().any(|own| same_issuer(own, issuer))
    }

    /// The result of the last successful discovery.
    ///
    /// # Errors
    /// No discovery has succeeded yet.
    pub(crate) fn found(&self) -> Result<Arc<Discovered>, ProviderError> {
        let State { found, error } = self.state();
        found.ok_or_else(|| {
            let why = error.map(|error| format!(": {error}")).unwrap_or_default();
            ProviderError::unavailable(format!("the provider has not been discovered yet{why}"))
        })
    }

    /// This daemon as a client of the provider.
    pub(crate) fn own_client(&self) -> OwnClient<'_> {
        OwnClient { options: &self.options, clock: &*self.clock, entropy: &*self.entropy }
    }

    /// `token` and the client secret: what the provider may repeat and must not be logged.
    pub(crate) fn secrets<'a>(&'a self, token: &'a Secret) -> Vec<&'a Secret> {
        self.options.client_secret.as_deref().into_iter().chain([token]).collect()
    }

    /// Checks what `token` says of itself, if it is a JWT: one that cannot be a token for us from
    /// this provider is not sent to it, as it may be good elsewhere.
    ///
    /// # Errors
    /// The reason for the log.
    pub(crate) fn refuse_foreign(&self, token: &str) -> Result<(), ProviderError> {
        if Header::of(token).is_some_and(|header| header.has_type("rt+jwt")) {
            return Err("the token is a refresh token of the vault".into());
        }
        let Some(stated) = jwt::stated(token) else { return Ok(()) };
        let found = self.state().found;
        let announced = found.as_ref().and_then(|found| found.access_token_issuer.as_deref());
        match stated.get("iss") {
            None | Some(Value::Null) => {}
            Some(Value::String(iss)) if may_be_stated(iss, &self.options.issuers(), announced) => {}
            Some(_) => return Err("the access token is of another issuer".into()),
        }
        match stated.get("aud") {
            None | Some(Value::Null) => Ok(()),
            audience => Ok(self.options.audiences.check(audience)?),
        }
    }

    /// Why the last discovery failed, if it did, or why it does not permit signing in.
    pub(crate) fn error(&self) -> Option<String> {
        self.state().error.map(|error| error.to_string())
    }

    fn state(&self) -> State {
        self.state.read().clone()
    }

    /// Repeats the discovery: soon after a failure, rarely after a success. Never returns.
    pub(crate) async fn keep_discovered(&self) {
        let mut failures = 0_u32;
        loop {
            let outcome = self.discover().await;
            self.log(&outcome, failures);
            failures = if outcome.is_ok() { 0 } else { failures.saturating_add(1) };
            let pause = if outcome.is_ok() { self.refresh } else { pause_after(failures) };
            self.clock.sleep(jittered(pause, &*self.entropy)).await;
        }
    }

    async fn discover(&self) -> Result<(), ProviderError> {
        let outcome = discovery::discover(&self.options, self.timeout)
            .await
            .and_then(|found| self.with_same_issuer(found));
        let mut state = self.state.write();
        state.error = match &outcome {
            Ok(found) => found.sign_in_error(),
            Err(error) => Some(error.clone()),
        };
        if let Ok(found) = outcome.as_ref() {
            state.found = Some(Arc::clone(found));
        }
        outcome.map(|_| ())
    }

    // The spelling of the issuer is part of every user's identity: if it changed at run time, each
    // user would become another one.
    fn with_same_issuer(&self, found: Discovered) -> Result<Arc<Discovered>, ProviderError> {
        match self.state().found {
            Some(before) if before.issuer != found.issuer => {
                Err(ProviderError::new("the provider changed the spelling of its issuer"))
            }
            _ => Ok(Arc::new(found)),
        }
    }

    fn log(&self, outcome: &Result<(), ProviderError>, failures_before: u32) {
        let provider = self.options.id.as_str();
        match outcome {
            Ok(()) => {
                tracing::info!(provider, issuer = self.view().issuer, "provider discovered");
                if let Some(error) = self.error() {
                    tracing::warn!(
                        provider,
                        cause = error,
                        "a provider accepts bearer tokens only"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(provider, attempt = failures_before + 1, cause = %error, "provider cannot be discovered; will try again");
            }
        }
    }

    /// The claims in the token itself, if it is a JWT of this provider.
    pub(crate) async fn read_signed(&self, found: &Discovered, token: &Secret) -> Option<Claims> {
        match self.read(found, token.expose_str()?).await {
            Reading::Signed(signed) => Some(signed.claims),
            Reading::Opaque | Reading::UnknownKey => None,
        }
    }

    /// Reads `token` if it is a JWT of this provider. Only for tokens that the provider accepted or
    /// issued, so that a forged token cannot cause a fetch of the keys.
    pub(crate) async fn read(&self, found: &Discovered, token: &str) -> Reading {
        let reading = found.keys().read(token);
        if reading == Reading::UnknownKey && self.refresh_keys(found).await {
            return found.keys().read(token);
        }
        reading
    }

    async fn refresh_keys(&self, found: &Discovered) -> bool {
        let mut requested = self.keys_requested.lock().await;
        let now = self.clock.monotonic();
        if requested.is_some_and(|before| now.saturating_sub(before) < KEY_REFRESH_INTERVAL) {
            // The last refresh may have fetched the key that this token names.
            return true;
        }
        *requested = Some(now);
        let outcome = found.refresh_keys().await;
        if let Err(error) = &outcome {
            tracing::warn!(provider = self.options.id.as_str(), cause = %error, "keys of the provider not refreshed");
        }
        outcome.is_ok()
    }
}

fn pause_after(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

// Up to a fifth longer, so that many daemons do not call a recovering provider at once.
fn jittered(pause: Duration, entropy: &dyn Entropy) -> Duration {
    let mut byte = [0];
    entropy.fill(&mut byte);
    let [part] = byte;
    pause.saturating_add(pause / 5 * u32::from(part) / 255)
}

#[cfg(test)]
mod tests {
    use credsmith_core::doubles::SeededEntropy;

    use super::*;

    #[test]
    fn pauses_grow_to_a_minute() {
        let seconds: Vec<u64> = (1..10).map(|failures| pause_after(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn jitter_only_lengthens() {
        let entropy = SeededEntropy::new(1);
        for _ in 0..500 {
            let pause = jittered(Duration::from_secs(10), &entropy);
            assert!((10.0..=12.0).contains(&pause.as_secs_f64()), "{pause:?}");
        }
    }
}
