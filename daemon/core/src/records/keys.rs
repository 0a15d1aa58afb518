//! The keys of the store. Lease ids and pseudonyms stand in keys as their sixteen bytes,
//! ids of the vault as their characters, services by name.
//!
//! | key | value |
//! |---|---|
//! | `lease/<id>` | the lease |
//! | `own/<subject>/<service>/<id>` | none: which leases of a user are counted |
//! | `due/<seconds>/<id>` | none: which lease has to be looked at when |
//! | `count/<subject>/<service>` | how many leases are counted |
//! | `state-of/<subject>/<service>/<plugin state>` | the id of the lease that holds it |
//! | `revoke-with/<id>` | the secret that a revocation needs |
//! | `parked/<service>/<id>` | none: which leases are parked |
//! | `failing/<service>/<id>` | none: which leases failed to be revoked and are tried again |
//! | `form/leases` | the form of the keys that are derived from leases |
//! | `clock/last` | the last wall time that was trusted, and the boots until then |
//! | `suspended/<subject>` | the suspended subject, and since when |
//! | `user/<id>` | a user of the vault |
//! | `user-of/<subject>` | the id of the user with that subject |
//! | `session/<id>` | a session of a user |
//! | `session-of/<user>/<id>` | none: which sessions a user has |
//! | `session-due/<seconds>/<id>` | none: when a session is due for a check |
//! | `outbox/<milliseconds>/<number><random>` | an event that the audit log does not have yet |
//! | `audit/end` | where the audit log ends |
//! | `company/<id>` | the company |
//! | `type/`, `credential/` and what goes with them | see [`super::vault_keys`] |
//! | `epoch/<space>` | none: its revision is that of the space's last change, for projections |
//!
//! `<seconds>` has 12 digits, `<milliseconds>` 15. A session that is due may have ended earlier, or
//! end later.
//!
//! Index keys have no value, hence nothing to seal: an index key counts only if the lease itself
//! agrees with it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ids::{CompanyId, LeaseId, ServiceId, SessionId, UserId};
use crate::ports::store::Key;
use crate::time::Timestamp;

/// The keyed hash of a subject, of a plugin state, or of a name.
pub(super) type Pseudonym = [u8; 16];

/// Times with more digits count as never.
const SECONDS_DIGITS: usize = 12;
const SECONDS_MAX: u64 = 999_999_999_999;
/// The same for milliseconds.
const MILLIS_DIGITS: usize = 15;
const MILLIS_MAX: u64 = 999_999_999_999_999;
const ID_LEN: usize = 16;
/// Number and random part of the key of an event.
const OUTGOING_LEN: usize = 16;

pub(super) const LEASE: &[u8] = b"lease/";
pub(super) const OWN: &[u8] = b"own/";
pub(super) const DUE: &[u8] = b"due/";
pub(super) const COUNT: &[u8] = b"count/";
pub(super) const STATE: &[u8] = b"state-of/";
/// Where the first form kept plugin states: by service alone.
pub(super) const STATE_BY_SERVICE: &[u8] = b"state/";
pub(super) const REVOKE_WITH: &[u8] = b"revoke-with/";
pub(super) const OUTBOX: &[u8] = b"outbox/";
pub(super) const PARKED: &[u8] = b"parked/";
pub(super) const FAILING: &[u8] = b"failing/";
pub(super) const COMPANY: &[u8] = b"company/";
pub(super) const USER: &[u8] = b"user/";
pub(super) const SESSION_DUE: &[u8] = b"session-due/";

pub(super) fn lease(id: LeaseId) -> Key {
    key(&[LEASE, id.as_bytes()])
}

pub(super) fn own(subject: &Pseudonym, service: &ServiceId, id: LeaseId) -> Key {
    key(&[OWN, subject, b"/", service.as_str().as_bytes(), b"/", id.as_bytes()])
}

pub(super) fn own_prefix(subject: &Pseudonym, service: Option<&ServiceId>) -> Key {
    match service {
        Some(service) => key(&[OWN, subject, b"/", service.as_str().as_bytes(), b"/"]),
        None => key(&[OWN, subject, b"/"]),
    }
}

