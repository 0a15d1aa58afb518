//! The cache of recent identifications. It is the one part of an identification that runs for every
//! request, so it must not contend for a lock: quick_cache is sharded, and a hit takes a read lock
//! of one shard.

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

/// A token of a provider: the position of the provider and the SHA-256 of the token. The cache
/// holds no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) provider: usize,
    pub(crate) digest: [u8; 32],
}

/// An identity and the end of its token.
#[derive(Debug, Clone)]
pub(crate) struct CachedIdentity {
    pub(crate) identity: Arc<Identity>,
    /// When the token expires, if its provider stated that.
    pub(crate) expires: Option<Timestamp>,
}

#[derive(Clone)]
struct Entry {
    cached: CachedIdentity,
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

/// Caches successes only, each for at most `ttl` and never past the end of its token. When it is
/// full, the least used entries are evicted first.
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

    /// The identity of `key`, if it is cached and still valid.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Identity>> {
        let entry = self.entries.get(key)?;
        let ended = entry.cached.expires.is_some_and(|end| end <= self.clock.now());
        if ended || entry.fresh_until <= self.clock.monotonic() {
            self.entries.remove(key);
            return None;
        }
        Some(entry.cached.identity)
    }

    /// Caches `cached` under `key`.
    pub(crate) fn put(&self, key: Key, cached: CachedIdentity) {
        let bytes = claims::text_length(cached.identity.claims());
        let weight = u64::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u64::MAX);
        let fresh_until = self.clock.monotonic().saturating_add(self.ttl);
        self.entries.insert(key, Entry { cached, fresh_until, weight });
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

    fn cached(claims: usize, expires: Option<Timestamp>) -> CachedIdentity {
        let mut map = Claims::new();
        map.insert("x".into(), "y".repeat(claims).into());
        let subject = Subject { issuer: "https://op".into(), subject: "a".into() };
        let identity = Identity::vouched_by(ProviderId::parse("op").unwrap(), subject, map);
        CachedIdentity { identity: Arc::new(identity), expires }
    }

    #[test]
    fn an_entry_ends_with_its_time_or_with_its_token() {
        let clock = Arc::new(ManualClock::default());
        let cache = IdentityCache::new(100, Duration::from_secs(30), clock.clone());
        cache.put(key(1), cached(1, None));
        cache.put(key(2), cached(1, Some(clock.now() + Duration::from_secs(10))));
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
            cache.put(key(n), cached(1, None));
        }
        assert!(
            cache.entries.len() <= 1000 && cache.entries.len() > 500,
            "{}",
            cache.entries.len()
        );
        for n in 5000..6000 {
            cache.put(key(n), cached(10 * UNIT, None));
        }
        assert!(cache.entries.len() <= 1000);
        let large = (5000..6000).filter(|n| cache.get(&key(*n)).is_some()).count();
        assert!(large <= 100, "{large}");
    }
}
