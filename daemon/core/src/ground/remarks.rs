//! Audit events that no change of the store goes with (a refusal, a failed sign-in), on their way
//! to the outbox.
//!
//! The caller of [`Ground::remark`] does not wait, since strangers can cause any number of events:
//! an event that finds no room is counted instead, and the count becomes an event of its own. So
//! strangers can fill neither memory nor the disk at the pace of their requests, nor take the room
//! of authenticated callers: these have a queue of their own, which goes first. Of these, in turn,
//! each has a share (`noted`).

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::net::IpAddr;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tracing::Span;

use super::Ground;
use super::noted::{Noted, Verdict};
use crate::address::Address;
use crate::error::Error;
use crate::ports::audit::{Action, Event, Outcome, Target, Who};
use crate::text::short;
use crate::time::Timestamp;

/// Most remarks in one batch.
const REMARKS_AT_ONCE: usize = 50;
/// Most events that wait, of authenticated callers and of the daemon itself. Their texts are short:
/// a few megabytes at worst.
const ROOM: usize = 2048;
/// Most events of strangers that wait.
pub(crate) const ROOM_OF_STRANGERS: usize = 256;

/// Most events of strangers of one address in a minute; the others are counted.
const OF_ONE_ADDRESS: u32 = 20;
/// Most addresses whose refusals are counted separately in a minute.
const MOST_NETWORKS: usize = 4096;

/// An event, and the span of the request that caused it.
type Remark = (Event, Span);

/// Events that wait for being written.
#[derive(Default)]
pub(super) struct Remarks {
    waiting: Mutex<Waiting>,
    /// There is something to write.
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    known: Queue,
    strangers: Queue,
    noted: Noted,
    by_address: ByAddress,
}

/// Events of strangers in this minute, by the network that they came from.
#[derive(Default)]
struct ByAddress {
    minute: u64,
    counts: HashMap<Address, u32>,
}

impl ByAddress {
    /// Counts one event. Returns whether its network may have one more in this minute: else one
    /// client takes the room of all other strangers.
    fn admits(&mut self, address: Option<IpAddr>, at: Timestamp) -> bool {
        let Some(address) = address.map(Address::from) else { return true };
        let minute = at.as_secs() / 60;
        if self.minute != minute {
            *self = Self { minute, counts: HashMap::new() };
        }
        if self.counts.len() >= MOST_NETWORKS && !self.counts.contains_key(&address) {
            return false;
        }
        let count = self.counts.entry(address).or_default();
        *count = count.saturating_add(1);
        *count <= OF_ONE_ADDRESS
    }
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Remark>,
    /// Events that found no room since the last event that counts them.
    dropped: u64,
}

/// Events that were taken to be written.
pub(super) struct Batch {
    /// All of them.
    pub(super) events: Vec<Remark>,
    /// How many of them, from the first, are not of strangers.
    known: usize,
}

impl Waiting {
    fn is_any(&self) -> bool {
        self.known.is_any() || self.strangers.is_any()
    }
}

impl Queue {
    fn is_any(&self) -> bool {
        !self.events.is_empty() || self.dropped > 0
    }

    fn add(&mut self, event: Event, room: usize) {
        if self.events.len() < room {
            self.events.push_back((event.shortened(), Span::current()));
        } else {
            self.drop_one();
        }
    }

    fn drop_one(&mut self) {
        self.dropped = self.dropped.saturating_add(1);
    }

    /// At most `most` events, oldest first. Where some found no room before, the first one, which
    /// `lost` makes, counts them.
    fn take(&mut self, most: usize, lost: impl FnOnce(u64) -> Event) -> Vec<Remark> {
        // An event that counts them and was put back goes first: as long as nothing can be written,
        // no second one is made.
        let is_counted = self.events.front().is_some_and(|(event, _)| event.action == Action::Lose);
        let mut events = Vec::new();
        if most > 0 && self.dropped > 0 && !is_counted {
            events.push((lost(mem::take(&mut self.dropped)), Span::none()));
        }
        let count = most.saturating_sub(events.len()).min(self.events.len());
        events.extend(self.events.drain(..count));
        events
    }

    fn put_back(&mut self, events: impl DoubleEndedIterator<Item = Remark>) {
        events.rev().for_each(|event| self.events.push_front(event));
    }
}

