//! The spans of the requests that caused events, until the events are in the audit log. They are
//! kept in memory: a line of the daemon's log then names the request, as every other line of it.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use tracing::Span;

use crate::ports::store::Key;

/// Most spans that are kept. When the audit log cannot be written for long, the oldest go.
const MOST: usize = 8192;

/// Spans by the key of their event in the outbox.
#[derive(Default)]
pub(super) struct Spans(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_key: HashMap<Key, Span>,
    /// Oldest first.
    keys: VecDeque<Key>,
}

impl Spans {
    /// Keeps `span` for the event at `key`.
    pub(super) fn remember(&self, key: &Key, span: &Span) {
        if span.is_none() {
            return;
        }
        let mut kept = self.0.lock();
        if kept.keys.len() == MOST
            && let Some(oldest) = kept.keys.pop_front()
        {
            kept.by_key.remove(&oldest);
        }
        kept.keys.push_back(key.clone());
        kept.by_key.insert(key.clone(), span.clone());
    }

    /// The span of the event at `key`, or none.
    pub(super) fn of(&self, key: &Key) -> Span {
        self.0.lock().by_key.get(key).cloned().unwrap_or_else(Span::none)
    }

    /// Lets go of the span of the event at `key`.
    pub(super) fn forget(&self, key: &Key) {
        let Kept { by_key, keys } = &mut *self.0.lock();
        by_key.remove(key);
        // Events leave nearly in the order in which they came.
        while keys.front().is_some_and(|oldest| !by_key.contains_key(oldest)) {
            keys.pop_front();
        }
    }
}
