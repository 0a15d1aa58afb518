//! The open connections of a server: how many there are, whose they are, and which one has waited
//! longest for its client.
//!
//! A new connection is never refused for the sake of an idle one. Where its address has its share,
//! the longest idle connection of that address is closed; where all are taken, the longest idle of
//! all. A connection is idle while the daemon waits for its client: for a head, for a body, for the
//! client to read a reply. A WebSocket is no connection here: what it waits for bounds it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Network;

/// How long a new connection waits, while every connection is in work, before it looks again
/// whether one is idle.
const RECHECK: Duration = Duration::from_millis(50);
/// The log says at most this often that connections run out.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// All open connections of a server.
pub(crate) struct Connections {
    most: usize,
    /// The most of one network.
    share: usize,
    born: Instant,
    open: Mutex<Open>,
    /// A connection has ended.
    freed: Notify,
    /// When the log last said that connections run out, in milliseconds; zero: never.
    warned: AtomicU64,
}

#[derive(Default)]
struct Open {
    next: u64,
    places: HashMap<u64, Arc<Place>>,
    by_network: HashMap<Network, usize>,
}

/// One open connection. It counts until it is dropped or cut.
pub(crate) struct Connection {
    place: Arc<Place>,
    all: Arc<Connections>,
}

/// The state of a connection, which others may read, and cut it.
pub(crate) struct Place {
    number: u64,
    network: Option<Network>,
    born: Instant,
    state: AtomicU64,
    cut: CancellationToken,
}

/// The lowest bits of `Place::state`; above them are the milliseconds since `Place::born`.
const WORKING: u64 = 0;
const WAITING: u64 = 1;
const STATES: u64 = 2;

enum Entry {
    Entered(Connection),
    /// The network has its share, and all of it is in work.
    Refused,
    /// All connections are in work.
    Full,
}

impl Connections {
    /// At most `most` at a time, a quarter of them of one network.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            share: most.div_ceil(4).max(1),
            born: Instant::now(),
            open: Mutex::default(),
            freed: Notify::new(),
            warned: AtomicU64::new(0),
        })
    }

    /// Counts one more connection; `network` is `None` for a client that has no share of its own:
    /// a trusted proxy, a process on this machine. Waits while all connections are in work. `None`
    /// when the network has its share and all of that is in work.
    pub(crate) async fn enter(self: &Arc<Self>, network: Option<Network>) -> Option<Connection> {
        loop {
            match self.try_enter(network) {
                Entry::Entered(connection) => return Some(connection),
                Entry::Refused => return None,
                Entry::Full => {
                    let _ = timeout(RECHECK, self.freed.notified()).await;
                }
            }
        }
    }

    fn try_enter(self: &Arc<Self>, network: Option<Network>) -> Entry {
        let mut open = self.open.lock();
        let own = network.and_then(|network| open.by_network.get(&network)).copied();
        if own.unwrap_or(0) >= self.share {
            match open.longest_idle(|place| place.network == network) {
                Some(place) => open.cut(&place),
                None => return Entry::Refused,
            }
        }
        if open.places.len() >= self.most {
            self.warn();
            match open.longest_idle(|_| true) {
                Some(place) => open.cut(&place),
                None => return Entry::Full,
            }
        }
        let place = Arc::new(Place {
            number: open.next,
            network,
            born: self.born,
            state: AtomicU64::new(WORKING),
            cut: CancellationToken::new(),
        });
        place.wait();
        open.add(&place);
        Entry::Entered(Connection { place, all: Arc::clone(self) })
    }

    /// Closes the longest idle connection, since the process has run out of file descriptors.
    pub(crate) fn cut_longest_idle(&self) {
        let mut open = self.open.lock();
        if let Some(place) = open.longest_idle(|_| true) {
            open.cut(&place);
        }
    }

    fn leave(&self, place: &Place) {
        self.open.lock().remove(place);
        self.freed.notify_one();
    }

    fn warn(&self) {
        let now = millis(self.born.elapsed()).max(1);
        let last = self.warned.load(Ordering::Relaxed);
        if last == 0 || now.saturating_sub(last) >= millis(WARN_EVERY) {
            self.warned.store(now, Ordering::Relaxed);
            tracing::warn!(
                connections = self.most,
                "all connections are taken; the longest idle ones are closed for new ones"
            );
        }
    }

    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let open = self.open.lock();
        (open.places.len(), open.by_network.values().sum())
    }
}

impl Open {
    fn add(&mut self, place: &Arc<Place>) {
        self.next += 1;
        self.places.insert(place.number, Arc::clone(place));
        if let Some(network) = place.network {
            *self.by_network.entry(network).or_default() += 1;
        }
    }

