//! The steps of a lease's life as durable changes: read, apply [`crate::model::lease`], write, try
//! again where another change was faster.
//!
//! Start with [`Ledger::reserve`], [`Ledger::activate`] and [`Ledger::advance`]. The calling
//! use-case makes the audit event of a step, since it alone knows the actor; the event becomes
//! durable with the step.
//!
//! Never here: a plugin, a caller.

use std::sync::Arc;

use crate::caller::Subject;
use crate::error::{Error, Kind};
use crate::ground::{Ground, retry, suspended, too_contended};
use crate::ids::LeaseId;
use crate::limits::{COMMIT_ATTEMPTS, KeyedLocks};
use crate::model::lease::{Event, Kept, Lease, Made, NotPossible, State, Timing};
use crate::ports::audit;
use crate::ports::store::MAX_BATCH_KEYS;
use crate::ports::store::Versioned;
use crate::records::{Account, Change, CommitError, Move};
use crate::secret::Secret;
use crate::time::Timestamp;

/// Keys that retiring a lease touches: itself, two of `due/`, `own/`, `state-of/`, `revoke-with/`,
/// `parked/` or `failing/`, and the event of it.
const KEYS_TO_RETIRE: usize = 8;
/// Keys that a reservation touches: lease, `own/`, `due/`, `count/`, `suspended/`.
const KEYS_TO_RESERVE: usize = 5;
/// Leases that one reservation can retire in its own batch.
const RETIRED_AT_ONCE: usize = (MAX_BATCH_KEYS - KEYS_TO_RESERVE) / KEYS_TO_RETIRE;

/// The ledger.
pub(crate) struct Ledger {
    ground: Arc<Ground>,
    pub(crate) timing: Timing,
    /// Parallel changes of one counter queue here rather than fail against each other.
    accounts: KeyedLocks<Account>,
}

/// The room for leases of one user and service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// At most so many; `None`: any number.
    pub(crate) limit: Option<u32>,
    /// Whether expired leases may be retired to make room. Not while the clock is in doubt: a
    /// retired lease stays so.
    pub(crate) may_retire: bool,
}

/// The result of a plugin, to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct Activation {
    pub(crate) made: Made,
    pub(crate) revoke_with: Option<Secret>,
    pub(crate) kept: Kept,
    /// Whether a state that the user's active lease holds means that lease.
    pub(crate) allow_same_state: bool,
    /// Whether the user can have it.
    pub(crate) wanted: bool,
}

/// The outcome of an activation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Activated {
    /// The user has it.
    New,
    /// It is the object that the user's lease of that id holds already.
    Same(LeaseId),
    /// Another lease of this user has that state. There is no new lease, and the older one is as it
    /// was.
    Taken,
    /// The user was suspended meanwhile, or cannot have it: it is being taken back.
    Unwanted,
    /// The issue had been given up by the time the plugin was done: it is being taken back.
    TooLate,
}

/// The outcome of an activation, and whether its audit event is durable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) activated: Activated,
    pub(crate) is_audited: bool,
}

/// Why a lease did not advance.
#[derive(Debug)]
pub(crate) enum NotAdvanced {
    /// It is not as it was read.
    Conflict,
    /// The event is not possible in its state.
    NotPossible(NotPossible),
    /// The store failed; it may have advanced.
    Failed(Error),
}

impl From<NotPossible> for NotAdvanced {
    fn from(reason: NotPossible) -> Self {
        Self::NotPossible(reason)
    }
}

impl From<CommitError> for NotAdvanced {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Conflict,
            CommitError::Failed(error) => Self::Failed(error),
        }
    }
}

/// For an event that has to be possible in the state that was read: that it is not is our fault.
impl From<NotAdvanced> for CommitError {
    fn from(error: NotAdvanced) -> Self {
        match error {
            NotAdvanced::Conflict => Self::Conflict,
            NotAdvanced::NotPossible(reason) => Self::Failed(Error::internal(reason)),
            NotAdvanced::Failed(error) => Self::Failed(error),
        }
    }
}

impl Ledger {
    pub(crate) fn new(ground: Arc<Ground>, timing: Timing) -> Self {
        Self { ground, timing, accounts: KeyedLocks::new() }
    }

    /// Makes `pending` durable and counts it. `expiry` makes the audit event of each expired lease
    /// that is retired to make room.
    ///
    /// # Errors
    /// `LimitReached` when as many count as `room` allows and too few of them have expired;
    /// `Unauthenticated` when the owner was suspended.
    pub(crate) async fn reserve(
        &self,
        pending: Lease,
        room: Room,
        expiry: impl Fn(&Lease) -> audit::Event,
    ) -> Result<Versioned<Lease>, Error> {
        let account = self.ground.records.account(&pending.owner, &pending.service);
        let _queued = self.accounts.lock(account.clone()).await;
        retry(|| self.try_reserve(&account, &pending, room, &expiry)).await
    }

