//! The data directory of `credsmith dev`: created, marked, and removed at the end unless the
//! command line names it.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credsmith_core::keyring::Kek;
use credsmith_core::secret::Secret;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tempfile::TempDir;

use crate::config::DEV_MARKER;
use crate::files;
use crate::system::SystemEntropy;

const MARK: &[u8] =
    b"The data here was made by `credsmith dev`, with its key beside it. `credsmith serve` refuses it.\n";
const KEY_FILE: &str = "dev.key";
const CA_KEY: &str = "ssh-ca.key";
const CA_PUBLIC: &str = "ssh-ca.pub";

/// An open data directory.
pub(super) struct DevData {
    path: PathBuf,
    kek_text: Secret,
    /// Whether the directory did not exist, or was empty, before.
    new: bool,
    /// Removes the directory when dropped.
    temporary: Option<TempDir>,
}

impl DevData {
    /// Opens `asked`, or makes a temporary directory. The key of a temporary one stays in memory.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn open(asked: Option<&Path>) -> Result<Self, String> {
        let temporary = match asked {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("credsmith-dev-")
                    .permissions(Permissions::from_mode(0o700))
                    .tempdir()
                    .map_err(|error| format!("A temporary directory cannot be made: {error}."))?,
            ),
        };
        let path = match (&temporary, asked) {
            (Some(temporary), _) => temporary.path().to_owned(),
            (None, asked) => std::path::absolute(asked.unwrap_or(Path::new(".")))
                .map_err(|error| error.to_string())?,
        };
        files::private_directory(&path)?;
        let new = mark(&path)?;
        let kek = || Secret::new(Kek::generate(&SystemEntropy).to_file_text().as_bytes());
        let kek_text = match temporary {
            Some(_) => kek(),
            None => kept(&path.join(KEY_FILE), kek)?,
        };
        make_ca(&path)?;
        Ok(Self { path, kek_text, new, temporary })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The text of the key file.
    pub(super) fn kek_text(&self) -> Secret {
        self.kek_text.clone()
    }

    /// The public key of the demo CA, for `TrustedUserCAKeys` of an SSH server.
    pub(super) fn ca_public(&self) -> PathBuf {
        self.path.join(CA_PUBLIC)
    }

    /// Whether it was made just now, so that the demo has to be put into it.
    pub(super) fn is_new(&self) -> bool {
        self.new
    }

    /// Whether all of it is gone at the end.
    pub(super) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }
}

/// Marks a new directory and returns whether it was new. A directory with other data is refused: it
/// may be that of a real daemon.
fn mark(path: &Path) -> Result<bool, String> {
    let marker = path.join(DEV_MARKER);
    if marker.exists() {
        return Ok(false);
    }
    let cannot =
        |error: io::Error| format!("The directory {} cannot be used: {error}.", path.display());
    if std::fs::read_dir(path).map_err(cannot)?.next().is_some() {
        return Err(format!(
            "The directory {} has other data in it; give a new or empty one.",
            path.display()
        ));
    }
    files::write_private(&marker, MARK).map_err(cannot)?;
    Ok(true)
}

/// The content of the file; if the file does not exist, `make` provides it.
fn kept(path: &Path, make: impl FnOnce() -> Secret) -> Result<Secret, String> {
    let fresh = match std::fs::read(path) {
        Ok(bytes) => return Ok(Secret::new(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(),
        Err(error) => return Err(format!("{} cannot be read: {error}.", path.display())),
    };
    files::write_private(path, fresh.expose())
        .map_err(|error| format!("{} cannot be written: {error}.", path.display()))?;
    Ok(fresh)
}

/// An Ed25519 key pair: PKCS#8 in PEM for the plugin, one line for `TrustedUserCAKeys` of an SSH
/// server.
fn make_ca(path: &Path) -> Result<(), String> {
    let broken = |_| "No key for the SSH demo can be made.".to_owned();
    let private = path.join(CA_KEY);
    if private.exists() {
        return Ok(());
    }
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(broken)?;
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref())
        .map_err(|_| "No key for the SSH demo can be made.".to_owned())?;
    let pem = Secret::new(pem(pkcs8.as_ref()));
    let public = ssh_public(pair.public_key().as_ref());
    let cannot = |error: io::Error| format!("The key for the SSH demo cannot be written: {error}.");
    // The public half first: a start that was interrupted in between creates both again.
    std::fs::write(path.join(CA_PUBLIC), public).map_err(cannot)?;
    files::write_private(&private, pem.expose()).map_err(cannot)
}

/// RFC 7468 section 10.
fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
    for (place, c) in body.chars().enumerate() {
        if place > 0 && place % 64 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text.push_str("\n-----END PRIVATE KEY-----\n");
    text
}

/// RFC 8709 section 4: two strings, each behind its length.
fn ssh_public(key: &[u8]) -> String {
    let mut blob = Vec::new();
    for part in [b"ssh-ed25519".as_slice(), key] {
        blob.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        blob.extend_from_slice(part);
    }
    format!("ssh-ed25519 {} credsmith-dev-ca\n", STANDARD.encode(blob))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_temporary_directory_is_gone_at_the_end_and_never_had_the_key() {
        let data = DevData::open(None).unwrap();
        let path = data.path().to_owned();
        assert!(path.join(DEV_MARKER).exists());
        assert!(!path.join(KEY_FILE).exists());
        drop(data);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_was_asked_for_keeps_its_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let first = DevData::open(Some(&path)).unwrap();
        let ca = std::fs::read(path.join(CA_KEY)).unwrap();
        for file in [KEY_FILE, CA_KEY, DEV_MARKER] {
            assert_eq!(std::fs::metadata(path.join(file)).unwrap().mode() & 0o777, 0o600, "{file}");
        }
        let (kek, first_was_new) = (first.kek_text(), first.is_new());
        drop(first);
        assert!(first_was_new);
        let second = DevData::open(Some(&path)).unwrap();
        assert!(!second.is_new());
        assert!(second.kek_text().verify(kek.expose()));
        assert_eq!(std::fs::read(path.join(CA_KEY)).unwrap(), ca);
    }

    #[test]
    fn other_data_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        files::private_directory(&path).unwrap();
        std::fs::write(path.join("precious"), "x").unwrap();
        let refused = DevData::open(Some(&path)).err().unwrap();
        assert!(refused.contains("has other data in it"), "{refused}");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
    }

    #[test]
    fn the_public_key_is_in_the_form_of_openssh() {
        let line = ssh_public(&[7; 32]);
        let blob = STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap();
        assert_eq!(blob.len(), 4 + 11 + 4 + 32);
        assert!(line.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"), "{line}");
    }
}
