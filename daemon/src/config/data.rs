//! `[data]`: the directory of the state.

use std::path::{Path, PathBuf};

use credsmith_store::{Engine, MIN_RESERVE, OnDiskOptions};

use super::keys::{self, Key};
use super::read::{Table, Value};

/// The default of `cache`.
pub(super) const DEFAULT_CACHE: u64 = 16 << 20;
/// The default of `reserve`: room for thousands of revocations, and little beside any disk that a
/// daemon has.
pub(super) const DEFAULT_RESERVE: u64 = 64 << 20;
/// The keys that are sizes.
pub(super) const SIZES: &[Key<Sizes>] = &[
    Key::size(
        "cache",
        |sizes| &mut sizes.cache,
        1 << 20..=64 << 30,
        "Memory for the store's cache.",
    ),
    Key::size(
        "reserve",
        |sizes| &mut sizes.reserve,
        MIN_RESERVE..=64 << 30,
        "Room on the disk that is kept for revocations. With less than this free, the daemon issues and changes nothing until there is room again. A file of the same size beside the store is given up when even this is used up.",
    ),
];

/// The sizes of the section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    cache: u64,
    reserve: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { cache: DEFAULT_CACHE, reserve: DEFAULT_RESERVE }
    }
}

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
    /// The engine of the store.
    pub(crate) engine: Engine,
    /// Memory for the store's cache, in bytes.
    pub(crate) cache: u64,
    /// Bytes of the disk that are kept for revocations.
    pub(crate) reserve: u64,
    /// Copies of the last good state of the store.
    pub(crate) copies: usize,
}

impl Data {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Option<Self> {
        let mut sizes = Sizes::default();
        keys::read(SIZES, table, &mut sizes);
        let engines = Engine::ALL.map(|engine| (engine.as_str(), engine));
        let engine = table.or("store", Engine::default(), |value| value.one_of(&engines));
        let mut copies = DEFAULT_COPIES;
        keys::read(COPIES, table, &mut copies);
        Some(Self {
            directory: table.required("directory", "\"/var/lib/credsmith\"", directory)?,
            engine,
            cache: sizes.cache,
            reserve: sizes.reserve,
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
        store_in(&self.directory)
    }

    /// The file that keeps room on the disk.
    pub(crate) fn reserve_file(&self) -> PathBuf {
        self.directory.join("reserve")
    }

    /// The options of the store, with default safeguards.
    pub(crate) fn store_options(&self) -> OnDiskOptions {
        OnDiskOptions::new(self.engine, self.store(), self.cache)
    }
}

/// The directory of the store in a data directory.
pub(crate) fn store_in(directory: &Path) -> PathBuf {
    directory.join("store")
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
