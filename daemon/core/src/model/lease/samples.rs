//! Leases for tests: one of every state.

use super::{Boot, Cause, Claim, Ending, Kept, Lease, Made, Parked, Reason, Revoking, State};
use crate::caller::{Interface, Subject};
use crate::ids::{LeaseId, PluginName, ProviderId, ServiceId};
use crate::ports::plugins::PluginIdentity;
use crate::time::Timestamp;

pub(crate) const DEADLINE: Timestamp = Timestamp::from_secs(1_090);
pub(crate) const END: Timestamp = Timestamp::from_secs(5_000);

pub(crate) fn made() -> Made {
    Made { state: "object".into(), ends: Some(END), with_secret: false }
}

/// An active lease with an end and a limit after it.
pub(crate) fn lease() -> Lease {
    Lease {
        id: LeaseId::from_random([3; 16]),
        owner: Subject { issuer: "https://op.example".into(), subject: "alice".into() },
        provider: ProviderId::parse("op").unwrap(),
        service: ServiceId::parse("ssh").unwrap(),
        plugin: PluginIdentity {
            name: PluginName::parse("ssh-ca").unwrap(),
            version: "1.0.0".into(),
            digest: "abc".into(),
        },
        interface: Interface::Rest,
        created: Timestamp::from_secs(1_000),
        not_after: Some(Timestamp::from_secs(9_000)),
        kept: Kept {
            claims: [("sub".to_owned(), "alice".into())].into_iter().collect(),
            parameters: vec![("pub_key".into(), "ssh-ed25519 AAAA".into())],
        },
        state: State::Active(made()),
        last_words: None,
    }
}

/// Every cause.
pub(crate) fn causes() -> Vec<Cause> {
    vec![
        Cause::CutShort { deadline: DEADLINE, first_ok: false },
        Cause::CutShort { deadline: DEADLINE, first_ok: true },
        Cause::Unwanted(made()),
        Cause::User(made()),
        Cause::Limit(made()),
    ]
}

/// A revocation since second 2000, due at 3000.
pub(crate) fn revoking(cause: Cause, claimed_until: Option<Timestamp>) -> Revoking {
    let since = Timestamp::from_secs(2_000);
    let claim = claimed_until.map(|until| Claim { until, by: Boot(7) });
    Revoking { cause, since, failures: 2, due: Timestamp::from_secs(3_000), claim }
}

/// Every state, with every cause and reason.
pub(crate) fn states() -> Vec<State> {
    let mut states = vec![
        State::Pending { deadline: DEADLINE, doomed: false },
        State::Pending { deadline: DEADLINE, doomed: true },
        State::Active(made()),
        State::Active(Made { ends: None, with_secret: true, ..made() }),
    ];
    for cause in causes() {
        states.push(State::Revoking(revoking(cause.clone(), None)));
        states.push(State::Revoking(revoking(cause.clone(), Some(Timestamp::from_secs(3_050)))));
        for reason in [Reason::ServiceGone, Reason::Refused("no".into()), Reason::TooManyFailures] {
            let since = Timestamp::from_secs(2_500);
            states.push(State::Parked(Parked { cause: cause.clone(), reason, since }));
        }
    }
    for how in [Ending::Revoked, Ending::Expired, Ending::Dropped] {
        states.push(State::Ended { how, at: Timestamp::from_secs(4_000) });
    }
    states
}
