//! The options of a store.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::fatal::{self, OnFatal};
use crate::guard::Safeguards;
use crate::options::GroupLimits;

/// Memory for redb's pages, as for sled's.
const CACHE_BYTES: u64 = 32 << 20;

/// The options of a [`Redb`](super::Redb).
#[derive(Clone)]
pub struct RedbOptions {
    /// The store's own directory; created with mode 0700 if it is missing. It must have no other
    /// content.
    pub path: PathBuf,
    /// Bytes that redb may use for cached pages.
    pub cache_bytes: u64,
    /// Whether each opening reads the whole file and verifies the checksum of each page. Without
    /// it, a file that was closed in order opens at once, damaged or not.
    pub verify: bool,
    /// How its files are watched over.
    pub safeguards: Safeguards,
    /// The limits of a group of commits.
    pub group: GroupLimits,
    /// The reaction when durability is lost; by default the process logs it and aborts.
    pub on_fatal: OnFatal,
}

impl RedbOptions {
    /// The default options for a store in `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: CACHE_BYTES,
            verify: true,
            safeguards: Safeguards::default(),
            group: GroupLimits::default(),
            on_fatal: Arc::new(fatal::abort),
        }
    }
}

impl fmt::Debug for RedbOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, cache_bytes, verify, safeguards, group, on_fatal: _ } = self;
        f.debug_struct("RedbOptions")
            .field("path", path)
            .field("cache_bytes", cache_bytes)
            .field("verify", verify)
            .field("safeguards", safeguards)
            .field("group", group)
            .finish_non_exhaustive()
    }
}
