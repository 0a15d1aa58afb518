//! What is told to whoever answers for the daemon, on its way.
//!
//! An event goes one of three ways. With a change: in the very batch of the change, see `records`
//! and `Leases::advance`. Without one, but before an answer that must not leave unless it is known
//! who got it (a reveal): `Leases::attest`. Without one, and nobody waits (a refusal): `Leases::note`.
//! All three end in the store's outbox, from which [`AuditLog`] writes them to the log: `line` is
//! the form of a line, [`Verifier`] finds out whether a log is as it was written.
//!
//! Never here: a secret. An event has no field for one.

mod line;
mod notes;
mod outbox;
#[cfg(test)]
mod tests;
mod verify;

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::error::Error;
use crate::leases::Leases;
use crate::ports::audit::{Event, Outcome};
use crate::text::short;
use notes::Notes;
pub use outbox::{AuditLog, check_of};
pub use verify::{Check, Verdict, Verifier};

/// Most events in one batch of notes.
const NOTES_AT_ONCE: usize = 50;
/// Most events of strangers in one batch, and how often a batch has any: they can cause a few a
/// second, however many they send.
const STRANGERS_AT_ONCE: usize = 5;
const STRANGERS_EVERY: Duration = Duration::from_secs(1);
/// How long notes gather.
const GATHER: Duration = Duration::from_millis(100);
/// How long to wait when the store fails.
const PAUSE: Duration = Duration::from_secs(1);
/// What the audit of a daemon needs.
#[derive(Default)]
pub(crate) struct Audit {
    notes: Notes,
}

impl Leases {
    /// Tells of something that changed nothing: a refusal, a failed sign-in. Costs the caller
    /// nothing and never fails. When too many come at once, they are counted and the count is told.
    pub(crate) fn note(&self, event: Event) {
        self.audit_trail.notes.add(event);
    }

    /// Makes `event` durable: for what must not happen unless it is told. It is in the log in the
    /// end, whatever happens to the daemon from here on.
    ///
    /// # Errors
    /// `Internal` when the store fails: then do not do it.
    pub(crate) async fn attest(&self, event: &Event) -> Result<(), Error> {
        self.ledger.records.put_events(std::slice::from_ref(event)).await.map(|_| ())
    }

    /// Writes notes until the daemon ends.
    pub(crate) async fn keep_audit(self: Arc<Self>) {
        let mut stopping = self.sweeper.stopping();
        let mut strangers_from = Duration::ZERO;
        while !*stopping.borrow_and_update() {
            let arrived = pin!(self.audit_trail.notes.arrived());
            if let Either::Right((Err(_), _)) = select(arrived, pin!(stopping.changed())).await {
                return;
            }
            self.clock.sleep(GATHER).await;
            let now = self.clock.monotonic();
            let mut strangers = 0;
            if now >= strangers_from {
                (strangers, strangers_from) = (STRANGERS_AT_ONCE, now + STRANGERS_EVERY);
            }
            if let Err(error) = self.write_notes(strangers).await {
                tracing::error!(%error, cause = error.cause(), "events for the audit log wait: the store does not take them");
                self.clock.sleep(PAUSE).await;
            }
        }
    }

    /// Makes everything durable that was noted so far.
    ///
    /// # Errors
    /// `Internal` when the store fails. Nothing is lost then.
    pub async fn finish_audit(&self) -> Result<(), Error> {
        while self.write_notes(NOTES_AT_ONCE).await? {}
        Ok(())
    }

    /// Commits a batch of what was noted, with at most so many events of `strangers`; tells whether
    /// there is more.
    async fn write_notes(&self, strangers: usize) -> Result<bool, Error> {
        let notes = &self.audit_trail.notes;
        let batch = notes.take(NOTES_AT_ONCE, strangers, self.clock.now());
        let written = match batch.events.as_slice() {
            [] => Ok(0),
            events => self.ledger.records.put_events(events).await,
        };
        notes.put_back(batch, written.as_ref().map_or(0, |count| *count));
        written?;
        Ok(notes.is_waiting())
    }
}

impl Event {
    /// With texts that a stranger cannot make long.
    fn shortened(mut self) -> Self {
        let texts = [&mut self.note, &mut self.target.asked];
        let outcome = match &mut self.outcome {
            Outcome::Done => None,
            Outcome::Refused(text) | Outcome::Failed(text) => Some(text),
        };
        for text in texts.into_iter().flatten().chain(outcome) {
            if let Cow::Owned(shorter) = short(text) {
                *text = shorter;
            }
        }
        self
    }
}
