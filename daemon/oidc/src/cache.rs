//! Who was identified a moment ago. The one part of an identification that runs for every request,
//! so it takes no lock that others wait on for long: quick_cache is sharded and its hits take a
//! read lock of one shard.

use std::sync::Arc;
use std::time::Duration;

use credsmith_core::caller::Identity;
use credsmith_core::ports::Clock;
use credsmith_core::time::Timestamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::claims;

/// The weight of a small entry. A larger one counts for several, so that a cache full of large
/// claims stays near `entries * UNIT` bytes.
const UNIT: usize = 4096;

/// Which token of which provider: the position of the provider and the SHA-256 of the token. The
/// cache holds no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) provider: usize,
    pub(crate) digest: [u8; 32],
}

/// An identity and how long it may be believed.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) identity: Arc<Identity>,
    /// When the token ends, where its provider said so.
    pub(crate) expires: Option<Timestamp>,
}

#[derive(Clone)]
struct Entry {
    known: Known,
    fresh_until: Duration,
    weight: u64,
}

#[derive(Clone)]
struct ByClaims;

impl Weighter<Key, Entry> for ByClaims {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        entry.weight
    }
}

/// Successes only, each for at most `ttl` and never past the end of its token; the least used go
/// first when there are too many.
pub(crate) struct IdentityCache {
    entries: Cache<Key, Entry, ByClaims>,
    ttl: Duration,
    clock: Arc<dyn Clock>,
}

impl IdentityCache {
    pub(crate) fn new(entries: usize, ttl: Duration, clock: Arc<dyn Clock>) -> Self {
        let weight = u64::try_from(entries.max(1)).unwrap_or(u64::MAX);
        let cache = Cache::with_weighter(entries, weight, ByClaims);
        Self { entries: cache, ttl, clock }
    }

    /// The identity behind `key`, if it is known and still holds.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Identity>> {
        let entry = self.entries.get(key)?;
        let ended = entry.known.expires.is_some_and(|end| end <= self.clock.now());
        if ended || entry.fresh_until <= self.clock.monotonic() {
            self.entries.remove(key);
            return None;
        }
        Some(entry.known.identity)
    }

    /// Remembers `known`.
    pub(crate) fn put(&self, key: Key, known: Known) {
        let bytes = claims::text_length(&known.identity.claims);
        let weight = u64::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u64::MAX);
        let fresh_until = self.clock.monotonic().saturating_add(self.ttl);
        self.entries.insert(key, Entry { known, fresh_until, weight });
    }
}

#[cfg(test)]
mod tests {
    use credsmith_core::caller::{Claims, Subject};
    use credsmith_core::doubles::ManualClock;
    use credsmith_core::ids::ProviderId;

    use super::*;

    fn key(n: u64) -> Key {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        Key { provider: 0, digest }
    }

    fn known(claims: usize, expires: Option<Timestamp>) -> Known {
        let mut map = Claims::new();
        map.insert("x".into(), "y".repeat(claims).into());
        let subject = Subject { issuer: "https://op".into(), subject: "a".into() };
        let identity =
            Identity { provider: ProviderId::parse("op").unwrap(), subject, claims: map };
        Known { identity: Arc::new(identity), expires }
    }

    #[test]
    fn an_entry_ends_with_its_time_or_with_its_token() {
        let clock = Arc::new(ManualClock::default());
        let cache = IdentityCache::new(100, Duration::from_secs(30), clock.clone());
        cache.put(key(1), known(1, None));
        cache.put(key(2), known(1, Some(clock.now() + Duration::from_secs(10))));
        assert!(cache.get(&key(1)).is_some() && cache.get(&key(2)).is_some());
        assert!(
            cache.get(&Key { provider: 1, ..key(1) }).is_none(),
            "a token belongs to one provider"
        );
        clock.advance(Duration::from_secs(10));
        assert!(cache.get(&key(1)).is_some() && cache.get(&key(2)).is_none());
        clock.advance(Duration::from_secs(20));
        assert!(cache.get(&key(1)).is_none());
    }

    #[test]
    fn both_the_entries_and_their_size_are_bounded() {
        let cache =
            IdentityCache::new(1000, Duration::from_secs(30), Arc::new(ManualClock::default()));
        for n in 0..5000 {
            cache.put(key(n), known(1, None));
        }
        assert!(
            cache.entries.len() <= 1000 && cache.entries.len() > 500,
            "{}",
            cache.entries.len()
        );
        for n in 5000..6000 {
            cache.put(key(n), known(10 * UNIT, None));
        }
        assert!(cache.entries.len() <= 1000);
        let large = (5000..6000).filter(|n| cache.get(&key(*n)).is_some()).count();
        assert!(large <= 100, "{large}");
    }
}