/// The key with the second by which `at` has passed, so that a lease is never found due too early.
pub(super) fn due(at: Timestamp, id: LeaseId) -> Key {
    let seconds = at.as_millis().div_ceil(1000).min(SECONDS_MAX);
    key(&[DUE, format!("{seconds:0SECONDS_DIGITS$}").as_bytes(), b"/", id.as_bytes()])
}

/// A key before every lease that is due after the second of `at`, and after every other.
pub(super) fn due_after(at: Timestamp) -> Key {
    let seconds = at.as_secs().min(SECONDS_MAX);
    // `0` follows `/`, and no key of that second begins with it.
    key(&[DUE, format!("{seconds:0SECONDS_DIGITS$}0").as_bytes()])
}

/// Second and lease of a key that [`due`] made.
pub(super) fn parse_due(key: &Key) -> Option<(u64, LeaseId)> {
    let rest = key.as_bytes().strip_prefix(DUE)?;
    let (seconds, rest) = rest.split_at_checked(SECONDS_DIGITS)?;
    let seconds = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    Some((seconds, id(rest.strip_prefix(b"/")?)?))
}

pub(super) fn count(subject: &Pseudonym, service: &ServiceId) -> Key {
    key(&[COUNT, subject, b"/", service.as_str().as_bytes()])
}

pub(super) fn count_prefix(subject: &Pseudonym) -> Key {
    key(&[COUNT, subject, b"/"])
}

pub(super) fn state(subject: &Pseudonym, service: &ServiceId, state: &Pseudonym) -> Key {
    key(&[STATE, subject, b"/", service.as_str().as_bytes(), b"/", state])
}

/// The key of the first form, which does not say who may hold a state.
pub(super) fn state_by_service(service: &ServiceId, state: &Pseudonym) -> Key {
    key(&[STATE_BY_SERVICE, service.as_str().as_bytes(), b"/", state])
}

pub(super) fn revoke_with(id: LeaseId) -> Key {
    key(&[REVOKE_WITH, id.as_bytes()])
}

pub(super) fn parked(service: &ServiceId, id: LeaseId) -> Key {
    key(&[PARKED, service.as_str().as_bytes(), b"/", id.as_bytes()])
}

pub(super) fn failing(service: &ServiceId, id: LeaseId) -> Key {
    key(&[FAILING, service.as_str().as_bytes(), b"/", id.as_bytes()])
}

pub(super) fn failing_prefix(service: &ServiceId) -> Key {
    key(&[FAILING, service.as_str().as_bytes(), b"/"])
}

pub(super) fn lease_form() -> Key {
    Key::new("form/leases")
}

pub(super) fn clock() -> Key {
    Key::new("clock/last")
}

/// The key at which an event of `at` waits for the audit log. It is the `number`th of this process.
pub(super) fn outgoing(at: Timestamp, number: u64, random: [u8; 16]) -> Key {
    let millis = at.as_millis().min(MILLIS_MAX);
    let (_, random) = random.split_at(8);
    key(&[
        OUTBOX,
        format!("{millis:0MILLIS_DIGITS$}").as_bytes(),
        b"/",
        &number.to_be_bytes(),
        random,
    ])
}

/// The name of the event at a key that [`outgoing`] made.
pub(super) fn outgoing_name(key: &Key) -> Option<String> {
    let rest = key.as_bytes().strip_prefix(OUTBOX)?;
    let (millis, rest) = rest.split_at_checked(MILLIS_DIGITS)?;
    let unique = rest.strip_prefix(b"/").filter(|unique| unique.len() == OUTGOING_LEN)?;
    let millis = std::str::from_utf8(millis)
        .ok()
        .filter(|millis| millis.bytes().all(|c| c.is_ascii_digit()))?;
    Some(format!("{millis}.{}", URL_SAFE_NO_PAD.encode(unique)))
}

