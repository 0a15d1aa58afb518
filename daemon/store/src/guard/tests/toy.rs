//! The smallest engine: a file of lines, an entry each, and a last line with its record.

use std::fs;
use std::path::{Path, PathBuf};

use credsmith_core::error::BoxedCause;

use super::super::{Guarded, Reached};
use crate::error::OpenError;

/// Its file.
pub(super) const FILE: &str = "lines";

pub(super) struct Toy {
    path: PathBuf,
    lines: Vec<String>,
    reached: Option<Reached>,
}

impl Toy {
    /// Opens the file. Where reading fails at a line, it takes that for the end of the file, and
    /// overwrites the rest.
    pub(super) fn open(directory: &Path, fails_at: Option<usize>) -> Result<Self, OpenError> {
        let path = directory.join(FILE);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut toy = Self { path, lines: Vec::new(), reached: None };
        for (number, line) in text.lines().enumerate() {
            if Some(number) == fails_at {
                break;
            }
            match line.strip_prefix("reached ") {
                Some(record) => toy.reached = parse(record),
                None => toy.lines.push(line.to_owned()),
            }
        }
        if fails_at.is_some() {
            toy.write();
        }
        Ok(toy)
    }

    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// A group with one commit.
    pub(super) fn add(&mut self, line: &str) -> Reached {
        let mut reached = self.reached.unwrap_or_default();
        reached.revision += 1;
        reached.add(b"line", line.as_bytes());
        self.lines.push(line.to_owned());
        self.reached = Some(reached);
        self.write();
        reached
    }

    fn write(&self) {
        let mut text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        if let Some(Reached { revision, entries, sum }) = self.reached {
            text.push_str(&format!("reached {revision} {entries} {sum}\n"));
        }
        fs::write(&self.path, text).unwrap();
    }
}

fn parse(record: &str) -> Option<Reached> {
    let mut words = record.split(' ');
    let (revision, entries) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Reached { revision, entries, sum: words.next()?.parse().ok()? })
}

impl Guarded for Toy {
    fn recorded(&self) -> Result<Option<Reached>, BoxedCause> {
        Ok(self.reached)
    }

    fn count(&self) -> Result<Reached, BoxedCause> {
        let mut found = Reached::default();
        self.lines.iter().for_each(|line| found.add(b"line", line.as_bytes()));
        Ok(found)
    }

    fn record(&mut self, reached: Reached) -> Result<(), BoxedCause> {
        self.reached = Some(reached);
        self.write();
        Ok(())
    }
}
