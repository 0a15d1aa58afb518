//! Revoking credentials: when their users ask, when their lifetime is over, when an issue was cut
//! short.
//!
//! Users enter at [`Leases::revoke`], the sweeper at [`Leases::attempt`], where both meet. One
//! attempt: claim the lease durably, call the plugin, record its answer. There is one attempt on a
//! lease at a time; a second caller waits for its result.
//!
//! Never here: when the next attempt is due (that is [`crate::model::lease`]'s).

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use super::attempts::{AttemptResult, Entered, Ticket};
use super::background::Answer;
use crate::access::{self, Grant, Revoke};
use crate::caller::{Caller, Identity};
use crate::error::{Error, Kind};
use crate::ground::{outcome_of, too_contended};
use crate::ids::LeaseId;
use crate::leases::ledger::NotAdvanced;
use crate::leases::{CALL_GRACE, Leases, target_of, user};
use crate::limits::COMMIT_ATTEMPTS;
use crate::model::lease::{Claim, Ending, Event, Lease, Overdue, State};
use crate::ports::audit::{self, Action, Actor, Outcome};
use crate::ports::plugins::{
    Broken, BrokenHow, CallFailure, LoadedService, NotStarted, Refusal, RevokeCall, Urgency,
};
use crate::ports::store::Versioned;
use crate::secret::Secret;

const AGAIN: &str = "The credential could not be revoked now; the daemon goes on trying by itself.";
const PARKED: &str = "The credential could not be revoked; an operator has to look at it.";
const CANNOT: &str =
    "Credentials of this service cannot be revoked; they last until they end by themselves.";
const GONE: &str = "The service of this credential does not exist any more.";
const REPLACED: &str =
    "The service of this credential works in another way now and cannot revoke it.";

/// On whose behalf a lease is revoked.
#[derive(Debug, Clone)]
pub(crate) enum By {
    /// Its user.
    User(Actor),
    /// The daemon, because it is due.
    Daemon,
    /// The daemon, before it is due: it failed while its target did not answer, and it answers now.
    DaemonEarly,
}

/// Whether the plugin of a lease can be called.
enum Availability {
    Ready(LoadedService),
    /// Its service is configured, but not loaded now.
    NotLoaded(String),
    /// The plugin has no revoke.
    CannotRevoke,
    /// Its service is not configured.
    Gone,
    /// Another plugin is behind the service.
    Replaced,
}

/// The first step of an attempt.
enum FirstStep {
    /// Claim the lease with these events, then call the plugin.
    Call(Vec<Event>, LoadedService),
    /// Apply these events without a call, and end with this result.
    Settle(Vec<Event>, AttemptResult),
    /// Change nothing, and end with this result.
    Nothing(AttemptResult),
}

impl Leases {
    /// Authorizes `caller` to have the credential of `lease` revoked.
    ///
    /// # Errors
    /// `NotFound` when there is no such lease, or another subject owns it; `Internal` when the
    /// store fails.
    pub async fn authorize_revoke(
        &self,
        caller: &Caller,
        lease: LeaseId,
    ) -> Result<Grant<Revoke>, Error> {
        let stored = self.revocable_lease(lease).await?;
        access::authorize_revoke(caller, &stored.value.owner, lease).inspect_err(|error| {
            let (target, outcome) = (target_of(&stored.value), outcome_of(error));
            self.ground.remark(self.ground.event(
                Some(user(caller)),
                Action::Revoke,
                target,
                outcome,
            ));
        })
    }

