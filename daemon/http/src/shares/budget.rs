//! A budget of bytes that clients make the daemon hold: unfinished bodies, unread replies.
//!
//! Where a network goes over its share, its own oldest holding is given up, by cutting the
//! connection; where all holdings together go over the budget, the oldest of the network that holds
//! most. A new holding is therefore never refused, and one that is read or finished quickly is
//! never the oldest. One holding alone may be larger than the budget: other limits bound it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Network, Place};

/// A budget of bytes.
pub(crate) struct Budget {
    most: usize,
    /// The most of one network.
    share: usize,
    holdings: Mutex<Holdings>,
}

#[derive(Default)]
struct Holdings {
    next: u64,
    bytes: usize,
    by_network: HashMap<Option<Network>, usize>,
    /// Oldest first.
    all: BTreeMap<u64, Holding>,
}

struct Holding {
    network: Option<Network>,
    bytes: usize,
    place: Arc<Place>,
}

/// Bytes of a budget, given back when dropped.
pub(crate) struct Held {
    number: u64,
    budget: Arc<Budget>,
}

impl Budget {
    /// At most `most` bytes, a quarter of them of one network.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let share = most.div_ceil(4);
        Arc::new(Self { most, share, holdings: Mutex::default() })
    }

    /// Holds `bytes` for a client of `network` (`None`: one without a share of its own), whose
    /// connection is `place`.
    pub(crate) fn hold(
        self: &Arc<Self>,
        network: Option<Network>,
        place: &Arc<Place>,
        bytes: usize,
    ) -> Held {
        let mut holdings = self.holdings.lock();
        let number = holdings.next;
        holdings.next += 1;
        let holding = Holding { network, bytes: 0, place: Arc::clone(place) };
        holdings.all.insert(number, holding);
        holdings.grow(number, bytes);
        self.make_room(&mut holdings, number, network);
        drop(holdings);
        Held { number, budget: Arc::clone(self) }
    }

    fn make_room(&self, holdings: &mut Holdings, but: u64, network: Option<Network>) {
        while network.is_some() && holdings.of(network) > self.share {
            let Some(oldest) = holdings.oldest(but, |one| one.network == network) else { break };
            holdings.cut(oldest);
        }
        while holdings.bytes > self.most {
            let Some(largest) = holdings.largest(but) else { break };
            let oldest = holdings.oldest(but, |one| one.network == largest);
            let Some(oldest) = oldest else { break };
            holdings.cut(oldest);
        }
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.holdings.lock().bytes
    }
}

impl Held {
    /// Holds `more` bytes besides. Nothing happens where it was given up already.
    pub(crate) fn grow(&self, more: usize) {
        let mut holdings = self.budget.holdings.lock();
        if let Some(network) = holdings.grow(self.number, more) {
            self.budget.make_room(&mut holdings, self.number, network);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.holdings.lock().remove(self.number);
    }
}

impl Holdings {
    fn of(&self, network: Option<Network>) -> usize {
        self.by_network.get(&network).copied().unwrap_or(0)
    }

    fn grow(&mut self, number: u64, more: usize) -> Option<Option<Network>> {
        let holding = self.all.get_mut(&number)?;
        holding.bytes = holding.bytes.saturating_add(more);
        let of_network = self.by_network.entry(holding.network).or_default();
        *of_network = of_network.saturating_add(more);
        self.bytes = self.bytes.saturating_add(more);
        Some(holding.network)
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Place>> {
        let Holding { network, bytes, place } = self.all.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(bytes);
        match self.by_network.get_mut(&network) {
            Some(held) if *held > bytes => *held -= bytes,
            _ => drop(self.by_network.remove(&network)),
        }
        Some(place)
    }

    fn cut(&mut self, number: u64) {
        if let Some(place) = self.remove(number) {
            tracing::debug!("a connection is cut: its address makes the daemon hold too much");
            place.cut();
        }
    }

    fn oldest(&self, but: u64, is_candidate: impl Fn(&Holding) -> bool) -> Option<u64> {
        let candidate = |(number, one): &(&u64, &Holding)| **number != but && is_candidate(one);
        self.all.iter().find(candidate).map(|(number, _)| *number)
    }

    /// The network that holds most, the holding `but` not counted; `None`: there is no other.
    fn largest(&self, but: u64) -> Option<Option<Network>> {
        let own = self.all.get(&but).map(|own| (own.network, own.bytes));
        let others = self.by_network.iter().map(|(network, bytes)| {
            let own = own.filter(|(own, _)| own == network).map_or(0, |(_, bytes)| bytes);
            (*network, bytes.saturating_sub(own))
        });
        let others = others.filter(|(_, bytes)| *bytes > 0);
        others.max_by_key(|(_, bytes)| *bytes).map(|(network, _)| network)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const MIB: usize = 1 << 20;

    fn at(last: u8) -> Option<Network> {
        Some(IpAddr::from([192, 0, 2, last]).into())
    }

    /// Attack: 60 unread replies of 14 MiB.
    #[test]
    fn unread_replies_of_one_address_stay_within_its_share() {
        let budget = Budget::new(256 * MIB);
        let other = Place::of_test();
        let _other = budget.hold(at(2), &other, 14 * MIB);
        let places: Vec<_> = (0..60).map(|_| Place::of_test()).collect();
        let held: Vec<_> = places.iter().map(|place| budget.hold(at(1), place, 14 * MIB)).collect();
        assert_eq!(budget.bytes(), (1 + 4) * 14 * MIB);
        assert_eq!(places.iter().filter(|place| place.is_cut()).count(), 56, "its oldest");
        assert!(!places[59].is_cut() && !other.is_cut());
        drop(held);
        assert_eq!(budget.bytes(), 14 * MIB);
    }

    /// Attack: the same from as many addresses as it takes.
    #[test]
    fn when_the_budget_runs_out_the_largest_holder_loses_its_oldest() {
        let budget = Budget::new(8 * MIB);
        let (small, honest) = (Place::of_test(), Place::of_test());
        let _small = budget.hold(at(100), &small, MIB);
        let places: Vec<_> = (0..20_u8).map(|_| Place::of_test()).collect();
        let _held: Vec<_> =
            (1..20).zip(&places).map(|(n, place)| budget.hold(at(n), place, 2 * MIB)).collect();
        let _honest = budget.hold(at(200), &honest, MIB);
        assert!(budget.bytes() <= 8 * MIB, "{}", budget.bytes());
        assert!(!small.is_cut() && !honest.is_cut());
    }

    #[test]
    fn one_holding_may_be_larger_than_all() {
        let budget = Budget::new(MIB);
        let place = Place::of_test();
        let held = budget.hold(at(1), &place, MIB / 2);
        held.grow(5 * MIB);
        assert!(!place.is_cut());
        let next = Place::of_test();
        let _next = budget.hold(at(2), &next, 1);
        assert!(place.is_cut() && !next.is_cut());
        held.grow(MIB);
        assert_eq!(budget.bytes(), 1, "what was given up does not grow");
        drop(held);
        assert_eq!(budget.bytes(), 1);
    }
}
