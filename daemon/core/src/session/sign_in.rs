//! Signing in: a browser is sent to a provider and comes back, and whoever asked for it gets
//! tokens.
//!
//! The callback key is the OAuth `state`. Whoever holds it gets the tokens of whoever signs in, so
//! that by default browser and client have to come from where the sign-in began.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::under_way::{Failure, Found, KeyHash, NotSeated, hash};
use super::{Address, Sessions, TokenPair, hex};
use crate::caller::Interface;
use crate::error::{Error, FieldProblem, Kind, RequestField};
use crate::ground::outcome_of;
use crate::ids::{ProviderId, UserId};
use crate::ports::audit::{Action, Actor, Target};
use crate::ports::random_16;
use crate::ports::sign_in::{Begun, Flow};
use crate::secret::Secret;

/// When to come again if there are too many clients that wait.
const SEATS_RETRY: Duration = Duration::from_secs(10);

/// A sign-in that has begun.
#[derive(Debug)]
pub struct Beginning {
    /// Where to send the browser.
    pub uri: String,
    /// What to wait with: `ck` and 32 hexadecimal digits. It comes back with the browser too.
    pub callback_key: Secret,
}

/// What a browser brought back from a provider.
#[derive(Debug)]
pub struct Back {
    /// The state, which is the callback key of [`Beginning`].
    pub state: Secret,
    /// What the provider says.
    pub answer: Answer,
    /// Who says it, where that was told (RFC 9207).
    pub issuer: Option<String>,
    /// Where the browser is.
    pub from: Address,
    /// Whether the browser takes tokens, if no client ever waited for them.
    pub wants_tokens: bool,
}

/// What a provider says at the end of its part.
#[derive(Debug)]
pub enum Answer {
    /// A code, to be exchanged for who it is.
    Code(Secret),
    /// No, or nothing that could be understood.
    Refused,
}

/// How a sign-in ended well.
#[derive(Debug)]
pub enum Finished {
    /// The client that waits, or will, gets the tokens.
    Delivered,
    /// The browser gets them.
    Tokens(TokenPair),
}

impl Sessions {
    /// Begins a sign-in at `provider`, or at the usual one, on behalf of a client at `from`.
    ///
    /// # Errors
    /// `Invalid` at `["provider"]` for one that nobody can sign in at; `LimitReached` when `from`
    /// began too many this minute, `Busy` when there are too many of everybody's, both with a time
    /// to come again; `Upstream` while the provider cannot be reached.
    pub fn begin(&self, provider: Option<&ProviderId>, from: Address) -> Result<Beginning, Error> {
        let now = self.ground.clock.monotonic();
        if let Some(wait) = self.under_way.full_until(now) {
            return Err(too_many_under_way(wait));
        }
        self.rate.count(from, now).map_err(too_many_begun)?;
        let callback_key = self.callback_key();
        let state = callback_key.expose_str().unwrap_or_default();
        let begun = self.sign_in.begin(
            provider.unwrap_or(&self.options.provider),
            &self.options.redirect_uri,
            state,
        );
        let Begun { uri, flow } = begun.map_err(|error| match error.kind() {
            Kind::NotFound if provider.is_some() => no_such_provider(),
            // Nobody named it: that is the configuration's fault, not the client's.
            Kind::NotFound => Error::internal(error),
            _ => error,
        })?;
        let ends = now.saturating_add(self.options.sign_in_lifetime);
        if !self.under_way.begin(hash(&callback_key), from, flow, ends) {
            return Err(too_many_under_way(self.options.wait_for_client));
        }
        Ok(Beginning { uri, callback_key })
    }

    fn callback_key(&self) -> Secret {
        Secret::new(format!("ck{}", hex(&random_16(&*self.ground.entropy))))
    }

    /// Whether a client at `from` could wait for `key` now.
    ///
    /// # Errors
    /// As [`Sessions::attach`], but for the number of those who wait.
    pub fn expects(&self, key: &Secret, from: Address) -> Result<(), Error> {
        let now = self.ground.clock.monotonic();
        self.under_way.expects(&hash(key), self.bound_to(from), now).map_err(not_seated)
    }

    /// Has a client at `from` wait for `key`. One at a time: when it goes away before there is
    /// anything for it, another may come.
    ///
    /// # Errors
    /// `NotFound` for a key that is unknown, spent or too old; `Forbidden` when the sign-in began
    /// elsewhere; `Conflict` when another client waits; `Busy` when too many wait for all keys
    /// together.
    pub fn attach(self: &Arc<Self>, key: &Secret, from: Address) -> Result<Seat, Error> {
        let (key, now) = (hash(key), self.ground.clock.monotonic());
        let permit = Arc::clone(&self.seats).try_acquire_owned();
        let permit = permit
            .map_err(|_| too_many("Too many clients wait; please try again later.", SEATS_RETRY))?;
        let wake = self.under_way.seat(&key, self.bound_to(from), now).map_err(not_seated)?;
        Ok(Seat { sessions: Arc::clone(self), key, wake, _permit: permit })
    }

