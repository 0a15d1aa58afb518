//! An environment for tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use credsmith_core::secret::Secret;

use super::environment::{DEV_MARKER, Environment};

/// Holds the files and variables that it was given; with [`FakeEnvironment::anything`], every other
/// one too.
#[derive(Debug, Default)]
pub(crate) struct FakeEnvironment {
    files: BTreeMap<PathBuf, String>,
    variables: BTreeMap<String, String>,
    otherwise: Option<String>,
}

impl FakeEnvironment {
    /// Holds every possible file and variable, all with this text.
    pub(crate) fn anything(text: &str) -> Self {
        Self { otherwise: Some(text.into()), ..Self::default() }
    }

    /// Adds a file.
    pub(crate) fn with(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    /// Adds a variable.
    pub(crate) fn variable(mut self, name: &str, text: &str) -> Self {
        self.variables.insert(name.into(), text.into());
        self
    }
}

impl Environment for FakeEnvironment {
    fn file(&self, path: &Path) -> Result<Vec<u8>, String> {
        let text = self.files.get(path).or(self.otherwise.as_ref());
        text.map(|text| text.clone().into_bytes())
            .ok_or_else(|| "cannot be read: no such file".into())
    }

    fn private_file(&self, path: &Path) -> Result<Secret, String> {
        self.file(path).map(Secret::new)
    }

    fn appendable(&self, path: &Path) -> Result<(), String> {
        if path.starts_with("/absent") {
            Err("lies in a directory that is not there".into())
        } else {
            Ok(())
        }
    }

    fn variable(&self, name: &str) -> Result<Secret, String> {
        let text = self.variables.get(name).or(self.otherwise.as_ref());
        text.map(|text| Secret::new(text.clone())).ok_or_else(|| "is not set".into())
    }

    fn credentials_directory(&self) -> Result<PathBuf, String> {
        Ok("/credentials".into())
    }

    fn made_by_dev(&self, directory: &Path) -> bool {
        self.files.contains_key(&directory.join(DEV_MARKER))
    }

    fn lies_in(&self, file: &Path, directory: &Path) -> bool {
        file.starts_with(directory)
    }
}
