//! How long the audit log is, and the code of its last line.

use crate::keyring::{MAC_BYTES, MacBytes};

/// The end of a log: how many lines there are, and the code of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The number of the last line; 0 when there is none.
    pub number: u64,
    /// Its code; zeros when there is none.
    pub mac: MacBytes,
}

impl Mark {
    /// A log without lines.
    pub const START: Self = Self { number: 0, mac: [0; MAC_BYTES] };
}
