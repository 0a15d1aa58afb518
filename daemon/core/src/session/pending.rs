//! Pending sign-ins: in memory, bounded, each for one use. All times are of the monotonic clock and
//! given by the caller.
//!
//! One address has a share of them; when all places are taken, the oldest of the address that has
//! most makes room for an address that has fewer.
//!
//! A sign-in awaits the callback of its browser, is being verified, awaits the answer of its user
//! to the question whether the program may have the tokens, is reserved for its browser, or is
//! complete and keeps its outcome for the client. Flow, question and outcome are taken out once
//! each.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Address;
use super::used::UsedKeys;
use crate::caller::Client;
use crate::error::Error;
use crate::ids::{ProviderId, UserId};
use crate::ports::sign_in::Flow;
use crate::secret::Secret;
use crate::time::Timestamp;
use crate::user::PreparedSignIn;

/// SHA-256 of a callback key: neither a memory dump nor the timing of a look-up reveals the key.
pub(super) type KeyHash = [u8; 32];

/// SHA-256 of the token in the page of a question.
pub(super) type TokenHash = [u8; 32];

/// The outcome of a sign-in, for the client that waits for it.
pub(super) type SignInOutcome = Result<SignedIn, Error>;

/// The user of a sign-in, and where the browser was in which it happened.
#[derive(Debug, Clone)]
pub(super) struct SignedIn {
    pub(super) user: UserId,
    pub(super) browser: Client,
}

/// Where and when a sign-in began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) from: Address,
    pub(super) at: Timestamp,
}

/// A subject whose identity is verified, and the provider that vouched for it. Nothing is recorded
/// of it yet.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) provider: ProviderId,
    pub(super) sign_in: PreparedSignIn,
    /// Where the browser was that brought the proof.
    pub(super) browser: Client,
}

/// All pending sign-ins.
pub(super) struct PendingSignIns {
    most: usize,
    most_of_address: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sign_ins: HashMap<KeyHash, Entry>,
    /// The entries by the time at which they expire.
    expiries: BTreeSet<(Duration, KeyHash)>,
    /// The same of each address.
    by_address: HashMap<Address, BTreeSet<(Duration, KeyHash)>>,
    /// The entries that await an answer, by the token of their page.
    questions: HashMap<TokenHash, KeyHash>,
    /// Keys whose flow was taken out.
    used: UsedKeys,
}

/// Why there is no room for a sign-in, and how long until there may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// Its address has its share.
    OfAddress(Duration),
    /// All places are taken, and no address has more of them.
    OfAll(Duration),
}

struct Entry {
    began: Origin,
    stage: Stage,
    expires: Duration,
    /// Wakes the client that waits now.
    client: Option<Arc<Notify>>,
    had_client: bool,
}

enum Stage {
    AwaitingCallback(Flow),
    Verifying,
    AwaitingAnswer(TokenHash, Box<Verified>),
    /// No client may wait any more: the browser gets the tokens.
    ForBrowser,
    Complete(SignInOutcome),
}

/// The flow of a key.
pub(super) enum TakenFlow {
    /// It was there, and is taken out by this.
    Flow(Flow, Origin),
    /// It was taken out before.
    Used,
    /// There is no such sign-in, or no longer.
    Unknown,
}

/// Why an answer to a question does not count.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AnswerRefusal {
    Unknown,
    OtherAddress,
}

/// How far a sign-in is.
pub(super) enum Progress {
    /// Complete; the outcome is taken out by this.
    Complete(SignInOutcome),
    /// Not complete; it expires at this time.
    Pending(Duration),
    /// There is no such sign-in, or no longer.
    Unknown,
}

/// Why a client cannot wait for a sign-in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WaitRefusal {
    Unknown,
    OtherAddress,
    AlreadyWaiting,
}

pub(super) fn hash(key: &Secret) -> KeyHash {
    key.digest()
}

impl PendingSignIns {
    /// At most `most`, and of one address `most_of_address`.
    pub(super) fn new(most: usize, most_of_address: usize) -> Self {
        Self { most, most_of_address, table: Mutex::default() }
    }

