//! A limit of events per address and minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Address;

const MINUTE: Duration = Duration::from_secs(60);

/// Counts per address and minute. The counts of a minute are dropped in the next, so memory is
/// bounded by the requests of one minute.
pub(super) struct RateLimit {
    most: Option<u32>,
    minute: Mutex<Minute>,
}

#[derive(Default)]
struct Minute {
    number: u64,
    counts: HashMap<Address, u32>,
}

impl RateLimit {
    /// At most `most` per address in a minute; `None`: any number.
    pub(super) fn new(most: Option<u32>) -> Self {
        Self { most, minute: Mutex::default() }
    }

    /// Counts one event of `from`.
    ///
    /// # Errors
    /// When the limit is reached: the time until the next minute.
    pub(super) fn count(&self, from: Address, now: Duration) -> Result<(), Duration> {
        let Some(most) = self.most else { return Ok(()) };
        let number = now.as_secs() / MINUTE.as_secs();
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number != number {
            *minute = Minute { number, counts: HashMap::new() };
        }
        let count = minute.counts.entry(from).or_default();
        if *count >= most {
            return Err(Duration::from_secs(MINUTE.as_secs() - now.as_secs() % MINUTE.as_secs()));
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_address_has_its_own_limit_a_minute() {
        let [one, other] = [1, 2].map(|n| Address::V4(Ipv4Addr::new(192, 0, 2, n)));
        let rate = RateLimit::new(Some(2));
        let at = |secs| MINUTE * 5 + Duration::from_secs(secs);
        assert_eq!(rate.count(one, at(0)), Ok(()));
        assert_eq!(rate.count(one, at(30)), Ok(()));
        assert_eq!(rate.count(one, at(45)), Err(Duration::from_secs(15)));
        assert_eq!(rate.count(other, at(45)), Ok(()));
        assert_eq!(rate.count(one, at(60)), Ok(()));
        assert_eq!(rate.minute.lock().unwrap().counts.len(), 1);
        let off = RateLimit::new(None);
        assert!((0..1000).all(|_| off.count(one, at(0)).is_ok()));
    }
}
