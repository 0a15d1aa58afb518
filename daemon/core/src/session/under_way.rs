//! Sign-ins under way: in memory, bounded, each for one use. Time is that of the monotonic clock,
//! and given by the caller.
//!
//! A sign-in waits for its browser, is being finished, or is over and waits for its client. What
//! came of it is taken out once.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Address;
use crate::error::{Error, Kind};
use crate::ids::UserId;
use crate::ports::sign_in::Flow;
use crate::secret::Secret;

/// SHA-256 of a callback key: who reads memory, or times a look-up, learns none.
pub(super) type KeyHash = [u8; 32];

/// What came of a sign-in.
pub(super) type Outcome = Result<UserId, Failure>;

/// Why a sign-in failed, for the client that waits for it. The log has the cause from whoever met
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    kind: Kind,
    public: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind(), public: error.public().to_owned() }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.public)
    }
}

/// All sign-ins under way.
pub(super) struct UnderWay {
    most: usize,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    sign_ins: HashMap<KeyHash, Entry>,
    /// When which entry is forgotten.
    ends: BTreeSet<(Duration, KeyHash)>,
}

struct Entry {
    from: Address,
    stage: Stage,
    ends: Duration,
    /// Whom to wake: the client that waits now.
    seat: Option<Arc<Notify>>,
    was_seated: bool,
}

enum Stage {
    Waiting(Flow),
    Finishing,
    Over(Outcome),
}

/// What a client that waits finds.
pub(super) enum Found {
    /// What came of it: now taken out.
    Over(Outcome),
    /// Nothing yet; it is forgotten at this time.
    Waiting(Duration),
    /// No such sign-in (any more).
    Gone,
}

/// Why a client cannot wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotSeated {
    Unknown,
    OtherAddress,
    Taken,
}

pub(super) fn hash(key: &Secret) -> KeyHash {
    key.digest()
}

impl UnderWay {
    pub(super) fn new(most: usize) -> Self {
        Self { most, places: Mutex::default() }
    }

    /// How long until there may be room for another one; `None`: there is room.
    pub(super) fn full_until(&self, now: Duration) -> Option<Duration> {
        let mut places = self.lock();
        places.forget_old(now);
        if places.sign_ins.len() < self.most {
            return None;
        }
        Some(places.ends.first().map_or(Duration::ZERO, |(ends, _)| ends.saturating_sub(now)))
    }

    /// Keeps a sign-in until `ends`. False when there is no room.
    pub(super) fn begin(&self, key: KeyHash, from: Address, flow: Flow, ends: Duration) -> bool {
        let mut places = self.lock();
        if places.sign_ins.len() >= self.most {
            return false;
        }
        places.ends.insert((ends, key));
        let stage = Stage::Waiting(flow);
        places.sign_ins.insert(key, Entry { from, stage, ends, seat: None, was_seated: false });
        true
    }

    /// Whether a client at `from` could wait for `key`; `None`: from anywhere.
    pub(super) fn expects(
        &self,
        key: &KeyHash,
        from: Option<Address>,
        now: Duration,
    ) -> Result<(), NotSeated> {
        self.lock().seatable(key, from, now).map(drop)
    }

    /// Lets the client at `from` wait for `key`. It is woken when something came of it.
    pub(super) fn seat(
        &self,
        key: &KeyHash,
        from: Option<Address>,
        now: Duration,
    ) -> Result<Arc<Notify>, NotSeated> {
        let mut places = self.lock();
        let entry = places.seatable(key, from, now)?;
        let wake = Arc::new(Notify::new());
        entry.was_seated = true;
        entry.seat = Some(Arc::clone(&wake));
        Ok(wake)
    }

    /// The client that `wake` wakes waits no more.
    pub(super) fn leave(&self, key: &KeyHash, wake: &Arc<Notify>) {
        if let Some(entry) = self.lock().sign_ins.get_mut(key) {
            entry.seat.take_if(|own| Arc::ptr_eq(own, wake));
        }
    }