/// The key of the event of that name; `None` when the name is malformed.
pub(super) fn outgoing_named(name: &str) -> Option<Key> {
    let (millis, unique) = name.split_once('.')?;
    let unique = URL_SAFE_NO_PAD.decode(unique).ok()?;
    let key = key(&[OUTBOX, millis.as_bytes(), b"/", &unique]);
    outgoing_name(&key).is_some().then_some(key)
}

pub(super) fn audit_end() -> Key {
    Key::new("audit/end")
}

pub(super) fn epoch(space: &str) -> Key {
    key(&[b"epoch/", space.as_bytes()])
}

pub(super) fn user(id: UserId) -> Key {
    key(&[USER, id.as_str().as_bytes()])
}

/// The user of a key that [`user`] made.
pub(super) fn parse_user(key: &Key) -> Option<UserId> {
    UserId::from_bytes(key.as_bytes().strip_prefix(USER)?)
}

pub(super) fn user_of(subject: &Pseudonym) -> Key {
    key(&[b"user-of/", subject])
}

pub(super) fn session(id: SessionId) -> Key {
    key(&[b"session/", id.as_str().as_bytes()])
}

pub(super) fn sessions_of_prefix(user: UserId) -> Key {
    key(&[b"session-of/", user.as_str().as_bytes(), b"/"])
}

pub(super) fn session_of(user: UserId, id: SessionId) -> Key {
    key(&[sessions_of_prefix(user).as_bytes(), id.as_str().as_bytes()])
}

/// The session at the end of a key that [`session_of`] made.
pub(super) fn trailing_session(key: &Key) -> Option<SessionId> {
    SessionId::from_bytes(key.as_bytes().rsplit(|byte| *byte == b'/').next()?)
}

/// The key with the second by which `at` has passed.
pub(super) fn session_due(at: Timestamp, id: SessionId) -> Key {
    let seconds = at.as_millis().div_ceil(1000).min(SECONDS_MAX);
    key(&[
        SESSION_DUE,
        format!("{seconds:0SECONDS_DIGITS$}").as_bytes(),
        b"/",
        id.as_str().as_bytes(),
    ])
}

/// Second and session of a key that [`session_due`] made.
pub(super) fn parse_session_due(key: &Key) -> Option<(u64, SessionId)> {
    let rest = key.as_bytes().strip_prefix(SESSION_DUE)?;
    let (seconds, rest) = rest.split_at_checked(SECONDS_DIGITS)?;
    let seconds = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    Some((seconds, SessionId::from_bytes(rest.strip_prefix(b"/")?)?))
}

/// Begins the keys of suspended subjects.
pub(super) const SUSPENDED: &[u8] = b"suspended/";

pub(super) fn suspended(subject: &Pseudonym) -> Key {
    key(&[SUSPENDED, subject])
}

pub(super) fn company(id: CompanyId) -> Key {
    key(&[COMPANY, id.as_str().as_bytes()])
}

/// The company of a key that [`company`] made.
pub(super) fn trailing_company(key: &Key) -> Option<CompanyId> {
    CompanyId::from_bytes(key.as_bytes().strip_prefix(COMPANY)?)
}

/// The lease at the end of an index key.
pub(super) fn trailing_id(key: &Key) -> Option<LeaseId> {
    let bytes = key.as_bytes();
    id(bytes.get(bytes.len().checked_sub(ID_LEN)?..)?)
}

/// The counter of the account of an [`own`] key.
pub(super) fn counter_of(own: &Key) -> Option<Key> {
    let account = own.as_bytes().strip_prefix(OWN)?;
    let (account, id) = account.split_at_checked(account.len().checked_sub(ID_LEN + 1)?)?;
    id.starts_with(b"/").then(|| key(&[COUNT, account]))
}

/// The prefix of the [`own`] keys that the counter at this key counts.
pub(super) fn owned_at(counter: &Key) -> Option<Key> {
    Some(key(&[OWN, counter.as_bytes().strip_prefix(COUNT)?, b"/"]))
}

