//! What follows from the state of a lease: whether it counts, whether its user sees it, which
//! object it holds, when something is due.

use super::next::later;
use super::{Claim, Event, Kept, Lease, Made, NotPossible, Reason, State, Timing, Transition};
use crate::time::Timestamp;

/// The reason that a lease is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// The deadline of the issue has passed.
    Deadline,
    /// Its own end and the skew have passed.
    End,
    /// Its lifetime is over.
    Limit,
    /// An attempt to revoke it.
    Attempt,
    /// Its record was kept long enough.
    Forget,
}

impl State {
    /// Whether the lease counts towards the limit.
    pub(crate) fn is_counted(&self) -> bool {
        !matches!(self, Self::Ended { .. })
    }

    /// What exists at the target, where that is known.
    pub(crate) fn made(&self) -> Option<&Made> {
        match self {
            Self::Active(made) => Some(made),
            Self::Revoking(revoking) => revoking.cause.made(),
            Self::Parked(parked) => parked.cause.made(),
            Self::Pending { .. } | Self::Ended { .. } => None,
        }
    }

    /// Whether an attempt to revoke it failed, and another one is to come.
    pub(crate) fn is_failing(&self) -> bool {
        matches!(self, Self::Revoking(revoking) if revoking.failures > 0)
    }

    /// The claim of an attempt to revoke it.
    pub(crate) fn claim(&self) -> Option<Claim> {
        match self {
            Self::Revoking(revoking) => revoking.claim,
            _ => None,
        }
    }

    /// Whether it is parked because its service is gone.
    pub(crate) fn waits_for_service(&self) -> bool {
        matches!(self, Self::Parked(parked) if parked.reason == Reason::ServiceGone)
    }
}

impl Lease {
    /// The lease after `event`; `None` when its record is deleted. One that ends keeps only its
    /// owner, service and times.
    ///
    /// # Errors
    /// [`NotPossible`] as [`State::next`] has it.
    pub(crate) fn after(
        &self,
        event: Event,
        at: Timestamp,
        timing: &Timing,
    ) -> Result<Option<Self>, NotPossible> {
        let Transition::To(state) = self.state.clone().next(event, at, timing)? else {
            return Ok(None);
        };
        let kept = if state.is_counted() { self.kept.clone() } else { Kept::default() };
        Ok(Some(Self { state, kept, ..self.clone() }))
    }

    /// This lease when `newer` turned out to hold the same object: the later of both ends, and of
    /// both limits, applies.
    ///
    /// # Errors
    /// [`NotPossible`] unless this one is active.
    pub(crate) fn renewed(
        &self,
        newer: &Self,
        made: &Made,
        at: Timestamp,
        timing: &Timing,
    ) -> Result<Option<Self>, NotPossible> {
        let renewed = self.after(
            Event::Renewed { ends: made.ends, with_secret: made.with_secret },
            at,
            timing,
        )?;
        let not_after = later(self.not_after, newer.not_after);
        Ok(renewed.map(|lease| Self { not_after, ..lease }))
    }

    /// Whether its user sees it in lists.
    pub(crate) fn is_listed(&self, now: Timestamp) -> bool {
        let had = match &self.state {
            State::Active(_) => true,
            State::Revoking(revoking) => revoking.cause.was_active(),
            State::Pending { .. } | State::Parked(_) | State::Ended { .. } => false,
        };
        had && self.own_end().is_none_or(|end| end > now)
    }

    /// Whether its user may name it: a lease that lists show, or one that they had and that is now
    /// parked.
    pub(crate) fn is_known_to_owner(&self, now: Timestamp) -> bool {
        self.is_listed(now)
            || matches!(&self.state, State::Parked(parked) if parked.cause.was_active())
    }

    /// Its own end.
    pub(crate) fn own_end(&self) -> Option<Timestamp> {
        self.state.made().and_then(|made| made.ends)
    }

    /// When it ends for its user.
    pub(crate) fn visible_end(&self) -> Option<Timestamp> {
        earlier(self.own_end(), self.not_after)
    }

    /// When something is due for it, and what; `None`: never.
    pub(crate) fn due(&self, timing: &Timing) -> Option<(Timestamp, Overdue)> {
        let end = self.own_end().map(|end| (end + timing.skew, Overdue::End));
        let other = match &self.state {
            State::Pending { deadline, .. } => Some((*deadline, Overdue::Deadline)),
            State::Active(_) => self.not_after.map(|at| (at, Overdue::Limit)),
            State::Revoking(revoking) => {
                let at = revoking.claim.map_or(revoking.due, |claim| claim.until);
                Some((at, Overdue::Attempt))
            }
            State::Parked(_) => None,
            State::Ended { at, .. } => Some((*at + timing.keep_ended, Overdue::Forget)),
        };
        match (end, other) {
            (Some(end), Some(other)) => Some(if other.0 < end.0 { other } else { end }),
            (end, other) => end.or(other),
        }
    }

    /// What is overdue for it by `now`. An end that has passed makes everything else unnecessary.
    pub(crate) fn overdue(&self, now: Timestamp, timing: &Timing) -> Option<Overdue> {
        if self.own_end().is_some_and(|end| end + timing.skew <= now) {
            return Some(Overdue::End);
        }
        self.due(timing).filter(|(at, _)| *at <= now).map(|(_, what)| what)
    }

    /// The plugin state to revoke by; empty after an issue that was cut short.
    pub(crate) fn plugin_state(&self) -> &str {
        self.state.made().map_or("", |made| &made.state)
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
