//! Taking credentials back: when their users ask, when their time is over, when an issue was cut
//! short.
//!
//! [`Leases::revoke`] is the users' way in; the sweeper's is [`Leases::attempt`], where both meet.
//! One attempt: claim the lease durably, call the plugin, record what it said. There is one attempt
//! on a lease at a time; who wants the same meanwhile waits for its end.
//!
//! Never here: when the next attempt is due (that is [`crate::model::lease`]'s).

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::attempts::{Answer, Entered, Ticket, Told};
use crate::access::{self, Grant, Revoke};
use crate::caller::{Caller, Identity};
use crate::error::{Error, Kind};
use crate::ground::outcome_of;
use crate::ground::too_contended;
use crate::ids::LeaseId;
use crate::leases::ledger::NotAdvanced;
use crate::leases::{About, CALL_GRACE, Leases, user};
use crate::model::lease::{Event, Lease, Overdue, State};
use crate::ports::audit::{Action, Actor, Outcome};
use crate::ports::plugins::{
    Broken, BrokenHow, CallFailure, LoadedService, NotStarted, Refusal, RevokeCall, Urgency,
};
use crate::ports::store::Versioned;
use crate::secret::Secret;

/// How often an attempt begins anew because the lease changed under it.
const BEGINNINGS: u32 = 16;

const AGAIN: &str = "The credential could not be revoked now; the daemon goes on trying by itself.";
const PARKED: &str = "The credential could not be revoked; an operator has to look at it.";
const CANNOT: &str =
    "Credentials of this service cannot be revoked; they last until they end by themselves.";
const GONE: &str = "The service of this credential does not exist any more.";
const REPLACED: &str =
    "The service of this credential works in another way now and cannot revoke it.";

/// Who wants a lease revoked.
#[derive(Debug, Clone)]
pub(crate) enum By {
    /// Its user.
    User(Actor),
    /// The daemon, because it is due.
    Daemon,
}

/// How far the plugin of a lease can be reached.
enum Reach {
    Ready(LoadedService),
    /// Configured, but not now.
    NotLoaded(String),
    /// It has no revoke.
    CannotRevoke,
    /// Not configured.
    Gone,
    /// Another plugin is behind the service.
    Replaced,
}

/// How an attempt begins.
enum Beginning {
    /// With a claim, then a call of the plugin.
    Call(Vec<Event>, LoadedService),
    /// Without a call: this happens, this is audited, this is told.
    Settle(Vec<Event>, Told),
    /// Nothing happens.
    Nothing(Told),
}

impl Leases {
    /// Leave to have the credential of `lease` revoked for `caller`.
    ///
    /// # Errors
    /// `NotFound` when there is no such lease, or it is somebody else's; `Internal` when the store
    /// fails.
    pub async fn authorize_revoke(
        &self,
        caller: &Caller,
        lease: LeaseId,
    ) -> Result<Grant<Revoke>, Error> {
        let stored = self.known_lease(lease).await?;
        access::authorize_revoke(caller, &stored.value.owner, lease).inspect_err(|error| {
            let about = About::from(&stored.value);
            self.ground.remark(self.event(
                Some(user(caller)),
                Action::Revoke,
                about,
                outcome_of(error),
            ));
        })
    }

    /// Has a credential revoked. Where an attempt is under way already, its end is the answer. What
    /// has begun goes on to its end when this future is dropped. On `Ok` the credential is gone.
    ///
    /// # Errors
    /// `Refused` when the plugin says no (the credential stays), or when it could not be reached
    /// (the daemon goes on trying); `PluginTimeout`, `PluginFailed` (it goes on trying), `Busy`,
    /// `NotFound`, `Internal`.
    pub async fn revoke(self: &Arc<Self>, grant: Grant<Revoke>) -> Result<(), Error> {
        let stored = self.known_lease(grant.lease()).await?;
        let effect = self.effects.take(&stored.value.service, grant.caller().subject())?;
        let by = By::User(user(grant.caller()));
        let core = Arc::clone(self);
        let work = async move {
            let _effect = effect;
            core.attempt_or_join(stored, by).await
        };
        self.ground.detached("revoke", Box::pin(work)).await
    }

    async fn known_lease(&self, id: LeaseId) -> Result<Versioned<Lease>, Error> {
        let now = self.ground.clock.now();
        let stored = self
            .ground
            .records
            .lease(id)
            .await?
            .filter(|stored| stored.value.is_known_to_owner(now));
        stored.ok_or_else(not_found)
    }

    async fn attempt_or_join(&self, stored: Versioned<Lease>, by: By) -> Result<(), Error> {
        match self.attempts.enter(stored.value.id) {
            Entered::Other(waiting) => Ok(waiting.told().await?),
            Entered::Mine(ticket) => Ok(self.attempt(ticket, stored, by).await?),
        }
    }

