//! Whether an audit log is as the daemon wrote it: every line by its code, all of them by their
//! numbers and by the chain, its end by the record of it in the store.
//!
//! Lines come in pieces of any size, of one file or of several that follow each other. Faults are
//! sentences; after a fault the verifier goes on.
//!
//! A daemon that is writing, or was killed while it wrote, leaves a line without its end. Nothing
//! signs that, so it is no part of the log: it is accepted only at the very end, and the verdict
//! keeps it apart from what was verified. Where the file was moved away before the daemon started
//! again, the next file begins with that line, and may begin with the last lines of the one before:
//! the same lines, byte by byte, which the verdict counts.

use std::collections::VecDeque;
use std::mem;

use sha2::{Digest as _, Sha256};

use super::line::{Line, breaks_off, is_torn};
use crate::keyring::Authenticator;
use crate::model::mark::Mark;

/// Longest line, in bytes: far more than an event can be.
pub(super) const LONGEST_LINE: usize = 64 * 1024;
/// Most faults in a verdict.
const MOST_FAULTS: usize = 1000;
/// Lines at the end of a file that the next one may begin with: more than one write has.
const MOST_REPEATED: usize = 1024;

/// The data to check a log against.
#[derive(Debug, Default)]
pub struct Check {
    /// The key that signed its lines; without it, only hashes, numbers and chain are checked, which
    /// a person who changes the log can put right again.
    pub key: Option<Authenticator>,
    /// The end of the log in the store; without it, lines that are missing at the end go unnoticed.
    pub end: Option<Mark>,
    /// The number of the line that it begins with.
    pub from: u64,
}

/// The result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many lines there are.
    pub lines: u64,
    /// The number of the last one.
    pub last: u64,
    /// The beginning of a next line follows, which is no part of the log: a reader of the file must
    /// not rely on it.
    pub unfinished: bool,
    /// How many lines stand at the end of a file and once more at the beginning of the next.
    pub repeated: u64,
    /// Everything that is wrong, a sentence each, with the file where it is known.
    pub faults: Vec<String>,
}

/// Reads a log.
#[derive(Debug)]
pub struct Verifier {
    check: Check,
    verdict: Verdict,
    /// The file that is read, and how many lines of the log came before it.
    file: Option<(String, u64)>,
    /// The line before, where it can be relied on.
    before: Option<Mark>,
    /// The beginning of a line whose end is yet to come.
    rest: Vec<u8>,
    /// The line is longer than the longest, and the rest of it is dropped.
    overlong: bool,
    /// The file that ended last has the next line at its end, or the beginning of it, without an
    /// end of line.
    begun: Option<Vec<u8>>,
    /// The unfinished line of a file that another one follows, which has to begin with it.
    torn: Option<Vec<u8>>,
    /// The last lines so far: number and digest.
    recent: VecDeque<(u64, [u8; 32])>,
    /// Nothing but lines of the file before was read of this one.
    repeating: bool,
}

impl Verifier {
    /// A verifier that checks a log against `check`.
    pub fn new(check: Check) -> Self {
        let before = Mark { number: check.from.saturating_sub(1), ..Mark::START };
        let verdict = Verdict { last: before.number, ..Verdict::default() };
        Self {
            check,
            verdict,
            file: None,
            before: Some(before),
            rest: Vec::new(),
            overlong: false,
            begun: None,
            torn: None,
            recent: VecDeque::new(),
            repeating: false,
        }
    }

    /// What is read from now on stands in the file `name`, which faults mention.
    pub fn begin_file(&mut self, name: impl Into<String>) {
        self.go_on();
        self.file = Some((name.into(), self.verdict.lines));
    }

    /// Reads on.
    pub fn read(&mut self, bytes: &[u8]) {
        self.go_on();
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        self.grow(pieces.next().unwrap_or_default());
        for piece in pieces {
            let line = mem::take(&mut self.rest);
            self.line(&line);
            self.grow(piece);
        }
    }

    /// A file ends here; another may follow.
    pub fn end_of_file(&mut self) {
        self.go_on();
        let rest = mem::take(&mut self.rest);
        let is_too_long = mem::take(&mut self.overlong);
        let is_begun = !is_too_long && self.is_begun(&rest);
        if is_too_long || !rest.is_empty() && !is_begun {
            self.fault_without_end();
        }
        // No line has followed yet, if one has to.
        let torn = self.torn.take();
        self.begun = if is_begun { Some(rest) } else { torn };
        self.repeating = true;
    }