    /// One batch. Where more leases have to be retired than fit into it, it retires as many as fit,
    /// reserves nothing and returns `Conflict`, so that another attempt goes on.
    async fn try_reserve(
        &self,
        account: &Account,
        pending: &Lease,
        room: Room,
        expiry: &impl Fn(&Lease) -> audit::Event,
    ) -> Result<Versioned<Lease>, CommitError> {
        let tally = self.ground.records.tally(account).await?;
        let mut expired = self.expired_for(pending, room, tally.count).await?;
        let only_retire = expired.len() > RETIRED_AT_ONCE;
        expired.truncate(RETIRED_AT_ONCE);
        let mut change =
            if only_retire { Change::default() } else { Change::begin(pending.clone()) };
        change.tally = Some(tally);
        change.unless_suspended = Some(pending.owner.clone());
        change.events = expired.iter().map(|stored| expiry(&stored.value)).collect();
        for stored in expired {
            change.moves.insert(0, self.retire(stored)?);
        }
        match self.ground.records.commit(&change, &self.timing).await {
            Ok(_) if only_retire => Err(CommitError::Conflict),
            Ok(revision) => Ok(Versioned { value: pending.clone(), revision }),
            Err(error) => {
                if matches!(error, CommitError::Conflict) {
                    self.refuse_suspended(&pending.owner).await?;
                }
                Err(error)
            }
        }
    }

    fn retire(&self, expired: Versioned<Lease>) -> Result<Move, Error> {
        let now = self.ground.clock.now();
        let after = expired.value.after(Event::EndPassed, now, &self.timing);
        Ok(Move { before: Some(expired), after: after.map_err(Error::internal)? })
    }

    /// The expired leases to retire so that `pending` finds room beside the `count` that count.
    async fn expired_for(
        &self,
        pending: &Lease,
        room: Room,
        count: u64,
    ) -> Result<Vec<Versioned<Lease>>, Error> {
        match room.limit.map(u64::from).filter(|limit| count >= *limit) {
            None => Ok(Vec::new()),
            Some(_) if !room.may_retire => Err(limit_reached()),
            Some(limit) => self.expired_leases(pending, count - limit + 1).await,
        }
    }

    /// `wanted` leases of the account of `pending` that have expired.
    async fn expired_leases(
        &self,
        pending: &Lease,
        wanted: u64,
    ) -> Result<Vec<Versioned<Lease>>, Error> {
        let now = self.ground.clock.now();
        let mut expired =
            self.ground.records.leases_of(&pending.owner, Some(&pending.service)).await?;
        expired.retain(|stored| {
            stored.value.own_end().is_some_and(|end| end + self.timing.skew <= now)
        });
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        if expired.len() < wanted {
            return Err(limit_reached());
        }
        expired.truncate(wanted);
        Ok(expired)
    }

    async fn refuse_suspended(&self, subject: &Subject) -> Result<(), Error> {
        if self.ground.records.is_suspended(subject).await? { Err(suspended()) } else { Ok(()) }
    }

    /// Records what the plugin made for `pending`, as it was reserved, together with the audit
    /// event that `event` makes of the outcome. Where no record is left to change
    /// ([`Settled::is_audited`] is false), the caller has to remark the event.
    ///
    /// # Errors
    /// Only when the store failed: then the lease is cleaned up when its deadline has passed.
    pub(crate) async fn activate(
        &self,
        pending: Versioned<Lease>,
        activation: &Activation,
        event: impl Fn(&Activated) -> audit::Event,
    ) -> Result<Settled, Error> {
        let mut pending = pending;
        let mut suspended = false;
        let mut holder = None;
        // The first attempt reads nothing: mostly the state is free and the subject not suspended.
        // What it reads after a conflict is kept for the next one, so this is no `retry`.
        for _ in 0..COMMIT_ATTEMPTS {
            let (mut change, activated) =
                match self.plan(&pending, activation, suspended, holder).await? {
                    Plan::Commit(change, activated) => (change, activated),
                    // The event of an active lease is durable since it became active.
                    Plan::Leave(activated) => {
                        return Ok(Settled { is_audited: activated == Activated::New, activated });
                    }
                };
            change.events.push(event(&activated));
            let _queued = match &activated {
                Activated::Same(_) | Activated::Taken => {
                    Some(self.lock_account(&pending.value).await)
                }
                Activated::New | Activated::Unwanted | Activated::TooLate => None,
            };
            match self.ground.records.commit(&change, &self.timing).await {
                Ok(_) => return Ok(Settled { activated, is_audited: true }),
                Err(CommitError::Failed(error)) => return Err(error),
                Err(CommitError::Conflict) => {}
            }
            let Some(again) = self.ground.records.lease(pending.value.id).await? else {
                return Ok(Settled { activated: Activated::TooLate, is_audited: false });
            };
            suspended = self.ground.records.is_suspended(&again.value.owner).await?;
            let Lease { owner, service, .. } = &again.value;
            holder = self.ground.records.holder(owner, service, &activation.made.state).await?;
            pending = again;
        }
        Err(too_contended())
    }