    /// The flow of `key` and where it began: once. From now on there is until `ends`, at least, to
    /// finish it.
    pub(super) fn claim(
        &self,
        key: &KeyHash,
        now: Duration,
        ends: Duration,
    ) -> Option<(Flow, Address)> {
        let mut places = self.lock();
        let entry = places.current(key, now)?;
        if !matches!(entry.stage, Stage::Waiting(_)) {
            return None;
        }
        let from = entry.from;
        let Stage::Waiting(flow) = std::mem::replace(&mut entry.stage, Stage::Finishing) else {
            return None;
        };
        let ends = entry.ends.max(ends);
        places.keep_until(key, ends);
        Some((flow, from))
    }

    /// Leaves what came of `key` for its client, until `ends`.
    pub(super) fn settle(&self, key: &KeyHash, outcome: Outcome, ends: Duration) {
        let mut places = self.lock();
        let Some(entry) = places.sign_ins.get_mut(key) else { return };
        entry.stage = Stage::Over(outcome);
        if let Some(seat) = &entry.seat {
            seat.notify_one();
        }
        places.keep_until(key, ends);
    }

    /// What came of `key`, for a browser that takes it along: only where no client ever waited for
    /// it.
    pub(super) fn take_unseated(&self, key: &KeyHash) -> Option<Outcome> {
        let mut places = self.lock();
        places.sign_ins.get(key).filter(|entry| !entry.was_seated)?;
        places.take_over(key)
    }

    /// What came of `key`, for the client that waits for it.
    pub(super) fn look(&self, key: &KeyHash, now: Duration) -> Found {
        let mut places = self.lock();
        match places.current(key, now) {
            None => return Found::Gone,
            Some(entry) if !matches!(entry.stage, Stage::Over(_)) => {
                return Found::Waiting(entry.ends);
            }
            Some(_) => {}
        }
        places.take_over(key).map_or(Found::Gone, Found::Over)
    }

    /// Forgets what waited too long.
    pub(super) fn purge(&self, now: Duration) {
        self.lock().forget_old(now);
    }

    /// How many there are, and of how many the end is known.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        let places = self.lock();
        (places.sign_ins.len(), places.ends.len())
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn current(&mut self, key: &KeyHash, now: Duration) -> Option<&mut Entry> {
        self.sign_ins.get_mut(key).filter(|entry| entry.ends > now)
    }

    /// The entry that a client at `from` may wait for. Who comes from elsewhere learns no more than
    /// that.
    fn seatable(
        &mut self,
        key: &KeyHash,
        from: Option<Address>,
        now: Duration,
    ) -> Result<&mut Entry, NotSeated> {
        let entry = self.current(key, now).ok_or(NotSeated::Unknown)?;
        if from.is_some_and(|from| from != entry.from) {
            return Err(NotSeated::OtherAddress);
        }
        if entry.seat.is_some() { Err(NotSeated::Taken) } else { Ok(entry) }
    }

    fn keep_until(&mut self, key: &KeyHash, ends: Duration) {
        if let Some(entry) = self.sign_ins.get_mut(key) {
            self.ends.remove(&(entry.ends, *key));
            entry.ends = ends;
            self.ends.insert((ends, *key));
        }
    }

    fn take_over(&mut self, key: &KeyHash) -> Option<Outcome> {
        self.sign_ins.get(key).filter(|entry| matches!(entry.stage, Stage::Over(_)))?;
        let entry = self.sign_ins.remove(key)?;
        self.ends.remove(&(entry.ends, *key));
        match entry.stage {
            Stage::Over(outcome) => Some(outcome),
            Stage::Waiting(_) | Stage::Finishing => None,
        }
    }

    fn forget_old(&mut self, now: Duration) {
        while let Some((ends, key)) = self.ends.first().copied().filter(|(ends, _)| *ends <= now) {
            self.ends.remove(&(ends, key));
            self.sign_ins.remove(&key);
        }
    }
}
