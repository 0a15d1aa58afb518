//! Requests in a second, by network: a token bucket each.
//!
//! A bucket is one number, the time at which it is full again (the generic cell rate algorithm,
//! ITU-T I.371). A full bucket needs no memory.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Network;

/// How many seconds' worth of requests may come at once.
pub(crate) const BURST: u32 = 10;
/// The fewest buckets at which full ones are looked for, and the most that are kept. With more
/// addresses than that at work, no limit by address helps, and they begin anew.
const FEWEST: usize = 1024;
const MOST: usize = 100_000;

/// A limit of requests in a second, by network.
pub(crate) struct Rate {
    per_second: u32,
    born: Instant,
    buckets: Mutex<Buckets>,
}

struct Buckets {
    /// When each bucket is full again, in nanoseconds.
    full_at: HashMap<Network, u64>,
    /// With so many buckets, full ones are removed.
    sweep_at: usize,
}

impl Rate {
    /// At most `per_second` of a network in the long run, [`BURST`] times that at once.
    pub(crate) fn new(per_second: u32) -> Self {
        let buckets = Buckets { full_at: HashMap::new(), sweep_at: FEWEST };
        Self { per_second: per_second.max(1), born: Instant::now(), buckets: Mutex::new(buckets) }
    }

    /// The requests in a second.
    pub(crate) fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Counts a request of `network`.
    ///
    /// # Errors
    /// When its bucket is empty: how long until there is a token.
    pub(crate) fn take(&self, network: Network) -> Result<(), Duration> {
        let now = u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let token = 1_000_000_000 / u64::from(self.per_second);
        let room = token * u64::from(self.per_second) * u64::from(BURST);
        let mut buckets = self.buckets.lock();
        let before = buckets.full_at.get(&network).copied().unwrap_or(0).max(now);
        let after = before.saturating_add(token);
        if after - now > room {
            return Err(Duration::from_nanos(after - now - room));
        }
        buckets.full_at.insert(network, after);
        if buckets.full_at.len() >= buckets.sweep_at {
            buckets.sweep(now);
        }
        Ok(())
    }
}

impl Buckets {
    fn sweep(&mut self, now: u64) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= MOST {
            self.full_at.clear();
        }
        self.sweep_at = (self.full_at.len() * 2).clamp(FEWEST, MOST);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::time::advance;

    use super::*;

    fn at(number: u32) -> Network {
        IpAddr::from(number.to_be_bytes()).into()
    }

    #[tokio::test(start_paused = true)]
    async fn each_network_has_a_burst_and_then_its_rate() {
        let rate = Rate::new(5);
        let taken = (0..1000).take_while(|_| rate.take(at(1)).is_ok()).count();
        assert_eq!(taken, 50);
        assert_eq!(rate.take(at(1)), Err(Duration::from_millis(200)));
        assert_eq!(rate.take(at(2)), Ok(()));
        advance(Duration::from_secs(2)).await;
        assert_eq!((0..1000).take_while(|_| rate.take(at(1)).is_ok()).count(), 10);
    }

    /// Attack: a request from each of very many addresses.
    #[tokio::test(start_paused = true)]
    async fn buckets_are_bounded() {
        let rate = Rate::new(1);
        (0..300_000).for_each(|number| rate.take(at(number)).unwrap());
        assert!(rate.buckets.lock().full_at.len() <= MOST);
        advance(Duration::from_secs(60)).await;
        (0..100_000).for_each(|number| rate.take(at(number)).unwrap());
        advance(Duration::from_secs(60)).await;
        rate.take(at(1)).unwrap();
        rate.buckets.lock().sweep(u64::MAX);
        assert!(rate.buckets.lock().full_at.is_empty(), "a full bucket needs no memory");
    }
}
