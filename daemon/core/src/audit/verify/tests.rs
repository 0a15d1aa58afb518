use proptest::prelude::*;
use proptest::sample::Index;

use super::super::line::write;
use super::*;
use crate::keyring::encode_mac;

/// A log of `count` lines, and where it ends.
fn log(count: usize, seed: u8) -> (Vec<Vec<u8>>, Mark) {
    let (mut lines, mut mark) = (Vec::new(), Mark::START);
    for number in 0..count {
        let mut line = Vec::new();
        let event = format!("{{\"action\":\"change\",\"target\":{{\"asked\":\"{number}\"}}}}");
        mark = write(&mut line, &mark, &format!("e{number}"), event.as_bytes(), &key(seed));
        lines.push(line);
    }
    (lines, mark)
}

fn key(seed: u8) -> Authenticator {
    Authenticator::of_test(seed)
}

/// The faults that a reader with the key and the store finds.
fn verify(log: &[u8], end: Mark) -> Vec<String> {
    held_against(log, Check { key: Some(key(1)), end: Some(end), from: 1 }).faults
}

fn held_against(log: &[u8], check: Check) -> Verdict {
    let mut verifier = Verifier::new(check);
    // In pieces, so that a line comes in several.
    log.chunks(100).for_each(|piece| verifier.read(piece));
    verifier.end_of_file();
    verifier.finish()
}

fn without_key(log: &[u8]) -> Vec<String> {
    held_against(log, Check { from: 1, ..Check::default() }).faults
}

#[test]
fn a_log_as_it_was_written_is_sound() {
    for count in [0, 1, 2, 50] {
        let (lines, end) = log(count, 1);
        let verdict =
            held_against(&lines.concat(), Check { key: Some(key(1)), end: Some(end), from: 1 });
        assert_eq!(
            verdict,
            Verdict { lines: count as u64, last: count as u64, ..Verdict::default() }
        );
        assert_eq!(without_key(&lines.concat()), [""; 0]);
    }
}

/// Every line, with everything that can be done to a line.
#[test]
fn every_fault_is_told_at_its_line() {
    let (lines, end) = log(6, 1);
    let faults = |lines: &[Vec<u8>]| verify(&lines.concat(), end);
    for at in 0..lines.len() {
        let mut changed = lines.clone();
        changed[at] =
            String::from_utf8(lines[at].clone()).unwrap().replace("change", "reveal").into();
        assert_eq!(
            faults(&changed),
            [format!("Line {} was changed, or was not written by this daemon.", at + 1)]
        );

        let mut garbled = lines.clone();
        garbled[at] = b"{}\n".to_vec();
        assert_eq!(faults(&garbled)[0], format!("Line {} is no line of an audit log.", at + 1));

        let mut shorter = lines.clone();
        shorter.remove(at);
        let missing = match at {
            5 => "The log ends with number 5, but the daemon has written 6".to_owned(),
            _ => format!("Line {} has number {} instead of {}", at + 1, at + 2, at + 1),
        };
        assert_eq!(faults(&shorter).len(), 1);
        assert!(faults(&shorter)[0].starts_with(&missing), "{:?}", faults(&shorter));

        let mut twice = lines.clone();
        twice.insert(at, lines[at].clone());
        let doubled = format!("Line {} has number {} instead of {}", at + 2, at + 1, at + 2);
        assert!(faults(&twice)[0].starts_with(&doubled), "{:?}", faults(&twice));
    }
}

/// Attack: the tail is written anew by a person who has no key, or with lines of an earlier time of
/// the same daemon.
#[test]
fn a_log_of_another_key_or_another_life_is_found() {
    let (lines, end) = log(4, 1);
    let (foreign, _) = log(4, 2);
    let spliced = [&lines[..2], &foreign[2..]].concat().concat();
    assert_eq!(verify(&spliced, end).len(), 2);
    assert_eq!(without_key(&spliced).len(), 1, "the chain alone shows the seam");
    // The same number of good lines, but not those that the store remembers.
    let mut other = Vec::new();
    let mark = write(&mut other, &Mark::START, "e0", b"{\"action\":\"use\"}", &key(1));
    assert_eq!(
        verify(&other, Mark { mac: [7; 32], ..mark }),
        ["Line 1 is another one than the daemon wrote last."]
    );
    let follows = [lines[0].clone(), lines[1].clone()].concat();
    let forked = [other, lines[1].clone()].concat();
    assert_eq!(without_key(&follows), [""; 0]);
    assert_eq!(
        without_key(&forked),
        ["Line 2 does not go on from the line before it: that one was changed."]
    );
}

