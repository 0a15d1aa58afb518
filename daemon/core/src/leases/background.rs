//! The daemon's own revocations: the leases that wait for one, how many run at a time, and whether
//! their targets answer.
//!
//! Each service has a queue. An attempt that ends makes room for the next one at once, so that the
//! pace is that of the target. Each service has a breaker as well: as soon as an attempt fails, one
//! runs at a time; after some failures in a row the breaker is open, and one attempt is made after
//! a wait that grows with the outage. The first answer closes it.
//!
//! Users' attempts do not wait here. How they end is reported all the same.
//!
//! Never here: an attempt itself (that is [`crate::leases::revoke`]'s), a decision about a lease.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ids::{LeaseId, ServiceId};

/// Most leases of one service that wait in memory. What finds no room stays due, and is found
/// again.
const ROOM: usize = 1024;
/// Failures in a row that open a breaker.
const OPENS_AFTER: u32 = 3;
/// The wait before a probe is this part of the outage so far, within these bounds: an outage is
/// noticed to be over after an eighth more of its time, and a minute at most.
const WAIT_PART: u32 = 8;
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The queues of all services.
pub(crate) struct Background(Arc<Shared>);

struct Shared {
    /// Most attempts of one service at a time.
    most: usize,
    state: Mutex<State>,
    /// A queue that was full has room again.
    room: Notify,
}

#[derive(Default)]
struct State {
    /// Leases that wait or are being revoked.
    known: HashSet<LeaseId>,
    services: HashMap<ServiceId, Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    under_way: usize,
    /// A lease found no room.
    was_full: bool,
    breaker: Breaker,
}

/// A lease that waits for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) lease: LeaseId,
    /// Whether it is not due yet: its target has come back.
    pub(crate) is_early: bool,
}

/// The answer to a lease that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It waits now.
    Taken,
    /// It waits or is being revoked already.
    Known,
    /// There is no room.
    Full,
}

/// What an attempt says about its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It answers.
    Alive,
    /// It does not, or not as it should.
    Failed,
    /// Nothing: the attempt did not reach it.
    Unknown,
}

/// The right to make one attempt. Dropping it makes room for the next one.
pub(crate) struct Turn {
    shared: Arc<Shared>,
    service: ServiceId,
    pub(crate) waiting: Waiting,
}

/// A service whose target does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outage {
    pub(crate) service: ServiceId,
    /// How long it has lasted.
    pub(crate) lasts: Duration,
}

impl Background {
    /// At most `most` attempts of one service at a time.
    pub(crate) fn new(most: usize) -> Self {
        let (state, room) = (Mutex::default(), Notify::new());
        Self(Arc::new(Shared { most: most.max(1), state, room }))
    }

    /// Whether that lease waits or is being revoked.
    pub(crate) fn knows(&self, lease: LeaseId) -> bool {
        self.0.state.lock().known.contains(&lease)
    }

    /// Puts a lease of `service` into the queue.
    pub(crate) fn offer(&self, service: &ServiceId, waiting: Waiting) -> Offered {
        let mut state = self.0.state.lock();
        if state.known.contains(&waiting.lease) {
            return Offered::Known;
        }
        let queue = state.services.entry(service.clone()).or_default();
        if queue.waiting.len() >= ROOM {
            queue.was_full = true;
            return Offered::Full;
        }
        queue.waiting.push_back(waiting);
        state.known.insert(waiting.lease);
        Offered::Taken
    }

    /// The next lease of `service` to revoke, unless enough of them are being revoked or its target
    /// does not answer.
    pub(crate) fn take(&self, service: &ServiceId, now: Duration) -> Option<Turn> {
        let mut state = self.0.state.lock();
        let queue = state.services.get_mut(service)?;
        if queue.under_way >= queue.breaker.width(self.0.most, now) {
            return None;
        }
        let waiting = queue.waiting.pop_front()?;
        queue.under_way += 1;
        if queue.was_full && queue.waiting.len() <= ROOM / 2 {
            queue.was_full = false;
            self.0.room.notify_one();
        }
        let (shared, service) = (Arc::clone(&self.0), service.clone());
        Some(Turn { shared, service, waiting })
    }

