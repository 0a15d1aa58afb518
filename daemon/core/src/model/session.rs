//! A session of the vault, and its refresh tokens.

use std::time::Duration;

use subtle::{Choice, ConstantTimeEq as _};

use crate::ids::{SessionId, UserId};
use crate::time::Timestamp;

/// A session as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    /// The session generation of the user when the session began.
    pub(crate) session_generation: u64,
    pub(crate) created: Timestamp,
    pub(crate) idle_until: Timestamp,
    pub(crate) ends: Timestamp,
    pub(crate) refresh: RefreshTokens,
}

/// SHA-256 of a refresh token.
pub(crate) type TokenHash = [u8; 32];

/// Most refresh tokens of a session that are good at a time, and most that are remembered as just
/// spent. A client whose answers get lost leaves one good token behind for each.
const MAX_TOKENS: usize = 64;

/// The refresh tokens of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RefreshTokens {
    /// Those that are good for new tokens, the newest last. There are several where a token was
    /// shown again shortly after its use.
    pub(crate) good: Vec<TokenHash>,
    /// Those that were spent lately, with the time of their use.
    pub(crate) spent: Vec<(TokenHash, Timestamp)>,
}

/// What a refresh token is to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Good for new tokens.
    Good,
    /// Spent so shortly before that the answer may have been lost, or another tab was faster.
    JustSpent,
    /// Spent, or never one of this session.
    Spent,
}

impl RefreshTokens {
    /// What `token` is at `now`, where a spent one has `grace`.
    pub(crate) fn judge(&self, token: &TokenHash, now: Timestamp, grace: Duration) -> Shown {
        let none = Choice::from(0);
        let is_good = self.good.iter().fold(none, |found, known| found | known.ct_eq(token));
        if bool::from(is_good) {
            return Shown::Good;
        }
        let is_recent = self
            .spent
            .iter()
            .any(|(known, at)| bool::from(known.ct_eq(token)) && is_within(*at, now, grace));
        if is_recent { Shown::JustSpent } else { Shown::Spent }
    }

    /// These tokens after `shown` was exchanged for `next` at `now`.
    #[must_use]
    pub(crate) fn exchanged(
        &self,
        shown: &TokenHash,
        next: TokenHash,
        now: Timestamp,
        grace: Duration,
    ) -> Self {
        let was_good = self.good.contains(shown);
        let good = self.good.iter().filter(|known| *known != shown).copied().chain([next]);
        let spent = self.spent.iter().filter(|(_, at)| is_within(*at, now, grace)).copied();
        let newly_spent = (was_good && !grace.is_zero()).then_some((*shown, now));
        Self { good: last(good.collect()), spent: last(spent.chain(newly_spent).collect()) }
    }
}

/// Whether `now` is less than `grace` away from `at`. A clock that was set back does not lengthen
/// it.
fn is_within(at: Timestamp, now: Timestamp, grace: Duration) -> bool {
    now.since(at).max(at.since(now)) < grace
}

fn last<T>(mut all: Vec<T>) -> Vec<T> {
    let from = all.len().saturating_sub(MAX_TOKENS);
    all.split_off(from)
}

impl Session {
    /// When the session is over, unless its tokens are refreshed before.
    pub(crate) fn over_at(&self) -> Timestamp {
        self.idle_until.min(self.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn first() -> RefreshTokens {
        RefreshTokens { good: vec![[1; 32]], spent: Vec::new() }
    }

    #[test]
    fn a_spent_token_has_a_grace_from_its_use_on() {
        let tokens = first().exchanged(&[1; 32], [2; 32], at(100), GRACE);
        let again = tokens.exchanged(&[1; 32], [3; 32], at(105), GRACE);
        for tokens in [&tokens, &again] {
            assert_eq!(tokens.judge(&[1; 32], at(109), GRACE), Shown::JustSpent);
            assert_eq!(tokens.judge(&[1; 32], at(110), GRACE), Shown::Spent);
            assert_eq!(tokens.judge(&[1; 32], at(50), GRACE), Shown::Spent, "a clock set back");
            assert_eq!(tokens.judge(&[2; 32], at(500), GRACE), Shown::Good);
            assert_eq!(tokens.judge(&[9; 32], at(100), GRACE), Shown::Spent);
        }
        assert_eq!(again.judge(&[3; 32], at(500), GRACE), Shown::Good);
        let later = again.exchanged(&[2; 32], [4; 32], at(200), GRACE);
        assert_eq!((later.good, later.spent), (vec![[3; 32], [4; 32]], vec![([2; 32], at(200))]));
    }

    #[test]
    fn without_a_grace_nothing_is_remembered() {
        let tokens = first().exchanged(&[1; 32], [2; 32], at(100), Duration::ZERO);
        assert_eq!(tokens, RefreshTokens { good: vec![[2; 32]], spent: Vec::new() });
        let tokens = first().exchanged(&[1; 32], [2; 32], at(100), GRACE);
        assert_eq!(tokens.judge(&[1; 32], at(100), Duration::ZERO), Shown::Spent);
    }

    #[test]
    fn there_are_so_many_at_most() {
        let mut tokens = first().exchanged(&[1; 32], [2; 32], at(0), GRACE);
        for number in 10..200 {
            tokens = tokens.exchanged(&[1; 32], [number; 32], at(1), GRACE);
        }
        assert_eq!((tokens.good.len(), tokens.spent.len()), (MAX_TOKENS, 1));
        assert!(tokens.good.contains(&[199; 32]));
    }
}