    /// One attempt to revoke, by whoever holds the ticket. Everybody who waits hears how it ended.
    pub(crate) async fn attempt(&self, ticket: Ticket, stored: Versioned<Lease>, by: By) -> Told {
        let told = self.attempt_untold(stored, &by).await.unwrap_or_else(|error| Err(error.into()));
        ticket.finish(&told);
        told
    }

    async fn attempt_untold(&self, mut stored: Versioned<Lease>, by: &By) -> Result<Told, Error> {
        for _ in 0..BEGINNINGS {
            let (events, call, told) = match self.beginning(&stored.value, by) {
                Beginning::Nothing(told) => {
                    self.record_nothing(&stored.value, by, &told);
                    return Ok(told);
                }
                Beginning::Settle(events, told) => (events, None, told),
                Beginning::Call(events, loaded) => (events, Some(loaded), Ok(())),
            };
            let tell = |after: Option<&Lease>| match call {
                // What came of it is told when the plugin has spoken.
                Some(_) => Vec::new(),
                None => self.settled(&stored.value, after, by, &told),
            };
            match (self.advance(&stored, events, tell).await, call) {
                (Ok(Some(claimed)), Some(loaded)) => {
                    return self.call_and_conclude(claimed, &loaded, by).await;
                }
                (Ok(after), _) => {
                    warn_of_parked(after.as_ref());
                    return Ok(told);
                }
                (Err(NotAdvanced::Conflict), _) => {}
                // Between reading and writing nothing but time passes: the claim of another
                // process.
                (Err(NotAdvanced::NotPossible(_)), _) => return Ok(Err(claimed_elsewhere())),
                (Err(NotAdvanced::Failed(error)), _) => return Err(error),
            }
            let Some(again) = self.ground.records.lease(stored.value.id).await? else {
                return Ok(Ok(()));
            };
            stored = again;
        }
        Err(too_contended())
    }

    fn beginning(&self, lease: &Lease, by: &By) -> Beginning {
        match by {
            By::User(_) => self.beginning_by_user(lease),
            By::Daemon => self.beginning_by_daemon(lease),
        }
    }

    fn beginning_by_user(&self, lease: &Lease) -> Beginning {
        let reach = self.reach(lease);
        let droppable = matches!(reach, Reach::Gone) && self.options.allow_dropping;
        if matches!(lease.state, State::Ended { .. }) {
            // It was there when the user asked.
            return Beginning::Nothing(Ok(()));
        }
        if !lease.is_known_to_owner(self.ground.clock.now()) {
            return Beginning::Nothing(Err(not_found().into()));
        }
        if matches!(lease.state, State::Parked(_)) {
            return if droppable {
                Beginning::Settle(vec![Event::Dropped], Ok(()))
            } else {
                Beginning::Nothing(Err(Answer::new(Kind::Refused, PARKED)))
            };
        }
        let refuse = |sentence| Beginning::Nothing(Err(Answer::new(Kind::Refused, sentence)));
        match reach {
            Reach::Gone if droppable => Beginning::Settle(
                vec![Event::RevokeAsked, Event::ServiceGone, Event::Dropped],
                Ok(()),
            ),
            Reach::Gone => refuse(GONE),
            Reach::Replaced => refuse(REPLACED),
            Reach::CannotRevoke => refuse(CANNOT),
            Reach::NotLoaded(why) => {
                let told = Err(Answer::new(Kind::Refused, AGAIN).because(why));
                Beginning::Settle(vec![Event::RevokeAsked, self.failed(None)], told)
            }
            Reach::Ready(loaded) => {
                Beginning::Call(vec![Event::RevokeAsked, self.claim(&loaded)], loaded)
            }
        }
    }

    fn beginning_by_daemon(&self, lease: &Lease) -> Beginning {
        let mut events =
            match (lease.overdue(self.ground.clock.now(), &self.ledger.timing), &lease.state) {
                (Some(Overdue::Limit), State::Active(_)) => vec![Event::LimitReached],
                (Some(Overdue::Attempt), State::Revoking(_)) => Vec::new(),
                (_, State::Ended { .. }) => return Beginning::Nothing(Ok(())),
                // It changed since it was found due. A user may have joined, and must not take this
                // for the end of their credential.
                _ => return Beginning::Nothing(Err(moved_on())),
            };
        let (event, told) = match self.reach(lease) {
            Reach::Ready(loaded) => {
                events.push(self.claim(&loaded));
                return Beginning::Call(events, loaded);
            }
            Reach::Gone => (Event::ServiceGone, Answer::new(Kind::Refused, GONE)),
            Reach::Replaced => (Event::ServiceGone, Answer::new(Kind::Refused, REPLACED)),
            // It has ended by itself; only the skew has yet to pass. A certificate that was cut to
            // its lifetime is no case for an operator.
            Reach::CannotRevoke
                if lease.own_end().is_some_and(|end| end <= self.ground.clock.now()) =>
            {
                return Beginning::Nothing(Ok(()));
            }
            Reach::CannotRevoke => {
                (Event::Refused(CANNOT.to_owned()), Answer::new(Kind::Refused, CANNOT))
            }
            Reach::NotLoaded(why) => {
                (self.failed(None), Answer::new(Kind::Refused, AGAIN).because(why))
            }
        };
        events.push(event);
        Beginning::Settle(events, Err(told))
    }

