//! The disk, as the reserve needs it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// A disk with a place for the reserve file.
pub trait Disk: Send + Sync + 'static {
    /// Bytes that the daemon's user may still write.
    ///
    /// # Errors
    /// The disk cannot be asked.
    fn free(&self) -> io::Result<u64>;

    /// Whether the reserve file is there and keeps that many `bytes`.
    fn is_held(&self, bytes: u64) -> bool;

    /// Makes the reserve file.
    ///
    /// # Errors
    /// The disk has no room for it, or its file system cannot keep room; there is no file then.
    fn take(&self, bytes: u64) -> io::Result<()>;

    /// Removes the reserve file, if it is there.
    ///
    /// # Errors
    /// It is still there.
    fn give_up(&self) -> io::Result<()>;
}

/// The disk of a file.
pub(super) struct RealDisk {
    file: PathBuf,
}

impl RealDisk {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    fn directory(&self) -> &Path {
        self.file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn fill(&self, bytes: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file: File =
            options.write(true).create(true).truncate(true).mode(0o600).open(&self.file)?;
        Ok(fallocate(&file, FallocateFlags::empty(), 0, bytes)?)
    }
}

impl Disk for RealDisk {
    fn free(&self) -> io::Result<u64> {
        let about = statvfs(self.directory())?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }

    fn is_held(&self, bytes: u64) -> bool {
        // A file with holes has the length and not the blocks.
        fs::symlink_metadata(&self.file).is_ok_and(|about| {
            about.is_file() && about.len() == bytes && about.blocks().saturating_mul(512) >= bytes
        })
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let filled = self.fill(bytes);
        if filled.is_err() {
            let _there_was_none = self.give_up();
        }
        filled
    }

    fn give_up(&self) -> io::Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
