//! Every state meets every event: what the table of `daemon/ledger.md` section 3 names happens,
//! everything else is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use super::next::Timing;
use super::samples::{self, DEADLINE, END, causes, made, revoking, states};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const TIMING: Timing = Timing {
    settle: Duration::from_secs(60),
    skew: Duration::from_secs(30),
    retry_after_min: Duration::from_secs(10),
    retry_after_max: Duration::from_secs(3600),
    park_after: Duration::from_secs(7 * 24 * 60 * 60),
    keep_ended: DAY,
};

/// After every deadline, claim and due time of the samples, before the end of what was made.
const NOW: Timestamp = Timestamp::from_secs(3_060);

/// From, event, to. A `from` stands for every state whose name begins with it.
const TABLE: &[(&str, &str, &str)] = &[
    ("pending", "issued", "active"),
    ("doomed", "issued", "revoking unwanted"),
    ("pending", "issued in vain", "revoking unwanted"),
    ("doomed", "issued in vain", "revoking unwanted"),
    ("pending", "issued taken", "removed"),
    ("doomed", "issued taken", "removed"),
    ("pending", "nothing made", "removed"),
    ("doomed", "nothing made", "removed"),
    ("pending", "cut short", "revoking cut short"),
    ("doomed", "cut short", "revoking cut short"),
    ("pending", "suspended", "doomed"),
    ("doomed", "suspended", "doomed"),
    ("active", "renewed", "active"),
    ("active", "revoke asked", "revoking user"),
    ("active", "limit reached", "revoking limit"),
    ("active", "end passed", "ended expired"),
    ("revoking cut short", "issued", "revoking unwanted"),
    ("revoking cut short", "issued in vain", "revoking unwanted"),
    ("revoking user", "revoke asked", "revoking user"),
    ("revoking limit", "revoke asked", "revoking limit"),
    ("revoking cut short, new", "revoked", "revoking cut short, once ok"),
    ("revoking cut short, once ok", "revoked", "ended revoked"),
    ("revoking unwanted", "revoked", "ended revoked"),
    ("revoking user", "revoked", "ended revoked"),
    ("revoking limit", "revoked", "ended revoked"),
    ("revoking user", "refused", "active"),
    ("revoking limit", "refused", "parked limit, refused"),
    ("revoking unwanted", "refused", "parked unwanted, refused"),
    ("revoking cut short", "refused", "parked cut short, refused"),
    ("revoking", "failed", "revoking"),
    ("revoking", "attempt begun", "revoking"),
    ("revoking", "claim void", "revoking"),
    ("revoking", "service gone", "parked"),
    ("revoking", "end passed", "ended expired"),
    ("parked", "end passed", "ended expired"),
    ("parked cut short", "issued", "revoking unwanted"),
    ("parked cut short", "issued in vain", "revoking unwanted"),
    ("parked cut short, gone", "service back", "revoking cut short"),
    ("parked unwanted, gone", "service back", "revoking unwanted"),
    ("parked user, gone", "service back", "revoking user"),
    ("parked limit, gone", "service back", "revoking limit"),
    ("parked", "retry", "revoking"),
    ("parked", "dropped", "ended dropped"),
    ("ended", "kept long enough", "removed"),
];

fn events() -> Vec<(&'static str, Event)> {
    let failed = Event::Failed { retry_after: None, jitter: 0 };
    vec![
        ("issued", Event::Issued(made())),
        ("issued in vain", Event::IssuedInVain(made())),
        ("issued taken", Event::IssuedTaken),
        ("nothing made", Event::NothingMade),
        ("cut short", Event::CutShort),
        ("suspended", Event::Suspended),
        ("renewed", Event::Renewed { ends: None, with_secret: false }),
        ("revoke asked", Event::RevokeAsked),
        ("limit reached", Event::LimitReached),
        ("end passed", Event::EndPassed),
        ("attempt begun", Event::AttemptBegun(claim(NOW + SECOND))),
        ("claim void", Event::ClaimVoid),
        ("revoked", Event::Revoked),
        ("refused", Event::Refused("no".into())),
        ("failed", failed),
        ("service gone", Event::ServiceGone),
        ("service back", Event::ServiceBack),
        ("retry", Event::Retry),
        ("dropped", Event::Dropped),
        ("kept long enough", Event::KeptLongEnough),
    ]
}

