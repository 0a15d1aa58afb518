//! Signing in: a browser is sent to a provider and returns, and the client that began the sign-in
//! gets tokens.
//!
//! The callback key is the OAuth `state`. A client that has it gets the tokens of the user who
//! signs in, so by default browser and client must have the address at which the sign-in began.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::pending::{KeyHash, NoRoom, Progress, SignInOutcome, SignedIn, WaitRefusal, hash};
use super::{Address, Options, Sessions, TokenPair};
use crate::caller::{Client, Interface};
use crate::error::{Error, FieldProblem, Kind, RequestField};
use crate::ground::outcome_of;
use crate::ids::{ProviderId, UserId};
use crate::ports::audit::{Action, Actor, Target};
use crate::ports::random_16;
use crate::ports::sign_in::{Begun, Flow};
use crate::secret::Secret;

/// When a client is to retry while too many clients wait.
const RETRY_WAITING: Duration = Duration::from_secs(10);

/// A sign-in that has begun.
#[derive(Debug)]
pub struct PendingSignIn {
    /// The address to which the client sends its browser.
    pub uri: String,
    /// The key of the sign-in: `ck` and 32 hexadecimal digits. The client waits with it, and the
    /// browser brings it back as the state.
    pub callback_key: Secret,
}

/// The parameters with which a provider redirected a browser back.
#[derive(Debug)]
pub struct Callback {
    /// The state, which is the callback key of a [`PendingSignIn`].
    pub state: Secret,
    /// The reply of the provider.
    pub reply: ProviderReply,
    /// The issuer of the reply, where the provider names it (RFC 9207).
    pub issuer: Option<String>,
    /// The address of the browser.
    pub from: Address,
    /// Whether the browser takes the tokens, if no client ever waited for them.
    pub wants_tokens: bool,
    /// Where its request comes from, for the audit.
    pub client: Client,
}

/// The reply of a provider to an authorization request.
#[derive(Debug)]
pub enum ProviderReply {
    /// An authorization code, to be exchanged for the identity.
    Code(Secret),
    /// A refusal, or a reply that could not be understood.
    Refused,
}

/// How a sign-in succeeded.
#[derive(Debug)]
pub enum SignInResult {
    /// The tokens are kept for the client that waits or will wait.
    Delivered,
    /// The browser gets the tokens.
    Tokens(TokenPair),
}

impl Sessions {
    /// Begins a sign-in at `provider`, or at the default one, on behalf of a client at `from`.
    ///
    /// # Errors
    /// `Invalid` at the provider for one without sign-in; `LimitReached` when `from` began
    /// too many this minute, or has too many pending, `Busy` when too many sign-ins are pending in
    /// total, all with a retry hint; `Upstream` while the provider cannot be reached.
    pub fn begin(
        &self,
        provider: Option<&ProviderId>,
        from: Address,
    ) -> Result<PendingSignIn, Error> {
        let now = self.ground.clock.monotonic();
        self.pending.check_room(from, now).map_err(no_room)?;
        self.rate_limit.count(from, now).map_err(too_many_begun)?;
        let callback_key = self.new_callback_key();
        let Begun { uri, flow } = self.begin_flow(provider, &callback_key)?;
        let expires = now.saturating_add(self.options.sign_in_lifetime);
        if !self.pending.insert(hash(&callback_key), from, flow, expires) {
            return Err(too_many_pending(self.options.result_lifetime));
        }
        Ok(PendingSignIn { uri, callback_key })
    }

    fn new_callback_key(&self) -> Secret {
        Secret::new(format!("ck{}", hex::encode(random_16(&*self.ground.entropy))))
    }

