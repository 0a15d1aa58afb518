//! Events on their way out: put into the store by the batch that they are about, as the JSON that
//! the audit log will show.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{CommitError, Records, encoding, keys, malformed, next_of};
use crate::caller::{Interface, Subject};
use crate::error::Error;
use crate::keyring::{Authenticator, decode_mac, encode_mac};
use crate::model::mark::Mark;
use crate::ports::audit::{Actor, Event, Outcome, Target};
use crate::ports::random_16;
use crate::ports::store::{Expected, Key, MAX_BATCH_BYTES, MAX_BATCH_KEYS, Revision};
use crate::text::short;

/// With so many bytes in it, a batch takes no further event: one is far smaller than what is left.
const ENOUGH: usize = MAX_BATCH_BYTES / 2;

/// Events that leave the outbox in one batch, beside the record of where the log ends.
pub(crate) const AUDIT_BATCH: usize = MAX_BATCH_KEYS - 1;

const END: &str = "audit-end";

/// What stands for an event that cannot be read: that there was one is not kept back.
const UNREADABLE: &[u8] =
    br#"{"action":"lose","outcome":"failed","reason":"the event cannot be read: it was changed in the store","actor":{"kind":"daemon"},"target":{}}"#;

/// An event that waits to be written to the audit log.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// What it is called.
    pub(crate) id: String,
    /// What is told: an object.
    pub(crate) json: Vec<u8>,
}

/// What waits for the audit log, as far as it was looked at.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// The oldest events.
    pub(crate) events: Vec<Outgoing>,
    /// What is wrong with a key that nobody wrote, where one was passed over.
    pub(crate) strange: Option<Error>,
    /// There may be more.
    pub(crate) more: bool,
}

/// Where the audit log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditEnd {
    /// The last line.
    pub(crate) mark: Mark,
    /// Where it ends in the file that it stands in.
    pub(crate) bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct EndRecord<'a> {
    number: u64,
    mac: Cow<'a, str>,
    bytes: u64,
}

#[derive(Serialize)]
struct EventRecord<'a> {
    at: String,
    action: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Cow<'a, str>>,
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
    asked: Option<Cow<'a, str>>,
}

impl Records {
    /// Makes as many of `events` durable as one batch takes, from the first; tells how many.
    ///
    /// # Errors
    /// `Internal` when the store fails. They may be durable then.
    pub(crate) async fn put_events(&self, events: &[Event]) -> Result<usize, Error> {
        let mut writing = self.writing();
        let mut count = 0;
        for event in events.iter().take(MAX_BATCH_KEYS) {
            if count > 0 && writing.bytes() > ENOUGH {
                break;
            }
            writing.event(event).await?;
            count += 1;
        }
        match writing.commit().await {
            Ok(_) => Ok(count),
            Err(CommitError::Conflict) => {
                Err(Error::internal("a batch that expects nothing conflicted"))
            }
            Err(CommitError::Failed(error)) => Err(error),
        }
    }

    /// What signs for `purpose` outside the store.
    pub(crate) fn authenticator(&self, purpose: &str) -> Authenticator {
        self.keyring.authenticator(purpose)
    }

    /// The oldest events that the audit log does not have yet: none only when there are none,
    /// whatever else stands among them.
    pub(crate) async fn outgoing_events(&self, most: usize) -> Result<Outbox, Error> {
        let (mut outbox, mut after) = (Outbox::default(), None);
        while outbox.events.len() < most {
            let page =
                self.scan(&Key::new(keys::OUTBOX), after.as_ref(), most.max(AUDIT_BATCH)).await?;
            for (key, sealed) in &page.entries {
                let Some(id) = keys::outgoing_name(key) else {
                    outbox.strange = Some(malformed(key));
                    continue;
                };
                if outbox.events.len() < most {
                    outbox.events.push(self.outgoing_event(id, key, &sealed.value));
                }
            }
            after = next_of(page);
            outbox.more = after.is_some();
            if !outbox.more {
                break;
            }
        }
        Ok(outbox)
    }

    /// The event of that `id`, which waits at `key`.
    fn outgoing_event(&self, id: String, key: &Key, sealed: &[u8]) -> Outgoing {
        let plain = self.keyring.open(key, super::EVENT, sealed);
        let json = plain.ok().and_then(|plain| encoding::json(&plain).map(ToOwned::to_owned));
        if json.is_none() {
            tracing::error!(
                event = id,
                "an event for the audit log was changed in the store and cannot be read"
            );
        }
        Outgoing { id, json: json.unwrap_or_else(|| UNREADABLE.to_vec()) }
    }

