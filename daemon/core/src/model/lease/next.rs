//! The table of `daemon/ledger.md` section 3 as a function.

use std::fmt;
use std::time::Duration;

use super::{Cause, Claim, Ending, Made, Parked, Reason, Revoking, State};
use crate::time::Timestamp;

/// The durations that the life of a lease depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// How long a request may be under way after the call that sent it was cut short.
    pub(crate) settle: Duration,
    /// How much the clocks of targets may differ from ours.
    pub(crate) skew: Duration,
    pub(crate) retry_after_min: Duration,
    pub(crate) retry_after_max: Duration,
    /// How long attempts go on.
    pub(crate) park_after: Duration,
    /// How long an ended lease is kept.
    pub(crate) keep_ended: Duration,
}

/// An event in the life of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The plugin made something under a state that no lease holds.
    Issued(Made),
    /// It did, but the user cannot have it.
    IssuedInVain(Made),
    /// The plugin returned a state that another lease holds.
    IssuedTaken,
    /// The plugin refused, wanted a sign-in, never ran, or broke off before anything was sent to
    /// the outside: there is nothing.
    NothingMade,
    /// The plugin broke off after something was sent, or its deadline passed: there may be
    /// something.
    CutShort,
    /// The subject was suspended.
    Suspended,
    /// Another issue returned the state that this lease holds; it now ends at the later of both
    /// ends.
    Renewed { ends: Option<Timestamp>, with_secret: bool },
    /// The user wants it revoked.
    RevokeAsked,
    /// Its lifetime is over.
    LimitReached,
    /// Its own end and the skew have passed.
    EndPassed,
    /// An attempt to revoke claims it.
    AttemptBegun(Claim),
    /// The process whose attempt claimed it is over.
    ClaimVoid,
    /// The plugin answered that it is gone.
    Revoked,
    /// The plugin refused for good.
    Refused(String),
    /// The attempt failed, or the plugin wants another one later. `jitter` is random.
    Failed { retry_after: Option<Duration>, jitter: u8 },
    /// The service is no longer configured, or has another plugin.
    ServiceGone,
    /// The service is back.
    ServiceBack,
    /// An operator wants another attempt.
    Retry,
    /// An operator, or its user where that is allowed, drops it.
    Dropped,
    /// The record was kept long enough.
    KeptLongEnough,
}

/// The effect of an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Transition {
    /// The lease is in this state.
    To(State),
    /// Its record is deleted.
    Removed,
}

/// The event is not possible in that state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NotPossible {
    pub(crate) from: &'static str,
    pub(crate) event: Box<Event>,
}

impl NotPossible {
    fn new(from: &State, event: Event) -> Self {
        Self { from: from.name(), event: Box::new(event) }
    }
}

impl fmt::Display for NotPossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a lease that is {} cannot have: {:?}", self.from, self.event)
    }
}

impl std::error::Error for NotPossible {}

impl State {
    /// The effect of `event` at `at`.
    ///
    /// # Errors
    /// [`NotPossible`] names both.
    pub(crate) fn next(
        self,
        event: Event,
        at: Timestamp,
        timing: &Timing,
    ) -> Result<Transition, NotPossible> {
        let to = match (self, event) {
            (Self::Pending { doomed: false, .. }, Event::Issued(made)) => Self::Active(made),
            (Self::Pending { .. }, Event::Issued(made) | Event::IssuedInVain(made)) => {
                begin(Cause::Unwanted(made), at, at)
            }
            (Self::Pending { .. }, Event::IssuedTaken | Event::NothingMade) => {
                return Ok(Transition::Removed);
            }
            (Self::Pending { deadline, .. }, Event::CutShort) => {
                begin(Cause::CutShort { deadline, first_ok: false }, at, at + timing.settle)
            }
            (Self::Pending { deadline, .. }, Event::Suspended) => {
                Self::Pending { deadline, doomed: true }
            }

            (Self::Active(made), Event::Renewed { ends, with_secret }) => {
                Self::Active(renew(made, ends, with_secret))
            }
            (Self::Active(made), Event::RevokeAsked) => begin(Cause::User(made), at, at),
            (Self::Active(made), Event::LimitReached) => begin(Cause::Limit(made), at, at),

            (Self::Active(_) | Self::Revoking(_) | Self::Parked(_), Event::EndPassed) => {
                ended(Ending::Expired, at)
            }

            (Self::Revoking(revoking), event) => return revoking.next(event, at, timing),

            (
                Self::Parked(Parked { cause: Cause::CutShort { .. }, .. }),
                Event::Issued(made) | Event::IssuedInVain(made),
            ) => begin(Cause::Unwanted(made), at, at),
            (
                Self::Parked(Parked { cause, reason: Reason::ServiceGone, .. }),
                Event::ServiceBack,
            ) => begin(cause, at, at),
            (Self::Parked(parked), Event::Retry) => begin(parked.cause, at, at),
            (Self::Parked(_), Event::Dropped) => ended(Ending::Dropped, at),

            (Self::Ended { .. }, Event::KeptLongEnough) => return Ok(Transition::Removed),

            (from, event) => return Err(NotPossible::new(&from, event)),
        };
        Ok(Transition::To(to))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Active(_) => "active",
            Self::Revoking(_) => "revoking",
            Self::Parked(_) => "parked",
            Self::Ended { .. } => "ended",
        }
    }
}