    async fn plan(
        &self,
        pending: &Versioned<Lease>,
        activation: &Activation,
        suspended: bool,
        holder: Option<LeaseId>,
    ) -> Result<Plan, Error> {
        let at = self.ground.clock.now();
        if let Some(holder) = holder.filter(|holder| *holder != pending.value.id) {
            return self.plan_held(pending, activation, suspended, holder, at).await;
        }
        // An attempt of unknown fate may have recorded it.
        if matches!(&pending.value.state, State::Active(made) if *made == activation.made) {
            return Ok(Plan::Leave(Activated::New));
        }
        let in_vain = suspended || !activation.wanted;
        let made = activation.made.clone();
        let event = if in_vain { Event::IssuedInVain(made) } else { Event::Issued(made) };
        let Ok(after) = pending.value.after(event, at, &self.timing) else {
            return Ok(Plan::Leave(Activated::TooLate));
        };
        let after = after.map(|lease| Lease { kept: activation.kept.clone(), ..lease });
        let was_pending = matches!(pending.value.state, State::Pending { .. });
        let activated = match after.as_ref().map(|lease| &lease.state) {
            Some(State::Active(_)) => Activated::New,
            _ if was_pending => Activated::Unwanted,
            _ => Activated::TooLate,
        };
        let unless_suspended = (activated == Activated::New).then(|| pending.value.owner.clone());
        let revoke_with = activation.revoke_with.clone();
        let change =
            Change { revoke_with, unless_suspended, ..Change::advance(pending.clone(), after) };
        Ok(Plan::Commit(change, activated))
    }

    /// The plugin returned a state that another lease of this user holds. Nothing may be revoked by
    /// that state: it is the other lease's.
    async fn plan_held(
        &self,
        pending: &Versioned<Lease>,
        activation: &Activation,
        suspended: bool,
        holder: LeaseId,
        at: Timestamp,
    ) -> Result<Plan, Error> {
        // Given up already: it stays cut short, and is cleaned up by its own id alone.
        let Ok(gone) = pending.value.after(Event::IssuedTaken, at, &self.timing) else {
            return Ok(Plan::Leave(Activated::TooLate));
        };
        let mut change = Change::advance(pending.clone(), gone);
        let doomed =
            suspended || matches!(pending.value.state, State::Pending { doomed: true, .. });
        if !activation.allow_same_state || !activation.wanted || doomed {
            return Ok(Plan::Commit(change, Activated::Taken));
        }
        // The same state of another plugin is another object.
        let same = |older: &Versioned<Lease>| older.value.plugin.name == pending.value.plugin.name;
        let older = self.ground.records.lease(holder).await?.filter(same);
        let renewed = older
            .as_ref()
            .map(|older| older.value.renewed(&pending.value, &activation.made, at, &self.timing));
        let (Some(older), Some(Ok(renewed))) = (older, renewed) else {
            return Ok(Plan::Commit(change, Activated::Taken));
        };
        change.moves.push(Move { before: Some(older), after: renewed });
        change.revoke_with = activation.revoke_with.clone();
        change.unless_suspended = Some(pending.value.owner.clone());
        Ok(Plan::Commit(change, Activated::Same(holder)))
    }

    /// Applies `events` to `stored` in one batch, with the audit events that `audit` makes of the
    /// lease as it will be. Returns the lease as it then is, `None` when its record is deleted.
    ///
    /// # Errors
    /// See [`NotAdvanced`]. Nothing is tried again: the caller knows what to do about a lease that
    /// is not as it was read.
    pub(crate) async fn advance(
        &self,
        stored: &Versioned<Lease>,
        events: impl IntoIterator<Item = Event>,
        audit: impl FnOnce(Option<&Lease>) -> Vec<audit::Event>,
    ) -> Result<Option<Versioned<Lease>>, NotAdvanced> {
        let at = self.ground.clock.now();
        let mut after = Some(stored.value.clone());
        for event in events {
            after = match after {
                Some(lease) => lease.after(event, at, &self.timing)?,
                None => None,
            };
        }
        let counts = |lease: &Lease| lease.state.is_counted();
        let uncounted = counts(&stored.value) && !after.as_ref().is_some_and(counts);
        let _queued = if uncounted { Some(self.lock_account(&stored.value).await) } else { None };
        let events = audit(after.as_ref());
        let change = Change { events, ..Change::advance(stored.clone(), after) };
        let revision = self.ground.records.commit(&change, &self.timing).await?;
        let after = change.moves.into_iter().next().and_then(|only| only.after);
        Ok(after.map(|lease| Versioned { value: lease, revision }))
    }

    async fn lock_account(&self, lease: &Lease) -> impl Sized + use<> {
        self.accounts.lock(self.ground.records.account(&lease.owner, &lease.service)).await
    }
}

enum Plan {
    Commit(Change, Activated),
    Leave(Activated),
}

fn limit_reached() -> Error {
    Error::new(Kind::LimitReached, "You have as many credentials of this service as you may have.")
}
