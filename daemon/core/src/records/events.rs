//! Events on their way out: put into the store by the batch that they are about, as the JSON that the audit log will show.

use serde::Serialize;

use super::{Records, encoding, keys};
use crate::caller::{Interface, Subject};
use crate::error::Error;
use crate::ports::audit::{Actor, Event, Outcome, Target};
use crate::ports::random_16;
use crate::ports::store::Key;

#[derive(Serialize)]
struct EventRecord<'a> {
    at: u64,
    action: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    actor: ActorRecord<'a>,
    target: TargetRecord<'a>,
}

#[derive(Serialize)]
struct ActorRecord<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<Interface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

#[derive(Serialize)]
struct TargetRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    credential_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    fields: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<&'a str>,
}

impl Records {
    /// Where `event` goes in the store, and what goes there. Events of one millisecond have no order among each other.
    pub(super) fn outgoing(&self, event: &Event) -> Result<(Key, Vec<u8>), Error> {
        let key = keys::outgoing(event.at, random_16(&*self.entropy));
        let plain = encoding::encode(&EventRecord::from(event)).map_err(Error::internal)?;
        Ok((key, plain))
    }
}

impl<'a> From<&'a Event> for EventRecord<'a> {
    fn from(event: &'a Event) -> Self {
        let (outcome, reason) = match &event.outcome {
            Outcome::Done => ("done", None),
            Outcome::Refused(reason) => ("refused", Some(reason.as_str())),
            Outcome::Failed(reason) => ("failed", Some(reason.as_str())),
        };
        Self {
            at: event.at.as_millis(),
            action: event.action.as_str(),
            outcome,
            reason,
            note: event.note.as_deref(),
            actor: ActorRecord::from(event.actor.as_ref()),
            target: TargetRecord::from(&event.target),
        }
    }
}

impl<'a> From<Option<&'a Actor>> for ActorRecord<'a> {
    fn from(actor: Option<&'a Actor>) -> Self {
        let nobody =
            |kind| Self { kind, issuer: None, subject: None, interface: None, user: None, session: None };
        let named = |kind, subject: &'a Subject, interface| Self {
            issuer: Some(&subject.issuer),
            subject: Some(&subject.subject),
            interface: Some(interface),
            ..nobody(kind)
        };
        match actor {
            None => nobody("daemon"),
            Some(Actor::Operator) => nobody("operator"),
            Some(Actor::User(subject, interface)) => named("user", subject, *interface),
            Some(Actor::Member { subject, user, session }) => Self {
                user: Some(user.as_str()),
                session: Some(session.as_str()),
                ..named("user", subject, Interface::Vault)
            },
        }
    }
}

impl<'a> From<&'a Target> for TargetRecord<'a> {
    fn from(target: &'a Target) -> Self {
        Self {
            service: target.service.as_ref().map(|id| id.as_str()),
            lease: target.lease.map(|id| id.to_string()),
            issuer: target.subject.as_ref().map(|subject| subject.issuer.as_str()),
            subject: target.subject.as_ref().map(|subject| subject.subject.as_str()),
            provider: target.provider.as_ref().map(|id| id.as_str()),
            user: target.user.as_ref().map(|id| id.as_str()),
            company: target.company.as_ref().map(|id| id.as_str()),
            credential_type: target.credential_type.as_ref().map(|id| id.as_str()),
            credential: target.credential.as_ref().map(|id| id.as_str()),
            fields: &target.fields,
            asked: target.asked.as_deref(),
        }
    }
}
