//! Clients that wait for the outcome of a sign-in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::pending::{KeyHash, Progress, WaitRefusal, hash};
use super::refusals::{expired, other_address, too_many};
use super::{Address, Sessions, TokenPair, code};
use crate::error::{Error, Kind, RequestField};
use crate::secret::Secret;

/// When a client is to retry while too many clients wait.
const RETRY_WAITING: Duration = Duration::from_secs(10);

impl Sessions {
    /// Checks whether a client at `from` could wait for `key` now.
    ///
    /// # Errors
    /// Those of [`Sessions::attach`], except for the number of waiting clients.
    pub fn check_attach(&self, key: &Secret, from: Address) -> Result<(), Error> {
        let now = self.ground.clock.monotonic();
        self.pending.check_wait(&hash(key), self.bound_to(from), now).map_err(refused_wait)
    }

    /// Lets a client at `from` wait for `key`. One client at a time: if it leaves before the
    /// sign-in is complete, another one may wait.
    ///
    /// # Errors
    /// `NotFound` for a key that is unknown, spent or expired; `Forbidden` when the sign-in began
    /// at another address; `Conflict` when another client waits for it; `Busy` when too many
    /// clients wait in total.
    pub fn attach(self: &Arc<Self>, key: &Secret, from: Address) -> Result<WaitingClient, Error> {
        let (key, now) = (hash(key), self.ground.clock.monotonic());
        let permit = Arc::clone(&self.waiting_clients).try_acquire_owned();
        let permit = permit.map_err(|_| {
            too_many("Too many clients wait; please try again later.", RETRY_WAITING)
        })?;
        let from = self.bound_to(from);
        let wake = self.pending.register_client(&key, from, now).map_err(refused_wait)?;
        tracing::debug!(sign_in = %code(&key), "a client waits for a sign-in");
        Ok(WaitingClient { sessions: Arc::clone(self), key, wake, _permit: permit })
    }

    pub(super) fn bound_to(&self, from: Address) -> Option<Address> {
        self.options.same_address.then_some(from)
    }
}

/// A client that waits for the outcome of a sign-in. It counts against the limit until it is
/// dropped, even if it has its tokens already.
pub struct WaitingClient {
    sessions: Arc<Sessions>,
    key: KeyHash,
    wake: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl WaitingClient {
    /// Waits for the tokens and returns them, once. Not cancellation-safe: an outcome that was
    /// taken out when the future is dropped is lost.
    ///
    /// # Errors
    /// Those of [`Sessions::finish`], and `Unauthenticated` when the sign-in expired or the user
    /// was suspended meanwhile.
    pub async fn tokens(&self) -> Result<TokenPair, Error> {
        let clock = &self.sessions.ground.clock;
        loop {
            let now = clock.monotonic();
            let expires = match self.sessions.pending.progress(&self.key, now) {
                Progress::Complete(outcome) => {
                    tracing::debug!(sign_in = %code(&self.key), "a client learns the outcome");
                    return self.sessions.open(outcome?).await;
                }
                Progress::Pending(expires) => expires,
                Progress::Unknown => return Err(expired()),
            };
            let woken = std::pin::pin!(self.wake.notified());
            // Woken or expired: the progress is read again.
            let (Either::Left(_) | Either::Right(_)) =
                select(woken, clock.sleep(expires.saturating_sub(now))).await;
        }
    }
}

impl Drop for WaitingClient {
    fn drop(&mut self) {
        self.sessions.pending.unregister_client(&self.key, &self.wake);
    }
}

impl fmt::Debug for WaitingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitingClient")
    }
}

fn refused_wait(refusal: WaitRefusal) -> Error {
    match refusal {
        WaitRefusal::Unknown => Error::new(Kind::NotFound, "There is no such pending sign-in."),
        WaitRefusal::OtherAddress => other_address("The client", RequestField::CallbackKey),
        WaitRefusal::AlreadyWaiting => {
            Error::new(Kind::Conflict, "Another client waits for this sign-in already.")
        }
    }
}
