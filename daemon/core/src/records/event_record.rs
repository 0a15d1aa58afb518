//! An audit event as JSON: what the outbox keeps and a line of the log shows.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::encoding::{self, Unreadable};
use crate::caller::{Client, Interface, Subject};
use crate::ids::{
    CompanyId, CredentialId, InvalidId, LeaseId, ProviderId, ServiceId, SessionId, TypeId, UserId,
};
use crate::ports::audit::{Action, Actor, Event, Outcome, Target, Who};
use crate::text::short;
use crate::time::Timestamp;

#[derive(Serialize, Deserialize)]
struct EventRecord<'a> {
    at: Cow<'a, str>,
    action: Cow<'a, str>,
    outcome: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    reason: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    note: Option<Cow<'a, str>>,
    actor: ActorRecord<'a>,
    target: TargetRecord<'a>,
}

#[derive(Serialize, Deserialize)]
struct ActorRecord<'a> {
    kind: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    issuer: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    subject: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    interface: Option<Interface>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    user: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    session: Option<Cow<'a, str>>,
    /// The address of the client, which older events lack, like the two after it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    request: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    uid: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct TargetRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    service: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    lease: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    issuer: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    subject: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    provider: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    user: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    company: Option<Cow<'a, str>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    credential_type: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    credential: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", default)]
    fields: Cow<'a, [String]>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    asked: Option<Cow<'a, str>>,
}

/// The record of `event`, its texts shortened.
pub(super) fn encode_event(event: &Event) -> Result<Vec<u8>, Unreadable> {
    encoding::encode(&EventRecord::from(event))
}

/// The event that [`encode_event`] wrote, its texts as they were shortened; `None` for other JSON.
/// A line of the log, which has more fields, is fine.
pub(crate) fn decode_event(json: &[u8]) -> Option<Event> {
    let record: EventRecord<'_> = serde_json::from_slice(json).ok()?;
    let reason = || record.reason.as_deref().unwrap_or_default().to_owned();
    Some(Event {
        at: Timestamp::parse_rfc3339(&record.at)?,
        actor: record.actor.decode()?,
        action: Action::parse(&record.action)?,
        outcome: match &*record.outcome {
            "done" => Outcome::Done,
            "refused" => Outcome::Refused(reason()),
            "failed" => Outcome::Failed(reason()),
            _ => return None,
        },
        note: record.note.as_deref().map(ToOwned::to_owned),
        target: record.target.decode()?,
    })
}

impl ActorRecord<'_> {
    /// The actor; `Some(None)` for the daemon itself.
    fn decode(&self) -> Option<Option<Actor>> {
        let subject = || subject(self.issuer.as_deref(), self.subject.as_deref());
        let who = match (&*self.kind, &self.user, &self.session) {
            ("daemon", ..) => return Some(None),
            ("operator", ..) => Who::Operator,
            ("stranger", ..) => Who::Stranger(self.interface?),
            ("user", Some(user), Some(session)) => Who::Member {
                subject: subject()?,
                user: UserId::parse(user).ok()?,
                session: SessionId::parse(session).ok()?,
            },
            ("user", ..) => Who::User(subject()?, self.interface?),
            _ => return None,
        };
        let client = Client {
            address: self.address,
            request: self.request.as_deref().map(Into::into),
            uid: self.uid,
        };
        Some(Some(Actor { who, client }))
    }
}

impl TargetRecord<'_> {
    fn decode(self) -> Option<Target> {
        Some(Target {
            service: id(self.service.as_deref(), ServiceId::parse)?,
            lease: id(self.lease.as_deref(), LeaseId::parse)?,
            subject: subject(self.issuer.as_deref(), self.subject.as_deref()),
            provider: id(self.provider.as_deref(), ProviderId::parse)?,
            user: id(self.user.as_deref(), UserId::parse)?,
            company: id(self.company.as_deref(), CompanyId::parse)?,
            credential_type: id(self.credential_type.as_deref(), TypeId::parse)?,
            credential: id(self.credential.as_deref(), CredentialId::parse)?,
            fields: self.fields.into_owned(),
            asked: self.asked.map(Cow::into_owned),
        })
    }
}

fn subject(issuer: Option<&str>, subject: Option<&str>) -> Option<Subject> {
    Some(Subject { issuer: issuer?.to_owned(), subject: subject?.to_owned() })
}

/// `Some(None)` where there is no id, `None` where there is one that is malformed.
fn id<T>(text: Option<&str>, parse: fn(&str) -> Result<T, InvalidId>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => parse(text).ok().map(Some),
    }
}

impl<'a> From<&'a Event> for EventRecord<'a> {
    fn from(event: &'a Event) -> Self {
        let (outcome, reason) = match &event.outcome {
            Outcome::Done => ("done", None),
            Outcome::Refused(reason) => ("refused", Some(short(reason))),
            Outcome::Failed(reason) => ("failed", Some(short(reason))),
        };
        Self {
            at: event.at.rfc3339().to_string().into(),
            action: event.action.as_str().into(),
            outcome: outcome.into(),
            reason,
            note: event.note.as_deref().map(short),
            actor: ActorRecord::from(event.actor.as_ref()),
            target: TargetRecord::from(&event.target),
        }
    }
}