    /// Revokes a credential. Where an attempt is under way already, returns its result. An attempt
    /// that has begun goes on to its end when this future is dropped. On `Ok` the credential is
    /// gone.
    ///
    /// # Errors
    /// `Refused` when the plugin says no (the credential stays), or when it could not be reached
    /// (the daemon goes on trying); `PluginTimeout`, `PluginFailed` (it goes on trying), `Busy`,
    /// `NotFound`, `Internal`.
    pub async fn revoke(self: &Arc<Self>, grant: Grant<Revoke>) -> Result<(), Error> {
        let stored = self.revocable_lease(grant.lease()).await?;
        let effect = self.effects.take(&stored.value.service, grant.caller().subject())?;
        let by = By::User(user(grant.caller()));
        let leases = Arc::clone(self);
        let work = async move {
            let _effect = effect;
            leases.attempt_or_join(stored, by).await
        };
        self.ground.detached("revoke", Box::pin(work)).await
    }

    /// The lease of that id, if its owner may name it.
    async fn revocable_lease(&self, id: LeaseId) -> Result<Versioned<Lease>, Error> {
        let now = self.ground.clock.now();
        let stored = self.ground.records.lease(id).await?;
        stored.filter(|stored| stored.value.is_known_to_owner(now)).ok_or_else(not_found)
    }

    async fn attempt_or_join(
        self: &Arc<Self>,
        stored: Versioned<Lease>,
        by: By,
    ) -> Result<(), Error> {
        match self.attempts.enter(stored.value.id) {
            Entered::Other(waiting) => waiting.result().await,
            Entered::Mine(ticket) => self.attempt(ticket, stored, by).await,
        }
    }

    /// One attempt to revoke, made by the holder of the ticket. Every caller that waits gets its
    /// result.
    pub(crate) async fn attempt(
        self: &Arc<Self>,
        ticket: Ticket,
        stored: Versioned<Lease>,
        by: By,
    ) -> AttemptResult {
        let result = self.run_attempt(stored, &by).await;
        ticket.finish(&result);
        result
    }

    async fn run_attempt(self: &Arc<Self>, mut stored: Versioned<Lease>, by: &By) -> AttemptResult {
        // The lease is at hand for the first step and read again after a conflict, so this is no
        // `retry`, which reads before each attempt.
        for _ in 0..COMMIT_ATTEMPTS {
            let (events, call, result) = match self.first_step(&stored.value, by) {
                FirstStep::Nothing(result) => {
                    self.remark_refusal(&stored.value, by, &result);
                    return result;
                }
                FirstStep::Settle(events, result) => (events, None, result),
                FirstStep::Call(events, loaded) => (events, Some(loaded), Ok(())),
            };
            let audit = |after: Option<&Lease>| match call {
                // The event of the attempt belongs to the plugin's answer, which is yet to come.
                Some(_) => Vec::new(),
                None => self.audit_events(&stored.value, after, by, &result),
            };
            match (self.ledger.advance(&stored, events, audit).await, call) {
                (Ok(Some(claimed)), Some(loaded)) => {
                    return self.call_and_conclude(claimed, &loaded, by).await;
                }
                (Ok(after), _) => {
                    warn_of_parked(after.as_ref());
                    return result;
                }
                (Err(NotAdvanced::Conflict), _) => {}
                // Nothing but time passes between reading and writing: another process has claimed
                // the lease.
                (Err(NotAdvanced::NotPossible(_)), _) => return Err(claimed_elsewhere()),
                (Err(NotAdvanced::Failed(error)), _) => return Err(error),
            }
            let Some(again) = self.ground.records.lease(stored.value.id).await? else {
                return Ok(());
            };
            stored = again;
        }
        Err(too_contended())
    }

    fn first_step(&self, lease: &Lease, by: &By) -> FirstStep {
        match by {
            By::User(_) => self.first_step_for_user(lease),
            By::Daemon | By::DaemonEarly => self.first_step_for_daemon(lease, by),
        }
    }