    fn begin_flow(
        &self,
        provider: Option<&ProviderId>,
        callback_key: &Secret,
    ) -> Result<Begun, Error> {
        let state = callback_key.expose_str().unwrap_or_default();
        let Options { provider: default, redirect_uri, .. } = &self.options;
        let begun = self.sign_in.begin(provider.unwrap_or(default), redirect_uri, state);
        begun.map_err(|error| match error.kind() {
            Kind::NotFound if provider.is_some() => no_such_provider(),
            // The default provider is wrong: a fault of the configuration, not of the client.
            Kind::NotFound => Error::internal(error),
            _ => error,
        })
    }

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
        Ok(WaitingClient { sessions: Arc::clone(self), key, wake, _permit: permit })
    }

    fn bound_to(&self, from: Address) -> Option<Address> {
        self.options.same_address.then_some(from)
    }

    /// Finishes a sign-in with the callback of its browser. It runs to its end even if the browser
    /// disconnects; a state is valid for one attempt, successful or not.
    ///
    /// # Errors
    /// `Invalid` for a state that is unknown, spent or expired; `Forbidden` when the browser is not
    /// at the address that began the sign-in; `Unauthenticated` when the provider refused, its
    /// reply is not valid, or the user is suspended; `Upstream` when the provider could not be
    /// asked. The waiting client gets the same error. `Busy` when too many sign-ins are being
    /// finished: the state is not spent then, and the client waits on.
    pub async fn finish(self: &Arc<Self>, callback: Callback) -> Result<SignInResult, Error> {
        let key = hash(&callback.state);
        let now = self.ground.clock.monotonic();
        let soon = now.saturating_add(self.options.result_lifetime);
        let (flow, began_from) =
            self.pending.take_flow(&key, now, soon).ok_or_else(unknown_state)?;
        let wants_tokens = callback.wants_tokens;
        let sessions = Arc::clone(self);
        let work = async move { sessions.conclude(key, flow, began_from, callback).await };
        self.ground.detached("finish a sign-in", Box::pin(work)).await?;
        let outcome = if wants_tokens { self.pending.take_without_client(&key) } else { None };
        match outcome {
            Some(outcome) => Ok(SignInResult::Tokens(self.open(outcome?).await?)),
            None => Ok(SignInResult::Delivered),
        }
    }

    async fn conclude(
        &self,
        key: KeyHash,
        flow: Flow,
        began_from: Address,
        callback: Callback,
    ) -> Result<(), Error> {
        let (provider, browser) = (flow.provider.clone(), callback.client.clone());
        let result = self.verify(&flow, began_from, callback).await;
        if result.as_ref().is_err_and(|error| error.kind() == Kind::Busy) {
            // The code was not sent: nothing is spent, and the client waits on.
            self.pending.put_flow_back(&key, flow);
            return result.map(drop);
        }
        let expires = self.ground.clock.monotonic().saturating_add(self.options.result_lifetime);
        self.pending.complete(&key, for_client(&result, &browser), expires);
        if let Err(error) = &result {
            self.remark_failed_sign_in(provider, browser, error);
        }
        result.map(drop)
    }

    async fn verify(
        &self,
        flow: &Flow,
        began_from: Address,
        callback: Callback,
    ) -> Result<UserId, Error> {
        if self.options.same_address && callback.from != began_from {
            return Err(other_address("The browser", RequestField::State));
        }
        let ProviderReply::Code(code) = callback.reply else {
            return Err(Error::new(Kind::Unauthenticated, "The provider did not sign you in."));
        };
        let vouched = self.sign_in.finish(flow, code, callback.issuer.as_deref(), callback.from);
        let vouched = vouched.await?;
        self.users.record_sign_in(vouched, &callback.client).await
    }

    fn remark_failed_sign_in(&self, provider: ProviderId, browser: Client, error: &Error) {
        let target = Target { provider: Some(provider), ..Target::default() };
        let stranger = Some(Actor::stranger(Interface::Vault, browser));
        self.ground.remark(self.ground.event(stranger, Action::SignIn, target, outcome_of(error)));
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
                Progress::Complete(outcome) => return self.sessions.open(outcome?).await,
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

/// The outcome for the client that waits: kind and sentence alone. The cause is logged with the
/// browser's request, which the fields belong to.
fn for_client(result: &Result<UserId, Error>, browser: &Client) -> SignInOutcome {
    result
        .as_ref()
        .map(|user| SignedIn { user: *user, browser: browser.clone() })
        .map_err(|error| Error::new(error.kind(), error.public().to_owned()))
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

/// The refusal of a browser or a client at another address. The sentence names the setting; it
/// stands at the field too, for programs that read only the fields.
fn other_address(subject: &str, field: RequestField) -> Error {
    let sentence = format!(
        "{subject} is not at the address that began this sign-in. If this is intended, the operator sets `same_address = false`."
    );
    let problem = FieldProblem::new([field.into()], sentence.as_str());
    Error::new(Kind::Forbidden, sentence).with_fields(vec![problem])
}

fn expired() -> Error {
    Error::new(Kind::Unauthenticated, "The sign-in was not completed in time.")
}

fn unknown_state() -> Error {
    Error::new(
        Kind::Invalid,
        "This sign-in is unknown, over, or took too long. Please begin again.",
    )
    .with_fields(vec![FieldProblem::new(
        [RequestField::State.into()],
        "It is unknown, spent or too old.",
    )])
}

fn no_such_provider() -> Error {
    Error::new(Kind::Invalid, "There is no such provider.").with_fields(vec![FieldProblem::new(
        [RequestField::Provider.into()],
        "There is no provider of that id to sign in at.",
    )])
}

fn too_many_begun(wait: Duration) -> Error {
    Error::new(
        Kind::LimitReached,
        "Too many sign-ins were begun from your address; please wait a little.",
    )
    .retry_after(wait)
}

fn no_room(no: NoRoom) -> Error {
    match no {
        NoRoom::OfAddress(wait) => Error::new(
            Kind::LimitReached,
            "Too many sign-ins from your address are pending; please finish one, or wait a little.",
        )
        .retry_after(wait.max(Duration::from_secs(1))),
        NoRoom::OfAll(wait) => too_many_pending(wait),
    }
}

fn too_many_pending(wait: Duration) -> Error {
    too_many("Too many sign-ins are pending; please try again later.", wait)
}

fn too_many(sentence: &'static str, wait: Duration) -> Error {
    Error::new(Kind::Busy, sentence).retry_after(wait.max(Duration::from_secs(1)))
}