fn name_of_cause(cause: &Cause) -> &'static str {
    match cause {
        Cause::CutShort { first_ok: false, .. } => "cut short, new",
        Cause::CutShort { first_ok: true, .. } => "cut short, once ok",
        Cause::Unwanted(_) => "unwanted",
        Cause::User(_) => "user",
        Cause::Limit(_) => "limit",
    }
}

fn name(state: &State) -> String {
    match state {
        State::Pending { doomed: false, .. } => "pending".into(),
        State::Pending { doomed: true, .. } => "doomed".into(),
        State::Active(_) => "active".into(),
        State::Revoking(revoking) => format!("revoking {}", name_of_cause(&revoking.cause)),
        State::Parked(parked) => {
            let cause = if parked.cause.made().is_none() {
                "cut short"
            } else {
                name_of_cause(&parked.cause)
            };
            let reason = match parked.reason {
                Reason::ServiceGone => "gone",
                Reason::Refused(_) => "refused",
                Reason::TooManyFailures => "failures",
            };
            format!("parked {cause}, {reason}")
        }
        State::Ended { how, .. } => format!("ended {how:?}").to_lowercase(),
    }
}

fn claim(until: Timestamp) -> Claim {
    Claim { until, by: Boot(8) }
}

fn after(state: &State, event: Event, at: Timestamp) -> State {
    match state.clone().next(event, at, &TIMING) {
        Ok(Transition::To(state)) => state,
        other => panic!("{state:?}: {other:?}"),
    }
}

#[test]
fn the_table_is_the_whole_truth() {
    let mut rows_met = BTreeSet::new();
    for state in states() {
        for (event_name, event) in events() {
            let from = name(&state);
            let row = TABLE.iter().position(|(f, e, _)| from.starts_with(f) && *e == event_name);
            rows_met.extend(row);
            let expected = row.map(|row| TABLE[row].2);
            match (state.clone().next(event.clone(), NOW, &TIMING), expected) {
                (Ok(Transition::Removed), Some("removed")) => {}
                (Ok(Transition::To(to)), Some(expected)) => {
                    assert!(name(&to).starts_with(expected), "{from} + {event_name}: {to:?}");
                }
                (Err(refused), None) => {
                    assert_eq!(refused, NotPossible { from: state.name(), event: Box::new(event) })
                }
                (other, _) => panic!("{from} + {event_name}: {other:?} instead of {expected:?}"),
            }
        }
    }
    assert_eq!(rows_met.len(), TABLE.len(), "every row was met");
}

#[test]
fn what_goes_on_being_revoked_keeps_its_cause() {
    for cause in causes() {
        let state = State::Revoking(revoking(cause.clone(), None));
        for event in
            [Event::Failed { retry_after: None, jitter: 9 }, Event::AttemptBegun(claim(NOW))]
        {
            let State::Revoking(next) = after(&state, event, NOW) else { panic!() };
            assert_eq!(next.cause, cause);
        }
        let State::Parked(parked) = after(&state, Event::ServiceGone, NOW) else { panic!() };
        assert_eq!(
            parked,
            Parked { cause: cause.clone(), reason: Reason::ServiceGone, since: NOW }
        );
        let State::Revoking(retried) = after(&State::Parked(parked), Event::Retry, NOW + SECOND)
        else {
            panic!()
        };
        assert_eq!((retried.cause, retried.failures), (cause, 0));
        assert_eq!((retried.since, retried.due, retried.claim), (NOW + SECOND, NOW + SECOND, None));
    }
}

#[test]
fn what_was_cut_short_waits_for_what_may_be_under_way() {
    let pending = State::Pending { deadline: DEADLINE, doomed: false };
    let broken_at = Timestamp::from_secs(1_005);
    let State::Revoking(first) = after(&pending, Event::CutShort, broken_at) else { panic!() };
    assert_eq!(first.due, broken_at + TIMING.settle);
    assert_eq!(first.cause, Cause::CutShort { deadline: DEADLINE, first_ok: false });

    // The first ok, before the deadline: the second attempt is due at least settle after the
    // deadline.
    let at = first.due + SECOND;
    let State::Revoking(second) = after(&State::Revoking(first), Event::Revoked, at) else {
        panic!()
    };
    assert_eq!(second.due, DEADLINE + TIMING.settle);
    assert_eq!(second.claim, None);

    // An ok before that counts for nothing.
    let early = DEADLINE + TIMING.settle - SECOND;
    let State::Revoking(still) = after(&State::Revoking(second.clone()), Event::Revoked, early)
    else {
        panic!()
    };
    assert!(still.due >= DEADLINE + TIMING.settle);
    let end = after(&State::Revoking(second.clone()), Event::Revoked, second.due);
    assert_eq!(end, State::Ended { how: Ending::Revoked, at: second.due });
}

