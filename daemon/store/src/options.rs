//! Options that every engine has.

/// The limits of a group. It has at least one commit, and exceeds `bytes` by less than one batch.
#[derive(Debug, Clone, Copy)]
pub struct GroupLimits {
    /// Commits in a group; also how many may wait in the queue before callers wait for room in it.
    pub commits: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self { commits: 256, bytes: 512 << 10 }
    }
}