    /// Services with leases that wait.
    pub(crate) fn waiting(&self) -> Vec<ServiceId> {
        let state = self.0.state.lock();
        let waits = state.services.iter().filter(|(_, queue)| !queue.waiting.is_empty());
        waits.map(|(service, _)| service.clone()).collect()
    }

    /// Notes what an attempt says about the target of `service`. Returns whether it has come back,
    /// so that what was delayed may come forward.
    pub(crate) fn report(&self, service: &ServiceId, answer: Answer, now: Duration) -> bool {
        let mut state = self.0.state.lock();
        let breaker = &mut state.services.entry(service.clone()).or_default().breaker;
        match answer {
            Answer::Unknown => false,
            Answer::Alive => {
                let lasted = breaker.lasts(now);
                let is_back = breaker.alive();
                if let Some(lasted) = lasted.filter(|_| is_back) {
                    tracing::info!(%service, seconds = lasted.as_secs(), "revocations succeed again");
                }
                is_back
            }
            Answer::Failed => {
                if breaker.failed(now) {
                    tracing::warn!(%service, "revocations fail one after the other: one is tried at a time, and the others wait");
                }
                false
            }
        }
    }

    /// Whether the breaker of `service` is open.
    pub(crate) fn is_open(&self, service: &ServiceId) -> bool {
        let state = self.0.state.lock();
        state.services.get(service).is_some_and(|queue| queue.breaker.is_open())
    }

    /// The services whose breakers are open.
    pub(crate) fn outages(&self, now: Duration) -> Vec<Outage> {
        let state = self.0.state.lock();
        let outage = |(service, queue): (&ServiceId, &Queue)| {
            let lasts = queue.breaker.lasts(now).filter(|_| queue.breaker.is_open())?;
            Some(Outage { service: service.clone(), lasts })
        };
        let mut outages: Vec<_> = state.services.iter().filter_map(outage).collect();
        outages.sort_by(|a, b| a.service.as_str().cmp(b.service.as_str()));
        outages
    }

    /// Waits until a queue that was full has room again.
    pub(crate) async fn has_room(&self) {
        self.0.room.notified().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.known.remove(&self.waiting.lease);
        if let Some(queue) = state.services.get_mut(&self.service) {
            queue.under_way = queue.under_way.saturating_sub(1);
        }
    }
}

/// Whether a target answers.
#[derive(Debug, Default)]
struct Breaker {
    /// In a row.
    failures: u32,
    down_since: Option<Duration>,
    /// No probe before that, while it is open.
    not_before: Duration,
    /// Whether the target has answered since the start. Leases that failed before the start were
    /// delayed by an outage that this process knows nothing of.
    has_answered: bool,
}

impl Breaker {
    fn is_open(&self) -> bool {
        self.failures >= OPENS_AFTER
    }

    /// How many attempts may run at a time.
    fn width(&self, most: usize, now: Duration) -> usize {
        match self.failures {
            0 => most,
            _ if self.is_open() && now < self.not_before => 0,
            _ => 1,
        }
    }

    fn lasts(&self, now: Duration) -> Option<Duration> {
        self.down_since.map(|since| now.saturating_sub(since))
    }

    /// Returns whether that opened it.
    fn failed(&mut self, now: Duration) -> bool {
        let was_open = self.is_open();
        self.failures = self.failures.saturating_add(1);
        let since = *self.down_since.get_or_insert(now);
        // Users' attempts fail meanwhile too, and must not put off the probe.
        if self.is_open() && now >= self.not_before {
            let wait = now.saturating_sub(since) / WAIT_PART;
            self.not_before = now + wait.clamp(SHORTEST_WAIT, LONGEST_WAIT);
        }
        self.is_open() && !was_open
    }

