//! The file of the audit log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use credsmith_core::error::BoxedCause;
use credsmith_core::ports::audit::AuditFile;
use credsmith_http::Bytes;

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

    async fn append(&self, at: u64, bytes: Bytes) -> Result<(), BoxedCause> {
        self.with(move |path| {
            let is_new = !path.exists();
            let mut file = open(path, OpenOptions::new().append(true).create(true).mode(0o600))?;
            if file.metadata()?.len() != at {
                return Err(io::Error::other("another process writes to it too"));
            }
            file.write_all(&bytes)?;
            file.sync_data()?;
            if is_new { sync_directory(path) } else { Ok(()) }
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

/// Opens a regular file. A named pipe is refused: opening it would wait for its other end.
fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    match std::fs::metadata(path) {
        Ok(about) if !about.is_file() => Err(io::Error::other("this is not a regular file")),
        _ => options.open(path),
    }
}

/// Makes the entry of a new file durable: without that, the file is missing after a loss of power.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
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
        file.append(0, "one\n".into()).await.unwrap();
        file.append(4, "two\n".into()).await.unwrap();
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
        assert!(file.append(4, "x".into()).await.is_err(), "it is longer than that");
        file.cut(4).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        std::fs::rename(&path, dir.path().join("audit.jsonl.1")).unwrap();
        file.append(0, "new\n".into()).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new\n");
    }

    #[tokio::test]
    async fn what_cannot_be_written_says_where() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("absent/audit.jsonl"), dir.path().to_owned()] {
            let error = LogFile::new(path.clone()).append(0, "x".into()).await.unwrap_err();
            assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        }
        assert!(LogFile::new("/dev/null".into()).append(0, "x".into()).await.is_err());
    }
}