    /// Checks whether there is room for another sign-in that begins at `from`.
    pub(super) fn check_room(&self, from: Address, now: Duration) -> Result<(), NoRoom> {
        let table = self.lock();
        let wait = |expiries: &BTreeSet<(Duration, KeyHash)>| {
            expiries.first().map_or(Duration::ZERO, |(expires, _)| expires.saturating_sub(now))
        };
        let own = table.by_address.get(&from).filter(|own| own.len() >= self.most_of_address);
        if let Some(own) = own {
            return Err(NoRoom::OfAddress(wait(own)));
        }
        if table.sign_ins.len() >= self.most && table.next_to_go(from).is_none() {
            return Err(NoRoom::OfAll(wait(&table.expiries)));
        }
        Ok(())
    }

    /// Keeps a sign-in until `expires`. False when there is no room.
    pub(super) fn insert(
        &self,
        key: KeyHash,
        began: Origin,
        flow: Flow,
        expires: Duration,
    ) -> bool {
        let mut table = self.lock();
        if table.sign_ins.len() >= self.most {
            let Some(oldest) = table.next_to_go(began.from) else { return false };
            table.remove(&oldest);
        }
        let stage = Stage::AwaitingCallback(flow);
        let entry = Entry { began, stage, expires, client: None, had_client: false };
        table.index(&key, began.from, expires);
        table.sign_ins.insert(key, entry);
        true
    }

    /// Whether a client at `from` could wait for `key`; `None`: at any address.
    pub(super) fn check_wait(
        &self,
        key: &KeyHash,
        from: Option<Address>,
        now: Duration,
    ) -> Result<(), WaitRefusal> {
        self.lock().without_client(key, from, now).map(drop)
    }

    /// Registers the client at `from` as the one that waits for `key`. The result wakes it when the
    /// sign-in is complete.
    pub(super) fn register_client(
        &self,
        key: &KeyHash,
        from: Option<Address>,
        now: Duration,
    ) -> Result<Arc<Notify>, WaitRefusal> {
        let mut table = self.lock();
        let entry = table.without_client(key, from, now)?;
        let wake = Arc::new(Notify::new());
        entry.had_client = true;
        entry.client = Some(Arc::clone(&wake));
        Ok(wake)
    }

    /// Unregisters the client that `wake` wakes.
    pub(super) fn unregister_client(&self, key: &KeyHash, wake: &Arc<Notify>) {
        if let Some(entry) = self.lock().sign_ins.get_mut(key) {
            entry.client.take_if(|own| Arc::ptr_eq(own, wake));
        }
    }

    /// Takes out the flow of `key`, once. The sign-in does not expire before `expires` from then
    /// on, so that it can be finished; that its key was used is remembered until `remembered`.
    pub(super) fn take_flow(
        &self,
        key: &KeyHash,
        now: Duration,
        expires: Duration,
        remembered: Duration,
    ) -> TakenFlow {
        let mut table = self.lock();
        let Some(entry) = table.current(key, now) else {
            return if table.used.contains(key, now) {
                TakenFlow::Used
            } else {
                TakenFlow::Unknown
            };
        };
        if !matches!(entry.stage, Stage::AwaitingCallback(_)) {
            return TakenFlow::Used;
        }
        let began = entry.began;
        let stage = std::mem::replace(&mut entry.stage, Stage::Verifying);
        let Stage::AwaitingCallback(flow) = stage else { return TakenFlow::Used };
        let expires = entry.expires.max(expires);
        table.set_expiry(key, expires);
        table.used.add(*key, remembered, self.most);
        TakenFlow::Flow(flow, began)
    }

    /// Puts the flow of `key` back, which [`PendingSignIns::take_flow`] took out: it was not used.
    pub(super) fn put_flow_back(&self, key: &KeyHash, flow: Flow) {
        if let Some(entry) = self.lock().sign_ins.get_mut(key)
            && matches!(entry.stage, Stage::Verifying)
        {
            entry.stage = Stage::AwaitingCallback(flow);
        }
    }

