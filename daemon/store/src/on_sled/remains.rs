//! Remains of an interrupted start, which are removed before sled sees them.

use std::path::Path;
use std::{fs, io};

use crate::error::OpenError;

/// Removes two remains of an interrupted start that sled would read as valid files: a half-written
/// snapshot (it sorts after the complete one), and a half-written `conf` of a store that has never
/// had data.
pub(super) fn clear(path: &Path) -> Result<(), OpenError> {
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    for entry in entries.map_err(OpenError::io(path, "list"))? {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b"snap.") && name.ends_with(b".generating") {
            remove(&entry.path())?;
        }
    }
    let unused = fs::metadata(path.join("db")).map_or(true, |log| log.len() == 0);
    let conf = path.join("conf");
    if unused && conf.exists() {
        remove(&conf)?;
    }
    Ok(())
}

fn remove(file: &Path) -> Result<(), OpenError> {
    tracing::warn!(file = %file.display(), "removing {}, which an interrupted start has left", file.display());
    fs::remove_file(file).map_err(OpenError::io(file, "remove"))
}
