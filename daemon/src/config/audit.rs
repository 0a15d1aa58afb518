//! `[audit]`: the audit log.

use std::path::PathBuf;

use super::data::Data;
use super::read::{Table, Value};

/// The audit log.
#[derive(Debug)]
pub(crate) struct Audit {
    /// Where it is written; `None`: `audit.jsonl` in the data directory.
    file: Option<PathBuf>,
    /// Whether reading plain fields of credentials is an event.
    pub(crate) reads: bool,
}

impl Audit {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        Self { file: table.optional("file", file), reads: table.or("reads", false, Value::flag) }
    }

    /// Where it is written.
    pub(crate) fn file(&self, data: &Data) -> PathBuf {
        self.file.clone().unwrap_or_else(|| data.directory.join("audit.jsonl"))
    }
}

fn file(value: &Value<'_>) -> Option<PathBuf> {
    let path = value.path()?;
    if let Err(why) = value.reading.environment().appendable(&path) {
        value.fault(format!("is {}, which {why}", path.display()));
        return None;
    }
    Some(path)
}