    /// Returns whether leases may have been delayed that can come forward now.
    fn alive(&mut self) -> bool {
        let is_back = self.is_open() || !self.has_answered;
        *self = Self { has_answered: true, ..Self::default() };
        is_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ssh() -> ServiceId {
        ServiceId::parse("ssh").unwrap()
    }

    fn lease(n: u16) -> Waiting {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        Waiting { lease: LeaseId::from_random(id), is_early: false }
    }

    fn at(secs: u64) -> Duration {
        Duration::from_secs(1000 + secs)
    }

    #[test]
    fn an_attempt_that_ends_makes_room_for_the_next() {
        let background = Background::new(2);
        for n in 0..4 {
            assert_eq!(background.offer(&ssh(), lease(n)), Offered::Taken);
        }
        assert_eq!(background.offer(&ssh(), lease(0)), Offered::Known);
        let first = background.take(&ssh(), at(0)).unwrap();
        let second = background.take(&ssh(), at(0)).unwrap();
        assert_eq!((first.waiting, second.waiting), (lease(0), lease(1)));
        assert!(background.take(&ssh(), at(0)).is_none());
        assert!(background.knows(lease(0).lease));
        drop(first);
        assert!(!background.knows(lease(0).lease));
        assert_eq!(background.take(&ssh(), at(0)).unwrap().waiting, lease(2));
        assert_eq!(background.waiting(), [ssh()]);
    }

    #[tokio::test]
    async fn a_full_queue_says_when_it_has_room() {
        let background = Background::new(1);
        for n in 0..1024 {
            assert_eq!(background.offer(&ssh(), lease(n)), Offered::Taken);
        }
        assert_eq!(background.offer(&ssh(), lease(2000)), Offered::Full);
        for _ in 0..512 {
            drop(background.take(&ssh(), at(0)).unwrap());
        }
        background.has_room().await;
        assert_eq!(background.offer(&ssh(), lease(2000)), Offered::Taken);
    }

    #[test]
    fn a_target_that_fails_gets_one_probe_at_a_time_and_all_when_it_is_back() {
        let background = Background::new(8);
        for n in 0..20 {
            background.offer(&ssh(), lease(n));
        }
        background.report(&ssh(), Answer::Alive, at(0));
        background.report(&ssh(), Answer::Failed, at(0));
        let only = background.take(&ssh(), at(0)).unwrap();
        assert!(background.take(&ssh(), at(0)).is_none(), "in doubt, one at a time");
        drop(only);
        background.report(&ssh(), Answer::Failed, at(0));
        background.report(&ssh(), Answer::Failed, at(0));
        assert!(background.is_open(&ssh()));
        assert_eq!(background.outages(at(7)), [Outage { service: ssh(), lasts: 7 * SECOND }]);
        assert!(background.take(&ssh(), at(0)).is_none());
        let probe = background.take(&ssh(), at(1)).unwrap();
        assert!(background.take(&ssh(), at(9)).is_none(), "one probe at a time");
        // A user's attempt fails while the probe is under way.
        background.report(&ssh(), Answer::Failed, at(40));
        drop(probe);
        assert!(background.take(&ssh(), at(44)).is_none());
        let probe = background.take(&ssh(), at(45)).unwrap();
        assert!(background.report(&ssh(), Answer::Alive, at(45)), "what was delayed comes forward");
        drop(probe);
        assert!(!background.report(&ssh(), Answer::Alive, at(45)));
        let turns: Vec<_> = std::iter::from_fn(|| background.take(&ssh(), at(45))).collect();
        assert_eq!(turns.len(), 8);
        assert_eq!(background.outages(at(46)), []);
    }

    #[test]
    fn one_lease_that_fails_between_others_opens_nothing() {
        let background = Background::new(8);
        assert!(
            background.report(&ssh(), Answer::Alive, at(0)),
            "the first answer since the start"
        );
        for second in 0..100 {
            background.report(&ssh(), Answer::Failed, at(second));
            background.report(&ssh(), Answer::Failed, at(second));
            background.report(&ssh(), Answer::Unknown, at(second));
            assert!(!background.report(&ssh(), Answer::Alive, at(second)));
        }
    }

    #[test]
    fn the_wait_grows_with_the_outage() {
        let mut breaker = Breaker::default();
        let mut waits = Vec::new();
        let mut now = at(0);
        for _ in 0..60 {
            breaker.failed(now);
            if breaker.is_open() {
                waits.push((breaker.not_before - now).as_secs());
                now = breaker.not_before;
            }
        }
        assert_eq!(waits[..8], [1; 8]);
        assert_eq!(waits.last(), Some(&60));
        assert!(waits.is_sorted(), "{waits:?}");
    }
}