    fn reach(&self, lease: &Lease) -> Reach {
        if self.catalogue.get(lease.service.as_str()).is_none() {
            return Reach::Gone;
        }
        match self.plugins.loaded(&lease.service) {
            Err(why) => Reach::NotLoaded(why),
            Ok(loaded) if loaded.plugin.name != lease.plugin.name => Reach::Replaced,
            Ok(loaded) if !loaded.offer.can_revoke => Reach::CannotRevoke,
            Ok(loaded) => Reach::Ready(loaded),
        }
    }

    /// Whether the service of `lease` is what it was when it issued.
    pub(crate) fn is_service_back(&self, lease: &Lease) -> bool {
        matches!(self.reach(lease), Reach::Ready(_) | Reach::CannotRevoke)
    }

    fn claim(&self, loaded: &LoadedService) -> Event {
        Event::AttemptBegun { until: self.ground.clock.now() + loaded.longest_call + CALL_GRACE }
    }

    fn failed(&self, retry_after: Option<std::time::Duration>) -> Event {
        let mut jitter = [0];
        self.ground.entropy.fill(&mut jitter);
        Event::Failed { retry_after, jitter: u8::from_be_bytes(jitter) }
    }

    async fn call_and_conclude(
        &self,
        claimed: Versioned<Lease>,
        loaded: &LoadedService,
        by: &By,
    ) -> Result<Told, Error> {
        let with_secret = claimed.value.state.made().is_some_and(|made| made.with_secret);
        let secret = if with_secret {
            self.ground.records.revoke_with(claimed.value.id).await?
        } else {
            None
        };
        let call = revoke_call(&claimed.value, secret, by);
        let outcome = self
            .bounded(self.plugins.revoke(call), loaded.longest_call)
            .await
            .unwrap_or_else(overdue);
        let (event, told) = match outcome {
            Ok(()) => (Event::Revoked, Ok(())),
            Err(failure) => self.failure(failure),
        };
        self.conclude(claimed, event, told, by).await
    }

    fn failure(&self, failure: CallFailure) -> (Event, Told) {
        let cause = failure.to_string();
        let told = |kind, public: &'static str| Err(Answer::new(kind, public).because(&cause));
        match failure {
            CallFailure::Refused(Refusal { user, retry_after: None }) => {
                (Event::Refused(user.clone()), Err(Answer::new(Kind::Refused, user)))
            }
            CallFailure::Refused(Refusal { user, retry_after: Some(after) }) => {
                let answer =
                    Answer::new(Kind::Refused, format!("{user} ({AGAIN})")).retry_after(after);
                (self.failed(Some(after)), Err(answer))
            }
            CallFailure::NotStarted(NotStarted::Busy) => {
                (self.failed(None), told(Kind::Busy, AGAIN))
            }
            CallFailure::NotStarted(NotStarted::NotLoaded(_)) => {
                (self.failed(None), told(Kind::Refused, AGAIN))
            }
            CallFailure::Broken(Broken { how: BrokenHow::Timeout, .. }) => {
                (self.failed(None), told(Kind::PluginTimeout, AGAIN))
            }
            CallFailure::Broken(Broken { how: BrokenHow::Trap | BrokenHow::BadOutput, .. }) => {
                (self.failed(None), told(Kind::PluginFailed, AGAIN))
            }
        }
    }

    /// Records what the plugin said of the lease that was claimed. Where the lease has moved on
    /// meanwhile (its own end passed, or a late issue said what there is to revoke), what the
    /// plugin said is about something that is no more, and is let go.
    async fn conclude(
        &self,
        claimed: Versioned<Lease>,
        event: Event,
        told: Told,
        by: &By,
    ) -> Result<Told, Error> {
        let mut stored = claimed.clone();
        loop {
            let tell = |after: Option<&Lease>| {
                self.settled(&claimed.value, after, by, &for_parked(told.clone(), after))
            };
            match self.advance(&stored, [event.clone()], tell).await {
                Ok(after) => {
                    warn_of_parked(after.as_ref());
                    return Ok(for_parked(told, after.as_ref().map(|after| &after.value)));
                }
                Err(NotAdvanced::Conflict) => {}
                Err(NotAdvanced::NotPossible(reason)) => return Err(Error::internal(reason)),
                Err(NotAdvanced::Failed(error)) => return Err(error),
            }
            match self.ground.records.lease(claimed.value.id).await? {
                Some(again) if again.value.state == claimed.value.state => stored = again,
                Some(again) if again.value.state.is_counted() => {
                    return Ok(told.and(Err(moved_on())));
                }
                Some(_) | None => return Ok(Ok(())),
            }
        }
    }

