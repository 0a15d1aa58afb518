//! `[data]`: where state is kept.

use std::path::PathBuf;

use super::read::{Table, Value};

/// The file by which a data directory of `credsmith dev` is known.
pub(crate) const DEV_MARKER: &str = "made-by-credsmith-dev";

/// Where state is kept.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) directory: PathBuf,
    /// Memory for the store's cache, in bytes.
    pub(crate) cache: u64,
}

impl Data {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Option<Self> {
        Some(Self {
            cache: table.or("cache", 16 << 20, |value| value.size(1 << 20..=64 << 30)),
            directory: table.required("directory", "\"/var/lib/credsmith\"", directory)?,
        })
    }

    /// Where compiled plugins are kept.
    pub(crate) fn artefacts(&self) -> PathBuf {
        self.directory.join("artefacts")
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.directory.join("store")
    }
}

fn directory(value: &Value<'_>) -> Option<PathBuf> {
    let path = value.path()?;
    if value.reading.machine().made_by_dev(&path) {
        value.fault(format!(
            "is {}, which `credsmith dev` made: its key lies beside the data; expected a directory of its own",
            path.display()
        ));
        return None;
    }
    Some(path)
}
