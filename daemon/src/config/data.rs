//! `[data]`: the directory of the state.

use std::path::PathBuf;

use super::keys::{self, Key};
use super::read::{Table, Value};

/// The default of `cache`.
pub(super) const DEFAULT_CACHE: u64 = 16 << 20;
/// The key `cache`.
pub(super) const CACHE: &[Key<u64>] =
    &[Key::size("cache", |cache| cache, 1 << 20..=64 << 30, "Memory for the store's cache.")];

/// The directory of the state.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) directory: PathBuf,
    /// Memory for the store's cache, in bytes.
    pub(crate) cache: u64,
}

impl Data {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Option<Self> {
        let mut cache = DEFAULT_CACHE;
        keys::read(CACHE, table, &mut cache);
        Some(Self {
            directory: table.required("directory", "\"/var/lib/credsmith\"", directory)?,
            cache,
        })
    }

    /// The directory of compiled plugins.
    pub(crate) fn artefacts(&self) -> PathBuf {
        self.directory.join("artefacts")
    }

    /// The directory of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.directory.join("store")
    }
}

fn directory(value: &Value<'_>) -> Option<PathBuf> {
    let path = value.path()?;
    if value.reading.environment().made_by_dev(&path) {
        value.fault(format!(
            "is {}, which `credsmith dev` made: its key lies beside the data; expected a directory of its own",
            path.display()
        ));
        return None;
    }
    Some(path)
}
