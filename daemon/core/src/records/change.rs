//! Writes leases: turns their states before and after a change into one batch.

use bytes::Bytes;

use tracing::Span;

use super::{Account, COUNT, HOLDER, LEASE, REVOKE_WITH, Records, Tally, encoding, keys};
use crate::caller::Subject;
use crate::error::{Error, Kind};
use crate::model::lease::{Lease, State, Timing};
use crate::ports::audit::Event;
use crate::ports::store::Versioned;
use crate::ports::store::{Batch, Expected, Key, Revision, StoreError};
use crate::secret::Secret;

use std::time::Duration;

/// How often a commit of unknown fate is submitted. It is conditional: it happens at most once.
const SUBMISSIONS: u32 = 6;
/// When to ask again whether the disk has room: an operator has to make it.
const ROOM_AGAIN: Duration = Duration::from_secs(60);

/// One lease, before and after a change.
#[derive(Debug)]
pub(crate) struct Move {
    /// `None`: it is new.
    pub(crate) before: Option<Versioned<Lease>>,
    /// `None`: its record is deleted.
    pub(crate) after: Option<Lease>,
}

/// A change of leases, and what belongs to the same batch. All leases that begin or cease to count
/// belong to one account.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) moves: Vec<Move>,
    /// The counter, if the caller has read it; else it is read when it changes.
    pub(crate) tally: Option<Tally>,
    /// The secret to keep for the revocation of the last move's lease.
    pub(crate) revoke_with: Option<Secret>,
    /// Fails with a conflict if this subject is suspended.
    pub(crate) unless_suspended: Option<Subject>,
    /// The audit events of the change.
    pub(crate) events: Vec<Event>,
}

/// Why a change did not happen.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// A concurrent change came first: read again.
    Conflict,
    /// The store failed. The change may have happened.
    Failed(Error),
}

impl From<Error> for CommitError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Change {
    /// Creates a lease.
    pub(crate) fn begin(lease: Lease) -> Self {
        Self::single(Move { before: None, after: Some(lease) })
    }

    /// Changes a lease, or removes it.
    pub(crate) fn advance(before: Versioned<Lease>, after: Option<Lease>) -> Self {
        Self::single(Move { before: Some(before), after })
    }

    fn single(only: Move) -> Self {
        Self { moves: vec![only], ..Self::default() }
    }
}

/// The proof that a batch has happened: the value that it puts at this key, or that the key is
/// gone.
pub(super) struct Witness {
    pub(super) key: Key,
    pub(super) put: Option<Bytes>,
}

impl Records {
    /// Makes `change` durable, with everything derived from it: counter, indexes, held states, kept
    /// secrets.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when a lease or the counter is no longer as it was read, or a
    /// plugin state is held already; nothing has happened then.
    pub(crate) async fn commit(
        &self,
        change: &Change,
        timing: &Timing,
    ) -> Result<Revision, CommitError> {
        let mut batch = Batch::default();
        let mut counted = Counted::default();
        let mut witness = None;
        for step in &change.moves {
            witness = Some(self.put_lease(&mut batch, step).await?);
            self.put_indexes(&mut batch, step, timing);
            self.put_holder(&mut batch, step).await?;
            counted.add(step);
        }
        let witness = witness.ok_or_else(|| Error::internal("a change of nothing"))?;
        self.put_revoke_with(&mut batch, change).await?;
        self.put_count(&mut batch, change, &counted).await?;
        for event in &change.events {
            batch.puts.push(self.sealed_event(event, &Span::current()).await?);
        }
        if let Some(subject) = &change.unless_suspended {
            let keys = self.suspension_keys(subject);
            batch.expectations.extend(keys.map(|key| (key, Expected::Absent)));
        }
        // Only a new lease can wait: the others are taken away, or a plugin has made or unmade
        // something already.
        batch.urgent = change.moves.iter().all(|step| step.before.is_some());
        self.submit(batch, &witness).await
    }

