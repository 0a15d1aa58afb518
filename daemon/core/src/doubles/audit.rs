//! An audit sink that remembers.

use std::sync::Mutex;

use super::lock;
use crate::ports::audit::{Action, AuditSink, Event};

/// Keeps every event in order.
#[derive(Debug, Default)]
pub struct RecordingAudit {
    events: Mutex<Vec<Event>>,
}

impl RecordingAudit {
    /// Nothing happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What happened so far.
    pub fn events(&self) -> Vec<Event> {
        lock(&self.events).clone()
    }

    /// What was done so far, without who, when and how.
    pub fn actions(&self) -> Vec<Action> {
        lock(&self.events).iter().map(|event| event.action).collect()
    }

    /// What happened so far, which is forgotten then.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.events))
    }
}

impl AuditSink for RecordingAudit {
    fn record(&self, event: Event) {
        lock(&self.events).push(event);
    }
}
