//! The guard of one plugin: the secrets that none of its answers may contain, and no answer that
//! it gets.
//!
//! It searches for every secret of the plugin's settings, whether or not a call used it: a server
//! may keep what one call sent and show it to the next. And for the access tokens of the last hour:
//! it may show one user's token to another.

use std::sync::Arc;
use std::time::Instant;

use credsmith_core::secret::Secret;

use super::GuardedSecret;
use super::prints::{Print, PrintKey, Prints};
use super::spellings;
use super::tokens::RecentTokens;

/// The guard of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    key: Arc<PrintKey>,
    /// All secrets of its settings.
    secrets: Prints,
    /// Those that it may not see.
    hidden: Prints,
    tokens: Arc<RecentTokens>,
}

/// Makes the guards of all plugins of a host.
#[derive(Debug)]
pub(crate) struct Guards {
    key: Arc<PrintKey>,
    tokens: Arc<RecentTokens>,
}

impl Default for Guards {
    fn default() -> Self {
        let key = Arc::new(PrintKey::default());
        Self { tokens: Arc::new(RecentTokens::new(key.clone())), key }
    }
}

impl Guards {
    /// The guard of a plugin with these secrets.
    pub(crate) fn of<'a>(&self, secrets: impl Iterator<Item = &'a GuardedSecret>) -> Guard {
        let (mut all, mut hidden) = (Prints::default(), Prints::default());
        for secret in secrets {
            for print in prints(&self.key, secret.value.expose()) {
                all.add(print);
                if !secret.reveal {
                    hidden.add(print);
                }
            }
        }
        Guard { key: self.key.clone(), secrets: all, hidden, tokens: self.tokens.clone() }
    }
}

fn prints(key: &PrintKey, secret: &[u8]) -> Vec<Print> {
    spellings::of(secret).iter().filter_map(|spelling| Print::of(key, spelling)).collect()
}

impl Guard {
    /// Searches for `token` in every answer of the next hour.
    pub(crate) fn note_token(&self, token: &Secret) {
        self.tokens.note(token, Instant::now());
    }

    /// Adds a secret of one call, or bytes that stand for one, to `more`, where it is not there
    /// yet: a plugin may send the same one as often as it likes.
    pub(crate) fn add_once(&self, more: &mut Prints, secret: &[u8]) {
        let is_known = Print::of(&self.key, secret).is_none_or(|plain| more.contains(plain));
        if !is_known {
            prints(&self.key, secret).into_iter().for_each(|print| more.add(print));
        }
    }

    /// Whether there is nothing to search for, in the settings, of late or in `more`.
    pub(crate) fn is_idle(&self, more: &Prints) -> bool {
        self.secrets.is_empty() && more.is_empty() && self.tokens.is_empty()
    }

    /// Whether `text` contains a secret: of the settings, an access token, or one of `more`.
    pub(crate) fn finds(&self, text: &[u8], more: &Prints) -> bool {
        self.search(text, &[&self.secrets, more], &[])
    }

    /// Whether `text`, which a user gets, contains a secret that the plugin may not see, or an
    /// access token that is not among `own`. A secret that it may see may be what the user is to
    /// get, and so may the user's own token.
    pub(crate) fn finds_hidden(&self, text: &[u8], own: &[Print]) -> bool {
        self.search(text, &[&self.hidden], own)
    }

    /// The fingerprints of `secret`.
    pub(crate) fn prints(&self, secret: &Secret) -> Vec<Print> {
        prints(&self.key, secret.expose())
    }

    fn search(&self, text: &[u8], sets: &[&Prints], own: &[Print]) -> bool {
        self.tokens.forget_old(Instant::now());
        spellings::in_any_reading(text, |reading| {
            sets.iter().any(|set| set.found_in(&self.key, reading))
                || self.tokens.found_in_but(reading, own)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(value: &str, reveal: bool) -> GuardedSecret {
        GuardedSecret {
            name: "key".to_owned(),
            value: Arc::new(Secret::new(value)),
            bindings: Vec::new(),
            reveal,
            hmac: false,
        }
    }

    #[test]
    fn what_no_call_used_is_searched_for_and_what_others_brought() {
        let guards = Guards::default();
        let secrets = [secret("hunter22", false), secret("open sesame", true)];
        let (one, other) = (guards.of(secrets.iter()), guards.of(std::iter::empty()));
        let none = Prints::default();
        assert!(one.finds(b"it was hunter22", &none) && one.finds(b"open%20sesame", &none));
        assert!(
            one.finds_hidden(b"it was hunter22", &[]) && !one.finds_hidden(b"open sesame", &[])
        );
        assert!(!other.finds(b"it was hunter22", &none), "the secret of another plugin");
        assert!(other.is_idle(&none));
        let of_alice = Secret::new("eyJhbGciOiJFUzI1NiJ9.alice");
        one.note_token(&of_alice);
        for guard in [&one, &other] {
            assert!(guard.finds(b"token=eyJhbGciOiJFUzI1NiJ9.alice", &none));
            assert!(guard.finds_hidden(b"eyJhbGciOiJFUzI1NiJ9.alice", &[]));
            let own = guard.prints(&of_alice);
            assert!(!guard.finds_hidden(b"eyJhbGciOiJFUzI1NiJ9.alice", &own), "her own answer");
            assert!(!guard.is_idle(&none));
        }
        let mut more = Prints::default();
        one.add_once(&mut more, b"only of this call");
        assert!(one.finds(b"only of this call", &more) && !one.finds(b"only of this call", &none));
    }
}