impl Remarks {
    /// Takes `event` if there is room, and counts it if not.
    pub(super) fn add(&self, event: Event) {
        let mut waiting = self.lock();
        match event.actor.as_ref().map(|actor| &actor.who) {
            Some(Who::Stranger(_)) => {
                let address = event.actor.as_ref().and_then(|actor| actor.client.address);
                if waiting.by_address.admits(address, event.at) {
                    waiting.strangers.add(event, ROOM_OF_STRANGERS);
                } else {
                    waiting.strangers.drop_one();
                }
            }
            Some(Who::Member { .. } | Who::User(..) | Who::Operator) | None => {
                match waiting.noted.judge(&event) {
                    Verdict::Noted => waiting.known.add(event, ROOM),
                    Verdict::Last(said) => waiting.known.add(*said, ROOM),
                    Verdict::Not => return,
                    Verdict::Uncounted => {
                        // The next batch says how many. They cause none, or else a flood of them
                        // would fill the log with counts.
                        waiting.known.drop_one();
                        return;
                    }
                }
            }
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Waits until something was added since the last wait, or waits still.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// At most `most` events, those of strangers last, and at most `strangers` of them; oldest
    /// first.
    pub(super) fn take(&self, most: usize, strangers: usize, now: Timestamp) -> Batch {
        let mut waiting = self.lock();
        let mut events = waiting.known.take(most, |count| lost(count, "events", now));
        let known = events.len();
        let strangers = strangers.min(most.saturating_sub(known));
        events.extend(
            waiting.strangers.take(strangers, |count| lost(count, "events of strangers", now)),
        );
        Batch { events, known }
    }

    /// Takes back what was not written of `batch`, all but the first `written`, in its order.
    pub(super) fn put_back(&self, batch: Batch, written: usize) {
        let Batch { events, known } = batch;
        let mut rest = events.into_iter().skip(written);
        let known: Vec<_> = rest.by_ref().take(known.saturating_sub(written)).collect();
        let strangers: Vec<_> = rest.collect();
        let mut waiting = self.lock();
        waiting.known.put_back(known.into_iter());
        waiting.strangers.put_back(strangers.into_iter());
        if waiting.is_any() {
            self.arrived.notify_one();
        }
    }

    /// Whether there is anything to write.
    pub(super) fn is_waiting(&self) -> bool {
        self.lock().is_any()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}

impl Ground {
    /// Queues an event that changed nothing in the store: a refusal, a failed sign-in. The caller
    /// does not wait and never fails. What finds no room is lost, counted, and the count reported.
    pub(crate) fn remark(&self, event: Event) {
        self.remarks.add(event);
    }

    /// Waits until a remark was queued since the last wait, or still waits.
    pub(crate) async fn remarks_arrived(&self) {
        self.remarks.arrived().await;
    }

    /// Makes every remark durable that was queued so far.
    ///
    /// # Errors
    /// `Internal` when the store fails. Nothing is lost then.
    pub(crate) async fn flush_remarks(&self) -> Result<(), Error> {
        while self.write_remarks(REMARKS_AT_ONCE).await? {}
        Ok(())
    }

    /// Commits a batch of remarks with at most so many of `strangers`. Returns whether there are
    /// more.
    ///
    /// # Errors
    /// `Internal` when the store fails. Nothing is lost then.
    pub(crate) async fn write_remarks(&self, strangers: usize) -> Result<bool, Error> {
        let batch = self.remarks.take(REMARKS_AT_ONCE, strangers, self.clock.now());
        let written = match batch.events.as_slice() {
            [] => Ok(0),
            events => self.records.put_events(events).await,
        };
        self.remarks.put_back(batch, written.as_ref().map_or(0, |count| *count));
        written?;
        Ok(self.remarks.is_waiting())
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

fn lost(count: u64, what: &str, at: Timestamp) -> Event {
    let note = format!("{count} {what} found no room and are not in this log");
    let (action, outcome) = (Action::Lose, Outcome::Failed("too many at once".to_owned()));
    Event { at, actor: None, action, target: Target::default(), note: Some(note), outcome }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::{Client, Interface};
    use crate::doubles::caller;
    use crate::ground::noted::USERS;
    use crate::ports::audit::Actor;

    fn event(number: usize) -> Event {
        let at = Timestamp::from_secs(number as u64);
        let outcome = Outcome::Refused("no".into());
        let actor = Some(Actor::operator(Client::default()));
        Event { at, actor, action: Action::Refuse, target: Target::default(), note: None, outcome }
    }

    fn of_stranger(number: usize) -> Event {
        let actor = Some(Actor::stranger(Interface::Vault, Client::default()));
        Event { actor, ..event(number) }
    }

    fn take(notes: &Remarks, most: usize, strangers: usize) -> Batch {
        notes.take(most, strangers, Timestamp::from_secs(9))
    }

    fn times(events: &[Remark]) -> Vec<u64> {
        events.iter().map(|(event, _)| event.at.as_secs()).collect()
    }

    /// Attack: a million refusals, to fill memory, or to push out what others did.
    #[test]
    fn what_finds_no_room_is_counted_once() {
        let notes = Remarks::default();
        for number in 0..1_000_000 {
            notes.add(of_stranger(number));
        }
        assert_eq!(notes.lock().strangers.events.len(), ROOM_OF_STRANGERS);
        (0..ROOM).for_each(|number| notes.add(event(number)));
        let known = take(&notes, ROOM, 3).events;
        assert_eq!(times(&known), (0..ROOM as u64).collect::<Vec<_>>(), "all of them, and first");
        let first = take(&notes, 50, 3).events;
        assert_eq!(first[0].0.action, Action::Lose);
        let count = 1_000_000 - ROOM_OF_STRANGERS;
        assert_eq!(
            first[0].0.note.as_deref(),
            Some(&*format!("{count} events of strangers found no room and are not in this log"))
        );
        assert_eq!(times(&first[1..]), [0, 1], "no more than asked for");
        let rest = take(&notes, ROOM, ROOM).events;
        assert_eq!(rest.len(), ROOM_OF_STRANGERS - 2);
        assert!(rest.iter().all(|(event, _)| event.action == Action::Refuse), "counted once");
        assert!(!notes.is_waiting());
    }

    /// Attack: one client causes refusals without an end, so that those of others are not seen.
    #[test]
    fn refusals_of_one_address_do_not_crowd_out_those_of_others() {
        let notes = Remarks::default();
        let from = |address: &str, second: u64| {
            let address = Some(address.parse().unwrap());
            let client = Client { address, ..Client::default() };
            Event {
                at: Timestamp::from_secs(second),
                actor: Some(Actor::stranger(Interface::Vault, client)),
                ..event(0)
            }
        };
        (0..10_000).for_each(|_| notes.add(from("192.0.2.1", 6)));
        (0..10_000_u32).for_each(|host| notes.add(from(&format!("2001:db8::{host:x}"), 7)));
        notes.add(from("::ffff:192.0.2.1", 8));
        notes.add(from("192.0.2.2", 8));
        notes.add(from("192.0.2.1", 60));
        let taken = take(&notes, ROOM, ROOM).events;
        let counted = "19961 events of strangers found no room and are not in this log";
        assert_eq!(taken[0].0.note.as_deref(), Some(counted));
        let each = usize::try_from(OF_ONE_ADDRESS).unwrap();
        assert_eq!(times(&taken[1..]), [vec![6; each], vec![7; each], vec![8, 60]].concat());
        for host in 0..10_000_u32 {
            let address = format!("198.51.{}.{}", host / 250, host % 250);
            notes.add(from(&address, 120));
        }
        assert_eq!(notes.lock().by_address.counts.len(), MOST_NETWORKS, "memory is bounded");
    }

    #[test]
    fn all_others_are_counted_too_where_they_find_no_room() {
        let notes = Remarks::default();
        (0..ROOM + 7).for_each(|number| notes.add(event(number)));
        let note = take(&notes, 1, 0).events.remove(0).0.note;
        assert_eq!(note.as_deref(), Some("7 events found no room and are not in this log"));
    }

    /// Attack: more users than are kept apart are refused, so that a refusal leaves no trace.
    #[test]
    fn refusals_of_users_that_are_not_kept_apart_are_counted() {
        let notes = Remarks::default();
        let of_user = |number: usize, second: usize| {
            let actor = Some(Actor::from(&caller(&number.to_string())));
            Event { actor, ..event(second) }
        };
        (0..USERS).for_each(|number| notes.add(of_user(number, 0)));
        assert_eq!(take(&notes, ROOM, 0).events.len(), USERS);
        (0..7).for_each(|number| notes.add(of_user(USERS + number, 59)));
        assert!(notes.is_waiting());
        notes.add(of_user(USERS, 60));
        let taken = take(&notes, ROOM, 0).events;
        let note = taken[0].0.note.as_deref();
        assert_eq!(note, Some("7 events found no room and are not in this log"));
        assert_eq!(times(&taken[1..]), [60]);
    }

    #[test]
    fn what_is_put_back_keeps_its_place() {
        for written in 0..=4 {
            let notes = Remarks::default();
            (0..4).for_each(|number| notes.add(event(number)));
            (4..8).for_each(|number| notes.add(of_stranger(number)));
            let mut taken = take(&notes, 2, 0);
            assert_eq!(times(&taken.events), [0, 1]);
            notes.put_back(taken, 0);
            taken = take(&notes, 6, 2);
            assert_eq!(times(&taken.events), [0, 1, 2, 3, 4, 5]);
            notes.put_back(taken, written);
            let rest: Vec<_> = (written as u64..8).collect();
            assert_eq!(times(&take(&notes, 9, 9).events), rest, "{written}");
        }
    }

    /// Attack: a flood while the store takes nothing.
    #[test]
    fn what_is_put_back_does_not_become_more() {
        let notes = Remarks::default();
        for number in 0..100 {
            (0..=ROOM_OF_STRANGERS).for_each(|_| notes.add(of_stranger(number)));
            let taken = take(&notes, 9, 5);
            notes.put_back(taken, 0);
        }
        let events = take(&notes, ROOM, ROOM).events;
        assert_eq!(events.len(), ROOM_OF_STRANGERS + 1, "one of them counts");
        assert!(notes.is_waiting(), "there is more to write");
        assert_eq!(take(&notes, 9, 9).events.len(), 1);
    }

    /// Attack: few refusals with much text in each.
    #[test]
    fn texts_of_strangers_are_cut() {
        let notes = Remarks::default();
        let asked = Some("€".repeat(1_000_000));
        notes.add(Event { target: Target { asked, ..Target::default() }, ..of_stranger(1) });
        let taken = take(&notes, 1, 1).events;
        let asked = taken[0].0.target.asked.as_deref().unwrap();
        assert!(asked.len() <= 1000 && asked.ends_with("€…"), "{} bytes", asked.len());
    }
}
