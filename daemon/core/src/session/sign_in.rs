//! Signing in: a browser is sent to a provider and returns, and the client that began the sign-in
//! gets tokens.
//!
//! The callback key is the OAuth `state`. A client that has it gets the tokens of the user who
//! signs in. So the user is asked first (`confirmation`), and by default browser and client must
//! have the address at which the sign-in began.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::pending::{
    KeyHash, NoRoom, Origin, Progress, SignInOutcome, SignedIn, TakenFlow, Verified, WaitRefusal,
    hash,
};
use super::{Address, Confirmation, Sessions, SignInProvider, TokenPair, code};
use crate::caller::{Client, Interface, Subject};
use crate::error::{Error, FieldProblem, Kind, RequestField};
use crate::ground::outcome_of;
use crate::ids::ProviderId;
use crate::ports::audit::{Action, Actor, Event, Target, Who};
use crate::ports::random_16;
use crate::ports::sign_in::{Begun, Flow};
use crate::secret::Secret;
use crate::text::short;

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
    /// The provider whose own redirect URI the browser came back to; `None` for that of the first
    /// provider.
    pub own_uri_of: Option<ProviderId>,
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
#[derive(Debug, Clone)]
pub enum ProviderReply {
    /// An authorization code, to be exchanged for the identity.
    Code(Secret),
    /// A refusal, or a reply that could not be understood. The texts are the provider's, or those
    /// of the sender of the browser: for the log and the audit only.
    Refused {
        /// The error code (RFC 6749 section 4.1.2.1).
        error: Option<String>,
        /// The description of the error.
        description: Option<String>,
    },
}

/// The texts of a provider that refused, as the cause of the refusal.
fn refused_by_provider(error: Option<String>, description: Option<String>) -> Error {
    let cause = match (error, description) {
        (None, None) => "the browser brought neither a code nor an error".to_owned(),
        (error, description) => {
            let said = [error, description].into_iter().flatten().collect::<Vec<_>>().join(": ");
            format!("the provider refused: {}", short(&said))
        }
    };
    Error::new(Kind::Unauthenticated, "The provider did not sign you in.").because(cause)
}

