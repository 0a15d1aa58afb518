//! Compiled components on disk, so that a start need not compile them again.
//!
//! An artefact is native code: a process that can write one can run anything as the daemon. So the
//! directory is the daemon's alone, and each file begins with an HMAC over the component's digest,
//! the engine it was made for and the code, which is verified on the bytes in memory that are then
//! loaded. A component whose artefact does not verify is compiled again. Never here: a file that is
//! executed unseen.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use credsmith_core::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::HostError;

/// Length of the code that begins each file.
const CODE: usize = 32;
/// Largest artefact that is read, in bytes.
pub(crate) const MAX_BYTES: u64 = 256 << 20;
/// Separates this use of the key from every other.
const PURPOSE: &[u8] = b"credsmith compiled component 1";

/// A directory of artefacts.
pub(crate) struct Artefacts {
    directory: PathBuf,
    key: Secret,
    engine_hash: [u8; 32],
}

/// Collects wasmtime's description of an engine's compatibility into a digest.
struct HashCollector(Sha256);

impl Hasher for HashCollector {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

impl Artefacts {
    /// Opens `directory`, making it where it does not exist.
    ///
    /// # Errors
    /// When it cannot be made, is not ours, or others may use it.
    pub(crate) fn open(directory: &Path, key: Secret, engine: &Engine) -> Result<Self, HostError> {
        let refuse = |why: String| {
            HostError::new(
                "the directory of compiled plugins cannot be used",
                format!("{}: {why}", directory.display()),
            )
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|why| refuse(why.to_string()))?;
        let about = fs::symlink_metadata(directory).map_err(|why| refuse(why.to_string()))?;
        if !about.is_dir() {
            return Err(refuse("it is not a directory".to_owned()));
        }
        if about.uid() != rustix::process::geteuid().as_raw() {
            return Err(refuse("it belongs to another user".to_owned()));
        }
        if about.permissions().mode() & 0o077 != 0 {
            return Err(refuse(format!(
                "others may use it; run chmod 700 {}",
                directory.display()
            )));
        }
        let mut collected = HashCollector(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut collected);
        Ok(Self {
            directory: directory.to_owned(),
            key,
            engine_hash: collected.0.finalize().into(),
        })
    }

    /// The component of that digest, if there is an artefact that verifies and fits `engine`.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return None,
            Err(why) => {
                tracing::warn!(path = %path.display(), cause = %why, "a compiled plugin cannot be read and is made again");
                return None;
            }
        };
        let Some(code) = self.verified(digest, &bytes) else {
            tracing::warn!(path = %path.display(), "a compiled plugin was not written by this daemon and is made again");
            return None;
        };
        load_code(engine, code)
            .inspect_err(|why| tracing::warn!(path = %path.display(), cause = format!("{why:#}"), "a compiled plugin does not fit and is made again"))
            .ok()
    }

    /// Keeps the code of a component. A failure costs time at the next start and nothing else, so
    /// it is only logged.
    pub(crate) fn store(&self, digest: &str, code: &[u8]) {
        if let Err(why) = self.write(digest, code) {
            tracing::warn!(directory = %self.directory.display(), cause = %why, "a compiled plugin cannot be kept");
        }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}.artefact"))
    }

    fn write(&self, digest: &str, code: &[u8]) -> io::Result<()> {
        let mac = self
            .mac(digest, code)
            .ok_or_else(|| io::Error::other("no key"))?
            .finalize()
            .into_bytes();
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.directory)?;
        file.write_all(&mac)?;
        file.write_all(code)?;
        file.as_file().sync_all()?;
        file.persist(self.path(digest)).map_err(|why| why.error)?;
        Ok(())
    }

    fn verified<'a>(&self, digest: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (mac, code) = bytes.split_at_checked(CODE)?;
        self.mac(digest, code)?.verify_slice(mac).ok()?;
        Some(code)
    }

    fn mac(&self, digest: &str, code: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.key.expose()).ok()?;
        for part in [PURPOSE, digest.as_bytes(), &self.engine_hash, code] {
            mac.update(&u64::try_from(part.len()).ok()?.to_be_bytes());
            mac.update(part);
        }
        Some(mac)
    }
}

/// The component of `code`, which has to be the output of this daemon's compiler: of the process
/// that it started, or of an artefact whose HMAC was verified.
pub(crate) fn load_code(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[expect(
        unsafe_code,
        reason = "the bytes are the engine's own output: its callers have it from the compiler that this daemon started, or verified that this daemon wrote it"
    )]
    let component = unsafe { Component::deserialize(engine, code) };
    component
}

/// Reads a file that only we can have written. Anything else under its name (a link, a pipe that
/// would hold the start up) is not opened.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let about = fs::symlink_metadata(path)?;
    let ours = about.is_file() && about.uid() == rustix::process::geteuid().as_raw();
    if !ours || about.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other("it is not a file of the daemon's alone"));
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > MAX_BYTES {
        return Err(io::Error::other("it is too large"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "00ff";

    fn open(directory: &Path, key: &str) -> (Engine, Artefacts) {
        let engine = Engine::default();
        let artefacts = Artefacts::open(directory, Secret::new(key), &engine).unwrap();
        (engine, artefacts)
    }

    fn stored(directory: &Path) -> (Engine, Artefacts) {
        let (engine, artefacts) = open(directory, "key");
        let component = Component::new(&engine, component()).unwrap();
        artefacts.store(DIGEST, &component.serialize().unwrap());
        (engine, artefacts)
    }

    /// The smallest component: a header and nothing in it.
    fn component() -> Vec<u8> {
        b"\0asm\x0d\0\x01\0".to_vec()
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let (engine, artefacts) = stored(&directory.path().join("new"));
        assert!(artefacts.load(&engine, DIGEST).is_some());
        assert!(artefacts.load(&engine, "aa").is_none());
        let names: Vec<_> = fs::read_dir(&artefacts.directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["00ff.artefact"], "no temporary file stays");
    }

    #[test]
    fn what_was_touched_is_not_loaded() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let (engine, artefacts) = stored(directory.path());
        let path = artefacts.path(DIGEST);
        let whole = fs::read(&path).unwrap();
        for at in [0, CODE, whole.len() / 2, whole.len() - 1] {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 1;
            fs::write(&path, &spoilt).unwrap();
            assert!(artefacts.load(&engine, DIGEST).is_none(), "byte {at}");
        }
        for short in [0, CODE - 1, CODE, whole.len() - 1] {
            fs::write(&path, &whole[..short]).unwrap();
            assert!(artefacts.load(&engine, DIGEST).is_none(), "{short} bytes");
        }
        fs::write(artefacts.path("aa"), &whole).unwrap();
        assert!(artefacts.load(&engine, "aa").is_none(), "it belongs to another component");
        fs::write(&path, &whole).unwrap();
        assert!(artefacts.load(&engine, DIGEST).is_some());
        let (engine, other) = open(directory.path(), "another key");
        assert!(other.load(&engine, DIGEST).is_none());
    }

    #[test]
    fn the_directory_is_ours_alone() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let open = |path: &Path| Artefacts::open(path, Secret::new("key"), &engine).map(drop);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(open(directory.path()).unwrap_err().to_string().contains("chmod 700"));
        let made = directory.path().join("a/b");
        open(&made).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&made, &link).unwrap();
        assert!(open(&link).is_err());
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(open(&file).is_err());
    }
}
