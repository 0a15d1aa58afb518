//! The directory of a store before and after an engine opens it: private, locked, and itself
//! durable.

use std::fs::{self, DirBuilder, File, Metadata, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// A directory that no other process can open as a store as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Creates the directory if it is missing, checks its owner and mode, and locks it.
    pub(crate) fn claim(path: &Path) -> Result<Self, OpenError> {
        make(path)?;
        let metadata = fs::metadata(path).map_err(OpenError::io(path, "look at"))?;
        check(path, &metadata)?;
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Its own path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the files with these `names` and their directory entries durable: a synced file is
    /// lost with its entry.
    pub(crate) fn sync(&self, names: &[&str]) -> Result<(), OpenError> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let below: Vec<PathBuf> = names.iter().map(|name| self.path.join(name)).collect();
        for path in below.iter().map(PathBuf::as_path).chain([&*self.path, parent]) {
            let synced = File::open(path).and_then(|file| file.sync_all());
            synced.map_err(OpenError::io(path, "make durable"))?;
        }
        Ok(())
    }
}

fn make(path: &Path) -> Result<(), OpenError> {
    // The mode of an existing directory is checked, but never changed: that is up to its owner.
    if path.exists() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(OpenError::io(path, "make the directory"))
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), OpenError> {
    let user = rustix::process::geteuid().as_raw();
    match problem(metadata.is_dir(), metadata.uid() == user, metadata.mode()) {
        Some(problem) => Err(OpenError::Directory { path: path.to_owned(), problem }),
        None => Ok(()),
    }
}

fn problem(is_directory: bool, is_own: bool, mode: u32) -> Option<&'static str> {
    if !is_directory {
        return Some("is not a directory");
    }
    if !is_own {
        return Some("belongs to another user: run the daemon as its owner, or chown it");
    }
    if mode & 0o077 != 0 {
        return Some(
            "is open to other users: chmod 700 it, and make sure that no other user has changed it",
        );
    }
    None
}

/// Locks the directory. An engine locks its file as well, but its error does not explain the cause.
fn lock(path: &Path) -> Result<File, OpenError> {
    let name = path.join("lock");
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&name).map_err(OpenError::io(&name, "open the lock file"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(OpenError::io(&name, "lock")(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_mode_are_checked() {
        for (is_directory, is_own, mode, says) in [
            (true, true, 0o40700, None),
            (true, true, 0o40500, None),
            (false, true, 0o100_600, Some("not a directory")),
            (true, false, 0o40700, Some("another user")),
            (true, true, 0o40710, Some("chmod 700")),
            (true, true, 0o40701, Some("chmod 700")),
            (true, true, 0o40777, Some("chmod 700")),
        ] {
            let problem = problem(is_directory, is_own, mode);
            assert_eq!(problem.is_some(), says.is_some(), "{mode:o}: {problem:?}");
            assert!(
                problem.unwrap_or_default().contains(says.unwrap_or_default()),
                "{mode:o}: {problem:?}"
            );
        }
    }
}