/// Attack: an edit by a person without the key, and a reader without it.
#[test]
fn every_edit_shows_to_who_has_no_key_too() {
    let (lines, _) = log(3, 1);
    let good = lines.concat();
    let code_of_the_last = good.len() - 46..good.len() - 3;
    for at in (0..good.len()).filter(|at| !code_of_the_last.contains(at)) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_ne!(without_key(&bad), [""; 0], "byte {at}");
    }
}

/// The code of the last of `lines`, and its number.
fn mark_of(lines: &[u8]) -> Mark {
    let last = lines.split(|byte| *byte == b'\n').rev().find_map(Line::read);
    last.map_or(Mark::START, |line| line.mark)
}

#[test]
fn what_a_dying_daemon_leaves_is_no_fault_and_is_told_of() {
    let (lines, end) = log(3, 1);
    let (before, whole) = (mark_of(&lines[1]), lines.concat());
    let (good, next) = (lines[..2].concat(), &lines[2]);
    for length in 1..next.len() - 1 {
        let begun = [&good[..], &next[..length]].concat();
        let held = |end| held_against(&begun, Check { key: Some(key(1)), end: Some(end), from: 1 });
        let unfinished = Verdict { lines: 2, last: 2, unfinished: true, ..Verdict::default() };
        assert_eq!(held(before), unfinished, "{length} bytes, which are not remembered yet");
        assert_eq!(held_against(&begun, Check { from: 1, ..Check::default() }), unfinished);
        let missing = held(end);
        assert_eq!(
            (missing.faults.len(), missing.unfinished),
            (1, false),
            "they were: {missing:?}"
        );
    }
    assert_eq!(verify(&whole, before), [""; 0], "written, and not yet remembered");
    assert_eq!(
        verify(&whole[..whole.len() - 1], before),
        ["Line 3 has no end: it was cut off, or is no line of an audit log."],
        "a whole line without its end is no beginning of one"
    );
    let first =
        held_against(&lines[0][..40], Check { key: Some(key(1)), end: Some(Mark::START), from: 1 });
    assert!(first.unfinished && first.faults.is_empty(), "{first:?}");
}

