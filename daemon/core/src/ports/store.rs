//! The store of all state: keys in byte order, one-shot conditional batches. It sees sealed values
//! only.
//!
//! The promises are those of `daemon/ledger.md` section 1; `credsmith-store` exports the suite that
//! every implementation passes.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

/// Most operations (expectations, puts and deletes together, counted by distinct key) in one
/// [`Batch`].
pub const MAX_BATCH_KEYS: usize = 64;
/// Most bytes of keys and values in one [`Batch`].
pub const MAX_BATCH_BYTES: usize = 256 * 1024;
/// A value is shorter than this.
pub const MAX_VALUE_BYTES: usize = 32 * 1024;
/// A key is at most this long.
pub const MAX_KEY_BYTES: usize = 512;

/// A key: bytes, ordered as bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// Takes the bytes over.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.escape_ascii())
    }
}

/// A point in the life of the whole store. Never given twice, so that a key that was deleted and
/// made again never looks unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A value and the revision of the commit that put it there. The store's values are bytes; what is
/// read from them keeps its revision, to be expected when it is written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T = Bytes> {
    /// The value as it was put.
    pub value: T,
    /// When they were put.
    pub revision: Revision,
}

/// Part of a scan.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Found entries in byte order of their keys.
    pub entries: Vec<(Key, Versioned)>,
    /// Whether a scan after the last entry would find more.
    pub more: bool,
}

/// A condition of a [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The key is not there.
    Absent,
    /// The key was last put by this commit.
    At(Revision),
}

/// Expectations, puts and deletes that happen together or not at all. Each list names a key at most
/// once; a key is not both put and deleted.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// All of these must hold.
    pub expectations: Vec<(Key, Expected)>,
    /// Values to put.
    pub puts: Vec<(Key, Bytes)>,
    /// Keys to delete; one that is not there is fine.
    pub deletes: Vec<Key>,
    /// Whether it is written on a disk that is almost full, too: it takes something away, or
    /// records what has happened already.
    pub urgent: bool,
}

impl Batch {
    /// Adds an expectation.
    #[must_use]
    pub fn expect(mut self, key: Key, expected: Expected) -> Self {
        self.expectations.push((key, expected));
        self
    }

    /// Adds a value to put.
    #[must_use]
    pub fn put(mut self, key: Key, value: impl Into<Bytes>) -> Self {
        self.puts.push((key, value.into()));
        self
    }

    /// Has it written on a disk that is almost full, too.
    #[must_use]
    pub fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    /// Adds a key to delete.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.deletes.push(key);
        self
    }
}

/// A batch that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The revision that everything it put now has.
    pub revision: Revision,
}

/// Why an operation of a store failed.
#[derive(Debug)]
pub enum StoreError {
    /// An expectation did not hold; nothing was changed.
    Conflict {
        /// The first key whose expectation failed.
        key: Key,
    },
    /// The commit may or may not have happened. Read again; assume nothing.
    Unknown(crate::error::BoxedCause),
    /// Nothing was changed, and the store cannot be used now.
    Unavailable(crate::error::BoxedCause),
    /// Nothing was changed: the disk is almost full, and the batch can wait. Reads go on, and so do
    /// urgent batches as long as there is a reserve.
    NoRoom,
    /// The batch, key or value is larger than the store's limits, or names a key twice. A fault of
    /// the caller's.
    Limits(&'static str),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { key } => {
                write!(f, "another commit was faster: the expectation at {key:?} failed")
            }
            Self::Unknown(_) => f.write_str("the commit may or may not have happened"),
            Self::Unavailable(_) => f.write_str("the store is unavailable"),
            Self::NoRoom => f.write_str("the disk is almost full"),
            Self::Limits(what) => write!(f, "the batch breaks a limit of the store: {what}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unknown(cause) | Self::Unavailable(cause) => Some(&**cause),
            Self::Conflict { .. } | Self::NoRoom | Self::Limits(_) => None,
        }
    }
}

/// A store. Reads see every commit that was acknowledged before they began.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The value at `key`, if there is one.
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError>;

    /// At most `limit` entries whose keys begin with `prefix` and come after `after`, in byte
    /// order. No snapshot: entries that others commit meanwhile may or may not be seen.
    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// Applies `batch` whole or not at all. Durable when it answers, against loss of power too.
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError>;
}
