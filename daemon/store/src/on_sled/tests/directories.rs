//! The directory: its owner and mode, its lock, the remains of a crash, and the errors when it
//! cannot be read.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use credsmith_core::ports::store::{Batch, Key, Store};
use tempfile::TempDir;

use super::{Sled, options};
use crate::OpenError;

/// Opens, puts one more entry, closes.
async fn use_once(directory: &Path, key: &'static str) {
    let store = Sled::open(options(directory)).unwrap();
    store.commit(Batch::default().put(Key::new(key), "1")).await.unwrap();
    store.close().await.unwrap();
}

async fn keys(directory: &Path) -> Vec<Key> {
    let store = Sled::open(options(directory)).unwrap();
    let page = store.scan(&Key::new(""), None, 100).await.unwrap();
    store.close().await.unwrap();
    page.entries.into_iter().map(|(key, _)| key).collect()
}

fn snapshots(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("store")).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snap."))
        .collect()
}

fn refused(directory: &Path) -> OpenError {
    Sled::open(options(directory)).err().expect("it should not open")
}

#[test]
fn it_is_created_private() {
    let directory = TempDir::new().unwrap();
    let nested = directory.path().join("not/there/yet");
    drop(Sled::open(options(&nested)).unwrap());
    for made in [nested.join("store"), nested, directory.path().join("not")] {
        assert_eq!(
            fs::metadata(&made).unwrap().permissions().mode() & 0o777,
            0o700,
            "{}",
            made.display()
        );
    }
}

#[test]
fn a_directory_open_to_others_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let place = directory.path().join("store");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o750)).unwrap();
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
    assert!(error.to_string().contains("chmod 700"), "{error}");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "something was written into it");

    fs::remove_dir(&place).unwrap();
    fs::write(&place, "").unwrap();
    assert!(refused(directory.path()).to_string().contains("is not a directory"));
}

#[tokio::test]
async fn one_process_at_a_time() {
    let directory = TempDir::new().unwrap();
    let store = Sled::open(options(directory.path())).unwrap();
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains(directory.path().to_str().unwrap()), "{error}");
    store.commit(Batch::default().put(Key::new("a"), "1")).await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(refused(directory.path()), OpenError::InUse { .. }), "a handle still reads");
    drop(store);
    assert_eq!(keys(directory.path()).await, [Key::new("a")]);
}

#[tokio::test]
async fn a_half_written_snapshot_does_not_matter() {
    let directory = TempDir::new().unwrap();
    use_once(directory.path(), "a").await;
    use_once(directory.path(), "b").await;
    let half = directory.path().join("store/snap.FFFFFFFFFFFFFFFF.generating");
    fs::write(&half, "half of a snaps").unwrap();
    assert_eq!(keys(directory.path()).await, [Key::new("a"), Key::new("b")]);
    assert!(!half.exists());
}

#[tokio::test]
async fn half_a_conf_of_a_store_never_used_does_not_matter() {
    let directory = TempDir::new().unwrap();
    use_once(directory.path(), "a").await;
    let conf = fs::read(directory.path().join("store/conf")).unwrap();
    for length in 0..=conf.len() {
        let directory = TempDir::new().unwrap();
        let place = directory.path().join("store");
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(place.join("conf"), &conf[..length]).unwrap();
        assert_eq!(keys(directory.path()).await, [], "after {length} bytes");
    }
}

#[tokio::test]
async fn a_bad_snapshot_is_an_error_and_its_remedy_works() {
    let directory = TempDir::new().unwrap();
    for key in ["a", "b", "c"] {
        use_once(directory.path(), key).await;
    }
    let snapshots = snapshots(directory.path());
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    fs::write(&snapshots[0], "nothing that was ever a snapshot").unwrap();
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    let text = error.to_string();
    let place = directory.path().join("store");
    for part in
        [&format!("{}/snap.*", place.display()), &format!("{}/db", place.display()), "backup"]
    {
        assert!(text.contains(part), "{part} is not in: {text}");
    }

    fs::remove_file(&snapshots[0]).unwrap();
    assert_eq!(keys(directory.path()).await, ["a", "b", "c"].map(Key::new));
}

#[tokio::test]
async fn data_of_another_program_is_not_taken_over() {
    let directory = TempDir::new().unwrap();
    use_once(directory.path(), "a").await;
    let options = options(directory.path());
    let db = super::super::opening::open_sled(&options).unwrap();
    db.insert("h", &[9, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
    drop(db);
    let newer = refused(directory.path());
    assert!(newer.source().unwrap().to_string().contains("format 9"), "{newer:?}");
    let db = super::super::opening::open_sled(&options).unwrap();
    db.remove("h").unwrap();
    drop(db);
    let foreign = refused(directory.path());
    assert!(foreign.source().unwrap().to_string().contains("without the header"), "{foreign:?}");
}

#[tokio::test]
async fn a_damaged_value_is_an_error_of_its_reader_alone() {
    let directory = TempDir::new().unwrap();
    use_once(directory.path(), "a").await;
    let db = super::super::opening::open_sled(&options(directory.path())).unwrap();
    db.insert("eb", "short").unwrap();
    drop(db);
    assert!(refused(directory.path()).to_string().contains("is not all there"));
    let mut options = options(directory.path());
    options.safeguards.despite_loss = true;
    let store = Sled::open(options).unwrap();
    store.settle().unwrap();
    assert!(store.get(&Key::new("b")).await.is_err());
    assert!(store.scan(&Key::new(""), None, 10).await.is_err());
    let expecting = Batch::default()
        .expect(Key::new("b"), credsmith_core::ports::store::Expected::Absent)
        .put(Key::new("a"), "2");
    assert!(store.commit(expecting).await.is_err());
    assert_eq!(&store.get(&Key::new("a")).await.unwrap().unwrap().value[..], b"1");
    store.commit(Batch::default().put(Key::new("b"), "mended")).await.unwrap();
    assert!(store.get(&Key::new("b")).await.unwrap().is_some());
}