/// Attack: what never happened stands at the end, as a line that a dying daemon left.
#[test]
fn a_forged_event_at_the_end_is_a_fault() {
    let (lines, end) = log(2, 1);
    let (good, previous) = (lines.concat(), encode_mac(&end.mac));
    let mut foreign = Vec::new();
    write(&mut foreign, &end, "e2", br#"{"action":"reveal"}"#, &key(2));
    let whole = |rest: &str| {
        format!("{{\"number\":3,\"previous\":\"{previous}\",\"id\":\"e2\",{rest}").into_bytes()
    };
    for forged in [
        br#"{"number":3,"action":"reveal"}"#.to_vec(),
        br#"{"number":3,"action":"reveal","#.to_vec(),
        br#"{"number":3,"previous":"AAAA"#.to_vec(),
        whole(r#""action":"reveal"}"#),
        whole(r#""action":"reveal"} "#),
        whole(r#""action":"reveal"}{"#),
        whole(r#""action":"reveal"] "#),
        whole("action"),
        foreign[..foreign.len() - 1].to_vec(),
    ] {
        let bad = [&good[..], &forged].concat();
        let faults = ["Line 3 has no end: it was cut off, or is no line of an audit log."];
        assert_eq!(verify(&bad, end), faults, "{}", String::from_utf8_lossy(&forged));
        assert_eq!(without_key(&bad), faults);
    }
}

/// The verdict about files that follow each other.
fn of_files(files: &[&[u8]], end: Mark) -> Verdict {
    let mut verifier = Verifier::new(Check { key: Some(key(1)), end: Some(end), from: 1 });
    for file in files {
        verifier.read(file);
        verifier.end_of_file();
    }
    verifier.finish()
}

/// A file is moved away after its daemon was killed amid a line: the next file has to begin with
/// that line. Attack: it begins with another one.
#[test]
fn an_unfinished_line_is_a_fault_unless_the_next_file_begins_with_it() {
    let (lines, end) = log(3, 1);
    let before = mark_of(&lines[1]);
    let mut other = Vec::new();
    let other_end = write(&mut other, &before, "e9", b"{\"action\":\"use\"}", &key(1));
    let begun = [lines[..2].concat(), lines[2][..100].to_vec()].concat();
    let good = Verdict { lines: 3, last: 3, ..Verdict::default() };
    assert_eq!(of_files(&[&begun, &lines[2]], end), good);
    assert_eq!(of_files(&[&begun, b"", &lines[2]], end), good);
    let unfinished = Verdict { lines: 2, last: 2, unfinished: true, ..Verdict::default() };
    assert_eq!(of_files(&[&begun, b""], before), unfinished);
    let fault = "Line 3 has no end: it was cut off, or is no line of an audit log.".to_owned();
    assert_eq!(of_files(&[&begun, &other], other_end).faults, [fault]);
}

/// The lines of a round that stand in the moved file too are the same lines, and counted. Attack:
/// lines that are not the last ones of the file before, or not the same, or not at its beginning.
#[test]
fn lines_repeated_at_the_beginning_of_the_next_file_are_counted_and_no_others() {
    let (lines, end) = log(6, 1);
    for from in 0..=4 {
        let verdict = of_files(&[&lines[..4].concat(), &lines[from..].concat()], end);
        let repeated = 4 - from as u64;
        let expected = Verdict { lines: 6 + repeated, last: 6, repeated, ..Verdict::default() };
        assert_eq!(verdict, expected, "{from}");
    }
    let first = lines[..4].concat();
    let edited = String::from_utf8(lines[3].clone()).unwrap().replace("change", "reveal");
    for next in [
        // Behind a line that is new.
        [&lines[4][..], &lines[3], &lines[5]].concat(),
        // Edited.
        [edited.as_bytes(), &lines[4], &lines[5]].concat(),
        // A gap.
        lines[5].clone(),
    ] {
        assert_eq!(of_files(&[&first, &next], end).faults.len().min(1), 1);
    }
    // Within one file, a repeated line stays a fault.
    assert_ne!(of_files(&[&[&first[..], &lines[3]].concat()], end).faults.len(), 0);
}

#[test]
fn an_unfinished_line_after_lines_that_were_put_away_goes_on_from_the_last_that_is_known() {
    let (lines, end) = log(3, 1);
    let begun = &lines[2][..80];
    let held = |end: Option<Mark>| held_against(begun, Check { key: Some(key(1)), end, from: 3 });
    let before = mark_of(&lines[1]);
    let unfinished = Verdict { lines: 0, last: 2, unfinished: true, ..Verdict::default() };
    assert_eq!(held(Some(before)), unfinished);
    for unknown in [None, Some(Mark { mac: [7; 32], ..before }), Some(end)] {
        let verdict = held(unknown);
        assert!(!verdict.faults.is_empty() && !verdict.unfinished, "{verdict:?}");
    }
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let mut verifier = Verifier::new(Check { key: Some(key(1)), end: None, from: 1 });
    for _ in 0..1000 {
        verifier.read(&[b'x'; 10_000]);
        assert!(verifier.rest.len() <= LONGEST_LINE);
    }
    let (lines, _) = log(1, 1);
    verifier.read(b"\n");
    verifier.read(&lines[0]);
    verifier.end_of_file();
    assert_eq!(verifier.finish().faults, ["Line 1 is no line of an audit log."]);
}

#[test]
fn faults_are_told_up_to_a_bound() {
    let log = "x\n".repeat(5000);
    assert_eq!(without_key(log.as_bytes()).len(), MOST_FAULTS + 1);
}

/// One manipulation of a log.
#[derive(Debug, Clone)]
enum Tampering {
    Change(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    CutOff(Index),
    Behead(Index),
    Delete(Index),
    Double(Index, Index),
    Swap(Index, Index),
    Move(Index, Index),
    EndsOfLines,
    /// A line that would be next is added, or so much of it; by whom, see [`Author`].
    Append(Author, Index),
}

/// The author of a line that is added.
#[derive(Debug, Clone, Copy)]
enum Author {
    /// The daemon.
    Daemon,
    /// A person without the key, who knows the chain.
    Forger,
    /// A person who knows numbers only.
    Stranger,
}

impl Author {
    /// The line after `mark`, its end included.
    fn line(self, mark: &Mark) -> Vec<u8> {
        let event = br#"{"action":"reveal","target":{"fields":["pin"]}}"#;
        let (mut line, elsewhere) = (Vec::new(), Mark { mac: [7; 32], ..*mark });
        match self {
            Self::Daemon => write(&mut line, mark, "next", event, &key(1)),
            Self::Forger => write(&mut line, mark, "next", event, &key(2)),
            Self::Stranger => write(&mut line, &elsewhere, "next", event, &key(2)),
        };
        line
    }
}

impl Tampering {
    fn any() -> impl Strategy<Value = Self> {
        let at = any::<Index>;
        prop_oneof![
            (at(), 1..=255_u8).prop_map(|(at, by)| Self::Change(at, by)),
            (at(), any::<u8>()).prop_map(|(at, byte)| Self::Insert(at, byte)),
            at().prop_map(Self::Remove),
            at().prop_map(Self::CutOff),
            at().prop_map(Self::Behead),
            at().prop_map(Self::Delete),
            (at(), at()).prop_map(|(one, to)| Self::Double(one, to)),
            (at(), at()).prop_map(|(one, other)| Self::Swap(one, other)),
            (at(), at()).prop_map(|(one, to)| Self::Move(one, to)),
            Just(Self::EndsOfLines),
            (prop_oneof![Just(Author::Daemon), Just(Author::Forger), Just(Author::Stranger)], at())
                .prop_map(|(by, length)| Self::Append(by, length)),
        ]
    }

    fn befall(&self, mut lines: Vec<Vec<u8>>) -> Vec<u8> {
        let (count, mut bytes) = (lines.len(), lines.concat());
        match self {
            Self::Change(at, by) => {
                let at = at.index(bytes.len());
                bytes[at] ^= by;
                return bytes;
            }
            Self::Insert(at, byte) => {
                bytes.insert(at.index(bytes.len() + 1), *byte);
                return bytes;
            }
            Self::Remove(at) => {
                bytes.remove(at.index(bytes.len()));
                return bytes;
            }
            Self::CutOff(at) => return bytes[..at.index(bytes.len())].to_vec(),
            Self::Behead(at) => return bytes[at.index(bytes.len() - 1) + 1..].to_vec(),
            Self::Delete(at) => drop(lines.remove(at.index(count))),
            Self::Double(one, to) => {
                let line = lines[one.index(count)].clone();
                lines.insert(to.index(count + 1), line);
            }
            Self::Swap(one, other) => lines.swap(one.index(count), other.index(count)),
            Self::Move(one, to) => {
                let line = lines.remove(one.index(count));
                lines.insert(to.index(count), line);
            }
            // That the daemon adds a whole line is no tampering.
            Self::Append(by, length) => {
                let next = by.line(&mark_of(&bytes));
                let most = next.len() - usize::from(matches!(by, Author::Daemon));
                return [&bytes[..], &next[..length.index(most + 1)]].concat();
            }
            Self::EndsOfLines => {
                return bytes
                    .iter()
                    .flat_map(|byte| match byte {
                        b'\n' => b"\r\n".to_vec(),
                        byte => vec![*byte],
                    })
                    .collect();
            }
        }
        lines.concat()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whatever is done to a log, and however often, it shows: unless it did nothing.
    #[test]
    fn every_tampering_shows(count in 1..12_usize, doings in prop::collection::vec(Tampering::any(), 1..3)) {
        let (lines, end) = log(count, 1);
        let good = lines.concat();
        let mut bad = good.clone();
        for doing in doings {
            let lines: Vec<_> = bad.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            if lines.is_empty() || bad.len() < 2 {
                break;
            }
            bad = doing.befall(lines);
        }
        prop_assume!(bad != good);
        let verdict = held_against(&bad, Check { key: Some(key(1)), end: Some(end), from: 1 });
        // A beginning of the next line may stand behind all that was written: a daemon may be at
        // it. That is a fault then.
        if verdict.faults.is_empty() {
            prop_assert!(verdict.unfinished);
            let rest = bad.strip_prefix(&good[..]).expect("all lines are there");
            let begins = format!("{{\"number\":{},\"previous\":\"{}\",\"id\":\"", count + 1, encode_mac(&end.mac));
            prop_assert!(rest.iter().zip(begins.as_bytes()).all(|(one, other)| one == other));
            prop_assert!(serde_json::from_slice::<serde_json::Value>(rest).is_err());
            prop_assert!(!rest.contains(&b'\n'));
        }
    }
}
