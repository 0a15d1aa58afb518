//! The access tokens that plugins were given of late: no answer may contain one of them, of
//! whatever user.
//!
//! Kept as fingerprints alone, for an hour, and of at most [`MAX_TOKENS`] tokens: of more, the
//! oldest is no longer searched for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use credsmith_core::secret::Secret;
use parking_lot::RwLock;

use super::prints::{Print, PrintKey, Prints};
use super::spellings;

/// How long a token is searched for.
const KEPT: Duration = Duration::from_secs(3600);
/// Most tokens that are searched for at once.
const MAX_TOKENS: usize = 10_000;

#[derive(Debug, Default)]
struct Kept {
    all: Prints,
    /// By age, the oldest first.
    tokens: VecDeque<Token>,
}

#[derive(Debug)]
struct Token {
    until: Instant,
    /// The first is that of the token as it is.
    prints: Vec<Print>,
}

/// The tokens of the last hour, of all plugins together.
#[derive(Debug, Default)]
pub(crate) struct RecentTokens {
    key: Arc<PrintKey>,
    kept: RwLock<Kept>,
}

impl RecentTokens {
    pub(crate) fn new(key: Arc<PrintKey>) -> Self {
        Self { key, kept: RwLock::default() }
    }

    /// Searches for `token` from now on.
    pub(crate) fn note(&self, token: &Secret, now: Instant) {
        let spelled = spellings::of(token.expose());
        // As it is first, so that it is known again.
        let plain = Print::of(&self.key, token.expose());
        let Some(plain) = plain else { return };
        let others = spelled.iter().filter_map(|spelling| Print::of(&self.key, spelling));
        let prints: Vec<Print> =
            std::iter::once(plain).chain(others.filter(|print| *print != plain)).collect();
        let mut kept = self.kept.write();
        kept.forget_until(now);
        kept.forget(plain);
        prints.iter().for_each(|print| kept.all.add(*print));
        kept.tokens.push_back(Token { until: now + KEPT, prints });
        if kept.tokens.len() > MAX_TOKENS {
            kept.forget_oldest();
        }
    }

    /// Whether there is a token to search for.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.read().all.is_empty()
    }

    /// Whether `reading` contains one of them that is not among `but`.
    pub(crate) fn found_in_but(&self, reading: &[u8], but: &[Print]) -> bool {
        self.kept.read().all.found_in_but(&self.key, reading, but)
    }

    /// Forgets those that are older than an hour.
    pub(crate) fn forget_old(&self, now: Instant) {
        let is_due = self.kept.read().tokens.front().is_some_and(|token| token.until <= now);
        if is_due {
            self.kept.write().forget_until(now);
        }
    }
}

impl Kept {
    fn forget_until(&mut self, now: Instant) {
        while self.tokens.front().is_some_and(|token| token.until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(token) = self.tokens.pop_front() else { return };
        token.prints.into_iter().for_each(|print| self.all.remove(print));
    }

    fn forget(&mut self, plain: Print) {
        let known = self.tokens.iter().position(|token| token.prints.first() == Some(&plain));
        let Some(token) = known.and_then(|at| self.tokens.remove(at)) else { return };
        token.prints.into_iter().for_each(|print| self.all.remove(print));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_searched_for_an_hour_and_no_longer() {
        let tokens = RecentTokens::default();
        let begun = Instant::now();
        tokens.note(&Secret::new("alice's access token"), begun);
        tokens.note(&Secret::new("bob's access token"), begun + Duration::from_secs(1800));
        let both = b"alice's access token, bob's access token";
        for (after, alice, bob) in [(0, true, true), (3599, true, true), (3600, false, true)] {
            tokens.forget_old(begun + Duration::from_secs(after));
            assert_eq!(tokens.found_in_but(b"alice's access token", &[]), alice, "{after}");
            assert_eq!(tokens.found_in_but(b"bob's access token", &[]), bob, "{after}");
        }
        tokens.forget_old(begun + Duration::from_secs(5400));
        assert!(tokens.is_empty() && !tokens.found_in_but(both, &[]));
    }

    #[test]
    fn a_token_that_comes_again_is_kept_once_and_longer() {
        let tokens = RecentTokens::default();
        let begun = Instant::now();
        for after in [0, 1800, 1801] {
            tokens.note(&Secret::new("the token"), begun + Duration::from_secs(after));
        }
        assert_eq!(tokens.kept.read().tokens.len(), 1);
        tokens.forget_old(begun + Duration::from_secs(3601));
        assert!(tokens.found_in_but(b"it is the token", &[]));
        tokens.forget_old(begun + Duration::from_secs(5401));
        assert!(tokens.is_empty());
    }

    #[test]
    fn their_number_is_bounded() {
        let tokens = RecentTokens::default();
        let begun = Instant::now();
        for n in 0..=MAX_TOKENS {
            tokens.note(&Secret::new(format!("token number {n}.")), begun);
        }
        assert_eq!(tokens.kept.read().tokens.len(), MAX_TOKENS);
        assert!(!tokens.found_in_but(b"token number 0.", &[]));
        assert!(
            tokens.found_in_but(b"token number 1.", &[])
                && tokens.found_in_but(b"token number 10000.", &[])
        );
    }
}