    /// The verdict about the whole log.
    pub fn finish(mut self) -> Verdict {
        let last = self.verdict.last;
        match self.begun.take() {
            Some(begun) if breaks_off(&begun) => self.verdict.unfinished = true,
            Some(_) => self.fault_without_end(),
            None => {}
        }
        if let Some(end) = self.check.end
            && last < end.number
        {
            // Whatever stands in the place of a line that was there is none that is being written.
            self.verdict.unfinished = false;
            self.fault(format!(
                "The log ends with number {last}, but the daemon has written {}: the last lines are missing, or in another file.",
                end.number
            ));
        }
        self.verdict
    }

    /// Another file follows.
    fn go_on(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.torn = Some(begun);
        }
    }

    /// Whether `rest` can be what stands of the next line while the daemon writes it.
    fn is_begun(&self, rest: &[u8]) -> bool {
        !rest.is_empty() && self.written_last().is_some_and(|last| is_torn(rest, &last))
    }

    /// The line that the next one continues; `None` when that is unknown.
    fn written_last(&self) -> Option<Mark> {
        if self.begins_late() {
            return self.check.end.filter(|end| end.number == self.verdict.last);
        }
        self.before
    }

    fn grow(&mut self, piece: &[u8]) {
        if self.rest.len() + piece.len() > LONGEST_LINE {
            self.overlong = true;
            self.rest.clear();
        }
        if !self.overlong {
            self.rest.extend_from_slice(piece);
        }
    }

    fn line(&mut self, line: &[u8]) {
        let is_too_long = mem::take(&mut self.overlong);
        let read = Line::read(line).filter(|_| !is_too_long);
        let digest: [u8; 32] = Sha256::digest(line).into();
        if self.repeating && read.as_ref().is_some_and(|line| self.is_repeated(line, digest)) {
            self.verdict.repeated += 1;
            self.verdict.lines += 1;
            return;
        }
        self.repeating = false;
        if self.torn.take().is_some_and(|torn| !line.starts_with(&torn)) {
            self.fault_without_end();
        }
        match &read {
            Some(line) => self.judge(line),
            None => self.fault_at_next_line("is no line of an audit log"),
        }
        self.verdict.lines += 1;
        self.before = read.as_ref().map(|line| line.mark);
        self.recent.extend(self.before.map(|mark| (mark.number, digest)));
        if self.recent.len() > MOST_REPEATED {
            self.recent.pop_front();
        }
        self.verdict.last = match &read {
            Some(line) => line.mark.number,
            None => self.verdict.last.saturating_add(1),
        };
    }

    /// Whether this very line stands at the end of the file before.
    fn is_repeated(&self, line: &Line<'_>, digest: [u8; 32]) -> bool {
        self.recent.contains(&(line.mark.number, digest))
    }

    /// One fault of a line at most: the others would follow from it.
    fn judge(&mut self, line: &Line<'_>) {
        if !line.is_whole() || self.check.key.as_ref().is_some_and(|key| !line.is_authentic(key)) {
            return self.fault_at_next_line("was changed, or was not written by this daemon");
        }
        let number = line.mark.number;
        if self.check.end.is_some_and(|end| end.number == number && end.mac != line.mark.mac) {
            return self.fault_at_next_line("is another one than the daemon wrote last");
        }
        let Some(before) = self.before else { return };
        let expected = before.number.saturating_add(1);
        if number > expected {
            self.fault_at_next_line(&format!(
                "has number {number} instead of {expected}: lines before it are missing, or in an older file"
            ));
        } else if number < expected {
            self.fault_at_next_line(&format!(
                "has number {number} instead of {expected}: it stands elsewhere than it was written, or twice"
            ));
        } else if !line.continues(&before) && !self.begins_late() {
            self.fault_at_next_line("does not go on from the line before it: that one was changed");
        }
    }

    /// Whether the next line is the first one of a log whose beginning was put away.
    fn begins_late(&self) -> bool {
        self.verdict.lines == 0 && self.check.from > 1
    }

    fn fault_without_end(&mut self) {
        self.fault_at_next_line("has no end: it was cut off, or is no line of an audit log");
    }

    fn fault_at_next_line(&mut self, what: &str) {
        let number = self.verdict.lines.saturating_add(1);
        let place = match &self.file {
            Some((name, before)) => format!("Line {} of {name}", number.saturating_sub(*before)),
            None => format!("Line {number}"),
        };
        self.fault(format!("{place} {what}."));
    }

    fn fault(&mut self, sentence: String) {
        let faults = &mut self.verdict.faults;
        match faults.len() {
            MOST_FAULTS => faults.push("There are more faults than these.".to_owned()),
            more if more > MOST_FAULTS => {}
            _ => faults.push(sentence),
        }
    }
}

#[cfg(test)]
mod tests;