    async fn put_lease(&self, batch: &mut Batch, step: &Move) -> Result<Witness, CommitError> {
        let id = step.id().ok_or_else(|| Error::internal("a move of nothing"))?;
        let key = keys::lease(id);
        let expected =
            step.before.as_ref().map_or(Expected::Absent, |before| Expected::At(before.revision));
        batch.expectations.push((key.clone(), expected));
        let Some(after) = &step.after else {
            batch.deletes.push(key.clone());
            return Ok(Witness { key, put: None });
        };
        let plain = encoding::encode_lease(after).map_err(Error::internal)?;
        let sealed = self.keyring.seal(&key, LEASE, &plain).await?;
        batch.puts.push((key.clone(), sealed.clone()));
        Ok(Witness { key, put: Some(sealed) })
    }

    /// Writes the index keys that change, and no others, so that a batch stays small.
    fn put_indexes(&self, batch: &mut Batch, step: &Move, timing: &Timing) {
        let before = step.before.as_ref().map(|stored| &stored.value);
        let after = step.after.as_ref();
        let mut index = |key: &dyn Fn(&Lease) -> Option<Key>| {
            let (old, new) = (before.and_then(key), after.and_then(key));
            if old == new {
                return;
            }
            batch.deletes.extend(old);
            batch.puts.extend(new.map(|key| (key, Bytes::new())));
        };
        index(&|lease| lease.due(timing).map(|(at, _)| keys::due(at, lease.id)));
        index(&|lease| {
            matches!(lease.state, State::Parked(_)).then(|| keys::parked(&lease.service, lease.id))
        });
        index(&|lease| lease.state.is_failing().then(|| keys::failing(&lease.service, lease.id)));
        // Owner and service never change: the key changes only when the lease begins or ceases to
        // count. The comparison saves the HMAC of the subject's pseudonym.
        if before.is_some_and(is_counted) != after.is_some_and(is_counted) {
            index(&|lease| {
                is_counted(lease)
                    .then(|| keys::own(&self.subject_key(&lease.owner), &lease.service, lease.id))
            });
        }
    }

    async fn put_holder(&self, batch: &mut Batch, step: &Move) -> Result<(), CommitError> {
        let before = step.before.as_ref().map(|stored| &stored.value);
        let held = |lease: Option<&Lease>| {
            lease.and_then(|lease| lease.state.made().map(|made| made.state.clone()))
        };
        let (old, new) = (held(before), held(step.after.as_ref()));
        if old == new {
            return Ok(());
        }
        if let Some((lease, state)) = before.zip(old) {
            batch.deletes.push(self.state_key(&lease.owner, &lease.service, &state));
        }
        if let Some((lease, state)) = step.after.as_ref().zip(new) {
            let key = self.state_key(&lease.owner, &lease.service, &state);
            let sealed = self.keyring.seal(&key, HOLDER, lease.id.to_string().as_bytes()).await?;
            batch.expectations.push((key.clone(), Expected::Absent));
            batch.puts.push((key, sealed));
        }
        Ok(())
    }

    async fn put_revoke_with(&self, batch: &mut Batch, change: &Change) -> Result<(), CommitError> {
        let with_secret = |lease: &Lease| lease.state.made().is_some_and(|made| made.with_secret);
        for step in &change.moves {
            let had = step.before.as_ref().is_some_and(|stored| with_secret(&stored.value));
            if had && !step.after.as_ref().is_some_and(with_secret) {
                batch.deletes.extend(step.id().map(keys::revoke_with));
            }
        }
        let Some((secret, id)) =
            change.revoke_with.as_ref().zip(change.moves.last().and_then(Move::id))
        else {
            return Ok(());
        };
        let key = keys::revoke_with(id);
        let sealed = self.keyring.seal(&key, REVOKE_WITH, secret.expose()).await?;
        batch.puts.push((key, sealed));
        Ok(())
    }

    async fn put_count(
        &self,
        batch: &mut Batch,
        change: &Change,
        counted: &Counted,
    ) -> Result<(), CommitError> {
        let Some((subject, service)) =
            counted.account.as_ref().filter(|_| counted.more != counted.fewer)
        else {
            return Ok(());
        };
        let account = self.account(subject, service);
        let tally = match &change.tally {
            Some(tally) => tally.clone(),
            None => self.tally(&account).await?,
        };
        self.put_tally(batch, &account, &tally, counted).await
    }