impl Revoking {
    fn next(self, event: Event, at: Timestamp, timing: &Timing) -> Result<Transition, NotPossible> {
        let to = match event {
            Event::Issued(made) | Event::IssuedInVain(made)
                if matches!(self.cause, Cause::CutShort { .. }) =>
            {
                begin(Cause::Unwanted(made), at, at)
            }
            Event::RevokeAsked if self.cause.was_active() => State::Revoking(self),
            Event::AttemptBegun(claim) if self.claim.is_none_or(|other| other.until <= at) => {
                State::Revoking(Self { claim: Some(claim), ..self })
            }
            Event::ClaimVoid => State::Revoking(Self { claim: None, ..self }),
            Event::Revoked => self.revoked(at, timing),
            Event::Refused(words) => self.refused(words, at),
            Event::Failed { retry_after, jitter } => self.failed(retry_after, jitter, at, timing),
            Event::ServiceGone => park(self.cause, Reason::ServiceGone, at),
            event => return Err(NotPossible::new(&State::Revoking(self), event)),
        };
        Ok(Transition::To(to))
    }

    fn revoked(self, at: Timestamp, timing: &Timing) -> State {
        match self.cause {
            Cause::CutShort { deadline, first_ok }
                if !first_ok || at < deadline + timing.settle =>
            {
                State::Revoking(Self {
                    cause: Cause::CutShort { deadline, first_ok: true },
                    failures: 0,
                    due: deadline.max(at) + timing.settle,
                    claim: None,
                    ..self
                })
            }
            _ => ended(Ending::Revoked, at),
        }
    }

    fn refused(self, words: String, at: Timestamp) -> State {
        match self.cause {
            Cause::User(made) => State::Active(made),
            cause => park(cause, Reason::Refused(words), at),
        }
    }

    fn failed(
        self,
        retry_after: Option<Duration>,
        jitter: u8,
        at: Timestamp,
        timing: &Timing,
    ) -> State {
        if at.since(self.since) >= timing.park_after {
            return park(self.cause, Reason::TooManyFailures, at);
        }
        let wait = match retry_after {
            Some(asked) => {
                asked.clamp(timing.retry_after_min, timing.park_after.max(timing.retry_after_min))
            }
            None => back_off(self.failures, timing),
        };
        // Up to a quarter more, so that leases that failed together are not due together.
        let due = at + wait + wait / 4 * u32::from(jitter) / 255;
        State::Revoking(Self {
            failures: self.failures.saturating_add(1),
            due,
            claim: None,
            ..self
        })
    }
}

fn begin(cause: Cause, at: Timestamp, due: Timestamp) -> State {
    State::Revoking(Revoking { cause, since: at, failures: 0, due, claim: None })
}

fn park(cause: Cause, reason: Reason, at: Timestamp) -> State {
    State::Parked(Parked { cause, reason, since: at })
}

fn ended(how: Ending, at: Timestamp) -> State {
    State::Ended { how, at }
}

fn renew(made: Made, ends: Option<Timestamp>, with_secret: bool) -> Made {
    Made {
        state: made.state,
        ends: later(made.ends, ends),
        with_secret: made.with_secret || with_secret,
    }
}

/// The later of two ends; what has none ends last.
pub(super) fn later(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.zip(b).map(|(a, b)| a.max(b))
}

fn back_off(failures: u32, timing: &Timing) -> Duration {
    let factor = 1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
    timing
        .retry_after_min
        .saturating_mul(factor)
        .min(timing.retry_after_max.max(timing.retry_after_min))
}