    fn bound_to(&self, from: Address) -> Option<Address> {
        self.options.same_address.then_some(from)
    }

    /// Finishes a sign-in with what the browser brought. It goes on to its end even if the browser
    /// goes away; a state is good for one attempt, whatever comes of it.
    ///
    /// # Errors
    /// `Invalid` for a state that is unknown, spent or too old; `Forbidden` when the browser is not
    /// where the sign-in began; `Unauthenticated` when the provider said no, what it said does not
    /// hold, or the user is suspended; `Upstream` when it could not be asked. The client that waits
    /// hears the same.
    pub async fn finish(self: &Arc<Self>, back: Back) -> Result<Finished, Error> {
        let key = hash(&back.state);
        let now = self.ground.clock.monotonic();
        let soon = now.saturating_add(self.options.wait_for_client);
        let (flow, began_from) = self.under_way.claim(&key, now, soon).ok_or_else(unknown_state)?;
        let wants_tokens = back.wants_tokens;
        let sessions = Arc::clone(self);
        let work = async move { sessions.conclude(key, flow, began_from, back).await };
        self.ground.detached("finish a sign-in", Box::pin(work)).await?;
        let outcome = if wants_tokens { self.under_way.take_unseated(&key) } else { None };
        match outcome {
            Some(outcome) => Ok(Finished::Tokens(self.open(outcome?).await?)),
            None => Ok(Finished::Delivered),
        }
    }

    async fn conclude(
        &self,
        key: KeyHash,
        flow: Flow,
        began_from: Address,
        back: Back,
    ) -> Result<(), Error> {
        let provider = flow.provider.clone();
        let outcome = self.who(flow, began_from, back).await;
        let told = outcome.as_ref().map(|user| *user).map_err(Failure::from);
        let until = self.ground.clock.monotonic().saturating_add(self.options.wait_for_client);
        self.under_way.settle(&key, told, until);
        if let Err(error) = &outcome {
            let target = Target { provider: Some(provider), ..Target::default() };
            let stranger = Some(Actor::Stranger(Interface::Vault));
            self.ground.remark(self.event(stranger, Action::SignIn, target, outcome_of(error)));
        }
        outcome.map(drop)
    }

    async fn who(&self, flow: Flow, began_from: Address, back: Back) -> Result<UserId, Error> {
        if self.options.same_address && back.from != began_from {
            return Err(other_address("The browser", RequestField::State));
        }
        let Answer::Code(code) = back.answer else {
            return Err(Error::new(Kind::Unauthenticated, "The provider did not sign you in."));
        };
        let vouched = self.sign_in.finish(flow, code, back.issuer.as_deref()).await?;
        self.users.welcome(vouched).await
    }
}

/// A client that waits for what comes of a sign-in. It counts as one until it is dropped, also when
/// it has its tokens already.
pub struct Seat {
    sessions: Arc<Sessions>,
    key: KeyHash,
    wake: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// The tokens, as soon as there are some; once. To be polled to its end: what was taken out for
    /// it when it is dropped is lost.
    ///
    /// # Errors
    /// What [`Sessions::finish`] says, and `Unauthenticated` when nobody signed in in time or the
    /// user was suspended meanwhile.
    pub async fn tokens(&self) -> Result<TokenPair, Error> {
        let clock = &self.sessions.ground.clock;
        loop {
            let now = clock.monotonic();
            let ends = match self.sessions.under_way.look(&self.key, now) {
                Found::Over(outcome) => return self.sessions.open(outcome?).await,
                Found::Waiting(ends) => ends,
                Found::Gone => {
                    return Err(Error::new(Kind::Unauthenticated, "Nobody signed in in time."));
                }
            };
            let woken = std::pin::pin!(self.wake.notified());
            // Whichever it was: look again.
            let (Either::Left(_) | Either::Right(_)) =
                select(woken, clock.sleep(ends.saturating_sub(now))).await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sessions.under_way.leave(&self.key, &self.wake);
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seat")
    }
}

fn not_seated(why: NotSeated) -> Error {
    match why {
        NotSeated::Unknown => Error::new(Kind::NotFound, "There is no such sign-in under way."),
        NotSeated::OtherAddress => other_address("The client", RequestField::CallbackKey),
        NotSeated::Taken => {
            Error::new(Kind::Conflict, "Another client waits for this sign-in already.")
        }
    }
}

/// Names the setting, and what `who` came with: also a program that reads no sentences beside the
/// fields has to learn of it.
fn other_address(who: &str, with: RequestField) -> Error {
    let sentence = format!(
        "{who} is not at the address that began this sign-in. Where that is meant to be so, the operator sets `same_address = false`."
    );
    let problem = FieldProblem::new([with.into()], sentence.as_str());
    Error::new(Kind::Forbidden, sentence).with_fields(vec![problem])
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

fn too_many_under_way(wait: Duration) -> Error {
    too_many("Too many sign-ins are under way; please try again later.", wait)
}

fn too_many(sentence: &'static str, wait: Duration) -> Error {
    Error::new(Kind::Busy, sentence).retry_after(wait.max(Duration::from_secs(1)))
}
