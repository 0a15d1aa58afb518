//! The daemon's audit log, read while it grows.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::load::Failure;

const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(5);

/// What is written from one moment on.
pub(crate) struct AuditLog {
    path: PathBuf,
    from: u64,
}

impl AuditLog {
    /// The log at `path`, from where it ends now. It need not be there yet.
    pub(crate) fn from_now(path: PathBuf) -> Self {
        let from = std::fs::metadata(&path).map_or(0, |about| about.len());
        Self { path, from }
    }

    /// Waits until `count` lines with `part` in them were written. Gives how long that took.
    pub(crate) async fn wait(&mut self, part: &str, count: usize) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let mut found = 0;
        while found < count {
            if begun.elapsed() > PATIENCE {
                let log = self.path.display();
                return Err(
                    format!("{log} has {found} lines with {part} instead of {count}").into()
                );
            }
            found += match self.lines()? {
                lines if lines.is_empty() => {
                    tokio::time::sleep(PAUSE).await;
                    0
                }
                lines => lines.lines().filter(|line| line.contains(part)).count(),
            };
        }
        Ok(begun.elapsed())
    }

    /// The whole lines that are there and were not read before.
    fn lines(&mut self) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(&self.path) {
            file.seek(SeekFrom::Start(self.from))?;
            file.read_to_end(&mut bytes)?;
        }
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
        self.from += u64::try_from(bytes.len())?;
        Ok(String::from_utf8(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_from_the_beginning_and_when_they_are_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "reveal before\n").unwrap();
        let mut log = AuditLog::from_now(path.clone());
        std::fs::write(&path, "reveal before\nreveal 1\nother\nreveal 2\nreve").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(log.wait("reveal", 2)).unwrap();
        assert!(log.lines().unwrap().is_empty());
        std::fs::write(&path, "reveal before\nreveal 1\nother\nreveal 2\nreveal 3\n").unwrap();
        assert_eq!(log.lines().unwrap(), "reveal 3\n");
    }
}
