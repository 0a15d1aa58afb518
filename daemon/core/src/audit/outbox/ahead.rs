//! Lines at the end of the file that the store does not know of yet. A daemon that died between the
//! file and the store leaves the lines of one round, whose events still wait in the store. Any
//! other line there shows that the store is older than the log.

use std::fmt;

use super::super::line::{Line, is_torn};
use crate::keyring::Authenticator;
use crate::model::mark::Mark;

/// The store has forgotten lines of the audit log: it is an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// The last line that the store knows of.
    pub known: u64,
    /// The last line of the log.
    pub written: u64,
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "The store is behind the audit log: it knows the log up to line {}, and the log goes on to line {}. \
             It may be an older copy, in which suspensions and revocations are missing. Copy the data directory and the audit log first. \
             If a newer copy of the store exists, put its files in the place of these; to go on with this one, \
             run `credsmith store accept --config FILE`, which says what is missing, and asks.",
            self.known, self.written
        )
    }
}

impl std::error::Error for Behind {}

/// A line ahead of the store.
#[derive(Debug)]
pub(super) struct AheadLine {
    pub(super) mark: Mark,
    pub(super) id: String,
    /// Where it ends, from the first of these lines on.
    pub(super) end: usize,
}

/// What stands behind the end that the store knows.
#[derive(Debug)]
pub(super) struct Ahead {
    pub(super) lines: Vec<AheadLine>,
    /// What follows them is nothing, or what a write that broke off leaves.
    pub(super) ends_well: bool,
    /// What stands there begins with an authentic line, of which the ones before are missing.
    pub(super) leaves_out: Option<u64>,
}

impl Ahead {
    /// Reads what stands after the line at `mark`, as far as it is authentic and follows.
    pub(super) fn read(bytes: &[u8], mark: &Mark, key: &Authenticator) -> Self {
        let (mut lines, mut last, mut end) = (Vec::new(), *mark, 0);
        let mut leaves_out = None;
        for whole in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = whole.strip_suffix(b"\n").and_then(Line::read);
            let Some(line) = line.filter(|line| line.is_authentic(key)) else { break };
            if !line.continues(&last) {
                leaves_out =
                    (end == 0 && line.mark.number > mark.number).then_some(line.mark.number);
                break;
            }
            end += whole.len();
            last = line.mark;
            lines.push(AheadLine { mark: line.mark, id: line.id, end });
        }
        let rest = bytes.get(end..).unwrap_or_default();
        Self { lines, ends_well: is_remnant(rest, &last), leaves_out }
    }

    /// Bytes of the lines.
    pub(super) fn length(&self) -> usize {
        self.lines.last().map_or(0, |line| line.end)
    }
}

/// Whether `rest` is what a write leaves behind a whole line when it breaks off: the beginning of
/// the next line. A loss of power can leave zeros, where the file had grown and the bytes were not
/// written.
fn is_remnant(rest: &[u8], mark: &Mark) -> bool {
    let text = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let (text, zeros) = rest.split_at_checked(text).unwrap_or_default();
    let is_line = text.contains(&b'\n') || !zeros.is_empty() && text.ends_with(b"\n");
    !is_line && (text.is_empty() || is_torn(text, mark))
}

/// The number of the last whole line in the tail of a file, authentic or not.
pub(super) fn last_number(tail: &[u8]) -> Option<u64> {
    let mut lines = tail.split(|byte| *byte == b'\n').rev().skip(1);
    lines.find_map(Line::read).map(|line| line.mark.number)
}