    /// Where the audit log ends, and what to expect of the record that says so.
    pub(crate) async fn audit_end(&self) -> Result<(AuditEnd, Expected), Error> {
        let Some((plain, revision)) = self.get(&keys::audit_end(), END).await? else {
            return Ok((AuditEnd { mark: Mark::START, bytes: 0 }, Expected::Absent));
        };
        let record: EndRecord<'_> = encoding::decode(&plain).map_err(Error::internal)?;
        let unreadable =
            || Error::internal("the record of the end of the audit log cannot be read");
        let mac = decode_mac(record.mac.as_bytes()).ok_or_else(unreadable)?;
        let end = AuditEnd { mark: Mark { number: record.number, mac }, bytes: record.bytes };
        Ok((end, Expected::At(revision)))
    }

    /// Remembers where the log ends, and forgets the events of that `ids`, which are in it.
    pub(crate) async fn put_audit_end(
        &self,
        expected: Expected,
        end: &AuditEnd,
        ids: &[String],
    ) -> Result<Revision, CommitError> {
        let key = keys::audit_end();
        let mac = Cow::Owned(encode_mac(&end.mark.mac));
        let record = EndRecord { number: end.mark.number, mac, bytes: end.bytes };
        let plain = encoding::encode(&record).map_err(Error::internal)?;
        let mut writing = self.writing();
        writing.expect(&key, expected);
        writing.put(&key, END, &plain).await?;
        ids.iter().filter_map(|id| keys::outgoing_named(id)).for_each(|key| writing.delete(key));
        writing.commit().await
    }

    /// Where `event` goes in the store, and the sealed value that goes there.
    pub(super) async fn sealed_event(&self, event: &Event) -> Result<(Key, Bytes), Error> {
        let (key, plain) = self.outgoing(event)?;
        let sealed = self.keyring.seal(&key, super::EVENT, &plain).await?;
        Ok((key, sealed))
    }

    /// Where `event` goes in the store, and what goes there. Of events of one millisecond, those of
    /// one process are in order.
    fn outgoing(&self, event: &Event) -> Result<(Key, Vec<u8>), Error> {
        let number = self.outgoing.fetch_add(1, Ordering::Relaxed);
        let key = keys::outgoing(event.at, number, random_16(&*self.entropy));
        let plain = encoding::encode(&EventRecord::from(event)).map_err(Error::internal)?;
        Ok((key, plain))
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
            at: event.at.rfc3339().to_string(),
            action: event.action.as_str(),
            outcome,
            reason,
            note: event.note.as_deref().map(short),
            actor: ActorRecord::from(event.actor.as_ref()),
            target: TargetRecord::from(&event.target),
        }
    }
}

impl<'a> From<Option<&'a Actor>> for ActorRecord<'a> {
    fn from(actor: Option<&'a Actor>) -> Self {
        let nobody = |kind| Self {
            kind,
            issuer: None,
            subject: None,
            interface: None,
            user: None,
            session: None,
        };
        let named = |kind, subject: &'a Subject, interface| Self {
            issuer: Some(&subject.issuer),
            subject: Some(&subject.subject),
            interface: Some(interface),
            ..nobody(kind)
        };
        match actor {
            None => nobody("daemon"),
            Some(Actor::Operator) => nobody("operator"),
            Some(Actor::Stranger(interface)) => {
                Self { interface: Some(*interface), ..nobody("stranger") }
            }
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
            asked: target.asked.as_deref().map(short),
        }
    }
}

#[cfg(test)]
impl Records {
    /// What waits for the audit log, in words: action, fields, outcome, reason or note.
    pub(crate) async fn events_for_test(&self) -> Result<Vec<String>, Error> {
        let page = self.scan(&Key::new(keys::OUTBOX), None, 100_000).await?;
        let mut told = Vec::new();
        for (key, sealed) in page.entries {
            let plain = self.keyring.open(&key, super::EVENT, &sealed.value)?;
            let event: serde_json::Value = encoding::decode(&plain).map_err(Error::internal)?;
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let fields: Vec<String> = event["target"]["fields"]
                .as_array()
                .map(|all| all.iter().map(text).collect())
                .unwrap_or_default();
            let words = [text(&event["reason"]), text(&event["note"])].concat();
            let line = format!(
                "{} [{}] {} {words}",
                text(&event["action"]),
                fields.join(","),
                text(&event["outcome"])
            );
            told.push((sealed.revision, line.trim_end().to_owned()));
        }
        told.sort_by_key(|(revision, _)| *revision);
        Ok(told.into_iter().map(|(_, line)| line).collect())
    }
}
