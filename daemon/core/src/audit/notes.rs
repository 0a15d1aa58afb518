//! Events that no change of the store goes with (a refusal, a failed sign-in), on their way to the outbox.
//!
//! Whoever notes one does not wait, since strangers can cause as many as they like: what finds no room is counted instead, and the
//! count becomes an event of its own. So they can fill neither memory nor the disk at the pace of their requests.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::ports::audit::{Action, Event, Outcome, Target};
use crate::time::Timestamp;

/// Most events that wait. Their texts are short: a few megabytes at worst.
pub(super) const ROOM: usize = 2048;

/// Events that wait for being written.
#[derive(Default)]
pub(super) struct Notes {
    waiting: Mutex<Waiting>,
    /// There is something to write.
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// What found no room since this was told last.
    dropped: u64,
}

impl Waiting {
    fn is_any(&self) -> bool {
        !self.events.is_empty() || self.dropped > 0
    }
}

impl Notes {
    /// Takes `event` if there is room, and counts it if not.
    pub(super) fn add(&self, event: Event) {
        let mut waiting = self.lock();
        if waiting.events.len() < ROOM {
            waiting.events.push_back(event.shortened());
        } else {
            waiting.dropped = waiting.dropped.saturating_add(1);
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Waits until something was added since the last wait.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// At most `most` events, oldest first. Where some found no room before, one of them says so.
    pub(super) fn take(&self, most: usize, now: Timestamp) -> Vec<Event> {
        let mut waiting = self.lock();
        let dropped = mem::take(&mut waiting.dropped);
        let mut events = Vec::new();
        if dropped > 0 {
            events.push(lost(dropped, now));
        }
        let count = most.saturating_sub(events.len()).min(waiting.events.len());
        events.extend(waiting.events.drain(..count));
        events
    }

    /// Takes back what was not written, in its order.
    pub(super) fn put_back(&self, events: Vec<Event>) {
        let mut waiting = self.lock();
        for event in events.into_iter().rev() {
            waiting.events.push_front(event);
        }
        if waiting.is_any() {
            self.arrived.notify_one();
        }
    }

    /// Whether there is anything to write.
    pub(super) fn is_waiting(&self) -> bool {
        self.lock().is_any()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost(count: u64, at: Timestamp) -> Event {
    let note = format!("{count} events found no room and are not in this log");
    let (action, outcome) = (Action::Lose, Outcome::Failed("too many at once".to_owned()));
    Event { at, actor: None, action, target: Target::default(), note: Some(note), outcome }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize) -> Event {
        let at = Timestamp::from_secs(number as u64);
        let outcome = Outcome::Refused("no".into());
        Event { at, actor: None, action: Action::Refuse, target: Target::default(), note: None, outcome }
    }

    fn times(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.at.as_secs()).collect()
    }

    /// Attack: a million refusals, to fill memory.
    #[test]
    fn what_finds_no_room_is_counted_and_told_once() {
        let notes = Notes::default();
        for number in 0..1_000_000 {
            notes.add(event(number));
        }
        assert_eq!(notes.lock().events.len(), ROOM);
        let first = notes.take(3, Timestamp::from_secs(9));
        assert_eq!(first[0].action, Action::Lose);
        let count = 1_000_000 - ROOM;
        assert_eq!(
            first[0].note.as_deref(),
            Some(&*format!("{count} events found no room and are not in this log"))
        );
        assert_eq!(times(&first[1..]), [0, 1]);
        let rest = notes.take(ROOM, Timestamp::from_secs(9));
        assert_eq!(rest.len(), ROOM - 2);
        assert!(rest.iter().all(|event| event.action == Action::Refuse), "told once");
    }

    #[test]
    fn what_is_put_back_keeps_its_place() {
        let notes = Notes::default();
        (0..4).for_each(|number| notes.add(event(number)));
        let taken = notes.take(2, Timestamp::from_secs(9));
        notes.put_back(taken);
        assert_eq!(times(&notes.take(9, Timestamp::from_secs(9))), [0, 1, 2, 3]);
    }

    /// Attack: few refusals with much text in each.
    #[test]
    fn texts_of_strangers_are_cut() {
        let notes = Notes::default();
        let asked = Some("€".repeat(1_000_000));
        notes.add(Event { target: Target { asked, ..Target::default() }, ..event(1) });
        let taken = notes.take(1, Timestamp::from_secs(9));
        let asked = taken[0].target.asked.as_deref().unwrap();
        assert!(asked.len() <= 1000 && asked.ends_with("€…"), "{} bytes", asked.len());
    }
}
