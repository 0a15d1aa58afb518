//! How often one address may do something in a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Address;

const MINUTE: Duration = Duration::from_secs(60);

/// Counts by address, minute by minute. What one minute counted is forgotten in the next, so memory
/// is bounded by what a minute lets in.
pub(super) struct Rate {
    most: Option<u32>,
    minute: Mutex<Minute>,
}

#[derive(Default)]
struct Minute {
    number: u64,
    counts: HashMap<Address, u32>,
}

impl Rate {
    /// `most` in a minute; `None`: any number.
    pub(super) fn new(most: Option<u32>) -> Self {
        Self { most, minute: Mutex::default() }
    }

    /// Counts one more of `from`.
    ///
    /// # Errors
    /// When it was too many already: how long until there are more.
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
    fn each_address_has_so_many_a_minute() {
        let [one, other] = [1, 2].map(|n| Address::V4(Ipv4Addr::new(192, 0, 2, n)));
        let rate = Rate::new(Some(2));
        let at = |secs| MINUTE * 5 + Duration::from_secs(secs);
        assert_eq!(rate.count(one, at(0)), Ok(()));
        assert_eq!(rate.count(one, at(30)), Ok(()));
        assert_eq!(rate.count(one, at(45)), Err(Duration::from_secs(15)));
        assert_eq!(rate.count(other, at(45)), Ok(()));
        assert_eq!(rate.count(one, at(60)), Ok(()));
        assert_eq!(rate.minute.lock().unwrap().counts.len(), 1);
        let off = Rate::new(None);
        assert!((0..1000).all(|_| off.count(one, at(0)).is_ok()));
    }
}
