//! Our record of an issued credential, and its life.
//!
//! [`State`] is the state of a lease, [`State::next`] the only way from one to another: a pure
//! function, tested for every state and event. What follows from a state (is it counted, listed,
//! when is it due) is in [`follow`].
//!
//! Never here: a clock, a store, a plugin, a caller. These are the matter of
//! [`crate::leases::ledger`] and of the use-cases.

mod follow;
mod next;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod table;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use follow::Overdue;
pub(crate) use next::{Event, NotPossible, Timing, Transition};

use crate::caller::{Claims, Interface, Subject};
use crate::ids::{LeaseId, ProviderId, ServiceId};
use crate::ports::plugins::PluginIdentity;
use crate::time::Timestamp;

/// Most bytes of [`Kept`], as JSON.
pub(crate) const MAX_KEPT_BYTES: usize = 8 * 1024;

/// A lease.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) owner: Subject,
    pub(crate) provider: ProviderId,
    pub(crate) service: ServiceId,
    /// The plugin that issued: a plugin of another name never sees the lease.
    pub(crate) plugin: PluginIdentity,
    pub(crate) interface: Interface,
    pub(crate) created: Timestamp,
    /// When the daemon revokes, if the service limits the lifetime.
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) kept: Kept,
    pub(crate) state: State,
    /// What its plugin logged last before a call about it broke off, for operators.
    pub(crate) last_words: Option<String>,
}

/// What a revocation needs of the request: the claims that the plugin read, and the parameters that
/// are not secure.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kept {
    pub(crate) claims: Claims,
    pub(crate) parameters: Vec<(String, String)>,
}

/// The state of a lease.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    /// It is being issued. `doomed`: the subject was suspended meanwhile.
    Pending { deadline: Timestamp, doomed: bool },
    /// The user has it.
    Active(Made),
    /// It is being revoked.
    Revoking(Revoking),
    /// It waits for an operator, or for its service to come back.
    Parked(Parked),
    /// It has ended; the record stays for a while.
    Ended { how: Ending, at: Timestamp },
}

/// An object that a plugin made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// The plugin's name for it.
    pub(crate) state: String,
    /// Its own end.
    pub(crate) ends: Option<Timestamp>,
    /// Whether a secret for the revocation is kept.
    pub(crate) with_secret: bool,
}

/// A lease that is being revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revoking {
    pub(crate) cause: Cause,
    /// When it began; attempts end [`Timing::park_after`] later.
    pub(crate) since: Timestamp,
    /// Consecutive failed attempts.
    pub(crate) failures: u32,
    /// When the next attempt is due.
    pub(crate) due: Timestamp,
    /// The claim of the attempt under way.
    pub(crate) claim: Option<Claim>,
}

/// The claim of an attempt to revoke: no other attempt begins while it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Until when it holds.
    pub(crate) until: Timestamp,
    /// Whose attempt it is. The claims of a process that is over hold no more.
    pub(crate) by: Boot,
}

/// One run of the daemon, by a random number: a claim says by which one it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Boot(pub(crate) u64);

impl Boot {
    /// A run that is not known: that of a record which an earlier version wrote.
    pub(crate) const UNKNOWN: Self = Self(0);
}

/// Why a lease is revoked, and the object to revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The issue was cut short: it is unknown what it left. Two revocations have to succeed, the
    /// second one when nothing of the issue can be under way any more.
    CutShort { deadline: Timestamp, first_ok: bool },
    /// It was made when its user could not have it any more.
    Unwanted(Made),
    /// Its user asked.
    User(Made),
    /// Its lifetime is over.
    Limit(Made),
}

/// A lease that waits for an operator or its service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parked {
    pub(crate) cause: Cause,
    pub(crate) reason: Reason,
    pub(crate) since: Timestamp,
}

/// Why a lease was parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its service is configured no more, or has another plugin.
    ServiceGone,
    /// The plugin refused for good; its sentence.
    Refused(String),
    /// Attempts failed for too long.
    TooManyFailures,
}

/// How a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was revoked.
    Revoked,
    /// Its own end passed.
    Expired,
    /// It was dropped, by an operator or by its user.
    Dropped,
}

impl Cause {
    /// The object to revoke, if it is known.
    pub(crate) fn made(&self) -> Option<&Made> {
        match self {
            Self::CutShort { .. } => None,
            Self::Unwanted(made) | Self::User(made) | Self::Limit(made) => Some(made),
        }
    }

    /// Whether the user ever had it.
    pub(crate) fn was_active(&self) -> bool {
        matches!(self, Self::User(_) | Self::Limit(_))
    }
}

impl Kept {
    /// Its size: that of its JSON.
    pub(crate) fn size(&self) -> usize {
        let parameters =
            self.parameters.iter().map(|(key, value)| pair_size(key, &Value::from(value.as_str())));
        self.claims.iter().map(|(name, value)| pair_size(name, value)).chain(parameters).sum()
    }

    /// Whether it is small enough to be kept.
    pub(crate) fn fits(&self) -> bool {
        self.size() <= MAX_KEPT_BYTES
    }

    /// The parameters and as many claims as fit, the smallest first: after a crash, an identifier
    /// serves better than a long list of groups.
    pub(crate) fn as_fits(claims: &Claims, parameters: Vec<(String, String)>) -> Self {
        let mut kept = Self { claims: Claims::new(), parameters };
        let mut room = MAX_KEPT_BYTES.saturating_sub(kept.size());
        let mut by_size: Vec<_> =
            claims.iter().map(|(name, value)| (pair_size(name, value), name, value)).collect();
        by_size.sort_by_key(|(size, name, _)| (*size, *name));
        for (size, name, value) in by_size {
            let Some(rest) = room.checked_sub(size) else { break };
            room = rest;
            kept.claims.insert(name.clone(), value.clone());
        }
        kept
    }
}

/// Bytes of `"name":value,` as JSON.
fn pair_size(name: &str, value: &Value) -> usize {
    let json = |value: &Value| serde_json::to_vec(value).map_or(usize::MAX / 4, |json| json.len());
    json(&Value::from(name)).saturating_add(json(value)).saturating_add(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(all: &[(&str, usize)]) -> Claims {
        all.iter().map(|(name, len)| ((*name).to_owned(), Value::from("x".repeat(*len)))).collect()
    }

    #[test]
    fn what_fits_is_kept_whole() {
        let all = claims(&[("sub", 10), ("groups", 4000)]);
        let kept = Kept::as_fits(&all, vec![("key".into(), "value".into())]);
        assert_eq!(kept.claims, all);
        assert_eq!(kept.parameters.len(), 1);
        assert!(kept.fits());
    }

    #[test]
    fn the_largest_claims_go_first() {
        let all = claims(&[("a", 9000), ("b", 5000), ("c", 3000), ("sub", 10)]);
        let kept = Kept::as_fits(&all, Vec::new());
        assert_eq!(kept.claims, claims(&[("c", 3000), ("b", 5000), ("sub", 10)]));
        assert!(kept.fits());
    }

    #[test]
    fn size_is_that_of_json() {
        let kept =
            Kept { claims: claims(&[("sub", 3)]), parameters: vec![("k".into(), "\u{1}".into())] };
        assert_eq!(kept.size(), r#""sub":"xxx","k":"\u0001","#.len());
    }
}