    fn first_step_for_user(&self, lease: &Lease) -> FirstStep {
        let availability = self.availability(lease);
        let droppable = matches!(availability, Availability::Gone) && self.options.allow_dropping;
        if matches!(lease.state, State::Ended { .. }) {
            // It was there when the user asked.
            return FirstStep::Nothing(Ok(()));
        }
        if !lease.is_known_to_owner(self.ground.clock.now()) {
            return FirstStep::Nothing(Err(not_found()));
        }
        if matches!(lease.state, State::Parked(_)) {
            return if droppable {
                FirstStep::Settle(vec![Event::Dropped], Ok(()))
            } else {
                FirstStep::Nothing(Err(refused(PARKED)))
            };
        }
        match availability {
            Availability::Gone if droppable => FirstStep::Settle(
                vec![Event::RevokeAsked, Event::ServiceGone, Event::Dropped],
                Ok(()),
            ),
            Availability::Gone => FirstStep::Nothing(Err(refused(GONE))),
            Availability::Replaced => FirstStep::Nothing(Err(refused(REPLACED))),
            Availability::CannotRevoke => FirstStep::Nothing(Err(refused(CANNOT))),
            Availability::NotLoaded(why) => {
                let result = Err(refused(AGAIN).because(why));
                FirstStep::Settle(vec![Event::RevokeAsked, self.failed(None)], result)
            }
            Availability::Ready(loaded) => {
                let void = self.void_claim(lease);
                let asked = void.into_iter().chain([Event::RevokeAsked, self.claim(&loaded)]);
                FirstStep::Call(asked.collect(), loaded)
            }
        }
    }

    fn first_step_for_daemon(&self, lease: &Lease, by: &By) -> FirstStep {
        let now = self.ground.clock.now();
        let mut events = match (lease.overdue(now, &self.ledger.timing), &lease.state) {
            (Some(Overdue::Limit), State::Active(_)) => vec![Event::LimitReached],
            (Some(Overdue::Attempt), State::Revoking(_)) => Vec::new(),
            (None, state) if matches!(by, By::DaemonEarly) && state.is_failing() => {
                self.void_claim(lease).into_iter().collect()
            }
            (_, State::Ended { .. }) => return FirstStep::Nothing(Ok(())),
            // It changed since it was found due. A user may have joined, and must not take this for
            // the end of their credential.
            _ => return FirstStep::Nothing(Err(moved_on())),
        };
        let (event, error) = match self.availability(lease) {
            Availability::Ready(loaded) => {
                events.push(self.claim(&loaded));
                return FirstStep::Call(events, loaded);
            }
            Availability::Gone => (Event::ServiceGone, refused(GONE)),
            Availability::Replaced => (Event::ServiceGone, refused(REPLACED)),
            // Its own end has passed and only the skew has not. A certificate that was cut to its
            // lifetime is no case for an operator.
            Availability::CannotRevoke if lease.own_end().is_some_and(|end| end <= now) => {
                return FirstStep::Nothing(Ok(()));
            }
            Availability::CannotRevoke => (Event::Refused(CANNOT.to_owned()), refused(CANNOT)),
            Availability::NotLoaded(why) => (self.failed(None), refused(AGAIN).because(why)),
        };
        events.push(event);
        FirstStep::Settle(events, Err(error))
    }

    fn availability(&self, lease: &Lease) -> Availability {
        if self.catalogue.get(lease.service.as_str()).is_none() {
            return Availability::Gone;
        }
        match self.plugins.loaded(&lease.service) {
            Err(why) => Availability::NotLoaded(why),
            Ok(loaded) if loaded.plugin.name != lease.plugin.name => Availability::Replaced,
            Ok(loaded) if !loaded.offer.can_revoke => Availability::CannotRevoke,
            Ok(loaded) => Availability::Ready(loaded),
        }
    }

    /// Whether the service of `lease` is what it was when it issued.
    pub(crate) fn is_service_back(&self, lease: &Lease) -> bool {
        matches!(self.availability(lease), Availability::Ready(_) | Availability::CannotRevoke)
    }

    fn claim(&self, loaded: &LoadedService) -> Event {
        let until = self.ground.clock.now() + loaded.longest_call + CALL_GRACE;
        Event::AttemptBegun(Claim { until, by: self.ground.boot })
    }