    fn remove(&mut self, place: &Place) {
        if self.places.remove(&place.number).is_none() {
            return;
        }
        let Some(network) = place.network else { return };
        match self.by_network.get_mut(&network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.by_network.remove(&network)),
        }
    }

    fn cut(&mut self, place: &Arc<Place>) {
        self.remove(place);
        place.cut();
    }

    /// The connection that has waited longest for its client, of those that `may_go`.
    fn longest_idle(&self, may_go: impl Fn(&Place) -> bool) -> Option<Arc<Place>> {
        let candidates = self.places.values().filter(|place| may_go(place));
        let idle = candidates.filter_map(|place| {
            let state = place.state.load(Ordering::Relaxed);
            (state % STATES == WAITING).then_some((state / STATES, place.number, place))
        });
        idle.min_by_key(|(since, number, _)| (*since, *number)).map(|(.., place)| Arc::clone(place))
    }
}

impl Connection {
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// It has become a WebSocket: from now on it is no connection.
    pub(crate) fn leave(&self) {
        self.all.leave(&self.place);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.leave(&self.place);
    }
}

impl Place {
    /// The daemon works for the client.
    pub(crate) fn work(&self) {
        self.state.store(WORKING, Ordering::Relaxed);
    }

    /// The daemon waits for the client from now on.
    pub(crate) fn wait(&self) {
        let since = millis(self.born.elapsed());
        self.state.store(since.saturating_mul(STATES) + WAITING, Ordering::Relaxed);
    }

    /// Ends the connection at its next await.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// Resolves when the connection has to end.
    pub(crate) async fn until_cut(&self) {
        self.cut.cancelled().await;
    }

    #[cfg(test)]
    pub(crate) fn of_test() -> Arc<Self> {
        Arc::new(Self {
            number: 0,
            network: None,
            born: Instant::now(),
            state: AtomicU64::new(WORKING),
            cut: CancellationToken::new(),
        })
    }

    #[cfg(test)]
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    fn at(last: u8) -> Option<Network> {
        Some(IpAddr::from([192, 0, 2, last]).into())
    }

    fn enter(all: &Arc<Connections>, network: Option<Network>) -> Option<Connection> {
        all.enter(network).now_or_never().expect("it waits")
    }

    async fn a_second() {
        advance(Duration::from_secs(1)).await;
    }

    /// Attack: 4,130 idle connections of one address.
    #[tokio::test(start_paused = true)]
    async fn idle_connections_of_one_address_take_a_quarter() {
        let all = Connections::new(4096);
        let own: Vec<_> = (0..4130).map(|_| enter(&all, at(1)).unwrap()).collect();
        assert_eq!(all.counts(), (1024, 1024));
        let cut = own.iter().filter(|one| one.place.is_cut()).count();
        assert_eq!(cut, 4130 - 1024, "its own idle ones");
        let _others: Vec<_> = (0..1024).map(|_| enter(&all, at(2)).unwrap()).collect();
        assert_eq!(all.counts(), (2048, 2048));
        drop(own);
        assert_eq!(all.counts(), (1024, 1024), "each counts once");
    }

    /// Attack: idle connections of as many addresses as it takes to have them all.
    #[tokio::test(start_paused = true)]
    async fn when_connections_run_out_the_longest_idle_goes() {
        let all = Connections::new(8);
        let mut open = Vec::new();
        for last in 1..=4 {
            for _ in 0..2 {
                open.push(enter(&all, at(last)).unwrap());
                a_second().await;
            }
        }
        open[0].place().work();
        let _late = enter(&all, at(9)).unwrap();
        let cut = |open: &[Connection]| -> Vec<_> {
            (0..open.len()).filter(|n| open[*n].place.is_cut()).collect()
        };
        assert_eq!(cut(&open), [1], "not what is in work");
        open[2..].iter().for_each(|one| one.place().work());
        let _later = enter(&all, None).unwrap();
        assert_eq!(cut(&open), [1]);
        assert!(_late.place.is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_work_is_waited_for() {
        let all = Connections::new(1);
        let first = enter(&all, at(1)).unwrap();
        first.place().work();
        assert!(enter(&all, at(1)).is_none(), "its own share is in work");
        let mut waiting = Box::pin(all.enter(at(2)));
        assert!((&mut waiting).now_or_never().is_none());
        drop(first);
        assert!(waiting.await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_web_socket_takes_no_place() {
        let all = Connections::new(4);
        let socket = |_| {
            let socket = enter(&all, at(1)).unwrap();
            socket.leave();
            socket
        };
        let sockets: Vec<_> = (0..30).map(socket).collect();
        let _plain: Vec<_> = (1..=4).map(|n| enter(&all, at(n)).unwrap()).collect();
        assert!(sockets.iter().all(|one| !one.place.is_cut()));
        drop(sockets);
        assert_eq!(all.counts(), (4, 4));
    }

    /// A trusted proxy speaks for many clients.
    #[tokio::test(start_paused = true)]
    async fn a_proxy_has_no_share() {
        let all = Connections::new(4);
        let open: Vec<_> = (0..4).map(|_| enter(&all, None).unwrap()).collect();
        assert!(open.iter().all(|one| !one.place.is_cut()));
        let _fifth = enter(&all, None).unwrap();
        assert!(open[0].place.is_cut());
    }
}
