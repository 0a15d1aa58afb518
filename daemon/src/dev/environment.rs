//! The environment of the demo configuration: the files of the data directory, and two secrets that
//! are kept in memory.

use std::path::{Path, PathBuf};

use credsmith_core::secret::Secret;

use crate::config::{Environment, SystemEnvironment};

/// The environment of this process, with two more files and without the rule that keeps keys away
/// from data.
pub(super) struct DevEnvironment {
    kek: (PathBuf, Secret),
    client_secret: (PathBuf, Secret),
}

impl DevEnvironment {
    /// The files are those that the demo configuration names.
    pub(super) fn new(data: &Path, kek: Secret, client_secret: Secret) -> Self {
        Self {
            kek: (data.join("dev.key"), kek),
            client_secret: (data.join("client.secret"), client_secret),
        }
    }
}

impl Environment for DevEnvironment {
    fn file(&self, path: &Path) -> Result<Vec<u8>, String> {
        SystemEnvironment.file(path)
    }

    fn private_file(&self, path: &Path) -> Result<Secret, String> {
        let in_memory = [&self.kek, &self.client_secret].into_iter().find(|(file, _)| file == path);
        in_memory
            .map_or_else(|| SystemEnvironment.private_file(path), |(_, secret)| Ok(secret.clone()))
    }

    fn appendable(&self, path: &Path) -> Result<(), String> {
        SystemEnvironment.appendable(path)
    }

    fn variable(&self, name: &str) -> Result<Secret, String> {
        SystemEnvironment.variable(name)
    }

    fn credentials_directory(&self) -> Result<PathBuf, String> {
        SystemEnvironment.credentials_directory()
    }

    fn made_by_dev(&self, _directory: &Path) -> bool {
        false
    }

    fn lies_in(&self, _file: &Path, _directory: &Path) -> bool {
        false
    }
}