    /// The event by which a claim of a run of the daemon that is over holds no more: its attempt
    /// has ended with it, and revoking what is gone is a success.
    fn void_claim(&self, lease: &Lease) -> Option<Event> {
        let is_void = lease.state.claim().is_some_and(|claim| self.ground.is_over(claim.by));
        is_void.then_some(Event::ClaimVoid)
    }

    fn failed(&self, retry_after: Option<std::time::Duration>) -> Event {
        let mut jitter = [0];
        self.ground.entropy.fill(&mut jitter);
        Event::Failed { retry_after, jitter: u8::from_be_bytes(jitter) }
    }

    async fn call_and_conclude(
        self: &Arc<Self>,
        mut claimed: Versioned<Lease>,
        loaded: &LoadedService,
        by: &By,
    ) -> AttemptResult {
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
        self.note_answer(&claimed.value, &outcome);
        let (event, result) = match outcome {
            Ok(()) => (Event::Revoked, Ok(())),
            Err(failure) => {
                if let Some(words) = failure.last_words() {
                    claimed.value.last_words = Some(words);
                }
                let (event, error) = self.failure(failure);
                (event, Err(error))
            }
        };
        self.conclude(claimed, event, result, by).await
    }

    /// Notes whether the target of the service answers. Where it does again, what it delayed comes
    /// forward.
    fn note_answer(self: &Arc<Self>, lease: &Lease, outcome: &Result<(), CallFailure>) {
        let answer = match outcome {
            Ok(()) | Err(CallFailure::Refused(Refusal { retry_after: None, .. })) => Answer::Alive,
            Err(CallFailure::Refused(_) | CallFailure::Broken(_)) => Answer::Failed,
            Err(CallFailure::NotStarted(_)) => Answer::Unknown,
        };
        if self.background.report(&lease.service, answer, self.ground.clock.monotonic()) {
            self.bring_forward(lease.service.clone());
        }
    }

    fn failure(&self, failure: CallFailure) -> (Event, Error) {
        let cause = failure.to_string();
        let kind = match failure {
            CallFailure::Refused(Refusal { user, retry_after: None }) => {
                return (Event::Refused(user.clone()), refused(user));
            }
            CallFailure::Refused(Refusal { user, retry_after: Some(after) }) => {
                let error = refused(format!("{user} ({AGAIN})")).retry_after(after);
                return (self.failed(Some(after)), error);
            }
            CallFailure::NotStarted(NotStarted::Busy) => Kind::Busy,
            CallFailure::NotStarted(NotStarted::NotLoaded(_)) => Kind::Refused,
            CallFailure::Broken(Broken { how: BrokenHow::Timeout, .. }) => Kind::PluginTimeout,
            CallFailure::Broken(Broken { how: BrokenHow::Trap | BrokenHow::BadOutput, .. }) => {
                Kind::PluginFailed
            }
        };
        (self.failed(None), Error::new(kind, AGAIN).because(cause))
    }