    /// Lets the sign-in of `key` await the answer that comes with `token`, until `expires`.
    ///
    /// # Errors
    /// `verified`, when there is no such sign-in any more.
    pub(super) fn ask(
        &self,
        key: &KeyHash,
        token: TokenHash,
        verified: Box<Verified>,
        expires: Duration,
    ) -> Result<(), Box<Verified>> {
        let mut table = self.lock();
        let Some(entry) = table.sign_ins.get_mut(key) else { return Err(verified) };
        entry.stage = Stage::AwaitingAnswer(token, verified);
        entry.wake();
        table.questions.insert(token, *key);
        table.set_expiry(key, expires);
        Ok(())
    }

    /// Takes out the question of `token` for a browser at `from` (`None`: at any address), once.
    /// The sign-in does not expire before `expires` from then on.
    pub(super) fn take_question(
        &self,
        token: &TokenHash,
        from: Option<Address>,
        now: Duration,
        expires: Duration,
    ) -> Result<(KeyHash, Verified), AnswerRefusal> {
        let mut table = self.lock();
        let key = *table.questions.get(token).ok_or(AnswerRefusal::Unknown)?;
        let entry = table.current(&key, now).ok_or(AnswerRefusal::Unknown)?;
        if from.is_some_and(|from| from != entry.began.from) {
            return Err(AnswerRefusal::OtherAddress);
        }
        if !matches!(entry.stage, Stage::AwaitingAnswer(..)) {
            return Err(AnswerRefusal::Unknown);
        }
        let stage = std::mem::replace(&mut entry.stage, Stage::Verifying);
        let Stage::AwaitingAnswer(_, verified) = stage else { return Err(AnswerRefusal::Unknown) };
        let expires = entry.expires.max(expires);
        table.questions.remove(token);
        table.set_expiry(&key, expires);
        Ok((key, *verified))
    }

    /// Reserves the sign-in of `key` for its browser: only where no client ever waited for it. From
    /// then on no client can.
    pub(super) fn reserve_for_browser(&self, key: &KeyHash) -> bool {
        let mut table = self.lock();
        let Some(entry) = table.sign_ins.get_mut(key).filter(|entry| !entry.had_client) else {
            return false;
        };
        entry.stage = Stage::ForBrowser;
        true
    }

    /// Removes the sign-in of `key`: its browser has the tokens.
    pub(super) fn remove(&self, key: &KeyHash) {
        self.lock().remove(key);
    }

    /// Completes the sign-in of `key` and keeps its outcome for the client, until `expires`. False
    /// when there is no such sign-in any more.
    pub(super) fn complete(
        &self,
        key: &KeyHash,
        outcome: SignInOutcome,
        expires: Duration,
    ) -> bool {
        let mut table = self.lock();
        let Some(entry) = table.sign_ins.get_mut(key) else { return false };
        entry.stage = Stage::Complete(outcome);
        entry.wake();
        table.set_expiry(key, expires);
        true
    }

    /// How far the sign-in of `key` is, for the client that waits for it.
    pub(super) fn progress(&self, key: &KeyHash, now: Duration) -> Progress {
        let mut table = self.lock();
        match table.current(key, now) {
            None => return Progress::Unknown,
            Some(entry) if !matches!(entry.stage, Stage::Complete(_)) => {
                return Progress::Pending(entry.expires);
            }
            Some(_) => {}
        }
        table.take_outcome(key).map_or(Progress::Unknown, Progress::Complete)
    }

    /// Removes the sign-ins that have expired. Returns those whose question was not answered.
    pub(super) fn remove_expired(&self, now: Duration) -> Vec<Verified> {
        self.lock().remove_expired(now)
    }

    /// How many sign-ins, expiries, questions and used keys there are.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 4] {
        let table = self.lock();
        let of_addresses: usize = table.by_address.values().map(BTreeSet::len).sum();
        assert_eq!(of_addresses, table.expiries.len());
        let of_used = table.used.len();
        [table.sign_ins.len(), table.expiries.len(), table.questions.len(), of_used]
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Wakes the client that waits: the stage, or the time of the expiry, has changed.
    fn wake(&self) {
        if let Some(client) = &self.client {
            client.notify_one();
        }
    }
}

