//! Who may ask a provider next. Look-ups of one provider run so many at a time; further ones wait
//! here for a while, and are served in turn by address, so that an address with many of them delays
//! itself and no other.
//!
//! Tokens that were accepted before have a lane of their own, with places that strangers cannot
//! take: a flood of made-up tokens does not lock out those who work already. An address whose
//! tokens keep being refused has one look-up at a time.
//!
//! Never here: a token, an identity, a request.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use credsmith_core::address::Address;
use credsmith_core::ports::Clock;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How long a look-up waits for its turn.
pub(crate) const WAIT: Duration = Duration::from_secs(2);
/// Most look-ups of one lane that wait, in all and of one address, which has a quarter (decision
/// 0029).
const MOST_WAITING: usize = 512;
const MOST_WAITING_OF_ADDRESS: usize = MOST_WAITING / 4;
/// After so many refused tokens within this time, an address has one look-up at a time.
const FAILURES: u32 = 10;
const FAILURES_WITHIN: Duration = Duration::from_secs(60);
/// Most addresses whose refused tokens are counted.
const MOST_FAILING: usize = 10_000;

/// The lane of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The token was accepted before.
    Known,
    /// It was never seen.
    Stranger,
}

/// The queue of one provider. Clones are the same queue.
#[derive(Clone)]
pub(crate) struct LookupQueue {
    places: Places,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

/// How many look-ups run at a time.
#[derive(Debug, Clone, Copy)]
struct Places {
    all: usize,
    of_strangers: usize,
    /// Of strangers at one address. A caller without an address has no such bound.
    of_address: usize,
}

#[derive(Default)]
struct State {
    next: u64,
    running: usize,
    running_strangers: usize,
    by_address: HashMap<Address, usize>,
    known: Line,
    strangers: Line,
    failures: HashMap<Address, Failures>,
}

/// Those that wait in one lane, by address.
#[derive(Default)]
struct Line {
    waiting: HashMap<Option<Address>, VecDeque<Waiter>>,
    /// An address is here while it has any.
    turns: VecDeque<Option<Address>>,
    count: usize,
}

struct Waiter {
    number: u64,
    from: Option<Address>,
    lane: Lane,
    sender: oneshot::Sender<Place>,
}

struct Failures {
    count: u32,
    until: Duration,
}

/// The place of a look-up that runs; given back when dropped.
pub(crate) struct Place {
    queue: LookupQueue,
    from: Option<Address>,
    lane: Lane,
}

impl LookupQueue {
    /// At most `places` look-ups at a time, a quarter of which strangers cannot take.
    pub(crate) fn new(places: usize, clock: Arc<dyn Clock>) -> Self {
        let of_strangers = places - places / 4;
        let places = Places { all: places, of_strangers, of_address: of_strangers.div_ceil(2) };
        Self { places, clock, state: Arc::default() }
    }

    /// A place for a look-up on behalf of `from`. Waits for its turn; `None` when that does not
    /// come in time, or too many wait already.
    pub(crate) async fn place(&self, from: Option<Address>, lane: Lane) -> Option<Place> {
        let (number, mut turn) = self.enqueue(from, lane)?;
        self.serve();
        match select(&mut turn, self.clock.sleep(WAIT)).await {
            Either::Left((place, _)) => place.ok(),
            Either::Right(((), _)) => {
                self.state.lock().line(lane).give_up(from, number);
                // The turn may have come at the last moment.
                turn.try_recv().ok()
            }
        }
    }

    fn enqueue(
        &self,
        from: Option<Address>,
        lane: Lane,
    ) -> Option<(u64, oneshot::Receiver<Place>)> {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        let line = state.line(lane);
        let own = line.of(from);
        if own >= MOST_WAITING_OF_ADDRESS {
            return None;
        }
        if line.count >= MOST_WAITING && !line.drop_one_of_longest(own) {
            return None;
        }
        let (sender, turn) = oneshot::channel();
        line.add(Waiter { number, from, lane, sender });
        Some((number, turn))
    }