impl<'a> From<Option<&'a Actor>> for ActorRecord<'a> {
    fn from(actor: Option<&'a Actor>) -> Self {
        let unnamed = |kind: &'static str| Self {
            kind: kind.into(),
            issuer: None,
            subject: None,
            interface: None,
            user: None,
            session: None,
            address: None,
            request: None,
            uid: None,
        };
        let named = |kind, subject: &'a Subject, interface| Self {
            issuer: Some(subject.issuer.as_str().into()),
            subject: Some(subject.subject.as_str().into()),
            interface: Some(interface),
            ..unnamed(kind)
        };
        let Some(Actor { who, client }) = actor else { return unnamed("daemon") };
        let record = match who {
            Who::Operator => unnamed("operator"),
            Who::Stranger(interface) => Self { interface: Some(*interface), ..unnamed("stranger") },
            Who::User(subject, interface) => named("user", subject, *interface),
            Who::Member { subject, user, session } => Self {
                user: Some(user.as_str().into()),
                session: Some(session.as_str().into()),
                ..named("user", subject, Interface::Vault)
            },
        };
        Self {
            address: client.address,
            request: client.request.as_deref().map(short),
            uid: client.uid,
            ..record
        }
    }
}

impl<'a> From<&'a Target> for TargetRecord<'a> {
    fn from(target: &'a Target) -> Self {
        Self {
            service: target.service.as_ref().map(|id| id.as_str().into()),
            lease: target.lease.map(|id| id.to_string().into()),
            issuer: target.subject.as_ref().map(|subject| subject.issuer.as_str().into()),
            subject: target.subject.as_ref().map(|subject| subject.subject.as_str().into()),
            provider: target.provider.as_ref().map(|id| id.as_str().into()),
            user: target.user.as_ref().map(|id| id.as_str().into()),
            company: target.company.as_ref().map(|id| id.as_str().into()),
            credential_type: target.credential_type.as_ref().map(|id| id.as_str().into()),
            credential: target.credential.as_ref().map(|id| id.as_str().into()),
            fields: Cow::Borrowed(&target.fields),
            asked: target.asked.as_deref().map(short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_comes_back_as_it_was() {
        let alice = || Subject { issuer: "https://op".into(), subject: "alice".into() };
        let near = Client { address: None, request: Some("r1".into()), uid: Some(1000) };
        let far = Client {
            address: Some("2001:db8::1".parse().unwrap()),
            request: Some("r2".into()),
            uid: None,
        };
        let actors = [
            None,
            Some(Actor::operator(near)),
            Some(Actor::stranger(Interface::Vault, far.clone())),
            Some(Actor { who: Who::User(alice(), Interface::Rest), client: Client::default() }),
            Some(Actor {
                who: Who::Member {
                    subject: alice(),
                    user: UserId::from_random([1; 16]),
                    session: SessionId::from_random([2; 16]),
                },
                client: far,
            }),
        ];
        let outcomes =
            [Outcome::Done, Outcome::Refused("no".into()), Outcome::Failed("broke".into())];
        let full = Target {
            service: Some(ServiceId::parse("ssh").unwrap()),
            lease: Some(LeaseId::from_random([3; 16])),
            subject: Some(alice()),
            provider: Some(ProviderId::parse("op").unwrap()),
            user: Some(UserId::from_random([4; 16])),
            company: Some(CompanyId::from_random([5; 16])),
            credential_type: Some(TypeId::from_random([6; 16])),
            credential: Some(CredentialId::from_random([7; 16])),
            fields: vec!["password".into()],
            asked: Some("GET /".into()),
        };
        for (place, action) in Action::ALL.into_iter().enumerate() {
            let event = Event {
                at: Timestamp::from_millis(1_800_000_000_123),
                actor: actors[place % actors.len()].clone(),
                action,
                target: if place % 2 == 0 { full.clone() } else { Target::default() },
                note: (place % 3 == 0).then(|| "by the way".to_owned()),
                outcome: outcomes[place % outcomes.len()].clone(),
            };
            let plain = encode_event(&event).unwrap();
            let json = encoding::json(&plain).unwrap();
            assert_eq!(decode_event(json), Some(event));
        }
    }

    /// What the version before this one left in the outbox, and wrote into the log.
    #[test]
    fn an_event_without_a_client_is_still_read() {
        for (actor, who) in [
            (r#"{"kind":"operator"}"#, Who::Operator),
            (r#"{"kind":"stranger","interface":"vault"}"#, Who::Stranger(Interface::Vault)),
        ] {
            let json = format!(
                r#"{{"at":"2027-01-15T08:00:00.123Z","action":"operate","outcome":"done","actor":{actor},"target":{{"asked":"GET /ledger"}}}}"#
            );
            let event = decode_event(json.as_bytes()).unwrap();
            assert_eq!(event.actor, Some(Actor { who, client: Client::default() }));
            let again = encode_event(&event).unwrap();
            assert_eq!(encoding::json(&again).unwrap(), json.as_bytes(), "written as before");
        }
    }
}
