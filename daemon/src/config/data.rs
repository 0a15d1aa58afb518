//! `[data]`: the directory of the state.

use std::path::PathBuf;

use super::keys::{self, Key};
use super::read::{Table, Value};

/// The default of `cache`.
pub(super) const DEFAULT_CACHE: u64 = 16 << 20;
/// The key `cache`.
pub(super) const CACHE: &[Key<u64>] =
    &[Key::size("cache", |cache| cache, 1 << 20..=64 << 30, "Memory for the store's cache.")];

/// The default of `copies`.
pub(super) const DEFAULT_COPIES: usize = 2;
/// The key `copies`.
pub(super) const COPIES: &[Key<usize>] = &[Key::count(
    "copies",
    |copies| copies,
    0..=100,
    "Copies of the last good state of the store, in `copies` beside it: made at a start, one a day at most.",
)];

/// The directory of the state.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) directory: PathBuf,
    /// Memory for the store's cache, in bytes.
    pub(crate) cache: u64,
    /// Copies of the last good state of the store.
    pub(crate) copies: usize,
}

impl Data {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Option<Self> {
        let mut cache = DEFAULT_CACHE;
        keys::read(CACHE, table, &mut cache);
        let mut copies = DEFAULT_COPIES;
        keys::read(COPIES, table, &mut copies);
        Some(Self {
            directory: table.required("directory", "\"/var/lib/credsmith\"", directory)?,
            cache,
            copies,
        })
    }

    /// The directory of compiled plugins.
    pub(crate) fn artefacts(&self) -> PathBuf {
        self.directory.join("artefacts")
    }

    /// The directory of the copies of the store.
    pub(crate) fn copies(&self) -> PathBuf {
        self.directory.join("copies")
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
