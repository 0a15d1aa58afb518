//! Issued results that wait until their users fetch them: in memory only, for seconds, for one
//! read.
//!
//! A place is taken before the plugin runs, so that an issued result can always be handed over.
//! Never here: the store, a log line with a value in it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::caller::Subject;
use crate::ids::{HandoffId, LeaseId, ProviderId, ServiceId};
use crate::limits::{KeyedPermit, KeyedPermits};
use crate::ports::plugins::Entry;

/// A result that waits for a user.
#[derive(Debug, Clone)]
pub enum Handoff {
    /// A credential was issued.
    Credential {
        /// Its lease.
        id: LeaseId,
        /// The entries that the plugin made.
        entries: Vec<Entry>,
    },
    /// The user has to sign in elsewhere first.
    Login {
        /// The provider.
        provider: ProviderId,
        /// The plugin's reason, for the user.
        message: String,
    },
}

/// A collected result, and its service.
pub(crate) struct Collected {
    pub(crate) handoff: Handoff,
    pub(crate) service: ServiceId,
}

/// Bounds of [`Handoffs`].
pub(crate) struct Bounds {
    pub(crate) lifetime: Duration,
    pub(crate) capacity: usize,
    pub(crate) per_user: usize,
    pub(crate) bytes: usize,
}

/// All results that wait. Time is that of the monotonic clock.
pub(crate) struct Handoffs {
    lifetime: Duration,
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    users: KeyedPermits<Subject>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    results: HashMap<HandoffId, Held>,
    /// In order of expiry, which is the order of arrival: all wait equally long. May name results
    /// that are collected already.
    ends: VecDeque<(Duration, HandoffId)>,
}

struct Held {
    collected: Collected,
    ends: Duration,
    place: Place,
}

/// A place for one result of one user; free again when dropped.
pub(crate) struct Place {
    user: Subject,
    bytes: Option<OwnedSemaphorePermit>,
    _place: OwnedSemaphorePermit,
    _of_user: KeyedPermit<Subject>,
}

