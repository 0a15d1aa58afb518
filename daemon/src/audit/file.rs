//! The file of the audit log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use credsmith_core::error::BoxedCause;
use credsmith_core::ports::audit::AuditFile;
use credsmith_http::Bytes;

/// How many files beside the log are looked at.
const MOST_MOVED: usize = 8;

/// The file at a path. It is opened for each call, so that an operator may rename it at any time:
/// the next call then creates a new one.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
}

impl LogFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BoxedCause> {
        let path = self.path.clone();
        let place = path.display().to_string();
        let done = tokio::task::spawn_blocking(move || work(&path)).await?;
        done.map_err(|error| format!("{place}: {error}").into())
    }
}

#[async_trait]
impl AuditFile for LogFile {
    async fn length(&self) -> Result<u64, BoxedCause> {
        self.with(|path| match std::fs::metadata(path) {
            Ok(about) => Ok(about.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        })
        .await
    }

    async fn read(&self, from: u64, most: usize) -> Result<Bytes, BoxedCause> {
        self.with(move |path| {
            let mut file = open(path, OpenOptions::new().read(true))?;
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
            Ok(bytes.into())
        })
        .await
    }

    async fn write(&self, at: u64, left: u64, bytes: Bytes) -> Result<(), BoxedCause> {
        self.with(move |path| {
            let mut file = open_for_writing(path, left)?;
            let length = file.metadata()?.len();
            if length.checked_sub(at).is_none_or(|behind| behind > left) {
                return Err(io::Error::other("another process writes to it too"));
            }
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&bytes)?;
            let end = at + bytes.len() as u64;
            if length > end {
                file.set_len(end)?;
            }
            file.sync_data()?;
            // Also where an earlier call has made the file: it may have failed before this.
            if at == 0 { sync_directory(path) } else { Ok(()) }
        })
        .await
    }

    async fn moved(&self, from: u64, most: usize) -> Result<Vec<Bytes>, BoxedCause> {
        self.with(move |path| {
            let mut moved = Vec::new();
            for path in beside(path)? {
                let mut file = open(&path, OpenOptions::new().read(true))?;
                if file.metadata()?.len() < from {
                    continue;
                }
                file.sync_all()?;
                sync_directory(&path)?;
                file.seek(SeekFrom::Start(from))?;
                let mut bytes = Vec::new();
                file.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
                moved.push(bytes.into());
            }
            Ok(moved)
        })
        .await
    }

    async fn cut(&self, length: u64) -> Result<(), BoxedCause> {
        self.with(move |path| {
            let file = open(path, OpenOptions::new().write(true))?;
            file.set_len(length)?;
            file.sync_all()
        })
        .await
    }
}

/// Opens the file for writing at a place. Where the file system lets it only grow (`chattr +a`),
/// what stands there is left as it is and made durable with the rest.
fn open_for_writing(path: &Path, left: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    match open(path, &options) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && left == 0 => {
            open(path, OpenOptions::new().append(true))
        }
        opened => opened,
    }
}

/// The files whose names begin with that of the file, as tools that rotate logs name them; those
/// that were changed last come first.
fn beside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let is_moved = |other: &[u8]| {
        other
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(b".") || rest.starts_with(b"-"))
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory_of(path))? {
        let entry = entry?;
        let about = entry.metadata()?;
        if is_moved(entry.file_name().as_encoded_bytes()) && about.is_file() {
            found.push((about.modified()?, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().rev().take(MOST_MOVED).map(|(_, path)| path).collect())
}

/// Opens a regular file. A named pipe is refused: opening it would wait for its other end.
fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    match std::fs::metadata(path) {
        Ok(about) if !about.is_file() => Err(io::Error::other("this is not a regular file")),
        _ => options.open(path),
    }
}

/// Makes the entry of a new file durable: without that, the file is missing after a loss of power.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[tokio::test]
    async fn a_file_grows_and_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let file = LogFile::new(path.clone());
        assert_eq!(file.length().await.unwrap(), 0);
        file.write(0, 0, "one\n".into()).await.unwrap();
        file.write(4, 0, "two\n".into()).await.unwrap();
        assert_eq!(
            (file.length().await.unwrap(), &file.read(4, 3).await.unwrap()[..]),
            (8, &b"two"[..])
        );
        assert_eq!(&file.read(4, 100).await.unwrap()[..], b"two\n");
        assert_eq!(file.read(100, 100).await.unwrap().len(), 0);
        assert_eq!(
            std::fs::metadata(&path).unwrap().mode() & 0o777,
            0o600,
            "no other user reads it"
        );
        assert!(file.write(4, 0, "x".into()).await.is_err(), "it is longer than that");
        assert!(file.write(9, 0, "x".into()).await.is_err(), "it is shorter than that");
        file.write(4, 4, "2\n".into()).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n2\n");
        file.write(4, 2, "two".into()).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo");
        file.cut(4).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        for (older, text) in [("audit.jsonl-2026", "older"), ("audit.jsonl.1", "one\n")] {
            std::fs::write(dir.path().join(older), text).unwrap();
        }
        std::fs::write(dir.path().join("audit.jsonlx"), "another file").unwrap();
        std::fs::rename(&path, dir.path().join("audit.jsonl.1")).unwrap();
        let moved = file.moved(2, 2).await.unwrap();
        assert_eq!(moved.len(), 2);
        assert!(moved.iter().any(|bytes| &bytes[..] == b"e\n"), "{moved:?}");
        file.write(0, 0, "new\n".into()).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new\n");
    }

    #[tokio::test]
    async fn what_cannot_be_written_says_where() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("absent/audit.jsonl"), dir.path().to_owned()] {
            let error = LogFile::new(path.clone()).write(0, 0, "x".into()).await.unwrap_err();
            assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        }
        assert!(LogFile::new("/dev/null".into()).write(0, 0, "x".into()).await.is_err());
    }
}
