//! How many requests may wait for look-ups. A request that waits for a slow provider holds a
//! connection and memory, so one more than the bound is refused at once. A hundred requests with
//! one token share one look-up, and are a hundred requests still.
//!
//! An address has a quarter (decision 0029); where all places are taken, the last one of the
//! address that has most makes room for an address that has fewer. Strangers and callers whose
//! token was accepted before are counted apart, so that the former cannot take the places of the
//! latter.
//!
//! Never here: a token, an identity, the turn of a look-up.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use credsmith_core::address::Address;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::lookup_queue::Lane;

/// Most requests of one lane that wait.
const MOST: usize = 1024;
/// Most of one address. Callers without an address have no such bound.
const MOST_OF_ADDRESS: usize = MOST / 4;

/// The requests that wait for look-ups, of all providers. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct WaitingRequests {
    known: Arc<Mutex<Waiting>>,
    strangers: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    count: usize,
    by_address: HashMap<Option<Address>, VecDeque<One>>,
}

struct One {
    number: u64,
    /// Dropped when the request has to make room.
    _stays: oneshot::Sender<()>,
}

/// The permission of one request to wait; given back when dropped.
pub(crate) struct Permit {
    waiting: Arc<Mutex<Waiting>>,
    from: Option<Address>,
    number: u64,
    stays: oneshot::Receiver<()>,
}

impl WaitingRequests {
    /// Lets one more request from `from` wait. `None` when its address, or all together, have as
    /// many as they may.
    pub(crate) fn enter(&self, from: Option<Address>, lane: Lane) -> Option<Permit> {
        let waiting = match lane {
            Lane::Known => &self.known,
            Lane::Stranger => &self.strangers,
        };
        let (number, stays) = waiting.lock().add(from)?;
        Some(Permit { waiting: Arc::clone(waiting), from, number, stays })
    }
}

impl Permit {
    /// Waits until the request has to make room for one of another address.
    pub(crate) async fn displaced(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.stays).await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.waiting.lock().remove(self.from, self.number);
    }
}

impl Waiting {
    fn add(&mut self, from: Option<Address>) -> Option<(u64, oneshot::Receiver<()>)> {
        let own = self.by_address.get(&from).map_or(0, VecDeque::len);
        if from.is_some() && own >= MOST_OF_ADDRESS {
            return None;
        }
        if self.count >= MOST && !self.displace_one(own) {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let (sender, stays) = oneshot::channel();
        self.by_address.entry(from).or_default().push_back(One { number, _stays: sender });
        self.count += 1;
        Some((number, stays))
    }

    /// The last one of the address that has most goes, if that has more than one with `own` of them
    /// would have.
    fn displace_one(&mut self, own: usize) -> bool {
        let longest = self.by_address.values_mut().max_by_key(|ones| ones.len());
        let Some(longest) = longest.filter(|ones| ones.len() > own + 1) else { return false };
        drop(longest.pop_back());
        self.count -= 1;
        true
    }

    fn remove(&mut self, from: Option<Address>, number: u64) {
        let Some(own) = self.by_address.get_mut(&from) else { return };
        let before = own.len();
        own.retain(|one| one.number != number);
        self.count -= before - own.len();
        if own.is_empty() {
            self.by_address.remove(&from);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt as _;

    use super::*;

    fn at(last: u8) -> Option<Address> {
        Some(IpAddr::from([192, 0, 2, last]).into())
    }

    fn is_displaced(permit: &mut Permit) -> bool {
        permit.displaced().now_or_never().is_some()
    }

    /// Attack: a few addresses wait with so many requests that no other request may.
    #[test]
    fn a_few_addresses_leave_room_for_another() {
        let waiting = WaitingRequests::default();
        let enter = |number, lane| waiting.enter(at(number), lane);
        let mut greedy: Vec<_> =
            (0..8).flat_map(|n| (0..300).filter_map(move |_| enter(n, Lane::Stranger))).collect();
        assert_eq!(waiting.strangers.lock().count, MOST);
        let stay = greedy.iter_mut().map(|one| usize::from(!is_displaced(one))).sum::<usize>();
        assert_eq!(stay, MOST, "those that made room do not wait on");
        assert!(enter(0, Lane::Stranger).is_none());
        let mut honest = enter(99, Lane::Stranger).unwrap();
        assert!(!is_displaced(&mut honest), "an address with fewer has room");
        assert_eq!(waiting.strangers.lock().count, MOST);
        drop((greedy, honest));
        let strangers = waiting.strangers.lock();
        assert_eq!((strangers.count, strangers.by_address.len()), (0, 0));
    }

    /// The 17th request of a client that sends 200 at once with a new token was refused.
    #[test]
    fn a_client_may_begin_with_many_requests_at_once() {
        let waiting = WaitingRequests::default();
        let begun: Vec<_> = (0..200).filter_map(|_| waiting.enter(at(1), Lane::Stranger)).collect();
        assert_eq!(begun.len(), 200);
    }

    /// Attack: strangers take all places, so that callers with accepted tokens are refused.
    #[test]
    fn strangers_take_no_place_of_known_callers() {
        let waiting = &WaitingRequests::default();
        let enter = |n, lane| (0..MOST_OF_ADDRESS).filter_map(move |_| waiting.enter(at(n), lane));
        let strangers: Vec<_> = (0..4).flat_map(|n| enter(n, Lane::Stranger)).collect();
        assert_eq!(strangers.len(), MOST);
        let known: Vec<_> = enter(1, Lane::Known).collect();
        assert_eq!(known.len(), MOST_OF_ADDRESS);
    }
}