#[test]
fn the_first_ok_long_after_the_deadline_still_wants_a_second_one_later() {
    let cause = Cause::CutShort { deadline: DEADLINE, first_ok: false };
    let State::Revoking(next) = after(&State::Revoking(revoking(cause, None)), Event::Revoked, NOW)
    else {
        panic!()
    };
    assert_eq!(next.due, NOW + TIMING.settle);
}

#[test]
fn a_late_answer_says_what_to_revoke_and_voids_the_claim() {
    let cause = Cause::CutShort { deadline: DEADLINE, first_ok: true };
    let claimed = State::Revoking(revoking(cause, Some(NOW + SECOND)));
    let State::Revoking(next) = after(&claimed, Event::Issued(made()), NOW) else { panic!() };
    assert_eq!((next.cause, next.due, next.claim), (Cause::Unwanted(made()), NOW, None));
}

#[test]
fn a_claim_holds_until_its_time() {
    let state = State::Revoking(revoking(Cause::User(made()), Some(NOW)));
    let begun = |at| state.clone().next(Event::AttemptBegun(claim(at + SECOND)), at, &TIMING);
    assert!(begun(NOW - SECOND).is_err());
    let Ok(Transition::To(State::Revoking(next))) = begun(NOW) else { panic!() };
    assert_eq!(next.claim, Some(claim(NOW + SECOND)));
}

#[test]
fn a_void_claim_holds_no_attempt_up() {
    let state = State::Revoking(revoking(Cause::User(made()), Some(NOW + SECOND)));
    let State::Revoking(next) = after(&state, Event::ClaimVoid, NOW) else { panic!() };
    assert_eq!((next.claim, next.due), (None, Timestamp::from_secs(3_000)));
    let begun = State::Revoking(next).next(Event::AttemptBegun(claim(NOW)), NOW, &TIMING);
    assert!(begun.is_ok());
}

#[test]
fn attempts_back_off_with_jitter() {
    let wait = |failures, retry_after, jitter| {
        let state =
            State::Revoking(Revoking { failures, ..revoking(Cause::User(made()), Some(NOW)) });
        let State::Revoking(next) = after(&state, Event::Failed { retry_after, jitter }, NOW)
        else {
            panic!()
        };
        assert_eq!((next.failures, next.claim), (u32::saturating_add(failures, 1), None));
        next.due.since(NOW).as_secs()
    };
    let by_itself: Vec<_> =
        [0, 1, 2, 8, 9, 40, u32::MAX].map(|failures| wait(failures, None, 0)).into();
    assert_eq!(by_itself, [10, 20, 40, 2560, 3600, 3600, 3600]);
    assert_eq!(wait(9, None, 255), 3600 + 900);
    let asked: Vec<_> =
        [1, 30, 7200].map(|secs| wait(5, Some(Duration::from_secs(secs)), 0)).into();
    assert_eq!(asked, [10, 30, 7200]);
    assert_eq!(wait(5, Some(100 * DAY), 0), 7 * DAY.as_secs());
}

#[test]
fn after_seven_days_a_lease_is_parked() {
    for cause in causes() {
        let state = revoking(cause, None);
        let last = state.since + 7 * DAY;
        let failed = Event::Failed { retry_after: Some(SECOND), jitter: 0 };
        let before = after(&State::Revoking(state.clone()), failed.clone(), last - SECOND);
        assert!(matches!(before, State::Revoking(_)));
        let State::Parked(parked) = after(&State::Revoking(state.clone()), failed, last) else {
            panic!()
        };
        assert_eq!((parked.cause, parked.reason), (state.cause, Reason::TooManyFailures));
    }
}

#[test]
fn a_renewed_lease_ends_at_the_later_end() {
    let renewed = |old, new| {
        let made = Made { ends: old, ..made() };
        let event = Event::Renewed { ends: new, with_secret: true };
        let State::Active(made) = after(&State::Active(made), event, NOW) else { panic!() };
        assert!(made.with_secret);
        made.ends
    };
    let (early, late) = (Some(END), Some(END + SECOND));
    assert_eq!(renewed(early, late), late);
    assert_eq!(renewed(late, early), late);
    assert_eq!(renewed(early, None), None);
    assert_eq!(renewed(None, early), None);

    let older = samples::lease();
    let newer = Lease { not_after: Some(Timestamp::from_secs(10_000)), ..older.clone() };
    let both = older.renewed(&newer, &made(), NOW, &TIMING).unwrap().unwrap();
    assert_eq!(both.not_after, newer.not_after);
    assert_eq!(
        newer.renewed(&older, &made(), NOW, &TIMING).unwrap().unwrap().not_after,
        newer.not_after
    );
}