/// How a callback succeeded.
#[derive(Debug)]
pub enum SignInResult {
    /// The user has to be asked whether the program may have the tokens.
    Ask(Confirmation),
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
        self.drop_expired(now);
        self.pending.check_room(from, now).map_err(no_room)?;
        self.rate_limit.count(from, now).map_err(too_many_begun)?;
        let callback_key = self.new_callback_key();
        let Begun { uri, flow } = self.begin_flow(provider, &callback_key)?;
        let (key, provider) = (hash(&callback_key), flow.provider.clone());
        let expires = now.saturating_add(self.options.sign_in_lifetime);
        let began = Origin { from, at: self.ground.clock.now() };
        if !self.pending.insert(key, began, flow, expires) {
            return Err(too_many_pending(self.options.result_lifetime));
        }
        tracing::debug!(sign_in = %code(&key), %provider, address = %from, "a sign-in began");
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
        let id = provider.unwrap_or(&self.options.provider);
        let listed = self.options.providers.iter().find(|listed| listed.id == *id);
        let begun = match listed {
            Some(SignInProvider { id, redirect_uri }) => {
                self.sign_in.begin(id, redirect_uri, state)
            }
            None => Err(Error::new(Kind::NotFound, "There is no sign-in at this provider.")),
        };
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
        tracing::debug!(sign_in = %code(&key), "a client waits for a sign-in");
        Ok(WaitingClient { sessions: Arc::clone(self), key, wake, _permit: permit })
    }

    pub(super) fn bound_to(&self, from: Address) -> Option<Address> {
        self.options.same_address.then_some(from)
    }

    /// Finishes a sign-in with the callback of its browser, or comes to the question for its user. It
    /// runs to its end even if the browser disconnects; a state is valid for one attempt, successful
    /// or not, that the provider answers.
    ///
    /// # Errors
    /// `Invalid` for a state that is unknown, used or expired; `Forbidden` when the browser is not
    /// at the address that began the sign-in; `Unauthenticated` when the provider refused, its
    /// reply is not valid, or the user is suspended. The waiting client gets the same error. `Busy`
    /// when too many sign-ins are being finished and `Upstream` when the provider could not be
    /// asked: the state is not spent then, and the client waits on.
    pub async fn finish(self: &Arc<Self>, callback: Callback) -> Result<SignInResult, Error> {
        let key = hash(&callback.state);
        let now = self.ground.clock.monotonic();
        let soon = now.saturating_add(self.options.result_lifetime);
        let remembered = now.saturating_add(self.options.sign_in_lifetime);
        let (flow, began) = match self.pending.take_flow(&key, now, soon, remembered) {
            TakenFlow::Flow(flow, began) => (flow, began),
            TakenFlow::Used => return Err(used_state()),
            TakenFlow::Unknown => return Err(unknown_state()),
        };
        let sessions = Arc::clone(self);
        let work = async move { sessions.conclude(key, flow, began, callback).await };
        match self.ground.detached("finish a sign-in", Box::pin(work)).await? {
            Concluded::Delivered => Ok(SignInResult::Delivered),
            Concluded::Ask(confirmation) => Ok(SignInResult::Ask(confirmation)),
            Concluded::ForBrowser(user) => Ok(SignInResult::Tokens(self.open(user).await?)),
        }
    }

    async fn conclude(
        &self,
        key: KeyHash,
        flow: Flow,
        began: Origin,
        callback: Callback,
    ) -> Result<Concluded, Error> {
        let (provider, wants_tokens) = (flow.provider.clone(), callback.wants_tokens);
        let browser = callback.client.clone();
        tracing::debug!(sign_in = %code(&key), %provider, "the browser of a sign-in came back");
        let verified = match self.verify(&flow, began.from, callback).await {
            Ok(verified) => verified,
            Err(error) if matches!(error.kind(), Kind::Busy | Kind::Upstream) => {
                self.pending.put_flow_back(&key, flow);
                return Err(error);
            }
            Err(error) => {
                self.remark_failed_sign_in(&provider, None, browser, &error);
                return Err(self.complete_failed(&key, error));
            }
        };
        tracing::debug!(sign_in = %code(&key), "the provider vouched for the user of a sign-in");
        self.users.refuse_if_suspended(&verified.sign_in).await.map_err(|error| {
            let error = self.refused_user(&verified, error);
            self.complete_failed(&key, error)
        })?;
        // The client and the browser that takes the tokens are one program: it is not asked.
        if wants_tokens && self.pending.reserve_for_browser(&key) {
            let signed_in = self.record(&key, &verified).await?;
            self.pending.remove(&key);
            return Ok(Concluded::ForBrowser(signed_in));
        }
        if self.options.confirm {
            return Ok(Concluded::Ask(self.ask(&key, began, verified)));
        }
        let user = self.record(&key, &verified).await?;
        self.complete(&key, Ok(user));
        Ok(Concluded::Delivered)
    }

    /// The identity of the user, which the provider vouches for.
    async fn verify(
        &self,
        flow: &Flow,
        began_from: Address,
        callback: Callback,
    ) -> Result<Verified, Error> {
        if self.options.same_address && callback.from != began_from {
            return Err(other_address("The browser", RequestField::State));
        }
        if callback.own_uri_of.as_ref() != self.own_uri_of(&flow.provider) {
            return Err(mixed_up());
        }
        let code = match callback.reply {
            ProviderReply::Code(code) => code,
            ProviderReply::Refused { error, description } => {
                return Err(refused_by_provider(error, description));
            }
        };
        let (provider, browser) = (flow.provider.clone(), callback.client);
        let vouched = self.sign_in.finish(flow, code, callback.issuer.as_deref(), callback.from);
        let vouched = vouched.await?;
        Ok(Verified { provider, sign_in: self.users.prepare_sign_in(vouched), browser })
    }

    /// `provider`, unless it is the first one, which has no redirect URI of its own.
    fn own_uri_of<'a>(&self, provider: &'a ProviderId) -> Option<&'a ProviderId> {
        let first = self.options.providers.first();
        Some(provider).filter(|id| first.is_none_or(|first| first.id != **id))
    }

    /// Records the sign-in of `verified`. A failure is the outcome of the sign-in.
    pub(super) async fn record(
        &self,
        key: &KeyHash,
        verified: &Verified,
    ) -> Result<SignedIn, Error> {
        let browser = verified.browser.clone();
        match self.users.record_prepared(&verified.sign_in, &browser).await {
            Ok(user) => Ok(SignedIn { user, browser }),
            Err(error) => {
                let error = self.refused_user(verified, error);
                Err(self.complete_failed(key, error))
            }
        }
    }

    pub(super) fn complete(&self, key: &KeyHash, outcome: SignInOutcome) {
        let expires = self.ground.clock.monotonic().saturating_add(self.options.result_lifetime);
        self.pending.complete(key, outcome, expires);
    }

    /// Completes a sign-in that failed. The client that waits gets kind and sentence alone: the cause
    /// is logged with the browser's request, which the fields belong to.
    pub(super) fn complete_failed(&self, key: &KeyHash, error: Error) -> Error {
        self.complete(key, Err(Error::new(error.kind(), error.public().to_owned())));
        error
    }

    /// The refusal of a user whose identity is known: audited, and with the name for the log.
    pub(super) fn refused_user(&self, verified: &Verified, error: Error) -> Error {
        let subject = verified.sign_in.subject();
        let error = name_the_refused(error, subject);
        let browser = verified.browser.clone();
        self.remark_failed_sign_in(&verified.provider, Some(subject), browser, &error);
        error
    }

    pub(super) fn remark_failed_sign_in(
        &self,
        provider: &ProviderId,
        subject: Option<&Subject>,
        browser: Client,
        error: &Error,
    ) {
        let target = Target { provider: Some(provider.clone()), ..Target::default() };
        let actor = match subject {
            Some(subject) => {
                let who = Who::User(subject.clone(), Interface::Vault);
                Actor { who, client: browser }
            }
            None => Actor::stranger(Interface::Vault, browser),
        };
        let event = self.ground.event(Some(actor), Action::SignIn, target, outcome_of(error));
        self.ground.remark(Event { note: error.cause(), ..event });
    }

    /// Drops the sign-ins that have expired. Those that were not answered are audited.
    pub(super) fn drop_expired(&self, now: Duration) {
        for verified in self.pending.remove_expired(now) {
            let error = expired().because("the user was asked and did not answer");
            self.remark_failed_sign_in(
                &verified.provider,
                Some(verified.sign_in.subject()),
                verified.browser.clone(),
                &error,
            );
        }
    }
}

