//! The id of one request, in the log and in the answer.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// Thirteen letters and digits. The server generates it; an id that a client sends is ignored.
/// Unique in practice and not predictable from earlier ones, but no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; LENGTH]);

const LENGTH: usize = 13;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Keyed once from the operating system: a counter through a keyed hash costs nanoseconds where a
/// system call would cost a hundred times that for every request.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
static COUNTER: AtomicU64 = AtomicU64::new(0);

impl RequestId {
    /// The next one.
    pub fn next() -> Self {
        Self::spell(KEY.hash_one(COUNTER.fetch_add(1, Ordering::Relaxed)))
    }

    fn spell(mut bits: u64) -> Self {
        let mut letters = [b'0'; LENGTH];
        for letter in &mut letters {
            *letter = ALPHABET.get((bits & 31) as usize).copied().unwrap_or(b'0');
            bits >>= 5;
        }
        Self(letters)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        // The alphabet is ASCII, so this never falls back.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(&self.0).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_and_are_printable() {
        let ids: HashSet<String> = (0..10_000).map(|_| RequestId::next().to_string()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(
            ids.iter().all(|id| id.len() == LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        );
    }

    #[test]
    fn every_bit_counts() {
        let spelled: HashSet<RequestId> = (0..64).map(|bit| RequestId::spell(1 << bit)).collect();
        assert_eq!(spelled.len(), 64);
        assert_eq!(RequestId::spell(0).as_str(), "0000000000000");
        assert_eq!(RequestId::spell(u64::MAX).as_str(), "zzzzzzzzzzzzf");
    }
}
