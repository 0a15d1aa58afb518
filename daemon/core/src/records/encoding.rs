//! The format of a record inside its envelope, and the record of a lease: a version byte, then JSON
//! of private mirror types.
//! JSON because claims are JSON anyway and because a field can be added without a new version;
//! names are short because there are many leases.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::caller::{Claims, Interface, Subject};
use crate::ids::{LeaseId, PluginName, ProviderId, ServiceId};
use crate::model::lease::{
    Boot, Cause, Claim, Ending, Kept, Lease, Made, Parked, Reason, Revoking, State,
};
use crate::ports::plugins::PluginIdentity;
use crate::time::Timestamp;

const VERSION: u8 = 1;

/// Why a record cannot be read. Names no value.
#[derive(Debug)]
pub(super) struct Unreadable(String);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a record cannot be read: {}", self.0)
    }
}

impl std::error::Error for Unreadable {}

pub(super) fn unreadable(why: impl std::fmt::Display) -> Unreadable {
    Unreadable(why.to_string())
}

#[derive(Serialize, Deserialize)]
struct LeaseRecord<'a> {
    #[serde(rename = "iss")]
    issuer: Cow<'a, str>,
    #[serde(rename = "sub")]
    subject: Cow<'a, str>,
    #[serde(rename = "prov")]
    provider: Cow<'a, str>,
    #[serde(rename = "svc")]
    service: Cow<'a, str>,
    plugin: PluginRecord<'a>,
    #[serde(rename = "via")]
    interface: Interface,
    #[serde(rename = "at")]
    created: Timestamp,
    #[serde(rename = "lim", skip_serializing_if = "Option::is_none", default)]
    not_after: Option<Timestamp>,
    #[serde(skip_serializing_if = "claims_are_empty", default)]
    claims: Cow<'a, Claims>,
    #[serde(rename = "par", skip_serializing_if = "parameters_are_empty", default)]
    parameters: Cow<'a, [(String, String)]>,
    state: StateRecord<'a>,
    #[serde(rename = "words", skip_serializing_if = "Option::is_none", default)]
    last_words: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
struct PluginRecord<'a> {
    #[serde(rename = "n")]
    name: Cow<'a, str>,
    #[serde(rename = "v")]
    version: Cow<'a, str>,
    #[serde(rename = "d")]
    digest: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StateRecord<'a> {
    Pending {
        until: Timestamp,
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        doomed: bool,
    },
    Active(MadeRecord),
    Revoking {
        cause: CauseRecord,
        since: Timestamp,
        #[serde(rename = "fail")]
        failures: u32,
        due: Timestamp,
        #[serde(rename = "claim", skip_serializing_if = "Option::is_none", default)]
        claimed_until: Option<Timestamp>,
        #[serde(rename = "by", skip_serializing_if = "Option::is_none", default)]
        claimed_by: Option<Boot>,
    },
    Parked {
        cause: CauseRecord,
        why: ReasonRecord<'a>,
        since: Timestamp,
    },
    Ended {
        how: EndingRecord,
        at: Timestamp,
    },
}

