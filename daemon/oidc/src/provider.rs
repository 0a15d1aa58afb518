//! One provider at work: what discovery found, what is wrong with it, and its look-ups.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use credsmith_core::caller::Claims;
use credsmith_core::ports::providers::ProviderView;
use credsmith_core::ports::{Clock, Entropy};
use credsmith_core::secret::Secret;
use tokio::sync::{Mutex, Semaphore};

use crate::cache::Known;
use crate::discovery::{self, Found};
use crate::issuer;
use crate::keys::Reading;
use crate::look_up::LookUp;
use crate::options::{Limits, ProviderOptions, same_issuer};
use crate::trouble::Trouble;

/// How long to wait after the first failed discovery. The wait doubles from there.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait between two attempts to discover.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Tokens that name an unknown key make us fetch the keys at most this often.
const KEYS_AT_MOST_EVERY: Duration = Duration::from_secs(60);

pub(crate) struct Provider {
    pub(crate) options: ProviderOptions,
    priority: u32,
    timeout: Duration,
    refresh: Duration,
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
    keys_asked: Mutex<Option<Duration>>,
    /// One permit per look-up under way.
    pub(crate) slots: Arc<Semaphore>,
    /// One permit per sign-in that is being finished.
    pub(crate) sign_in_slots: Semaphore,
}

#[derive(Default, Clone)]
struct State {
    found: Option<Arc<Found>>,
    trouble: Option<Trouble>,
}

impl Provider {
    pub(crate) fn new(
        options: ProviderOptions,
        priority: u32,
        limits: &Limits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            options,
            priority,
            timeout: limits.request_timeout,
            refresh: limits.refresh,
            clock,
            state: RwLock::new(State {
                found: None,
                trouble: Some(Trouble::new("not discovered yet")),
            }),
            keys_asked: Mutex::default(),
            slots: Arc::new(Semaphore::new(limits.look_ups_in_flight.min(Semaphore::MAX_PERMITS))),
            sign_in_slots: Semaphore::new(limits.sign_ins_in_flight.min(Semaphore::MAX_PERMITS)),
        }
    }

    pub(crate) fn view(&self) -> ProviderView {
        let found = self.state().found;
        ProviderView {
            id: self.options.id.clone(),
            description: self.options.description.clone(),
            issuer: found
                .as_ref()
                .map_or_else(|| self.options.issuer(), |found| found.issuer.shown(&self.options))
                .to_owned(),
            ready: found.is_some(),
            login_disabled: self.options.login_disabled,
            priority: self.priority,
        }
    }

    pub(crate) fn has_issuer(&self, issuer: &str) -> bool {
        issuer::configured(&self.options).iter().any(|own| same_issuer(own, issuer))
    }

    /// What the last successful discovery found.
    ///
    /// # Errors
    /// There was none yet.
    pub(crate) fn found(&self) -> Result<Arc<Found>, Trouble> {
        Ok(self.state().found.ok_or("the provider has not been discovered yet")?)
    }

    /// Why the last discovery failed, if it did, or what it found to be wrong with signing in.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state().trouble.map(|trouble| trouble.to_string())
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Discovers again and again: soon after a failure, rarely after a success. Never ends by
    /// itself.
    pub(crate) async fn keep_discovered(&self, entropy: &dyn Entropy) {
        let mut failures = 0_u32;
        loop {
            let outcome = self.discover().await;
            self.log(&outcome, failures);
            failures = if outcome.is_ok() { 0 } else { failures.saturating_add(1) };
            let pause = if outcome.is_ok() { self.refresh } else { pause_after(failures) };
            self.clock.sleep(jittered(pause, entropy)).await;
        }
    }

    async fn discover(&self) -> Result<(), Trouble> {
        let outcome = discovery::discover(&self.options, self.timeout)
            .await
            .and_then(|found| self.same_as_before(found));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.trouble = match &outcome {
            Ok(found) => found.sign_in_trouble(),
            Err(trouble) => Some(trouble.clone()),
        };
        if let Ok(found) = outcome.as_ref() {
            state.found = Some(Arc::clone(found));
        }
        outcome.map(|_| ())
    }

    // The issuer's spelling is part of every user's name: were it to change while we run, each of
    // them would become somebody else.
    fn same_as_before(&self, found: Found) -> Result<Arc<Found>, Trouble> {
        match self.state().found {
            Some(before) if before.issuer != found.issuer => {
                Err(Trouble::new("the provider changed the spelling of its issuer"))
            }
            _ => Ok(Arc::new(found)),
        }
    }

    fn log(&self, outcome: &Result<(), Trouble>, failures_before: u32) {
        let provider = self.options.id.as_str();
        match outcome {
            Ok(()) => {
                tracing::info!(provider, issuer = self.view().issuer, "provider discovered");
                if let Some(trouble) = self.trouble() {
                    tracing::warn!(
                        provider,
                        cause = trouble,
                        "a provider identifies bearers of tokens only"
                    );
                }
            }
            Err(trouble) => {
                tracing::warn!(provider, attempt = failures_before + 1, cause = %trouble, "provider cannot be discovered; will try again");
            }
        }
    }

    /// Asks the provider who holds `token`.
    pub(crate) async fn look_up(&self, token: &Secret) -> Result<Known, Trouble> {
        let found = self.found()?;
        let (options, clock) = (&self.options, &*self.clock);
        let look_up = LookUp { options, found: &found, clock, token, began: clock.monotonic() };
        let answers = look_up.ask().await?;
        let signed = self.read_signed(&found, token).await;
        look_up.judge(answers, signed.as_ref())
    }

    /// The claims in the token itself, if it is a JWT of this provider.
    async fn read_signed(&self, found: &Found, token: &Secret) -> Option<Claims> {
        match self.read(found, token.expose_str()?).await {
            Reading::Signed(signed) => Some(signed.claims),
            Reading::Opaque | Reading::UnknownKey => None,
        }
    }

    /// Reads `token`, should it be a JWT of this provider. Only for tokens that the provider
    /// accepted or that came from it, so that nobody makes us fetch keys with made-up ones.
    pub(crate) async fn read(&self, found: &Found, token: &str) -> Reading {
        let reading = found.keys().read(token);
        if reading == Reading::UnknownKey && self.refresh_keys(found).await {
            return found.keys().read(token);
        }
        reading
    }

    async fn refresh_keys(&self, found: &Found) -> bool {
        let mut asked = self.keys_asked.lock().await;
        let now = self.clock.monotonic();
        if asked.is_some_and(|before| now.saturating_sub(before) < KEYS_AT_MOST_EVERY) {
            // Whoever asked last may have fetched the key that this token names.
            return true;
        }
        *asked = Some(now);
        let outcome = found.refresh_keys().await;
        if let Err(trouble) = &outcome {
            tracing::warn!(provider = self.options.id.as_str(), cause = %trouble, "keys of the provider not refreshed");
        }
        outcome.is_ok()
    }
}

fn pause_after(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

// Up to a fifth longer, so that many daemons do not ask a recovering provider in step.
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