    /// Records the plugin's answer for the lease that was claimed. Where the lease has moved on
    /// meanwhile (its own end passed, or a late issue named what there is to revoke), the answer is
    /// about something that is no more, and is dropped.
    async fn conclude(
        &self,
        claimed: Versioned<Lease>,
        event: Event,
        result: AttemptResult,
        by: &By,
    ) -> AttemptResult {
        let mut stored = claimed.clone();
        loop {
            let audit = |after: Option<&Lease>| {
                self.audit_events(&claimed.value, after, by, &for_parked(result.clone(), after))
            };
            match self.ledger.advance(&stored, [event.clone()], audit).await {
                Ok(after) => {
                    warn_of_parked(after.as_ref());
                    return for_parked(result, after.as_ref().map(|after| &after.value));
                }
                Err(NotAdvanced::Conflict) => {}
                Err(NotAdvanced::NotPossible(reason)) => return Err(Error::internal(reason)),
                Err(NotAdvanced::Failed(error)) => return Err(error),
            }
            match self.ground.records.lease(claimed.value.id).await? {
                Some(again) if again.value.state == claimed.value.state => stored = again,
                Some(again) if again.value.state.is_counted() => {
                    return result.and(Err(moved_on()));
                }
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// One audit event for the end of the attempt, and one for the lease that it parks.
    fn audit_events(
        &self,
        before: &Lease,
        after: Option<&Lease>,
        by: &By,
        result: &AttemptResult,
    ) -> Vec<audit::Event> {
        let event =
            |action, outcome| self.ground.event(by.actor(), action, target_of(before), outcome);
        let state = after.map(|lease| &lease.state);
        let mut events = match (result, state) {
            // The first of two revocations that a cut-short issue needs.
            (Ok(()), Some(State::Revoking(_))) => Vec::new(),
            (Ok(()), Some(State::Ended { how: Ending::Dropped, .. })) => {
                vec![event(Action::Drop, Outcome::Done)]
            }
            (Ok(()), _) => vec![event(Action::Revoke, Outcome::Done)],
            (Err(error), _) => vec![event(Action::Revoke, outcome_of(error))],
        };
        if let (Some(State::Parked(_)), Err(error)) = (state, result) {
            events.push(self.ground.event(
                None,
                Action::Park,
                target_of(before),
                outcome_of(error),
            ));
        }
        events
    }

    /// Audits that a user was refused, though the lease does not change. The daemon's own attempts
    /// are not audited here: they are refused again and again.
    fn remark_refusal(&self, lease: &Lease, by: &By, result: &AttemptResult) {
        if let (By::User(_), Err(error)) = (by, result) {
            let (target, outcome) = (target_of(lease), outcome_of(error));
            self.ground.remark(self.ground.event(by.actor(), Action::Revoke, target, outcome));
        }
    }
}

impl By {
    fn actor(&self) -> Option<Actor> {
        match self {
            Self::User(actor) => Some(actor.clone()),
            Self::Daemon | Self::DaemonEarly => None,
        }
    }
}

fn warn_of_parked(after: Option<&Versioned<Lease>>) {
    let Some(lease) = after.map(|stored| &stored.value) else { return };
    if let State::Parked(parked) = &lease.state {
        tracing::warn!(lease = %lease.id, service = %lease.service, reason = ?parked.reason, "a lease was parked");
    }
}

/// The result for a lease that may have been parked: the promise that the daemon goes on trying
/// does not hold then.
fn for_parked(result: AttemptResult, after: Option<&Lease>) -> AttemptResult {
    let is_parked = after.is_some_and(|lease| matches!(lease.state, State::Parked(_)));
    result.map_err(|error| {
        if is_parked && error.public().contains(AGAIN) { error.with_public(PARKED) } else { error }
    })
}

fn revoke_call(lease: &Lease, revoke_with: Option<Secret>, by: &By) -> RevokeCall {
    let identity =
        Identity::recorded(lease.provider.clone(), lease.owner.clone(), lease.kept.claims.clone());
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
            By::Daemon | By::DaemonEarly => Urgency::Background,
        },
    }
}

/// The result of a call that the host should have ended.
fn overdue() -> Result<(), CallFailure> {
    let cause = "the call outlived the time that the host promised".into();
    Err(CallFailure::Broken(Broken { how: BrokenHow::Timeout, cause, last_words: None }))
}

fn not_found() -> Error {
    Error::new(Kind::NotFound, "There is no such credential.")
}

fn refused(sentence: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::Refused, sentence)
}

fn claimed_elsewhere() -> Error {
    Error::new(Kind::Busy, "The credential is being revoked already; please try again later.")
}

fn moved_on() -> Error {
    Error::new(Kind::Busy, "The credential changed while it was being revoked; please try again.")
}
