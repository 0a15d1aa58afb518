//! The options of a store.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::fatal::{self, OnFatal};
use crate::guard::Safeguards;
use crate::options::GroupLimits;

/// Memory for sled's pages. The store is read mostly through indices of few pages; the operating
/// system caches the rest.
const CACHE_BYTES: u64 = 32 << 20;

/// The options of a [`Sled`](super::Sled).
#[derive(Clone)]
pub struct SledOptions {
    /// The store's own directory; created with mode 0700 if it is missing. It must have no other
    /// content.
    pub path: PathBuf,
    /// Bytes that sled may use for cached pages. It exceeds that by some megabytes, since it
    /// counts late.
    pub cache_bytes: u64,
    /// The limits of a group of commits.
    pub group: GroupLimits,
    /// How its files are watched over.
    pub safeguards: Safeguards,
    /// The reaction when durability is lost; by default the process logs it and aborts.
    pub on_fatal: OnFatal,
}

impl SledOptions {
    /// The default options for a store in `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: CACHE_BYTES,
            group: GroupLimits::default(),
            safeguards: Safeguards::default(),
            on_fatal: Arc::new(fatal::abort),
        }
    }
}

impl fmt::Debug for SledOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, cache_bytes, group, safeguards, on_fatal: _ } = self;
        f.debug_struct("SledOptions")
            .field("path", path)
            .field("cache_bytes", cache_bytes)
            .field("group", group)
            .field("safeguards", safeguards)
            .finish_non_exhaustive()
    }
}