/// The service at the end of a counter's key.
pub(super) fn trailing_service(key: &Key, prefix: &Key) -> Option<ServiceId> {
    let name = key.as_bytes().strip_prefix(prefix.as_bytes())?;
    ServiceId::parse(std::str::from_utf8(name).ok()?).ok()
}

fn id(bytes: &[u8]) -> Option<LeaseId> {
    let bytes: [u8; ID_LEN] = bytes.try_into().ok()?;
    Some(LeaseId::from_random(bytes)).filter(|id| *id.as_bytes() == bytes)
}

fn key(parts: &[&[u8]]) -> Key {
    Key::new(parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_id() -> LeaseId {
        LeaseId::from_random([b'/'; 16])
    }

    #[test]
    fn due_keys_sort_by_time_and_are_never_early() {
        let at = |millis| due(Timestamp::from_millis(millis), some_id());
        assert!(at(9_000) < at(10_000));
        assert_eq!(at(9_001), at(10_000));
        assert_eq!(parse_due(&at(9_001)), Some((10, some_id())));
        assert_eq!(parse_due(&at(u64::MAX)), Some((SECONDS_MAX, some_id())));
        assert_eq!(parse_due(&Key::new("due/12/x")), None);
        let after = due_after(Timestamp::from_millis(10_999));
        assert!(at(10_000) < after && after < at(10_001), "{after:?}");
    }

    #[test]
    fn names_of_events_are_parsed_back() {
        let key = outgoing(Timestamp::from_millis(u64::MAX), 0x2f2f, [b'/'; 16]);
        let name = outgoing_name(&key).unwrap();
        assert_eq!(outgoing_named(&name), Some(key));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{name}");
        for bad in [
            "",
            ".",
            "1.AAAA",
            "00000000000000x.AAAAAAAAAAAAAAAAAAAAAA",
            "../AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(outgoing_named(bad), None, "{bad}");
        }
        assert_eq!(outgoing_name(&epoch("types")), None);
    }

    #[test]
    fn keys_of_users_and_sessions_are_parsed_back() {
        let (user_id, session_id) = (UserId::from_random([7; 16]), SessionId::from_random([8; 16]));
        assert_eq!(parse_user(&user(user_id)), Some(user_id));
        assert_eq!(parse_user(&user_of(&[7; 16])), None);
        let at = |millis| session_due(Timestamp::from_millis(millis), session_id);
        assert!(at(9_000) < at(10_000));
        assert_eq!(parse_session_due(&at(9_001)), Some((10, session_id)));
        assert_eq!(trailing_session(&session_of(user_id, session_id)), Some(session_id));
        assert_eq!(parse_session_due(&due(Timestamp::from_millis(1), some_id())), None);
    }

    #[test]
    fn index_keys_are_parsed_back() {
        let ssh = ServiceId::parse("ssh").unwrap();
        assert_eq!(trailing_id(&own(&[7; 16], &ssh, some_id())), Some(some_id()));
        assert_eq!(trailing_id(&parked(&ssh, some_id())), Some(some_id()));
        assert_eq!(trailing_id(&Key::new("short")), None);
        let own_key = own(&[7; 16], &ssh, some_id());
        assert_eq!(counter_of(&own_key), Some(count(&[7; 16], &ssh)));
        assert_eq!(owned_at(&count(&[7; 16], &ssh)), Some(own_prefix(&[7; 16], Some(&ssh))));
        let prefix = count_prefix(&[7; 16]);
        assert_eq!(trailing_service(&count(&[7; 16], &ssh), &prefix), Some(ssh));
    }

    #[test]
    fn the_prefix_of_a_service_covers_no_other_service() {
        let (short, long) = (ServiceId::parse("ssh").unwrap(), ServiceId::parse("ssh-ca").unwrap());
        let prefix = own_prefix(&[7; 16], Some(&short));
        assert!(own(&[7; 16], &short, some_id()).as_bytes().starts_with(prefix.as_bytes()));
        assert!(!own(&[7; 16], &long, some_id()).as_bytes().starts_with(prefix.as_bytes()));
    }
}