    /// One event for what becomes of the lease, and one for its being parked.
    fn settled(
        &self,
        before: &Lease,
        after: Option<&Lease>,
        by: &By,
        told: &Told,
    ) -> Vec<crate::ports::audit::Event> {
        let event = |action, outcome| self.event(by.actor(), action, About::from(before), outcome);
        let state = after.map(|lease| &lease.state);
        let mut events = match (told, state) {
            // The first of two revocations that a cut-short issue needs.
            (Ok(()), Some(State::Revoking(_))) => Vec::new(),
            (Ok(()), Some(State::Ended { how: crate::model::lease::Ending::Dropped, .. })) => {
                vec![event(Action::Drop, Outcome::Done)]
            }
            (Ok(()), _) => vec![event(Action::Revoke, Outcome::Done)],
            (Err(answer), _) => vec![event(Action::Revoke, answer.outcome())],
        };
        if let (Some(State::Parked(_)), Err(answer)) = (state, told) {
            events.push(self.event(None, Action::Park, About::from(before), answer.outcome()));
        }
        events
    }

    /// That a user was refused is told also where it changes nothing. The daemon by itself is
    /// refused again and again.
    fn record_nothing(&self, lease: &Lease, by: &By, told: &Told) {
        if let (By::User(_), Err(answer)) = (by, told) {
            self.ground.remark(self.event(
                by.actor(),
                Action::Revoke,
                About::from(lease),
                answer.outcome(),
            ));
        }
    }
}

impl By {
    fn actor(&self) -> Option<Actor> {
        match self {
            Self::User(actor) => Some(actor.clone()),
            Self::Daemon => None,
        }
    }
}

fn warn_of_parked(after: Option<&Versioned<Lease>>) {
    let Some(lease) = after.map(|stored| &stored.value) else { return };
    if let State::Parked(parked) = &lease.state {
        tracing::warn!(lease = %lease.id, service = %lease.service, reason = ?parked.reason, "a lease was parked");
    }
}

impl Answer {
    fn outcome(&self) -> Outcome {
        let words = self.public.clone().into_owned();
        match self.kind {
            Kind::PluginFailed | Kind::PluginTimeout | Kind::Upstream | Kind::Internal => {
                Outcome::Failed(words)
            }
            _ => Outcome::Refused(words),
        }
    }
}

/// That the daemon goes on trying is no longer true once the lease is parked.
fn for_parked(told: Told, after: Option<&Lease>) -> Told {
    let gave_up = after.is_some_and(|lease| matches!(lease.state, State::Parked(_)));
    match told {
        Err(answer) if gave_up && answer.public.contains(AGAIN) => {
            Err(Answer { public: PARKED.into(), ..answer })
        }
        told => told,
    }
}

fn revoke_call(lease: &Lease, revoke_with: Option<Secret>, by: &By) -> RevokeCall {
    let identity = Identity {
        provider: lease.provider.clone(),
        subject: lease.owner.clone(),
        claims: lease.kept.claims.clone(),
    };
    let parameter = |(key, value): &(String, String)| (key.clone(), Secret::new(value.as_str()));
    RevokeCall {
        service: lease.service.clone(),
        lease: lease.id,
        user: Arc::new(identity),
        parameters: lease.kept.parameters.iter().map(parameter).collect(),
        not_after: lease.not_after,
        state: lease.plugin_state().to_owned(),
        revoke_with,
        urgency: match by {
            By::User(_) => Urgency::User,
            By::Daemon => Urgency::Background,
        },
    }
}

/// What became of a call that the host should have ended.
fn overdue() -> Result<(), CallFailure> {
    let cause = "the call outlived the time that the host promised".into();
    Err(CallFailure::Broken(Broken { how: BrokenHow::Timeout, cause }))
}

fn not_found() -> Error {
    Error::new(Kind::NotFound, "There is no such credential.")
}

fn claimed_elsewhere() -> Answer {
    Answer::new(Kind::Busy, "The credential is being revoked already; please try again later.")
}

fn moved_on() -> Answer {
    Answer::new(Kind::Busy, "The credential changed while it was being revoked; please try again.")
}
