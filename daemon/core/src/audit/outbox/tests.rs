use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::audit::{Verdict, Verifier};
use crate::caller::{Client, Interface};
use crate::doubles::{MemoryFile, RecordingAudit};
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::store::Key;
use crate::testing::{SECOND, World};
use crate::time::Timestamp;

/// Events with later numbers are later ones.
fn event(name: &str) -> Event {
    Event {
        at: Timestamp::from_secs(name.parse().unwrap()),
        actor: Some(Actor::stranger(Interface::Vault, Client::default())),
        action: Action::Refuse,
        target: Target { asked: Some(name.to_owned()), ..Target::default() },
        note: None,
        outcome: Outcome::Refused("no".into()),
    }
}

/// A daemon and its log.
struct Site {
    world: World,
    file: MemoryFile,
}

impl Site {
    async fn new() -> Self {
        Self { world: World::new().await, file: MemoryFile::default() }
    }

    fn log(&self) -> Arc<AuditLog> {
        let echo = Arc::new(RecordingAudit::new());
        AuditLog::new(Arc::clone(self.world.ground()), Arc::new(self.file.clone()), echo)
    }

    /// Makes these events durable.
    async fn record(&self, events: std::ops::Range<usize>) {
        for number in events {
            self.world.ground().record(&event(&number.to_string())).await.unwrap();
        }
    }

    async fn verify(&self, files: &[Vec<u8>], from: u64) -> Verdict {
        let mut verifier = Verifier::new(self.log().check(from).await.unwrap());
        for file in files {
            verifier.read(file);
            verifier.end_of_file();
        }
        verifier.finish()
    }

    /// The log has just these events, once each, and is sound.
    async fn assert_has(&self, events: std::ops::Range<usize>, context: &str) {
        let lines: Vec<_> = self.file.lines().iter().map(|line| asked(line)).collect();
        let expected: BTreeSet<_> = events.map(|number| number.to_string()).collect();
        assert_eq!(lines.len(), expected.len(), "{context}: {lines:?}");
        assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), expected, "{context}");
        assert_eq!(
            self.verify(&[self.file.bytes()], 1).await.faults,
            Vec::<String>::new(),
            "{context}"
        );
        assert_eq!(self.world.store.dump("outbox/").len(), 0, "{context}");
    }
}