    /// Gives free places to those whose turn it is.
    fn serve(&self) {
        loop {
            let next = self.state.lock().next(self.places, self.clock.monotonic());
            let Some(Waiter { from, lane, sender, .. }) = next else { return };
            // One that has given up gives its place back by this.
            drop(sender.send(Place { queue: self.clone(), from, lane }));
        }
    }
}

impl Place {
    /// Notes whether the token was accepted, and gives the place back. Where the provider could not
    /// say, the place is dropped instead, which counts against no address.
    pub(crate) fn end(self, accepted: bool) {
        let now = self.queue.clock.monotonic();
        if let (Some(from), Lane::Stranger) = (self.from, self.lane) {
            self.queue.state.lock().note(from, accepted, now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.state.lock().free(self.from, self.lane);
        self.queue.serve();
    }
}

impl State {
    fn line(&mut self, lane: Lane) -> &mut Line {
        match lane {
            Lane::Known => &mut self.known,
            Lane::Stranger => &mut self.strangers,
        }
    }

    /// The one whose turn it is, counted as running.
    fn next(&mut self, places: Places, now: Duration) -> Option<Waiter> {
        if self.running >= places.all {
            return None;
        }
        let next = match self.known.next(|_| true) {
            Some(known) => known,
            None if self.running_strangers >= places.of_strangers => return None,
            None => {
                let Self { strangers, by_address, failures, .. } = self;
                strangers.next(|from| may_run(from, places, by_address, failures, now))?
            }
        };
        self.running += 1;
        if next.lane == Lane::Stranger {
            self.running_strangers += 1;
            if let Some(from) = next.from {
                *self.by_address.entry(from).or_default() += 1;
            }
        }
        Some(next)
    }

    fn free(&mut self, from: Option<Address>, lane: Lane) {
        self.running -= 1;
        if lane == Lane::Known {
            return;
        }
        self.running_strangers -= 1;
        let Some(from) = from else { return };
        match self.by_address.get_mut(&from) {
            Some(running) if *running > 1 => *running -= 1,
            _ => drop(self.by_address.remove(&from)),
        }
    }

    fn note(&mut self, from: Address, accepted: bool, now: Duration) {
        if accepted {
            self.failures.remove(&from);
            return;
        }
        if self.failures.len() >= MOST_FAILING {
            self.failures.retain(|_, own| own.until > now);
            if self.failures.len() >= MOST_FAILING {
                self.failures.clear();
            }
        }
        let until = now.saturating_add(FAILURES_WITHIN);
        let own = self.failures.entry(from).or_insert(Failures { count: 0, until });
        if own.until <= now {
            *own = Failures { count: 0, until };
        }
        own.count = own.count.saturating_add(1);
        if own.count >= FAILURES {
            own.until = until;
        }
    }
}

impl Line {
    fn of(&self, from: Option<Address>) -> usize {
        self.waiting.get(&from).map_or(0, VecDeque::len)
    }

    fn add(&mut self, waiter: Waiter) {
        self.count += 1;
        let from = waiter.from;
        let own = self.waiting.entry(from).or_default();
        if own.is_empty() {
            self.turns.push_back(from);
        }
        own.push_back(waiter);
    }

    /// The one whose turn it is, of an address that may run one.
    fn next(&mut self, may_run: impl Fn(Option<Address>) -> bool) -> Option<Waiter> {
        for _ in 0..self.turns.len() {
            let from = self.turns.pop_front()?;
            let own = self.waiting.get_mut(&from)?;
            let next = if may_run(from) { own.pop_front() } else { None };
            if own.is_empty() {
                self.waiting.remove(&from);
            } else {
                self.turns.push_back(from);
            }
            if next.is_some() {
                self.count -= 1;
                return next;
            }
        }
        None
    }

    fn give_up(&mut self, from: Option<Address>, number: u64) {
        let Some(own) = self.waiting.get_mut(&from) else { return };
        let before = own.len();
        own.retain(|waiter| waiter.number != number);
        self.count -= before - own.len();
        if own.is_empty() {
            self.waiting.remove(&from);
            self.turns.retain(|other| *other != from);
        }
    }

    /// Makes room in a full line: the last one of the address that has most goes, if that has more
    /// than one with `own` of them would have.
    fn drop_one_of_longest(&mut self, own: usize) -> bool {
        let longest = self.waiting.values_mut().max_by_key(|queue| queue.len());
        let Some(longest) = longest.filter(|queue| queue.len() > own + 1) else { return false };
        longest.pop_back();
        self.count -= 1;
        true
    }
}

fn may_run(
    from: Option<Address>,
    places: Places,
    by_address: &HashMap<Address, usize>,
    failures: &HashMap<Address, Failures>,
    now: Duration,
) -> bool {
    let Some(from) = from else { return true };
    let failing = failures.get(&from).is_some_and(|own| own.count >= FAILURES && own.until > now);
    let most = if failing { 1 } else { places.of_address };
    by_address.get(&from).is_none_or(|running| *running < most)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::net::IpAddr;
    use std::pin::Pin;

    use credsmith_core::doubles::ManualClock;
    use futures_util::FutureExt as _;

    use super::*;

    fn at(last: u8) -> Option<Address> {
        Some(IpAddr::from([192, 0, 2, last]).into())
    }

    fn queue(places: usize) -> (LookupQueue, ManualClock) {
        let clock = ManualClock::default();
        (LookupQueue::new(places, Arc::new(clock.clone())), clock)
    }

    type Asked = Pin<Box<dyn Future<Output = Option<Place>>>>;

    /// A look-up that has asked for its place.
    fn ask(queue: &LookupQueue, from: Option<Address>, lane: Lane) -> Asked {
        let queue = queue.clone();
        let mut asked: Asked = Box::pin(async move { queue.place(from, lane).await }.fuse());
        let shared = (&mut asked).now_or_never();
        match shared {
            Some(place) => Box::pin(std::future::ready(place)),
            None => asked,
        }
    }

    fn ready(asked: &mut Asked) -> Option<Option<Place>> {
        asked.now_or_never()
    }

    fn run(queue: &LookupQueue, from: Option<Address>) -> Option<Place> {
        ready(&mut ask(queue, from, Lane::Stranger)).flatten()
    }

    /// Attack: random tokens take all look-ups, and users who work already are answered 503.
    #[tokio::test]
    async fn strangers_leave_places_to_known_users() {
        let (queue, _) = queue(32);
        let strangers: Vec<_> = (0..100).map(|n| run(&queue, at(n))).collect();
        assert_eq!(strangers.iter().flatten().count(), 24);
        let known: Vec<_> =
            (0..12).map(|_| ready(&mut ask(&queue, at(1), Lane::Known)).flatten()).collect();
        assert_eq!(known.iter().flatten().count(), 8);
    }

    /// The 33rd new token was refused at once, though a place was free a moment later.
    #[tokio::test]
    async fn a_new_token_waits_for_its_turn() {
        let (queue, clock) = queue(32);
        let mut running: Vec<_> = (0..24).map(|n| run(&queue, at(n)).unwrap()).collect();
        let mut late = ask(&queue, at(99), Lane::Stranger);
        assert!(ready(&mut late).is_none());
        running.pop();
        running.push(ready(&mut late).unwrap().unwrap());
        let mut later = ask(&queue, at(98), Lane::Stranger);
        clock.advance(WAIT);
        assert!(later.as_mut().await.is_none(), "not for ever");
        drop(running);
        assert!(run(&queue, at(1)).is_some(), "every place is free again");
        let state = queue.state.lock();
        assert_eq!((state.running, state.strangers.count, state.strangers.turns.len()), (0, 0, 0));
    }

    /// Attack: one address asks for very many look-ups, of a provider that is slow.
    #[tokio::test]
    async fn addresses_take_turns() {
        let (queue, _) = queue(8);
        let mut greedy: Vec<_> = (0..30).map(|_| ask(&queue, at(1), Lane::Stranger)).collect();
        let running: Vec<_> = greedy.iter_mut().filter_map(|one| ready(one).flatten()).collect();
        assert_eq!(running.len(), 3, "half of the places of strangers");
        let mut honest: Vec<_> =
            (2..=4).map(|n| ready(&mut ask(&queue, at(n), Lane::Stranger)).flatten()).collect();
        assert_eq!(honest.iter().flatten().count(), 3);
        let mut waits = ask(&queue, at(5), Lane::Stranger);
        honest.pop();
        assert!(ready(&mut waits).unwrap().is_some(), "before the 27 that came earlier");
    }

    /// Attack: one address waits so often that no other can.
    #[tokio::test]
    async fn a_full_queue_has_room_for_an_address_that_waits_less() {
        let (queue, _) = queue(1);
        let _running = run(&queue, at(1)).unwrap();
        let mut waiting = Vec::new();
        for n in 0..20 {
            for _ in 0..MOST_WAITING_OF_ADDRESS {
                waiting.push(ask(&queue, at(100 + n), Lane::Stranger));
            }
        }
        assert_eq!(queue.state.lock().strangers.count, MOST_WAITING);
        let mut honest = ask(&queue, at(2), Lane::Stranger);
        assert!(ready(&mut honest).is_none(), "it waits");
        assert_eq!(queue.state.lock().strangers.count, MOST_WAITING);
    }

    /// Attack: one address collects tokens that were accepted once, and waits with all of them.
    #[tokio::test]
    async fn known_look_ups_of_one_address_wait_up_to_the_same_bound() {
        let (queue, _) = queue(1);
        let mut running = ask(&queue, at(1), Lane::Known);
        let _place = ready(&mut running).flatten().unwrap();
        let mut waiting: Vec<_> = (0..200).map(|_| ask(&queue, at(1), Lane::Known)).collect();
        let refused = waiting.iter_mut().filter_map(ready).count();
        assert_eq!(refused, 200 - MOST_WAITING_OF_ADDRESS);
        assert!(ready(&mut ask(&queue, at(2), Lane::Known)).is_none(), "another one waits");
    }

    /// Attack: strangers fill the queue, so that users who work already are refused at once.
    #[tokio::test]
    async fn strangers_that_wait_take_no_room_of_known_users() {
        let (queue, _) = queue(4);
        let running: Vec<_> = (0..3).map(|n| run(&queue, at(n)).unwrap()).collect();
        let from = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()).into();
        let strangers: Vec<_> =
            (0..MOST_WAITING).map(|n| ask(&queue, Some(from(n)), Lane::Stranger)).collect();
        assert_eq!(queue.state.lock().strangers.count, MOST_WAITING);
        let mut known = ask(&queue, at(9), Lane::Known);
        let place = ready(&mut known).flatten();
        assert!(place.is_some(), "its place stands empty");
        let mut waits = ask(&queue, at(9), Lane::Known);
        assert!(ready(&mut waits).is_none(), "it waits for its turn");
        drop(running);
        assert!(ready(&mut waits).flatten().is_some(), "before the strangers");
        drop(strangers);
    }

    /// Attack: an address tries token after token.
    #[tokio::test]
    async fn an_address_whose_tokens_are_refused_has_one_look_up_at_a_time() {
        let (queue, clock) = queue(32);
        (0..FAILURES).for_each(|_| run(&queue, at(1)).unwrap().end(false));
        let one = run(&queue, at(1)).unwrap();
        let mut other = ask(&queue, at(1), Lane::Stranger);
        assert!(ready(&mut other).is_none(), "it waits");
        assert!(run(&queue, at(2)).is_some());
        drop(one);
        assert!(ready(&mut other).unwrap().is_some());
        clock.advance(FAILURES_WITHIN);
        let both = (run(&queue, at(1)), run(&queue, at(1)));
        assert!(both.0.is_some() && both.1.is_some(), "later they count no more");
    }

    #[tokio::test]
    async fn one_that_gives_up_leaves_nothing_behind() {
        let (queue, _) = queue(1);
        let running = run(&queue, at(1)).unwrap();
        let waiting = ask(&queue, at(2), Lane::Stranger);
        drop(waiting);
        drop(running);
        assert!(run(&queue, at(3)).is_some());
    }
}
