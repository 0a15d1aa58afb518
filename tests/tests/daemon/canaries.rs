//! What must be written nowhere, and looking for it.

use std::fs;
use std::path::Path;

/// Everything that must be written nowhere, by what it is.
#[derive(Debug, Default)]
pub(crate) struct Canaries(Vec<(&'static str, Vec<u8>)>);

impl Canaries {
    pub(crate) fn add(&mut self, what: &'static str, value: impl AsRef<[u8]>) {
        assert!(value.as_ref().len() >= 8, "{what}: too short to be found by");
        self.0.push((what, value.as_ref().to_vec()));
    }

    pub(crate) fn absent_from(&self, place: &str, bytes: &[u8]) {
        for (what, value) in &self.0 {
            let found = bytes.windows(value.len()).position(|window| window == value.as_slice());
            if let Some(at) = found {
                let shown = &bytes[at.saturating_sub(300)..bytes.len().min(at + 300)];
                panic!("{place} has the {what}: {}", String::from_utf8_lossy(shown));
            }
        }
    }

    /// Returns how many files there were.
    pub(crate) fn absent_below(&self, directory: &Path) -> usize {
        let mut files = 0;
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            self.absent_from(&path.display().to_string(), path.as_os_str().as_encoded_bytes());
            if entry.file_type().unwrap().is_dir() {
                files += self.absent_below(&path);
            } else if entry.file_type().unwrap().is_file() {
                self.absent_from(&path.display().to_string(), &fs::read(&path).unwrap());
                files += 1;
            }
        }
        files
    }
}
