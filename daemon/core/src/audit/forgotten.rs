//! What the audit log knows and the store has forgotten, where the store is an older one.
//!
//! Lines count only as far as their codes are right. Which of them are made true again is decided
//! by the lease half (`leases::accept`).
//!
//! Never here: a change of the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::line::Line;
use super::outbox::PURPOSE;
use crate::caller::Subject;
use crate::error::Error;
use crate::ground::Ground;
use crate::ids::LeaseId;
use crate::keyring::Authenticator;
use crate::model::mark::Mark;
use crate::ports::audit::{Action, Event, Outcome};
use crate::records::decode_event;

/// Collects lines of the log that come after the last one that the store knows.
pub struct Forgotten {
    key: Authenticator,
    /// The last line that the store knows of.
    pub known: u64,
    /// Lines of the log, or what passes for them, that are not authentic. They count for nothing.
    pub foreign: u64,
    /// Lines that are missing between those that were read.
    pub missing: u64,
    /// How many lines there are, by the name of their action.
    pub actions: BTreeMap<&'static str, u64>,
    /// The last line.
    pub(crate) last: Option<Mark>,
    /// Ids of the events of these lines.
    pub(crate) ids: Vec<String>,
    /// Subjects that were suspended, or whose suspension was lifted, as it was at last.
    pub(crate) suspensions: Vec<(Subject, bool)>,
    /// Leases that were revoked.
    pub(crate) revoked: Vec<LeaseId>,
}

impl Forgotten {
    /// Nothing was read yet; lines count from the end of the log on that the store knows.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn since_end_of(ground: &Arc<Ground>) -> Result<Self, Error> {
        let (end, _) = ground.records.audit_end().await?;
        Ok(Self {
            key: ground.records.authenticator(PURPOSE),
            known: end.mark.number,
            foreign: 0,
            missing: 0,
            actions: BTreeMap::new(),
            last: None,
            ids: Vec::new(),
            suspensions: Vec::new(),
            revoked: Vec::new(),
        })
    }

    /// Reads a line, without its end. Lines come in their order, oldest first; one that was read
    /// before is passed over. Returns whether it is authentic.
    pub fn read(&mut self, text: &[u8]) -> bool {
        let line = Line::read(text).filter(|line| line.is_authentic(&self.key));
        let Some(line) = line else {
            self.foreign += 1;
            return false;
        };
        let before = self.last.map_or(self.known, |last| last.number);
        if line.mark.number <= before {
            return true;
        }
        self.missing += line.mark.number - before - 1;
        self.last = Some(line.mark);
        self.ids.push(line.id);
        match decode_event(text) {
            Some(event) => self.keep(event),
            None => *self.actions.entry("unknown").or_default() += 1,
        }
        true
    }

    /// The number of the last line.
    pub fn written(&self) -> Option<u64> {
        self.last.map(|last| last.number)
    }

    /// How many suspensions, lifted ones among them, and how many revocations there are.
    pub fn to_apply(&self) -> (usize, usize) {
        (self.suspensions.len(), self.revoked.len())
    }

    fn keep(&mut self, event: Event) {
        *self.actions.entry(event.action.as_str()).or_default() += 1;
        if event.outcome != Outcome::Done {
            return;
        }
        match (event.action, event.target.subject, event.target.lease) {
            (Action::Suspend | Action::Resume, Some(subject), _) => {
                self.suspensions.retain(|(other, _)| *other != subject);
                self.suspensions.push((subject, event.action == Action::Suspend));
            }
            (Action::Revoke, _, Some(lease)) => self.revoked.push(lease),
            _ => {}
        }
    }
}