#[derive(Serialize, Deserialize)]
struct MadeRecord {
    /// Base64: a plugin's text may have anything in it, and JSON would blow some of it up to six
    /// times its size.
    #[serde(rename = "s")]
    state: String,
    #[serde(rename = "end", skip_serializing_if = "Option::is_none", default)]
    ends: Option<Timestamp>,
    #[serde(rename = "sec", skip_serializing_if = "std::ops::Not::not", default)]
    with_secret: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CauseRecord {
    CutShort { until: Timestamp, ok: bool },
    Unwanted(MadeRecord),
    User(MadeRecord),
    Limit(MadeRecord),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ReasonRecord<'a> {
    Gone,
    Refused(Cow<'a, str>),
    Failures,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EndingRecord {
    Revoked,
    Expired,
    Dropped,
}

fn claims_are_empty(claims: &Claims) -> bool {
    claims.is_empty()
}

fn parameters_are_empty(parameters: &[(String, String)]) -> bool {
    parameters.is_empty()
}

/// The plain record of `lease`; its id stands in its key.
pub(super) fn encode_lease(lease: &Lease) -> Result<Vec<u8>, Unreadable> {
    let record = LeaseRecord {
        issuer: Cow::Borrowed(&lease.owner.issuer),
        subject: Cow::Borrowed(&lease.owner.subject),
        provider: Cow::Borrowed(lease.provider.as_str()),
        service: Cow::Borrowed(lease.service.as_str()),
        plugin: PluginRecord {
            name: Cow::Borrowed(lease.plugin.name.as_str()),
            version: Cow::Borrowed(&lease.plugin.version),
            digest: Cow::Borrowed(&lease.plugin.digest),
        },
        interface: lease.interface,
        created: lease.created,
        not_after: lease.not_after,
        claims: Cow::Borrowed(&lease.kept.claims),
        parameters: Cow::Borrowed(&lease.kept.parameters),
        state: StateRecord::from(&lease.state),
        last_words: lease.last_words.as_deref().map(Cow::Borrowed),
    };
    encode(&record)
}

/// The lease of that id.
pub(super) fn decode_lease(id: LeaseId, plain: &[u8]) -> Result<Lease, Unreadable> {
    let record: LeaseRecord<'_> = decode(plain)?;
    Ok(Lease {
        id,
        owner: Subject { issuer: record.issuer.into_owned(), subject: record.subject.into_owned() },
        provider: ProviderId::parse(&record.provider).map_err(unreadable)?,
        service: ServiceId::parse(&record.service).map_err(unreadable)?,
        plugin: PluginIdentity {
            name: PluginName::parse(&record.plugin.name).map_err(unreadable)?,
            version: record.plugin.version.into_owned(),
            digest: record.plugin.digest.into_owned(),
        },
        interface: record.interface,
        created: record.created,
        not_after: record.not_after,
        kept: Kept {
            claims: record.claims.into_owned(),
            parameters: record.parameters.into_owned(),
        },
        state: record.state.try_into()?,
        last_words: record.last_words.map(Cow::into_owned),
    })
}

/// A version byte and the JSON of `record`.
pub(super) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, Unreadable> {
    let mut plain = Vec::with_capacity(768);
    plain.push(VERSION);
    serde_json::to_writer(&mut plain, record).map_err(unreadable)?;
    Ok(plain)
}

/// The JSON of what [`encode`] wrote; `None` when it is of a format that this version does not
/// know.
pub(super) fn json(plain: &[u8]) -> Option<&[u8]> {
    plain.strip_prefix(&[VERSION])
}

/// Decodes the bytes of [`encode`].
pub(super) fn decode<'a, T: Deserialize<'a>>(plain: &'a [u8]) -> Result<T, Unreadable> {
    match plain.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(unreadable),
        Some((version, _)) => {
            Err(unreadable(format!("its format {version} is not known to this version")))
        }
        None => Err(unreadable("it is empty")),
    }
}

impl<'a> From<&'a State> for StateRecord<'a> {
    fn from(state: &'a State) -> Self {
        match state {
            State::Pending { deadline, doomed } => {
                Self::Pending { until: *deadline, doomed: *doomed }
            }
            State::Active(made) => Self::Active(made.into()),
            State::Revoking(Revoking { cause, since, failures, due, claim }) => Self::Revoking {
                cause: cause.into(),
                since: *since,
                failures: *failures,
                due: *due,
                claimed_until: claim.map(|claim| claim.until),
                claimed_by: claim.map(|claim| claim.by),
            },
            State::Parked(Parked { cause, reason, since }) => {
                Self::Parked { cause: cause.into(), why: reason.into(), since: *since }
            }
            State::Ended { how, at } => Self::Ended { how: (*how).into(), at: *at },
        }
    }
}

impl TryFrom<StateRecord<'_>> for State {
    type Error = Unreadable;
    fn try_from(record: StateRecord<'_>) -> Result<Self, Unreadable> {
        Ok(match record {
            StateRecord::Pending { until, doomed } => Self::Pending { deadline: until, doomed },
            StateRecord::Active(made) => Self::Active(made.try_into()?),
            StateRecord::Revoking { cause, since, failures, due, claimed_until, claimed_by } => {
                let by = claimed_by.unwrap_or(Boot::UNKNOWN);
                Self::Revoking(Revoking {
                    cause: cause.try_into()?,
                    since,
                    failures,
                    due,
                    claim: claimed_until.map(|until| Claim { until, by }),
                })
            }
            StateRecord::Parked { cause, why, since } => {
                Self::Parked(Parked { cause: cause.try_into()?, reason: why.into(), since })
            }
            StateRecord::Ended { how, at } => Self::Ended { how: how.into(), at },
        })
    }
}

impl From<&Made> for MadeRecord {
    fn from(made: &Made) -> Self {
        Self {
            state: STANDARD_NO_PAD.encode(&made.state),
            ends: made.ends,
            with_secret: made.with_secret,
        }
    }
}

impl TryFrom<MadeRecord> for Made {
    type Error = Unreadable;
    fn try_from(record: MadeRecord) -> Result<Self, Unreadable> {
        let state = STANDARD_NO_PAD.decode(record.state).map_err(unreadable)?;
        let state =
            String::from_utf8(state).map_err(|_| unreadable("a plugin's state is no text"))?;
        Ok(Self { state, ends: record.ends, with_secret: record.with_secret })
    }
}