fn asked(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    line["target"]["asked"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn events_become_chained_lines() {
    let site = Site::new().await;
    site.record(0..3).await;
    site.log().finish().await.unwrap();
    site.assert_has(0..3, "all").await;
    let lines = site.file.lines();
    let first: Value = serde_json::from_str(&lines[0]).unwrap();
    let second: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!(
        (&first["number"], &first["action"], &first["outcome"]),
        (&1.into(), &"refuse".into(), &"refused".into())
    );
    assert_eq!(second["previous"], first["mac"]);
    assert!(lines[0].contains(r#""action":"refuse""#), "one way to write it: {}", lines[0]);
}

#[tokio::test]
async fn many_lines_are_written_at_once() {
    let site = Site::new().await;
    site.record(0..1200).await;
    site.log().finish().await.unwrap();
    site.assert_has(0..1200, "all").await;
    assert_eq!(site.file.appends(), 3, "1200 events, 504 at a time");
}

/// The daemon dies after each of its commits: between two batches of one write too.
#[tokio::test]
async fn a_daemon_that_dies_between_file_and_store_writes_nothing_twice() {
    for commits in 0..6 {
        let mut site = Site::new().await;
        site.record(0..200).await;
        site.world.store.stop_after(commits);
        let died = site.log().finish().await.is_err();
        assert_eq!(died, commits < 4, "200 events are four batches");
        site.world.crash().await;
        site.record(200..210).await;
        site.log().finish().await.unwrap();
        site.assert_has(0..210, &format!("{commits} commits")).await;
    }
}

/// The daemon dies while it writes: any number of bytes stand there.
#[tokio::test]
async fn a_line_that_was_cut_off_is_written_anew() {
    let mut site = Site::new().await;
    site.record(0..2).await;
    site.log().finish().await.unwrap();
    site.record(2..4).await;
    let (before, store) = (site.file.bytes(), site.world.store.snapshot());
    site.log().finish().await.unwrap();
    let after = site.file.bytes();
    for length in before.len()..=after.len() {
        site.world.store = store.snapshot();
        site.world.crash().await;
        site.file.set(&after[..length]);
        site.log().finish().await.unwrap();
        site.assert_has(0..4, &format!("{length} bytes")).await;
        assert_eq!(site.file.bytes(), after, "the same lines");
    }
}

#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let whole = {
        let site = Site::new().await;
        site.record(0..3).await;
        site.log().finish().await.unwrap();
        site.file.bytes().len()
    };
    for room in (0..whole).step_by(7) {
        let site = Site::new().await;
        site.record(0..3).await;
        let log = site.log();
        site.file.set_room(Some(room));
        assert!(log.finish().await.is_err(), "{room}");
        assert!(log.finish().await.is_err(), "still full");
        site.file.set_room(None);
        log.finish().await.unwrap();
        site.assert_has(0..3, &format!("{room} bytes of room")).await;
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_goes_on_in_a_new_one() {
    let mut site = Site::new().await;
    let log = site.log();
    site.record(0..3).await;
    log.finish().await.unwrap();
    let old = site.file.bytes();
    site.file.set("");
    site.record(3..5).await;
    log.finish().await.unwrap();
    let new = site.file.bytes();
    assert_eq!(
        site.verify(&[old.clone(), new.clone()], 1).await,
        Verdict { lines: 5, last: 5, ..Verdict::default() }
    );
    assert_eq!(site.verify(std::slice::from_ref(&new), 4).await.faults, Vec::<String>::new());
    assert_eq!(
        site.verify(std::slice::from_ref(&new), 1).await.faults.len(),
        1,
        "the beginning is missing"
    );
    assert_eq!(
        site.verify(std::slice::from_ref(&old), 1).await.faults.len(),
        1,
        "the end is missing"
    );
    assert_eq!(site.verify(&[new.clone(), old], 1).await.faults.len(), 3, "in the wrong order");

    // Dying over the first lines of a new file, which is shorter than the old one, or longer.
    for events in [1, 9] {
        site.file.set("");
        site.record(0..events).await;
        let store = site.world.store.snapshot();
        site.log().finish().await.unwrap();
        let written = site.file.bytes();
        for length in [0, 1, written.len() / 2, written.len() - 1, written.len()] {
            site.world.store = store.snapshot();
            site.world.crash().await;
            site.file.set(&written[..length]);
            site.log().finish().await.unwrap();
            assert_eq!(site.file.bytes(), written, "{events} events, {length} bytes");
        }
    }
}

/// Attacks: the file is cut, rewritten, added to, or is another one.
#[tokio::test]
async fn a_file_that_is_not_as_it_was_left_is_left_alone() {
    let mut site = Site::new().await;
    site.record(0..3).await;
    site.log().finish().await.unwrap();
    let good = site.file.bytes();
    let lines: Vec<_> = good.split_inclusive(|byte| *byte == b'\n').collect();
    let changed =
        String::from_utf8(good.clone()).unwrap().replace("\"asked\":\"2\"", "\"asked\":\"9\"");
    for bad in [
        lines[..2].concat(),
        good[..good.len() - 1].to_vec(),
        [&good[..], b"{\"number\":4}\n"].concat(),
        [&good[..], b"x"].concat(),
        [&good[..], lines[2]].concat(),
        // It begins as the next line would, but for the code of the line before.
        [&good[..], br#"{"number":4,"previous":"AAAA"#].concat(),
        [&good[..], br#"{"number":4,"action":"reveal"}"#].concat(),
        b"127.0.0.1 localhost\n".to_vec(),
        b"no line at all".to_vec(),
        vec![b'x'; 5 * LONGEST_LINE],
    ] {
        site.file.set(&*bad);
        site.record(3..4).await;
        let error = site.log().finish().await.unwrap_err();
        assert!(error.cause().unwrap().contains("does not go on from line 3"), "{error}");
        assert_eq!(site.file.bytes(), bad);
    }
    // What was changed before the last line shows when the log is verified, and only then.
    site.file.set(
        changed
            .replace("\"asked\":\"9\"", "\"asked\":\"2\"")
            .replace("\"asked\":\"0\"", "\"asked\":\"5\""),
    );
    assert_eq!(site.verify(&[site.file.bytes()], 1).await.faults.len(), 1);
    // It goes on when an operator has looked.
    site.file.set("");
    site.log().finish().await.unwrap();
    assert_eq!(site.verify(&[good, site.file.bytes()], 1).await.faults, Vec::<String>::new());
    site.world.crash().await;
    site.log().finish().await.unwrap();
}

/// Attack: the end is changed in place, so that the file is as long as before, while the daemon
/// runs.
#[tokio::test]
async fn an_end_that_was_changed_in_place_is_found_by_the_next_write() {
    let site = Site::new().await;
    let log = site.log();
    site.record(0..3).await;
    log.finish().await.unwrap();
    let good = site.file.bytes();
    let mut bad = good.clone();
    // A character of the code of the last line.
    let at = bad.len() - 10;
    bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
    site.file.set(&*bad);
    site.record(3..4).await;
    for _ in 0..2 {
        let error = log.finish().await.unwrap_err();
        assert!(error.cause().unwrap().contains("does not go on from line 3"), "{error}");
        assert_eq!(site.file.bytes(), bad);
    }
    site.file.set(good);
    log.finish().await.unwrap();
    site.assert_has(0..4, "in the end").await;
}

/// A backup of the store was put back: the file knows more. That is no round that was cut off.
#[tokio::test]
async fn a_store_behind_the_log_is_reported_and_adopts_nothing() {
    // Fewer lines than a round, and more.
    for (forgotten, moved) in [(1, false), (30, false), (900, false), (30, true), (900, true)] {
        let mut site = Site::new().await;
        site.record(0..2).await;
        site.log().finish().await.unwrap();
        let backup = site.world.store.snapshot();
        site.record(2..2 + forgotten).await;
        site.log().finish().await.unwrap();
        let written = site.file.bytes();
        site.world.store = backup;
        site.world.crash().await;
        if moved {
            site.file.move_away();
        }
        site.record(5000..5002).await;
        let log = site.log();
        let behind = log.begin().await.unwrap_err();
        let least = 2 + forgotten.min(ROUND) as u64;
        assert_eq!(behind.known, 2);
        let expected = if moved { least..=902 } else { 2 + forgotten as u64..=902 };
        assert!(expected.contains(&behind.written), "{behind:?}");
        for part in ["store accept", "Copy the data directory"] {
            assert!(behind.to_string().contains(part), "{behind}");
        }
        assert!(log.finish().await.is_err());
        assert!(log.trouble().is_some());
        if !moved {
            assert_eq!(site.file.bytes(), written);
        }
        assert_eq!(site.world.store.dump("outbox/").len(), 2, "the events wait");
    }
}

/// The older lines were put away, and the store is older than they are.
#[tokio::test]
async fn a_store_behind_a_log_that_was_rotated_is_reported() {
    let mut site = Site::new().await;
    site.record(0..2).await;
    site.log().finish().await.unwrap();
    let backup = site.world.store.snapshot();
    site.record(2..4).await;
    let log = site.log();
    log.finish().await.unwrap();
    site.file.set("");
    site.record(4..6).await;
    log.finish().await.unwrap();
    site.world.store = backup;
    site.world.crash().await;
    let behind = site.log().begin().await.unwrap_err();
    assert_eq!(behind, Behind { known: 2, written: 6 });
}

#[tokio::test]
async fn after_a_failed_sync_the_lines_are_written_anew() {
    for (before, more) in [(0, false), (3, false), (3, true)] {
        let mut site = Site::new().await;
        site.record(0..before).await;
        let log = site.log();
        log.finish().await.unwrap();
        site.record(before..10).await;
        site.file.fail_next_sync();
        assert!(log.finish().await.is_err());
        assert_ne!(site.world.store.dump("outbox/").len(), 0, "none of them counts as durable");
        if more {
            site.record(10..12).await;
        }
        log.finish().await.unwrap();
        // What was never synced is gone, and the store relies on what is left.
        site.file.lose_power();
        site.world.crash().await;
        site.assert_has(0..if more { 12 } else { 10 }, &format!("{before} {more}")).await;
        site.log().begin().await.unwrap();
    }
}

/// The daemon dies between write and sync; the next one finds the lines, and then power is lost.
#[tokio::test]
async fn lines_that_were_never_synced_are_made_durable_before_they_count() {
    for before in [0, 2] {
        let mut site = Site::new().await;
        site.record(0..before).await;
        site.log().finish().await.unwrap();
        site.record(before..5).await;
        let (store, durable) = (site.world.store.snapshot(), site.file.bytes());
        site.log().finish().await.unwrap();
        let written = site.file.bytes();
        for length in [written.len(), written.len() - 1, durable.len() + 1] {
            site.file.set(durable.clone());
            site.file.set_unsynced(&written[..length]);
            site.world.store = store.snapshot();
            site.world.crash().await;
            site.log().finish().await.unwrap();
            site.file.lose_power();
            site.assert_has(0..5, &format!("{before} {length}")).await;
            assert_eq!(site.file.bytes(), written);
        }
    }
}

/// Some file systems leave zeros where a file had grown and power was lost.
#[tokio::test]
async fn zeros_behind_the_end_are_no_lines() {
    let mut site = Site::new().await;
    site.record(0..2).await;
    site.log().finish().await.unwrap();
    let durable = site.file.bytes();
    site.record(2..4).await;
    let store = site.world.store.snapshot();
    site.log().finish().await.unwrap();
    let written = site.file.bytes();
    for (kept, zeros) in [(0, 1), (0, 5000), (7, 300), (200, 300)] {
        let torn = &written[..durable.len() + kept];
        site.file.set([torn, &vec![0; zeros]].concat());
        site.world.store = store.snapshot();
        site.world.crash().await;
        site.log().finish().await.unwrap();
        site.assert_has(0..4, &format!("{kept} {zeros}")).await;
    }
}

/// Killed between file and store, then rotated, then started.
#[tokio::test]
async fn lines_in_a_file_that_was_moved_away_are_not_written_twice() {
    for (before, known) in [(0, true), (2, true), (0, false), (2, false)] {
        let mut site = Site::new().await;
        site.record(0..before).await;
        site.log().finish().await.unwrap();
        let begin = site.file.bytes().len();
        site.record(before..6).await;
        let store = site.world.store.snapshot();
        site.log().finish().await.unwrap();
        let written = site.file.bytes();
        for length in [begin + 20, written.len() - 1, written.len()] {
            site.world.store = store.snapshot();
            site.world.crash().await;
            site.file = MemoryFile::default();
            site.file.set(&written[..length]);
            if known {
                site.file.move_away();
            } else {
                // Compressed, or in another directory.
                site.file.set("");
            }
            site.record(6..8).await;
            site.log().begin().await.unwrap();
            site.log().finish().await.unwrap();
            let new = site.file.bytes();
            let verdict = site.verify(&[written[..length].to_vec(), new], 1).await;
            let context = format!("{before} {known} {length}: {verdict:?}");
            assert_eq!(verdict.faults, Vec::<String>::new(), "{context}");
            assert_eq!(verdict.last, 8, "{context}");
            if known {
                assert_eq!(verdict.repeated, 0, "{context}");
            }
            assert_eq!(verdict.lines - verdict.repeated, 8, "{context}");
        }
    }
}

#[tokio::test]
async fn an_event_that_was_changed_in_the_store_holds_up_no_other() {
    let site = Site::new().await;
    site.record(0..3).await;
    let (key, value) = site.world.store.dump("outbox/").remove(1);
    let mut value = value.to_vec();
    *value.last_mut().unwrap() ^= 1;
    site.world.store.tamper(&key, Some(value.into()));
    site.world.store.tamper(&Key::new("outbox/x"), Some("y".into()));
    site.log().finish().await.unwrap();
    assert_eq!(
        site.file.lines().iter().map(|line| asked(line)).collect::<Vec<_>>(),
        ["0", "", "2"]
    );
    assert!(site.file.lines()[1].contains(r#""action":"lose""#));
    assert_eq!(site.verify(&[site.file.bytes()], 1).await.faults, Vec::<String>::new());
}

/// Attack: keys among the events that no daemon wrote, to stop the log in silence.
#[tokio::test]
async fn keys_that_nobody_wrote_hold_up_no_event_and_are_told_of() {
    const STRANGE: usize = 2 * BATCHES * AUDIT_BATCH;
    // Before all events, and after them.
    for place in ["!", "9:"] {
        let site = Site::new().await;
        let log = site.log();
        site.world.leases.start().await.unwrap();
        log.start();
        let key = |number: usize| Key::new(format!("outbox/{place}{number}"));
        for number in 0..STRANGE {
            site.world.store.tamper(&key(number), Some("y".into()));
        }
        for number in 0..3 {
            site.record(number..number + 1).await;
            site.world.run(SECOND).await;
            assert_eq!(site.file.lines().len(), number + 1, "{place}");
            let trouble = log.trouble().unwrap();
            assert!(trouble.contains("something that is no event"), "{trouble}");
        }
        for number in 0..STRANGE {
            site.world.store.tamper(&key(number), None);
        }
        site.world.run(SECOND).await;
        assert_eq!(log.trouble(), None, "{place}");
        site.assert_has(0..3, place).await;
    }
}

#[tokio::test]
async fn it_is_written_while_the_daemon_runs_and_says_when_it_cannot_be() {
    let site = Site::new().await;
    let log = site.log();
    site.world.leases.start().await.unwrap();
    log.start();
    site.world.ground().remark(event("0"));
    site.world.run(SECOND).await;
    site.assert_has(0..1, "noted").await;
    assert_eq!(log.trouble(), None);
    site.file.set_room(Some(0));
    site.world.ground().remark(event("1"));
    site.world.run(3 * SECOND).await;
    assert!(log.trouble().unwrap().contains("no space left on device"), "{:?}", log.trouble());
    site.file.set_room(None);
    site.world.run(3 * SECOND).await;
    site.assert_has(0..2, "in the end").await;
    assert_eq!(log.trouble(), None);
    let appends = site.file.appends();
    site.world.run(Duration::from_secs(60)).await;
    assert_eq!(site.file.appends(), appends, "where nothing happens, nothing is written");
}

/// A store whose commits have no known fate: written once all the same.
#[tokio::test]
async fn a_commit_of_unknown_fate_doubles_nothing() {
    for applied in [true, false] {
        let site = Site::new().await;
        site.record(0..3).await;
        site.world.store.fail_next(crate::doubles::Fault::Unknown { applied });
        site.world.in_time(site.log().finish()).await.unwrap();
        site.assert_has(0..3, &format!("applied: {applied}")).await;
    }
}
