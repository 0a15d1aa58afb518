//! `[admin]`: the socket for operators.

use std::path::PathBuf;

use super::data::Data;
use super::read::{Table, Value};

/// Longest path of a Unix socket on Linux, in bytes.
pub(super) const MAX_SOCKET_PATH: usize = 107;

/// The socket for operators.
#[derive(Debug)]
pub(crate) struct Admin {
    /// Its path; `None`: `admin.sock` in the data directory.
    pub(crate) socket: Option<PathBuf>,
}

impl Admin {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        Self { socket: table.optional("socket", Value::path) }
    }

    /// Where it is.
    pub(crate) fn socket_path(&self, data: &Data) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| data.directory.join("admin.sock"))
    }
}