    async fn put_tally(
        &self,
        batch: &mut Batch,
        account: &Account,
        tally: &Tally,
        counted: &Counted,
    ) -> Result<(), CommitError> {
        let key = keys::count(&account.subject, &account.service);
        let count = (tally.count + counted.more).checked_sub(counted.fewer).unwrap_or_else(|| {
            tracing::error!(service = %account.service, "more leases ended than were counted; the counter is set to zero");
            0
        });
        batch.expectations.push((key.clone(), tally.expected));
        if count > 0 {
            let sealed = self.keyring.seal(&key, COUNT, &count.to_be_bytes()).await?;
            batch.puts.push((key, sealed));
        } else if tally.expected != Expected::Absent {
            batch.deletes.push(key);
        }
        Ok(())
    }

    /// Commits `batch`. While its fate is unknown, submits it again: if it has happened, it
    /// conflicts with its own effects, and the witness shows that.
    pub(super) async fn submit(
        &self,
        batch: Batch,
        witness: &Witness,
    ) -> Result<Revision, CommitError> {
        for earlier in 0..SUBMISSIONS {
            match self.store.commit(batch.clone()).await {
                Ok(committed) => return Ok(committed.revision),
                Err(StoreError::Conflict { .. }) if earlier == 0 => {
                    return Err(CommitError::Conflict);
                }
                Err(StoreError::Conflict { .. }) => {
                    return self.happened(witness).await?.ok_or(CommitError::Conflict);
                }
                Err(StoreError::Unknown(cause)) => {
                    tracing::warn!(%cause, "the fate of a commit is unknown; it is submitted again");
                    self.clock.sleep(Duration::from_millis(20) * earlier).await;
                }
                Err(StoreError::NoRoom) => return Err(CommitError::Failed(no_room())),
                Err(error) => return Err(CommitError::Failed(Error::internal(error))),
            }
        }
        Err(CommitError::Failed(Error::internal(
            "the fate of a commit is still unknown after several attempts",
        )))
    }

    /// The revision of the batch of `witness`, if it has happened. A deletion has no revision of
    /// its own, and no caller uses it.
    async fn happened(&self, witness: &Witness) -> Result<Option<Revision>, CommitError> {
        let there = self.store.get(&witness.key).await.map_err(Error::internal)?;
        Ok(match (there, &witness.put) {
            (Some(there), Some(put)) if there.value == *put => Some(there.revision),
            (None, None) => Some(Revision(0)),
            _ => None,
        })
    }
}

impl Move {
    fn id(&self) -> Option<crate::ids::LeaseId> {
        self.after
            .as_ref()
            .or(self.before.as_ref().map(|stored| &stored.value))
            .map(|lease| lease.id)
    }
}

/// How a change affects a counter.
#[derive(Default)]
struct Counted {
    account: Option<(Subject, crate::ids::ServiceId)>,
    more: u64,
    fewer: u64,
}

impl Counted {
    fn add(&mut self, step: &Move) {
        let before = step.before.as_ref().map(|stored| &stored.value);
        let (was, will) =
            (before.is_some_and(is_counted), step.after.as_ref().is_some_and(is_counted));
        if was == will {
            return;
        }
        if let Some(lease) = step.after.as_ref().or(before) {
            self.account.get_or_insert_with(|| (lease.owner.clone(), lease.service.clone()));
        }
        if will { self.more += 1 } else { self.fewer += 1 }
    }
}

fn is_counted(lease: &Lease) -> bool {
    lease.state.is_counted()
}
/// The refusal of what can wait, on a disk that is almost full.
fn no_room() -> Error {
    let sentence = "The daemon's disk is almost full, so that it changes nothing now; reading and \
                    revoking go on. Please try again later.";
    Error::new(Kind::Busy, sentence).retry_after(ROOM_AGAIN).because(StoreError::NoRoom)
}
