//! The three steps that make a group durable, as traits: tests replace them to record the order and
//! to let a step fail.

use std::fs::File;
use std::io;

use sled::{Batch, Tree};

/// The part of sled that the committer writes through.
pub(super) trait Log: Send {
    /// Changes the tree; after a crash either completely or not at all.
    fn apply(&mut self, batch: Batch) -> sled::Result<()>;
    /// Hands everything applied to the operating system. On Linux sled stops short of durability
    /// here: its write ends in `sync_file_range`, which flushes neither the file's metadata nor the
    /// drive's cache.
    fn flush(&mut self) -> sled::Result<()>;
}

/// The file of sled's log, for the step that sled omits.
pub(super) trait SyncFile: Send {
    /// Returns when everything written to the file would survive a loss of power (fdatasync).
    fn sync_data(&mut self) -> io::Result<()>;
}

impl Log for Tree {
    fn apply(&mut self, batch: Batch) -> sled::Result<()> {
        self.apply_batch(batch)
    }

    fn flush(&mut self) -> sled::Result<()> {
        Tree::flush(self).map(|_bytes| ())
    }
}

/// One handle, opened once and kept: the kernel reports a failed write-back once to every handle
/// that was open, so that sled's own syncs cannot hide it, which a fresh handle would not see.
impl SyncFile for File {
    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }
}
