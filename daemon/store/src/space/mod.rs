//! Room on the disk: an engine whose disk is full ends the process, and the reads go with it. So
//! free space is looked at before every commit. With little of it only urgent batches are written,
//! which take something away or record what has happened already; with almost none, nothing is.
//! When there is room again, everything is, by itself.
//!
//! | free, beyond the reserve | what is written |
//! |---|---|
//! | at least `bytes` | everything |
//! | less | urgent batches, and those that only delete |
//! | less than [`FLOOR`] | the reserve file is given up: `bytes` of room for urgent ones |
//! | less than [`FLOOR`] again | nothing |
//!
//! Never here: which batches are urgent, which their authors say; a deletion of any other file.

mod disk;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use async_trait::async_trait;
use credsmith_core::ports::store::{Batch, Committed, Key, Page, Store, StoreError, Versioned};
use parking_lot::Mutex;

pub use disk::Disk;
use disk::RealDisk;

/// The least that may be kept: urgent batches need room above 16 MiB.
pub const MIN_RESERVE: u64 = 2 * FLOOR;
/// What is never used: engines write on their own behalf too, and a group of commits, once begun,
/// has to end. sled grows by segments of 4 MiB.
pub(crate) const FLOOR: u64 = 16 << 20;

/// The options of a [`Reserve`].
pub struct ReserveOptions {
    /// The disk.
    pub disk: Box<dyn Disk>,
    /// How much is kept for urgent batches, in bytes: once as free space, once as a file.
    pub bytes: u64,
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// For everything.
    Enough,
    /// For what is urgent.
    Low,
    /// For nothing.
    None,
}

/// Watches the free space of a disk and keeps a reserve of it.
pub struct Reserve {
    disk: Box<dyn Disk>,
    bytes: u64,
    state: Mutex<State>,
}

struct State {
    level: Level,
    /// Whether the reserve file is there.
    held: bool,
    /// Whether the disk can have such a file.
    can_hold: bool,
    /// Whether the disk could be looked at.
    visible: bool,
}

impl ReserveOptions {
    /// A reserve of `bytes` on the disk of `file`, which is the file that keeps them.
    pub fn new(file: impl Into<PathBuf>, bytes: u64) -> Self {
        Self { disk: Box::new(RealDisk::new(file.into())), bytes }
    }
}

impl Reserve {
    /// Takes the reserve, if there is room for it.
    pub fn new(options: ReserveOptions) -> Self {
        let ReserveOptions { disk, bytes } = options;
        let held = disk.is_held(bytes);
        let state = State { level: Level::Enough, held, can_hold: true, visible: true };
        let reserve = Self { disk, bytes, state: Mutex::new(state) };
        reserve.look();
        reserve
    }

    /// What an operator has to know, while not everything is written.
    pub fn trouble(&self) -> Option<String> {
        match self.look() {
            Level::Enough => None,
            Level::Low => Some(
                "the disk is almost full: nothing is issued or changed until there is room, and \
                 revocations go on from a reserve"
                    .into(),
            ),
            Level::None => Some(
                "the disk is full, and the reserve is used up: revocations wait until there is room"
                    .into(),
            ),
        }
    }

    /// Looks at the disk, takes or gives up the reserve file, and says how much room there is.
    fn look(&self) -> Level {
        let mut state = self.state.lock();
        let Some(mut free) = self.free(&mut state) else { return Level::Enough };
        if free < FLOOR && state.held {
            self.give_up(&mut state);
            free = self.free(&mut state).unwrap_or(free);
        }
        let level = self.level(&state, free);
        if level == Level::Enough && !state.held && state.can_hold {
            self.take(&mut state);
        }
        if state.level != level {
            report(level, free);
            state.level = level;
        }
        level
    }

    fn level(&self, state: &State, free: u64) -> Level {
        if free < FLOOR {
            return Level::None;
        }
        // What the file would take does not count as free: else the daemon would change over and
        // over.
        let spare = if state.held { free } else { free.saturating_sub(self.bytes) };
        let enough = match state.level {
            Level::Enough => self.bytes,
            Level::Low | Level::None => self.bytes.saturating_add(self.bytes / 8),
        };
        if spare < enough { Level::Low } else { Level::Enough }
    }

    /// Bytes that are free. A disk that cannot be asked is not taken for a full one.
    fn free(&self, state: &mut State) -> Option<u64> {
        match self.disk.free() {
            Ok(free) => {
                state.visible = true;
                Some(free)
            }
            Err(error) => {
                if std::mem::replace(&mut state.visible, false) {
                    tracing::warn!(%error, "the free space of the disk cannot be read; it is not watched");
                }
                None
            }
        }
    }

    fn take(&self, state: &mut State) {
        match self.disk.take(self.bytes) {
            Ok(()) => state.held = true,
            Err(error) => {
                state.can_hold = false;
                tracing::warn!(%error, "no reserve file can be made on this disk; as much has to be free");
            }
        }
    }

    fn give_up(&self, state: &mut State) {
        match self.disk.give_up() {
            Ok(()) => {
                state.held = false;
                state.can_hold = true;
                tracing::error!("the disk is full; the reserve file is given up for revocations");
            }
            Err(error) => tracing::error!(%error, "the reserve file cannot be given up"),
        }
    }
}

fn report(level: Level, free: u64) {
    match level {
        Level::Enough => tracing::info!(free, "the disk has room again; everything is written"),
        Level::Low => tracing::error!(
            free,
            "the disk is almost full: nothing is issued or changed; revocations go on"
        ),
        Level::None => tracing::error!(free, "the disk is full: nothing is written"),
    }
}

/// A store that writes only as much as its disk has room for.
pub struct WithReserve<S> {
    store: S,
    reserve: Reserve,
}

impl<S> WithReserve<S> {
    /// `store` with its `reserve`.
    pub fn new(store: S, reserve: Reserve) -> Self {
        Self { store, reserve }
    }

    /// The store.
    pub fn inner(&self) -> &S {
        &self.store
    }

    /// What an operator has to know, while not everything is written.
    pub fn trouble(&self) -> Option<String> {
        self.reserve.trouble()
    }
}

#[async_trait]
impl<S: Store> Store for WithReserve<S> {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.store.get(key).await
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.store.scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let writes_nothing = batch.puts.is_empty() && batch.deletes.is_empty();
        let is_urgent = batch.urgent || batch.puts.is_empty();
        let is_taken = writes_nothing
            || match self.reserve.look() {
                Level::Enough => true,
                Level::Low => is_urgent,
                Level::None => false,
            };
        if is_taken { self.store.commit(batch).await } else { Err(StoreError::NoRoom) }
    }
}
