//! How many refusals of one user, and of all users together, become events of the audit log: a user
//! without rights would otherwise fill the log, and push out the refusals of others, by asking
//! again and again.

use std::collections::HashMap;

use crate::caller::Subject;
use crate::ports::audit::{Action, Actor, Event, Outcome, Target, Who};
use crate::time::Timestamp;

/// Refusals and failures of one user that are noted in a minute.
pub(super) const OF_USER: u32 = 30;
/// The same of all users together. Above it, each user still has the first few.
const OF_ALL: u32 = 600;
const FIRST_FEW: u32 = 3;
/// Users of a minute that are kept apart. It bounds memory, and what a minute can add to the log.
pub(super) const USERS: usize = 2000;

/// The refusals noted in the present minute.
#[derive(Default)]
pub(super) struct Noted {
    minute: u64,
    all: u32,
    by_user: HashMap<Subject, u32>,
}

/// What becomes of an event.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is noted.
    Noted,
    /// It is not, and this event says so once.
    Last(Box<Event>),
    /// It is not, nor any more in this minute.
    Not,
    /// It is not, and nothing says so yet: its user is one too many to be kept apart.
    Uncounted,
}

impl Noted {
    /// Counts `event`, if it is a refusal or a failure of a user.
    pub(super) fn judge(&mut self, event: &Event) -> Verdict {
        let who = event.actor.as_ref().map(|actor| &actor.who);
        let (Some(Who::User(subject, _) | Who::Member { subject, .. }), true) =
            (who, event.outcome != Outcome::Done)
        else {
            return Verdict::Noted;
        };
        let minute = event.at.as_secs() / 60;
        if minute != self.minute {
            *self = Self { minute, ..Self::default() };
        }
        let is_known = self.by_user.contains_key(subject);
        if !is_known && self.by_user.len() >= USERS {
            return Verdict::Uncounted;
        }
        let count = self.by_user.entry(subject.clone()).or_default();
        let room = if self.all < OF_ALL { OF_USER } else { FIRST_FEW };
        *count = count.saturating_add(1);
        if *count <= room {
            self.all += 1;
            return Verdict::Noted;
        }
        // Said once a user and minute, also where the room became less meanwhile.
        let said = std::mem::replace(count, u32::MAX) == u32::MAX;
        if said { Verdict::Not } else { Verdict::Last(left_out(event.actor.clone(), event.at)) }
    }
}

fn left_out(actor: Option<Actor>, at: Timestamp) -> Box<Event> {
    let note = "further refusals of this user in this minute are not in this log".to_owned();
    let outcome = Outcome::Failed("too many at once".to_owned());
    let (action, target) = (Action::Lose, Target::default());
    Box::new(Event { at, actor, action, target, note: Some(note), outcome })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles::caller;

    fn refusal(user: &str, second: u64) -> Event {
        Event {
            at: Timestamp::from_secs(second),
            actor: Some(Actor::from(&caller(user))),
            action: Action::Refuse,
            target: Target::default(),
            note: None,
            outcome: Outcome::Refused("no".into()),
        }
    }

    fn noted(noted: &mut Noted, user: &str, second: u64) -> usize {
        let judge = |_: &u32| {
            matches!(noted.judge(&refusal(user, second)), Verdict::Noted | Verdict::Last(_))
        };
        (0..1000).filter(judge).count()
    }

    /// Attack: a member without rights pushes the refusals of others out of the log, and makes it
    /// grow by 25 GiB a day.
    #[test]
    fn refusals_of_one_user_are_noted_up_to_a_share() {
        let mut all = Noted::default();
        assert_eq!(noted(&mut all, "greedy", 0), 30 + 1, "and one event says that it goes on");
        assert_eq!(noted(&mut all, "greedy", 59), 0);
        assert_eq!(all.judge(&refusal("other", 59)), Verdict::Noted);
        assert_eq!(noted(&mut all, "greedy", 60), 31, "a minute later");
        let done = Event { outcome: Outcome::Done, ..refusal("greedy", 60) };
        assert_eq!(all.judge(&done), Verdict::Noted, "what was done is always noted");
    }

    /// Attack: the same by many users.
    #[test]
    fn refusals_of_all_users_are_bounded_and_each_has_the_first_few() {
        let mut all = Noted::default();
        let of_many: usize = (0..5000).map(|user| noted(&mut all, &user.to_string(), 0)).sum();
        assert!(of_many <= 600 + 20 + USERS * 4, "{of_many}");
        let mut all = Noted::default();
        let of_some: usize = (0..100).map(|user| noted(&mut all, &user.to_string(), 0)).sum();
        assert!(of_some >= 600, "{of_some}");
        assert_eq!(all.judge(&refusal("late", 0)), Verdict::Noted);
    }
}