impl Handoffs {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            lifetime: bounds.lifetime,
            places: permits(bounds.capacity),
            bytes: permits(bounds.bytes),
            users: KeyedPermits::new(bounds.per_user),
            waiting: Mutex::default(),
        }
    }

    /// A place for a result of `user`; `None` when all are taken.
    pub(crate) fn reserve(&self, user: &Subject, now: Duration) -> Option<Place> {
        drop(self.forget_old(now));
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let of_user = self.users.take(user)?;
        Some(Place { user: user.clone(), bytes: None, _place: place, _of_user: of_user })
    }

    /// Room for `entries` in `place`; false when too much waits already.
    pub(crate) fn weigh(&self, place: &mut Place, entries: &[Entry]) -> bool {
        let size = entries.iter().map(|entry| entry.name.len() + entry.value.len()).sum::<usize>();
        let permit = u32::try_from(size)
            .ok()
            .and_then(|size| Arc::clone(&self.bytes).try_acquire_many_owned(size).ok());
        place.bytes = permit;
        place.bytes.is_some()
    }

    /// Leaves a result.
    pub(crate) fn leave(&self, id: HandoffId, place: Place, collected: Collected, now: Duration) {
        let ends = now.saturating_add(self.lifetime);
        let mut waiting = self.lock();
        waiting.ends.push_back((ends, id));
        waiting.results.insert(id, Held { collected, ends, place });
    }

    /// Takes the result, if it waits for `user`. Results of other users go on waiting.
    pub(crate) fn collect(
        &self,
        user: &Subject,
        id: HandoffId,
        now: Duration,
    ) -> Option<Collected> {
        let mut waiting = self.lock();
        let held = waiting.results.get(&id)?;
        if held.place.user != *user || held.ends <= now {
            return None;
        }
        let held = waiting.results.remove(&id)?;
        Some(held.collected)
    }

    /// Whether a result waits for `user`. It can still be collected.
    pub(crate) fn holds(&self, user: &Subject, id: HandoffId, now: Duration) -> bool {
        self.lock().results.get(&id).is_some_and(|held| held.place.user == *user && held.ends > now)
    }

    /// Wipes results that waited too long.
    pub(crate) fn purge(&self, now: Duration) {
        drop(self.forget_old(now));
    }

    /// Takes out results that waited too long. The caller drops them outside the lock: wiping takes
    /// time.
    fn forget_old(&self, now: Duration) -> Vec<Held> {
        let mut old = Vec::new();
        let mut waiting = self.lock();
        while let Some((_, id)) = waiting.ends.pop_front_if(|(ends, _)| *ends <= now) {
            old.extend(waiting.results.remove(&id));
        }
        old
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::plugins::EntryKind;
    use crate::secret::Secret;

    const NOW: Duration = Duration::from_secs(1000);

    fn handoffs() -> Handoffs {
        let lifetime = Duration::from_secs(10);
        Handoffs::new(&Bounds { lifetime, capacity: 3, per_user: 2, bytes: 100 })
    }

    fn user(name: &str) -> Subject {
        Subject { issuer: "https://op.example".into(), subject: name.into() }
    }

    fn credential(bytes: usize) -> Vec<Entry> {
        let value = Secret::new(vec![b'x'; bytes]);
        vec![Entry {
            name: String::new(),
            kind: EntryKind::Text,
            value,
            rows: None,
            cols: None,
            save_as: None,
        }]
    }

    fn leave(all: &Handoffs, byte: u8, name: &str) -> HandoffId {
        let id = HandoffId::from_random([byte; 16]);
        let handoff =
            Handoff::Credential { id: LeaseId::from_random([byte; 16]), entries: credential(1) };
        let place = all.reserve(&user(name), NOW).unwrap();
        all.leave(id, place, Collected { handoff, service: ServiceId::parse("ssh").unwrap() }, NOW);
        id
    }

    #[test]
    fn one_read_by_its_user() {
        let all = handoffs();
        let id = leave(&all, 1, "alice");
        assert!(all.collect(&user("bob"), id, NOW).is_none());
        assert!(all.collect(&user("alice"), HandoffId::from_random([9; 16]), NOW).is_none());
        assert!(all.holds(&user("alice"), id, NOW) && !all.holds(&user("bob"), id, NOW));
        assert!(all.collect(&user("alice"), id, NOW).is_some());
        assert!(!all.holds(&user("alice"), id, NOW));
        assert!(all.collect(&user("alice"), id, NOW).is_none());
    }

    #[test]
    fn it_waits_so_long_and_no_longer() {
        let all = handoffs();
        let first = leave(&all, 1, "alice");
        let second = leave(&all, 2, "alice");
        let end = NOW + Duration::from_secs(10);
        assert!(all.collect(&user("alice"), first, end - Duration::from_millis(1)).is_some());
        assert!(all.collect(&user("alice"), second, end).is_none());
        all.purge(end);
        assert!(all.lock().results.is_empty() && all.lock().ends.is_empty());
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let all = handoffs();
        let first = leave(&all, 1, "alice");
        leave(&all, 2, "alice");
        assert!(all.reserve(&user("alice"), NOW).is_none(), "of one user");
        let place = all.reserve(&user("bob"), NOW);
        assert!(place.is_some());
        assert!(all.reserve(&user("carol"), NOW).is_none(), "of all");
        drop(place);
        assert!(all.reserve(&user("carol"), NOW).is_some());
        all.collect(&user("alice"), first, NOW).unwrap();
        assert!(all.reserve(&user("alice"), NOW).is_some());
        assert!(all.reserve(&user("alice"), NOW + Duration::from_secs(10)).is_some());
    }

    #[test]
    fn bytes_are_bounded_and_come_back() {
        let all = handoffs();
        let mut first = all.reserve(&user("alice"), NOW).unwrap();
        let mut second = all.reserve(&user("alice"), NOW).unwrap();
        assert!(all.weigh(&mut first, &credential(60)));
        assert!(!all.weigh(&mut second, &credential(60)));
        drop(first);
        assert!(all.weigh(&mut second, &credential(60)));
    }
}
