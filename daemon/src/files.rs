//! Files and directories that only the user of the daemon may read.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::process::geteuid;

/// Writes a file that no other user can read (mode 600), durably. It never overwrites a file and
/// never follows a link.
///
/// # Errors `AlreadyExists`, and every other error of the file system.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let directory =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// Checks that a file or directory belongs to the user of the daemon, or to root: its owner can
/// change its mode and what is in it at any time.
///
/// # Errors
/// A predicate that continues its name.
pub(crate) fn check_owner(about: &Metadata) -> Result<(), String> {
    let (owner, own) = (about.uid(), geteuid().as_raw());
    if owner == own || owner == 0 {
        return Ok(());
    }
    Err(format!("belongs to another user (uid {owner}), expected the daemon's (uid {own}) or root"))
}

/// Creates a directory that no other user can read (mode 700), or checks that an existing one is
/// so.
///
/// # Errors
/// A sentence.
pub(crate) fn private_directory(path: &Path) -> Result<(), String> {
    let place = path.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| format!("The directory {place} cannot be made: {error}."))?;
    let about = std::fs::metadata(path)
        .map_err(|error| format!("The directory {place} cannot be read: {error}."))?;
    refuse_open(path, &about).map_err(|why| format!("The directory {place} {why}."))?;
    check_owner(&about).map_err(|why| format!("The directory {place} {why}."))?;
    check_entries(path)
}

/// Whether [`private_directory`] would succeed, without making anything.
///
/// # Errors
/// A predicate that continues the name of the directory.
pub(crate) fn would_be_private(path: &Path) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(about) if !about.is_dir() => Err("is no directory".to_owned()),
        Ok(about) => {
            refuse_open(path, &about)?;
            check_owner(&about)?;
            is_writable(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = path.ancestors().skip(1).find(|above| above.exists());
            above.map_or(Ok(()), is_writable)
        }
        Err(error) => Err(format!("is {}, which cannot be read: {error}", path.display())),
    }
}

/// Whether files can be made in the directory at `path`.
///
/// # Errors
/// A predicate.
pub(crate) fn is_writable(path: &Path) -> Result<(), String> {
    let place = path.display();
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if !path.is_dir() {
        return Err(format!("lies in {place}, which is no directory"));
    }
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|error| format!("needs files in {place}, which is not writable here: {error}"))
}

/// A mode is only proposed for a directory that is ours alone: to close one that others use would
/// break what is theirs.
fn refuse_open(path: &Path, about: &Metadata) -> Result<(), String> {
    if about.mode() & 0o077 == 0 {
        return Ok(());
    }
    let (place, mode) = (path.display(), about.mode() & 0o7777);
    Err(if holds_only_ours(path) {
        format!("is open to others (mode {mode:03o}): chmod 700 {place}")
    } else {
        format!(
            "is open to others (mode {mode:03o}) and holds what is not of this daemon: name a directory of its own, such as {}",
            path.join("credsmith").display()
        )
    })
}

/// Whether nothing is in the directory but what the daemon keeps there, parts of the audit log that
/// were moved away, and what a file system keeps in its own root. Where something of a daemon
/// counts as foreign, the advice would lead to a second store, which is empty.
fn holds_only_ours(path: &Path) -> bool {
    const OURS: [&str; 7] =
        ["store", "store.guard", "reserve", "artefacts", "copies", "admin.sock", "lost+found"];
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    entries.flatten().all(|entry| {
        let name = entry.file_name();
        let is_log = name.to_str().is_some_and(|name| name.starts_with("audit.jsonl"));
        is_log || OURS.iter().any(|ours| name == *ours)
    })
}

/// Checks the owner of everything that lies in a directory: what was copied there as another user
/// stays in that user's hands.
fn check_entries(directory: &Path) -> Result<(), String> {
    let cannot = |error| format!("The directory {} cannot be read: {error}.", directory.display());
    for entry in std::fs::read_dir(directory).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let about = entry.metadata().map_err(cannot)?;
        check_owner(&about).map_err(|why| format!("The file {} {why}.", entry.path().display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_file_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        write_private(&path, b"one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(write_private(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");

        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("target"), &link).unwrap();
        assert!(write_private(&link, b"x").is_err());
        assert!(!dir.path().join("target").exists());
    }

    #[test]
    fn what_belongs_to_another_user_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        private_directory(&path).unwrap();
        assert_eq!(check_owner(&std::fs::metadata(&path).unwrap()), Ok(()));
        assert_eq!(check_owner(&std::fs::metadata("/").unwrap()), Ok(()), "root's");
        // Only root gives files away.
        if geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            let why = private_directory(&path).unwrap_err();
            assert!(why.contains("belongs to another user (uid 12345)"), "{why}");
            std::os::unix::fs::chown(&path, Some(0), None).unwrap();
            write_private(&path.join("db"), b"x").unwrap();
            std::os::unix::fs::chown(path.join("db"), Some(12345), None).unwrap();
            assert!(private_directory(&path).unwrap_err().contains("db belongs to another user"));
        }
    }

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        private_directory(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        private_directory(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let refused = private_directory(&path).unwrap_err();
        assert!(refused.contains("is open to others (mode 755): chmod 700 /"), "{refused}");
        assert_eq!(
            would_be_private(&path).unwrap_err().split(" (").next(),
            Some("is open to others")
        );
    }

    /// `chmod 700 /tmp` would lock every other user of the machine out of it.
    #[test]
    fn no_advice_closes_a_directory_that_others_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shared");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("of-another-program"), "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o1777)).unwrap();
        let refused = private_directory(&path).unwrap_err();
        assert!(!refused.contains("chmod"), "{refused}");
        assert!(refused.contains("such as ") && refused.contains("shared/credsmith"), "{refused}");
    }

    /// Another directory would get a second store, an empty one.
    #[test]
    fn the_advice_for_a_data_directory_with_all_its_parts_is_to_close_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::create_dir(&path).unwrap();
        for part in ["store", "store.guard", "artefacts", "copies", "lost+found"] {
            std::fs::create_dir(path.join(part)).unwrap();
        }
        for part in ["reserve", "audit.jsonl", "audit.jsonl.1", "audit.jsonl-20260101.gz"] {
            std::fs::write(path.join(part), "").unwrap();
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let refused = private_directory(&path).unwrap_err();
        assert!(refused.contains("chmod 700"), "{refused}");
        std::fs::write(path.join("theirs"), "").unwrap();
        let refused = private_directory(&path).unwrap_err();
        assert!(!refused.contains("chmod"), "{refused}");
    }

    #[test]
    fn a_look_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c");
        assert_eq!(would_be_private(&path), Ok(()));
        assert!(!dir.path().join("a").exists());
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(would_be_private(&file).unwrap_err(), "is no directory");
        assert!(would_be_private(&file.join("below")).is_err());
    }
}