/// Where a sign-in is after its callback.
enum Concluded {
    Delivered,
    Ask(Confirmation),
    ForBrowser(SignedIn),
}

/// `error` with the subject as its cause, if it has none: a refusal that names no cause is that of a
/// suspended user.
pub(super) fn name_the_refused(error: Error, subject: &Subject) -> Error {
    if error.kind() != Kind::Unauthenticated || error.cause().is_some() {
        return error;
    }
    let Subject { issuer, subject } = subject;
    error.because(format!("the user {} of {} is suspended", short(subject), short(issuer)))
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

/// The refusal of a browser or a client at another address. The sentence names the setting; it
/// stands at the field too, for programs that read only the fields.
pub(super) fn other_address(subject: &str, field: RequestField) -> Error {
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
    bad_state(
        "This sign-in is unknown, over, or took too long. Please begin again.",
        "It is unknown, or too old.",
    )
}

fn used_state() -> Error {
    bad_state(
        "This sign-in was used already, and the program that began it may be signed in. If it is not, please begin \
         again there.",
        "It was used already.",
    )
}

fn bad_state(sentence: &'static str, problem: &'static str) -> Error {
    let problem = FieldProblem::new([RequestField::State.into()], problem);
    Error::new(Kind::Invalid, sentence).with_fields(vec![problem])
}

/// The refusal of a browser that came back at the redirect URI of another provider than the one at
/// which its sign-in began (RFC 9700 section 4.4.2.2).
fn mixed_up() -> Error {
    Error::new(Kind::Unauthenticated, "The sign-in was not accepted. Please begin again.")
        .because("the browser came back to the redirect URI of another provider")
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
