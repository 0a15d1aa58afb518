//! The outbox of audit events: each is written in the batch of the change that it is about, as the
//! JSON that the audit log will show.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::Span;

use super::event_record::{decode_event, encode_event};
use super::{CommitError, Records, encoding, keys, malformed, next_of};
use crate::error::Error;
use crate::keyring::{Authenticator, decode_mac, encode_mac};
use crate::model::mark::Mark;
use crate::ports::audit::Event;
use crate::ports::random_16;
use crate::ports::store::{Expected, Key, MAX_BATCH_BYTES, MAX_BATCH_KEYS, Revision};

/// A batch of at least this many bytes takes no further event: an event is far smaller than the
/// room that is left.
const ENOUGH: usize = MAX_BATCH_BYTES / 2;

/// Events that leave the outbox in one batch, beside the record of where the log ends.
pub(crate) const AUDIT_BATCH: usize = MAX_BATCH_KEYS - 1;

const END: &str = "audit-end";

/// The entry for an event that cannot be read: the log shows that there was one.
const UNREADABLE: &[u8] =
    br#"{"action":"lose","outcome":"failed","reason":"the event cannot be read: it was changed in the store","actor":{"kind":"daemon"},"target":{}}"#;

/// An event that waits to be written to the audit log.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Its name in the outbox.
    pub(crate) id: String,
    /// The span of the request that caused it, if this process wrote the event: its echo in the
    /// log names the request.
    pub(crate) span: Span,
    /// Its JSON: an object.
    pub(crate) json: Vec<u8>,
}

impl Outgoing {
    /// The decoded event; `None` when it cannot be read.
    pub(crate) fn event(&self) -> Option<Event> {
        decode_event(&self.json)
    }
}

/// Events that wait for the audit log, as far as they were read.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// The oldest events.
    pub(crate) events: Vec<Outgoing>,
    /// The error of a malformed key, if one was passed over.
    pub(crate) strange: Option<Error>,
    /// There may be more.
    pub(crate) more: bool,
}

/// The end of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditEnd {
    /// The last line.
    pub(crate) mark: Mark,
    /// Where the last line ends in its file.
    pub(crate) bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct EndRecord<'a> {
    number: u64,
    mac: Cow<'a, str>,
    bytes: u64,
}

impl Records {
    /// Makes as many of `events` durable as one batch takes, from the first on; returns how many.
    ///
    /// # Errors
    /// `Internal` when the store fails. They may be durable then.
    pub(crate) async fn put_events(&self, events: &[(Event, Span)]) -> Result<usize, Error> {
        let mut writing = self.writing();
        let mut count = 0;
        for (event, span) in events.iter().take(MAX_BATCH_KEYS) {
            if count > 0 && writing.bytes() > ENOUGH {
                break;
            }
            writing.event_of(event, span).await?;
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

    /// The key that authenticates data for `purpose` outside the store.
    pub(crate) fn authenticator(&self, purpose: &str) -> Authenticator {
        self.keyring.authenticator(purpose)
    }

    /// The oldest events that the audit log does not have yet. Malformed keys among them are passed
    /// over: none are returned only when there are none.
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

    /// Whether the event of that `id` waits for the audit log.
    pub(crate) async fn is_outgoing(&self, id: &str) -> Result<bool, Error> {
        let Some(key) = keys::outgoing_named(id) else { return Ok(false) };
        Ok(self.store.get(&key).await.map_err(Error::internal)?.is_some())
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
        Outgoing { id, span: self.spans.of(key), json: json.unwrap_or_else(|| UNREADABLE.to_vec()) }
    }

    /// Where the audit log ends, and what a commit has to expect of the record that says so.
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

    /// Records where the log ends, and removes the events with these `ids`, which the log contains.
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
        writing.is_urgent();
        writing.expect(&key, expected);
        writing.put(&key, END, &plain).await?;
        ids.iter().filter_map(|id| keys::outgoing_named(id)).for_each(|key| writing.delete(key));
        let committed = writing.commit().await?;
        ids.iter()
            .filter_map(|id| keys::outgoing_named(id))
            .for_each(|key| self.spans.forget(&key));
        Ok(committed)
    }

    /// The key of `event` in the outbox, and its sealed value.
    pub(super) async fn sealed_event(
        &self,
        event: &Event,
        span: &Span,
    ) -> Result<(Key, Bytes), Error> {
        let (key, plain) = self.outgoing(event)?;
        self.spans.remember(&key, span);
        let sealed = self.keyring.seal(&key, super::EVENT, &plain).await?;
        Ok((key, sealed))
    }

    /// The key of `event` in the outbox, and its record. Events of the same millisecond are in
    /// order if one process wrote them.
    fn outgoing(&self, event: &Event) -> Result<(Key, Vec<u8>), Error> {
        let number = self.outgoing.fetch_add(1, Ordering::Relaxed);
        let key = keys::outgoing(event.at, number, random_16(&*self.entropy));
        let plain = encode_event(event).map_err(Error::internal)?;
        Ok((key, plain))
    }
}

#[cfg(test)]
impl Records {
    /// The events that wait for the audit log, one line each: action, fields, outcome, reason or
    /// note.
    pub(crate) async fn events_for_test(&self) -> Result<Vec<String>, Error> {
        let page = self.scan(&Key::new(keys::OUTBOX), None, 100_000).await?;
        let mut lines = Vec::new();
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
            lines.push((sealed.revision, line.trim_end().to_owned()));
        }
        lines.sort_by_key(|(revision, _)| *revision);
        Ok(lines.into_iter().map(|(_, line)| line).collect())
    }
}
