//! The codes, access tokens and refresh tokens that have been issued. Kept by digest, in memory,
//! and bounded: the oldest go first.
//!
//! Everything that grew from one sign-in is one family. A code or a refresh token that comes a
//! second time was stolen, so its whole family ends (RFC 6749 section 4.1.2, RFC 9700 section
//! 4.14.2).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::{Mutex, MutexGuard};
use sha2::{Digest as _, Sha256};

use crate::accounts::Account;

const MAX_CODES: usize = 1_000;
const MAX_TOKENS: usize = 100_000;

/// Life of a code. A client exchanges it at once or not at all.
const CODE_LIFE: Duration = Duration::from_secs(60);

/// Life of a refresh token.
const REFRESH_LIFE: Duration = Duration::from_secs(24 * 3600);

type Digest = [u8; 32];

/// What a user granted to a client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grant {
    pub(crate) account: Arc<Account>,
    pub(crate) client: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) audience: Vec<String>,
    pub(crate) authenticated: SystemTime,
    pub(crate) family: Digest,
}

/// A code before it is redeemed.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(crate) grant: Grant,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    pub(crate) nonce: Option<String>,
}

/// An access token as userinfo and introspection see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Access {
    pub(crate) grant: Grant,
    pub(crate) issued: SystemTime,
    pub(crate) expires: SystemTime,
}

/// Something that works once, and is remembered after that until it would have ended anyway.
struct Once<T> {
    value: T,
    family: Digest,
    expires: SystemTime,
    spent: bool,
}

struct Records {
    codes: Bounded<Once<Code>>,
    refresh: Bounded<Once<Grant>>,
    access: Bounded<Access>,
}

/// Everything that has been issued.
pub(crate) struct Ledger(Mutex<Records>);

impl Ledger {
    pub(crate) fn new() -> Self {
        let records = Records {
            codes: Bounded::new(MAX_CODES),
            refresh: Bounded::new(MAX_TOKENS),
            access: Bounded::new(MAX_TOKENS),
        };
        Self(Mutex::new(records))
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock()
    }

    /// A code for `code`, good for a minute.
    pub(crate) fn give_code(
        &self,
        code: Code,
        now: SystemTime,
    ) -> Result<String, getrandom::Error> {
        let (text, digest) = fresh()?;
        let once =
            Once { family: code.grant.family, value: code, expires: now + CODE_LIFE, spent: false };
        self.records().codes.put(digest, once);
        Ok(text)
    }

    /// Takes the code that `text` stands for. One that comes again ends its family.
    pub(crate) fn take_code(&self, text: &str, now: SystemTime) -> Option<Code> {
        let mut records = self.records();
        let outcome = records.codes.get_mut(&digest(text)).map(|once| once.take(now));
        records.settle(outcome)
    }

    pub(crate) fn give_refresh(
        &self,
        grant: Grant,
        now: SystemTime,
    ) -> Result<String, getrandom::Error> {
        let (text, digest) = fresh()?;
        let once =
            Once { family: grant.family, value: grant, expires: now + REFRESH_LIFE, spent: false };
        self.records().refresh.put(digest, once);
        Ok(text)
    }

    /// The grant of an unused refresh token; it stays usable. See [`Self::take_refresh`].
    pub(crate) fn peek_refresh(&self, text: &str) -> Option<Grant> {
        self.records().refresh.get(&digest(text)).map(|once| once.value.clone())
    }

    /// Takes the grant that the refresh token `text` stands for. One that comes again ends its
    /// family.
    pub(crate) fn take_refresh(&self, text: &str, now: SystemTime) -> Option<Grant> {
        let mut records = self.records();
        let outcome = records.refresh.get_mut(&digest(text)).map(|once| once.take(now));
        records.settle(outcome)
    }

    pub(crate) fn give_access(
        &self,
        grant: Grant,
        now: SystemTime,
        life: Duration,
    ) -> Result<String, getrandom::Error> {
        let (text, digest) = fresh()?;
        self.records().access.put(digest, Access { grant, issued: now, expires: now + life });
        Ok(text)
    }

    /// The access token `text`, if it is alive.
    pub(crate) fn access(&self, text: &str, now: SystemTime) -> Option<Access> {
        self.records().access.get(&digest(text)).filter(|access| now < access.expires).cloned()
    }

    /// Ends an access token and all that grew from the same sign-in. Returns whether there was one.
    pub(crate) fn revoke(&self, text: &str) -> bool {
        let mut records = self.records();
        let family = records.access.get(&digest(text)).map(|access| access.grant.family);
        family.inspect(|family| records.end_family(family)).is_some()
    }
}

impl Records {
    fn settle<T>(&mut self, outcome: Option<Taken<T>>) -> Option<T> {
        match outcome? {
            Taken::Good(value) => Some(value),
            Taken::Late => None,
            Taken::Again(family) => {
                self.end_family(&family);
                None
            }
        }
    }

    fn end_family(&mut self, family: &Digest) {
        self.access.retain(|access| access.grant.family != *family);
        self.refresh.retain(|once| once.family != *family);
    }
}