impl From<&Cause> for CauseRecord {
    fn from(cause: &Cause) -> Self {
        match cause {
            Cause::CutShort { deadline, first_ok } => {
                Self::CutShort { until: *deadline, ok: *first_ok }
            }
            Cause::Unwanted(made) => Self::Unwanted(made.into()),
            Cause::User(made) => Self::User(made.into()),
            Cause::Limit(made) => Self::Limit(made.into()),
        }
    }
}

impl TryFrom<CauseRecord> for Cause {
    type Error = Unreadable;
    fn try_from(record: CauseRecord) -> Result<Self, Unreadable> {
        Ok(match record {
            CauseRecord::CutShort { until, ok } => Self::CutShort { deadline: until, first_ok: ok },
            CauseRecord::Unwanted(made) => Self::Unwanted(made.try_into()?),
            CauseRecord::User(made) => Self::User(made.try_into()?),
            CauseRecord::Limit(made) => Self::Limit(made.try_into()?),
        })
    }
}

impl<'a> From<&'a Reason> for ReasonRecord<'a> {
    fn from(reason: &'a Reason) -> Self {
        match reason {
            Reason::ServiceGone => Self::Gone,
            Reason::Refused(words) => Self::Refused(Cow::Borrowed(words)),
            Reason::TooManyFailures => Self::Failures,
        }
    }
}

impl From<ReasonRecord<'_>> for Reason {
    fn from(record: ReasonRecord<'_>) -> Self {
        match record {
            ReasonRecord::Gone => Self::ServiceGone,
            ReasonRecord::Refused(words) => Self::Refused(words.into_owned()),
            ReasonRecord::Failures => Self::TooManyFailures,
        }
    }
}

impl From<Ending> for EndingRecord {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Revoked => Self::Revoked,
            Ending::Expired => Self::Expired,
            Ending::Dropped => Self::Dropped,
        }
    }
}

impl From<EndingRecord> for Ending {
    fn from(record: EndingRecord) -> Self {
        match record {
            EndingRecord::Revoked => Self::Revoked,
            EndingRecord::Expired => Self::Expired,
            EndingRecord::Dropped => Self::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::lease::samples;

    #[test]
    fn every_state_comes_back_as_it_was() {
        for state in samples::states() {
            let lease = Lease { state, ..samples::lease() };
            let plain = encode_lease(&lease).unwrap();
            assert_eq!(decode_lease(lease.id, &plain).unwrap(), lease);
        }
    }

    #[test]
    fn the_largest_lease_stays_below_the_limit_of_a_value() {
        let made = Made {
            state: "\u{1}".repeat(crate::ports::plugins::MAX_STATE_BYTES),
            ends: None,
            with_secret: true,
        };
        let claims =
            [("sub".to_owned(), "x".repeat(crate::model::lease::MAX_KEPT_BYTES - 10).into())]
                .into_iter()
                .collect();
        let kept = Kept { claims, parameters: Vec::new() };
        assert!(kept.fits());
        let lease = Lease { kept, state: State::Active(made), ..samples::lease() };
        assert!(encode_lease(&lease).unwrap().len() < crate::ports::store::MAX_VALUE_BYTES / 2);
    }

    #[test]
    fn a_future_format_is_refused_in_words() {
        let error = decode_lease(samples::lease().id, &[9, b'{', b'}']).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a record cannot be read: its format 9 is not known to this version"
        );
        assert!(decode_lease(samples::lease().id, &[]).is_err());
        assert!(decode_lease(samples::lease().id, b"\x01{}").is_err());
    }

    /// The names in the record are a contract with data on disk: a renamed field has to fail here.
    #[test]
    fn last_words_are_kept_and_a_record_without_them_is_read() {
        let mut lease = samples::lease();
        let without = encode_lease(&lease).unwrap();
        assert_eq!(decode_lease(lease.id, &without).unwrap().last_words, None);
        lease.last_words = Some("no route to host".to_owned());
        let with = encode_lease(&lease).unwrap();
        assert_eq!(decode_lease(lease.id, &with).unwrap(), lease);
    }

    #[test]
    fn the_record_of_an_active_lease_is_this_one() {
        let plain = encode_lease(&samples::lease()).unwrap();
        let json = std::str::from_utf8(&plain[1..]).unwrap();
        assert_eq!(
            json,
            r#"{"iss":"https://op.example","sub":"alice","prov":"op","svc":"ssh","#.to_owned()
                + r#""plugin":{"n":"ssh-ca","v":"1.0.0","d":"abc"},"via":"rest","at":1000000,"lim":9000000,"#
                + r#""claims":{"sub":"alice"},"par":[["pub_key","ssh-ed25519 AAAA"]],"#
                + r#""state":{"active":{"s":"b2JqZWN0","end":5000000}}}"#
        );
    }
}
