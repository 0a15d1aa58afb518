//! Signing in: a browser is sent to a provider and returns, and the client that began the sign-in
//! gets tokens (`waiting`).
//!
//! The callback key is the OAuth `state`. A client that has it gets the tokens of the user who
//! signs in. So the user is asked first (`confirmation`), and by default browser and client must
//! have the address at which the sign-in began.

use std::sync::Arc;
use std::time::Duration;

use super::pending::{KeyHash, Origin, SignInOutcome, SignedIn, TakenFlow, Verified, hash};
use super::refusals::{
    expired, mixed_up, name_the_refused, no_room, no_such_provider, other_address,
    refused_by_provider, too_many_begun, too_many_pending, unknown_state, used_state,
};
use super::{Address, Confirmation, Sessions, SignInProvider, TokenPair, code};
use crate::caller::{Client, Interface, Subject};
use crate::error::{Error, Kind, RequestField};
use crate::ground::outcome_of;
use crate::ids::ProviderId;
use crate::ports::audit::{Action, Actor, Event, Target, Who};
use crate::ports::random_16;
use crate::ports::sign_in::{Begun, Flow};
use crate::secret::Secret;

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

    /// Finishes a sign-in with the callback of its browser, or comes to the question for its user.
    /// It runs to its end even if the browser disconnects; a state is valid for one attempt,
    /// successful or not.
    ///
    /// # Errors
    /// `Invalid` for a state that is unknown, used or expired; `Forbidden` when the browser is not
    /// at the address that began the sign-in; `Unauthenticated` when the provider refused, its
    /// reply is not valid, or the user is suspended; `Upstream` when the provider could not be
    /// asked. The waiting client gets the same error. `Busy` when too many sign-ins are being
    /// finished: the state is not spent then, and the client waits on.
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
            Err(error) if error.kind() == Kind::Busy => {
                // The code was not sent: nothing is spent, and the client waits on.
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
            return Ok(Concluded::Ask(self.ask(&key, began, verified)?));
        }
        let user = self.record(&key, &verified).await?;
        self.deliver(&key, user, &verified)?;
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

    /// Completes the sign-in of `verified`, whose user is recorded, for the client.
    ///
    /// # Errors
    /// `Unauthenticated` when it has expired meanwhile: no client gets the tokens. It is audited.
    pub(super) fn deliver(
        &self,
        key: &KeyHash,
        user: SignedIn,
        verified: &Verified,
    ) -> Result<(), Error> {
        if self.complete(key, Ok(user)) { Ok(()) } else { Err(self.too_late(verified)) }
    }

    /// The error of a sign-in that expired before its work was done: audited.
    pub(super) fn too_late(&self, verified: &Verified) -> Error {
        let error = expired().because("it expired while it was being finished");
        let (subject, browser) = (verified.sign_in.subject(), verified.browser.clone());
        self.remark_failed_sign_in(&verified.provider, Some(subject), browser, &error);
        error
    }

    /// Whether the outcome was kept for the client. It is not when the sign-in has expired.
    fn complete(&self, key: &KeyHash, outcome: SignInOutcome) -> bool {
        let expires = self.ground.clock.monotonic().saturating_add(self.options.result_lifetime);
        self.pending.complete(key, outcome, expires)
    }

    /// Completes a sign-in that failed. The client that waits gets kind and sentence alone: the
    /// cause is logged with the browser's request, which the fields belong to.
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