enum Taken<T> {
    Good(T),
    Late,
    Again(Digest),
}

impl<T: Clone> Once<T> {
    fn take(&mut self, now: SystemTime) -> Taken<T> {
        if self.spent {
            return Taken::Again(self.family);
        }
        self.spent = true;
        if now < self.expires { Taken::Good(self.value.clone()) } else { Taken::Late }
    }
}

/// A map that forgets its oldest entry rather than grow.
struct Bounded<T> {
    limit: usize,
    entries: HashMap<Digest, T>,
    order: VecDeque<Digest>,
}

impl<T> Bounded<T> {
    fn new(limit: usize) -> Self {
        Self { limit, entries: HashMap::new(), order: VecDeque::new() }
    }

    fn put(&mut self, key: Digest, value: T) {
        while self.order.len() >= self.limit {
            let Some(oldest) = self.order.pop_front() else { return };
            self.entries.remove(&oldest);
        }
        self.order.push_back(key);
        self.entries.insert(key, value);
    }

    fn get(&self, key: &Digest) -> Option<&T> {
        self.entries.get(key)
    }

    fn get_mut(&mut self, key: &Digest) -> Option<&mut T> {
        self.entries.get_mut(key)
    }

    fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.entries.retain(|_, value| keep(value));
        self.order.retain(|key| self.entries.contains_key(key));
    }
}

/// 256 random bits.
pub(crate) fn random() -> Result<Digest, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn fresh() -> Result<(String, Digest), getrandom::Error> {
    let text = URL_SAFE_NO_PAD.encode(random()?);
    let digest = digest(&text);
    Ok((text, digest))
}

fn digest(text: &str) -> Digest {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(300);

    fn grant() -> Grant {
        Grant {
            account: Arc::new(Account::demo().remove(0)),
            client: "app".into(),
            scopes: vec![],
            audience: vec![],
            authenticated: SystemTime::UNIX_EPOCH,
            family: random().unwrap(),
        }
    }

    fn code(grant: Grant) -> Code {
        Code { grant, redirect_uri: String::new(), challenge: String::new(), nonce: None }
    }

    #[test]
    fn a_code_works_once_and_for_a_minute() {
        let (ledger, now) = (Ledger::new(), SystemTime::UNIX_EPOCH);
        let given = ledger.give_code(code(grant()), now).unwrap();
        assert!(ledger.take_code("other", now).is_none());
        assert!(ledger.take_code(&given, now + CODE_LIFE - Duration::from_millis(1)).is_some());
        assert!(ledger.take_code(&given, now).is_none());
        let late = ledger.give_code(code(grant()), now).unwrap();
        assert!(ledger.take_code(&late, now + CODE_LIFE).is_none());
    }

    #[test]
    fn what_comes_twice_ends_its_family_and_no_other() {
        let (ledger, now) = (Ledger::new(), SystemTime::UNIX_EPOCH);
        let (one, other) = (grant(), grant());
        let replayed = ledger.give_code(code(one.clone()), now).unwrap();
        ledger.take_code(&replayed, now).unwrap();
        let access = ledger.give_access(one.clone(), now, LIFE).unwrap();
        let refresh = ledger.give_refresh(one, now).unwrap();
        let unrelated = ledger.give_access(other.clone(), now, LIFE).unwrap();
        assert!(ledger.take_code(&replayed, now).is_none());
        assert!(ledger.access(&access, now).is_none());
        assert!(ledger.take_refresh(&refresh, now).is_none());
        assert!(ledger.access(&unrelated, now).is_some());

        let refresh = ledger.give_refresh(other, now).unwrap();
        assert!(ledger.take_refresh(&refresh, now).is_some());
        assert!(ledger.take_refresh(&refresh, now).is_none());
        assert!(ledger.access(&unrelated, now).is_none());
    }

    #[test]
    fn an_access_token_ends_in_time_or_when_revoked() {
        let (ledger, now) = (Ledger::new(), SystemTime::UNIX_EPOCH);
        let given = ledger.give_access(grant(), now, LIFE).unwrap();
        assert!(ledger.access(&given, now + LIFE - Duration::from_millis(1)).is_some());
        assert!(ledger.access(&given, now + LIFE).is_none());
        assert!(ledger.revoke(&given) && !ledger.revoke(&given));
        assert!(ledger.access(&given, now).is_none());
    }

    #[test]
    fn the_oldest_go_first() {
        let (ledger, now) = (Ledger::new(), SystemTime::UNIX_EPOCH);
        let first = ledger.give_code(code(grant()), now).unwrap();
        let second = ledger.give_code(code(grant()), now).unwrap();
        for _ in 1..MAX_CODES {
            ledger.give_code(code(grant()), now).unwrap();
        }
        assert!(ledger.take_code(&first, now).is_none());
        assert!(ledger.take_code(&second, now).is_some());
        assert_eq!(ledger.records().codes.entries.len(), MAX_CODES);
    }
}