impl Table {
    fn current(&mut self, key: &KeyHash, now: Duration) -> Option<&mut Entry> {
        self.sign_ins.get_mut(key).filter(|entry| entry.expires > now)
    }

    /// The entry that a client at `from` may wait for. A client at another address learns only that
    /// it is at another address.
    fn without_client(
        &mut self,
        key: &KeyHash,
        from: Option<Address>,
        now: Duration,
    ) -> Result<&mut Entry, WaitRefusal> {
        let entry = self.current(key, now).ok_or(WaitRefusal::Unknown)?;
        if matches!(entry.stage, Stage::ForBrowser) {
            return Err(WaitRefusal::Unknown);
        }
        if from.is_some_and(|from| from != entry.began.from) {
            return Err(WaitRefusal::OtherAddress);
        }
        if entry.client.is_some() { Err(WaitRefusal::AlreadyWaiting) } else { Ok(entry) }
    }

    fn index(&mut self, key: &KeyHash, from: Address, expires: Duration) {
        self.expiries.insert((expires, *key));
        self.by_address.entry(from).or_default().insert((expires, *key));
    }

    fn unindex(&mut self, key: &KeyHash, from: Address, expires: Duration) {
        self.expiries.remove(&(expires, *key));
        if let Some(own) = self.by_address.get_mut(&from) {
            own.remove(&(expires, *key));
            if own.is_empty() {
                self.by_address.remove(&from);
            }
        }
    }

    fn set_expiry(&mut self, key: &KeyHash, expires: Duration) {
        if let Some(entry) = self.sign_ins.get_mut(key) {
            let (from, before) = (entry.began.from, std::mem::replace(&mut entry.expires, expires));
            self.unindex(key, from, before);
            self.index(key, from, expires);
        }
    }

    /// The sign-in that makes room for one that begins at `from`: the oldest of the address that
    /// has most, of those that have more than `from` and one that may go. One that is being
    /// verified, or complete, stays.
    fn next_to_go(&self, from: Address) -> Option<KeyHash> {
        let mut most = self.by_address.get(&from).map_or(0, BTreeSet::len);
        let awaits = |key: &KeyHash| {
            let entry = self.sign_ins.get(key);
            entry.is_some_and(|entry| matches!(entry.stage, Stage::AwaitingCallback(_)))
        };
        let mut next = None;
        for keys in self.by_address.values() {
            // Only an address with more than the best so far is looked into: few of them are, and
            // the first entry of most awaits its callback.
            if keys.len() > most
                && let Some(oldest) = keys.iter().map(|(_, key)| *key).find(awaits)
            {
                (most, next) = (keys.len(), Some(oldest));
            }
        }
        next
    }

    fn remove(&mut self, key: &KeyHash) -> Option<Entry> {
        let entry = self.sign_ins.remove(key)?;
        self.unindex(key, entry.began.from, entry.expires);
        if let Stage::AwaitingAnswer(token, _) = &entry.stage {
            self.questions.remove(token);
        }
        if let Some(client) = &entry.client {
            client.notify_one();
        }
        Some(entry)
    }

    fn take_outcome(&mut self, key: &KeyHash) -> Option<SignInOutcome> {
        self.sign_ins.get(key).filter(|entry| matches!(entry.stage, Stage::Complete(_)))?;
        match self.remove(key)?.stage {
            Stage::Complete(outcome) => Some(outcome),
            _ => None,
        }
    }

    fn remove_expired(&mut self, now: Duration) -> Vec<Verified> {
        self.used.forget(now);
        let mut unanswered = Vec::new();
        while let Some((_, key)) =
            self.expiries.first().copied().filter(|(expires, _)| *expires <= now)
        {
            match self.remove(&key).map(|entry| entry.stage) {
                Some(Stage::AwaitingAnswer(_, verified)) => unanswered.push(*verified),
                Some(_) => {}
                // No entry without an expiry: a leftover must not keep the loop here.
                None => drop(self.expiries.pop_first()),
            }
        }
        unanswered
    }
}