#[test]
fn what_ends_keeps_nothing_about_the_request() {
    let ended = samples::lease().after(Event::EndPassed, NOW, &TIMING).unwrap().unwrap();
    assert_eq!(ended.kept, Kept::default());
    assert_eq!(ended.state.made(), None);
}

#[test]
fn counted_is_what_has_not_ended() {
    for state in states() {
        assert_eq!(state.is_counted(), !name(&state).starts_with("ended"), "{state:?}");
    }
}

#[test]
fn listed_is_what_the_user_has() {
    let listed =
        |state: &State, now| Lease { state: state.clone(), ..samples::lease() }.is_listed(now);
    for state in states() {
        let had = ["active", "revoking user", "revoking limit"]
            .iter()
            .any(|had| name(&state).starts_with(had));
        assert_eq!(listed(&state, NOW), had, "{state:?}");
        let endless = state.made().is_some_and(|made| made.ends.is_none());
        assert_eq!(listed(&state, END), had && endless, "at its end: {state:?}");
    }
}

#[test]
fn users_may_name_what_they_had() {
    for state in states() {
        let known = Lease { state: state.clone(), ..samples::lease() }.is_known_to_owner(NOW);
        let name = name(&state);
        let had = ["active", "revoking user", "revoking limit", "parked user", "parked limit"];
        assert_eq!(known, had.iter().any(|had| name.starts_with(had)), "{state:?}");
    }
}

#[test]
fn what_is_due_is_overdue_from_then_on_and_not_before() {
    for state in states() {
        let lease = Lease { state, ..samples::lease() };
        match lease.due(&TIMING) {
            None => assert_eq!(
                lease.overdue(Timestamp::from_millis(u64::MAX), &TIMING),
                None,
                "{lease:?}"
            ),
            Some((at, what)) => {
                assert_eq!(
                    lease.overdue(at - Duration::from_millis(1), &TIMING),
                    None,
                    "{lease:?}"
                );
                assert_eq!(lease.overdue(at, &TIMING), Some(what), "{lease:?}");
            }
        }
    }
}

#[test]
fn due_times_are_those_of_the_table() {
    let due = |state| Lease { state, ..samples::lease() }.due(&TIMING);
    let at = |secs, what| Some((Timestamp::from_secs(secs), what));
    let endless = || Made { ends: None, ..made() };
    assert_eq!(
        due(State::Pending { deadline: DEADLINE, doomed: false }),
        at(1_090, Overdue::Deadline)
    );
    assert_eq!(due(State::Active(made())), at(5_030, Overdue::End));
    assert_eq!(due(State::Active(endless())), at(9_000, Overdue::Limit));
    assert_eq!(
        due(State::Revoking(revoking(Cause::User(made()), None))),
        at(3_000, Overdue::Attempt)
    );
    let claimed = revoking(Cause::User(made()), Some(Timestamp::from_secs(3_050)));
    assert_eq!(due(State::Revoking(claimed)), at(3_050, Overdue::Attempt));
    let late = Revoking { due: Timestamp::from_secs(6_000), ..revoking(Cause::User(made()), None) };
    assert_eq!(due(State::Revoking(late)), at(5_030, Overdue::End));
    let parked =
        |made| Parked { cause: Cause::User(made), reason: Reason::ServiceGone, since: NOW };
    assert_eq!(due(State::Parked(parked(endless()))), None);
    assert_eq!(due(State::Parked(parked(made()))), at(5_030, Overdue::End));
    let ended = State::Ended { how: Ending::Revoked, at: NOW };
    assert_eq!(due(ended), at(NOW.as_secs() + DAY.as_secs(), Overdue::Forget));
    let unlimited = Lease { not_after: None, state: State::Active(endless()), ..samples::lease() };
    assert_eq!(unlimited.due(&TIMING), None);
}

#[test]
fn an_end_that_has_passed_spares_the_limit() {
    let both = Lease { not_after: Some(END), ..samples::lease() };
    assert_eq!(both.overdue(END, &TIMING), Some(Overdue::Limit));
    assert_eq!(both.overdue(END + TIMING.skew, &TIMING), Some(Overdue::End));
}
