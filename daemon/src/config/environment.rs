//! What a check reads from outside the configuration: files, variables, credentials. It is a trait,
//! so that a test can check a configuration without the files that it names (it does so for the
//! example).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use credsmith_core::secret::Secret;

use crate::files;

/// The file that marks a data directory made by `credsmith dev`.
pub(crate) const DEV_MARKER: &str = "made-by-credsmith-dev";
/// Larger than any key file or certificate chain.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// The variable by which systemd names the directory with the credentials of a unit.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Access to files, variables and credentials. An error is a predicate that continues the name of
/// the file or variable: `cannot be read: ...`.
pub(crate) trait Environment: Send + Sync {
    /// Reads a file that is not secret.
    fn file(&self, path: &Path) -> Result<Vec<u8>, String>;
    /// Reads a file that no other user may read.
    fn private_file(&self, path: &Path) -> Result<Secret, String>;
    /// Checks that a file can be appended to, or created.
    fn appendable(&self, path: &Path) -> Result<(), String>;
    /// Reads an environment variable.
    fn variable(&self, name: &str) -> Result<Secret, String>;
    /// The directory in which systemd keeps the unit's credentials.
    fn credentials_directory(&self) -> Result<PathBuf, String>;
    /// Whether `credsmith dev` made the data in `directory`.
    fn made_by_dev(&self, directory: &Path) -> bool;
    /// Whether `file` lies in `directory`, with links resolved where possible.
    fn lies_in(&self, file: &Path, directory: &Path) -> bool;
    /// The time by which certificates are judged.
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The environment of this process.
#[derive(Debug)]
pub(crate) struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn file(&self, path: &Path) -> Result<Vec<u8>, String> {
        read_bounded(open(path)?)
    }

    /// Only the owner may read the file. If the owner is root, its group may read it too: a daemon
    /// that is not root gets such a file when it must not change it. Any other owner is refused.
    fn private_file(&self, path: &Path) -> Result<Secret, String> {
        let file = open(path)?;
        // The mode is read from the open file, so that the file that is checked is the file that is
        // read.
        let about = file.metadata().map_err(cannot)?;
        files::check_owner(&about)?;
        let forbidden = if about.uid() == 0 { 0o037 } else { 0o077 };
        if about.is_file() && about.mode() & forbidden != 0 {
            let mode = about.mode() & 0o777;
            return Err(format!(
                "is open to others (mode {mode:03o}), expected mode 600: chmod 600 {}",
                path.display()
            ));
        }
        read_bounded(file).map(Secret::new)
    }

    fn appendable(&self, path: &Path) -> Result<(), String> {
        match std::fs::metadata(path) {
            Ok(about) if !about.is_file() => Err("is not a regular file".into()),
            Ok(about) if files::check_owner(&about).is_err() => files::check_owner(&about),
            Ok(_) => OpenOptions::new()
                .append(true)
                .open(path)
                .map(drop)
                .map_err(|error| format!("cannot be written: {error}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = path.parent().is_some_and(Path::is_dir);
                if directory { Ok(()) } else { Err("lies in a directory that is not there".into()) }
            }
            Err(error) => Err(cannot(error)),
        }
    }

    fn variable(&self, name: &str) -> Result<Secret, String> {
        std::env::var_os(name)
            .map(|text| Secret::new(text.into_encoded_bytes()))
            .ok_or_else(|| "is not set".into())
    }

    fn credentials_directory(&self) -> Result<PathBuf, String> {
        std::env::var_os(CREDENTIALS_DIRECTORY).map(PathBuf::from).ok_or_else(|| {
            format!(
                "cannot be read: {CREDENTIALS_DIRECTORY} is not set; has the unit a LoadCredential= line?"
            )
        })
    }

    fn made_by_dev(&self, directory: &Path) -> bool {
        directory.join(DEV_MARKER).exists()
    }

    fn lies_in(&self, file: &Path, directory: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let directory = real(directory);
        let by_name = file.parent().map(real).unwrap_or_default().starts_with(&directory);
        by_name || real(file).starts_with(&directory)
    }
}

fn open(path: &Path) -> Result<File, String> {
    // The kind is checked before opening: opening a named pipe would wait for a writer for ever.
    let about = std::fs::metadata(path).map_err(cannot)?;
    if !about.is_file() {
        return Err("is not a regular file".into());
    }
    File::open(path).map_err(cannot)
}

fn read_bounded(file: File) -> Result<Vec<u8>, String> {
    let length = file.metadata().map_err(cannot)?.len();
    let mut bytes =
        Vec::with_capacity(usize::try_from(length.min(MAX_FILE_BYTES)).unwrap_or(0) + 1);
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(format!("is larger than {} KiB", MAX_FILE_BYTES >> 10));
    }
    Ok(bytes)
}

fn cannot(error: std::io::Error) -> String {
    format!("cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_file_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        std::fs::write(&path, "hunter2").unwrap();
        for (mode, fine) in [
            (0o600, true),
            (0o400, true),
            (0o644, false),
            (0o604, false),
            (0o620, false),
            (0o666, false),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            match SystemEnvironment.private_file(&path) {
                Ok(secret) => assert!(fine && secret.verify(b"hunter2"), "{mode:o}"),
                Err(why) => {
                    assert!(!fine && why.starts_with("is open to others"), "{mode:o}: {why}")
                }
            }
        }
    }

    #[test]
    fn a_file_lies_in_a_directory_by_its_name_or_by_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("k"), "").unwrap();
        std::fs::write(dir.path().join("k"), "").unwrap();
        std::os::unix::fs::symlink(data.join("k"), dir.path().join("link")).unwrap();
        for (file, inside) in [
            ("data/k", true),
            ("data/absent", true),
            ("link", true),
            ("k", false),
            ("data/../k", false),
        ] {
            assert_eq!(SystemEnvironment.lies_in(&dir.path().join(file), &data), inside, "{file}");
        }
    }

    #[test]
    fn a_file_is_appendable_where_it_is_or_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("there"), "x").unwrap();
        for name in ["there", "new"] {
            assert_eq!(SystemEnvironment.appendable(&path(name)), Ok(()), "{name}");
        }
        assert_eq!(std::fs::read(path("there")).unwrap(), b"x");
        assert!(!path("new").exists(), "a check makes nothing");
        assert_eq!(SystemEnvironment.appendable(dir.path()).unwrap_err(), "is not a regular file");
        assert!(
            SystemEnvironment
                .appendable(&path("absent/new"))
                .unwrap_err()
                .starts_with("lies in a directory")
        );
    }

    #[test]
    fn a_directory_and_a_large_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(SystemEnvironment.file(dir.path()).unwrap_err(), "is not a regular file");
        assert!(
            SystemEnvironment
                .file(&dir.path().join("absent"))
                .unwrap_err()
                .starts_with("cannot be read")
        );
        let large = dir.path().join("large");
        std::fs::write(&large, vec![0; 300 * 1024]).unwrap();
        assert_eq!(SystemEnvironment.file(&large).unwrap_err(), "is larger than 256 KiB");
    }
}
