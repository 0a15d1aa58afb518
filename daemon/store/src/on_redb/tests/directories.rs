//! The directory: its owner and mode, its lock, another engine, and a file that is not of this
//! store.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use credsmith_core::ports::store::{Batch, Key, Store};
use redb::{Database, TableDefinition};
use tempfile::TempDir;

use super::super::{FILE, Redb};
use super::options;
use crate::engine::Engine;
use crate::on_disk::{OnDisk, OnDiskOptions};
use crate::{OpenError, Sled, SledOptions};

async fn use_once(directory: &Path, key: &'static str) {
    let store = Redb::open(options(directory)).unwrap();
    store.commit(Batch::default().put(Key::new(key), "1")).await.unwrap();
    store.close().await.unwrap();
}

async fn keys(directory: &Path) -> Vec<Key> {
    let store = Redb::open(options(directory)).unwrap();
    let page = store.scan(&Key::new(""), None, 100).await.unwrap();
    page.entries.into_iter().map(|(key, _)| key).collect()
}

fn refused(directory: &Path) -> OpenError {
    Redb::open(options(directory)).err().expect("it should not open")
}

#[test]
fn it_is_created_private() {
    let directory = TempDir::new().unwrap();
    drop(Redb::open(options(directory.path())).unwrap());
    let place = directory.path().join("store");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    assert_eq!(mode(&place.join(FILE)), 0o600);
    assert_eq!(fs::read_dir(&place).unwrap().count(), 2, "the file and the lock");
}

#[tokio::test]
async fn one_process_at_a_time() {
    let directory = TempDir::new().unwrap();
    let store = Redb::open(options(directory.path())).unwrap();
    assert!(matches!(refused(directory.path()), OpenError::InUse { .. }));
    store.commit(Batch::default().put(Key::new("a"), "1")).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    assert_eq!(keys(directory.path()).await, [Key::new("a")]);
}

#[tokio::test]
async fn a_start_that_was_cut_off_does_not_matter() {
    let directory = TempDir::new().unwrap();
    use_once(directory.path(), "a").await;
    let whole = fs::read(directory.path().join("store").join(FILE)).unwrap();
    for length in [0, 1, 511, 4096, whole.len()] {
        let directory = TempDir::new().unwrap();
        let place = directory.path().join("store");
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(place.join("data.redb.new"), &whole[..length]).unwrap();
        assert_eq!(keys(directory.path()).await, [], "after {length} bytes");
    }
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_not_taken_for_a_new_one() {
    let directory = TempDir::new().unwrap();
    use_once(directory.path(), "a").await;
    let file = directory.path().join("store").join(FILE);
    let whole = fs::read(&file).unwrap();
    for length in [0, 1, 100, 511, 4096, whole.len() / 2] {
        fs::write(&file, &whole[..length]).unwrap();
        let error = refused(directory.path());
        if length == 0 {
            assert!(matches!(error, OpenError::Gone { .. }), "{error:?}");
            continue;
        }
        assert!(matches!(error, OpenError::DamagedFile { .. }), "{length}: {error:?}");
        let text = error.to_string();
        assert!(text.contains("data.redb") && text.contains("backup"), "{text}");
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(keys(directory.path()).await, [Key::new("a")]);
}

#[tokio::test]
async fn data_of_another_program_is_not_taken_over() {
    let directory = TempDir::new().unwrap();
    use_once(directory.path(), "a").await;
    let file = directory.path().join("store").join(FILE);
    let database = Database::open(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    let header = TableDefinition::<&str, u64>::new("header");
    transaction.open_table(header).unwrap().insert("format", 9).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let newer = refused(directory.path());
    assert!(newer.source().unwrap().to_string().contains("format 9"), "{newer:?}");

    fs::remove_file(&file).unwrap();
    let database = Database::create(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(refused(directory.path()), OpenError::DamagedFile { .. }));
    fs::write(&file, "a text that is no database of any kind").unwrap();
    assert!(matches!(refused(directory.path()), OpenError::DamagedFile { .. }));
}

#[tokio::test]
async fn the_data_of_another_engine_is_left_alone() {
    let directory = TempDir::new().unwrap();
    use_once(directory.path(), "a").await;
    let path = directory.path().join("store");
    let open = |engine| OnDisk::open(OnDiskOptions::new(engine, path.clone(), 1 << 20));
    let error = open(Engine::Sled).err().expect("sled opens the data of redb");
    assert!(error.to_string().contains("data.store = \"redb\""), "{error}");
    assert!(!path.join("db").exists(), "sled has made a file");
    drop(open(Engine::Redb).unwrap());

    let other = TempDir::new().unwrap();
    let path = other.path().join("store");
    drop(Sled::open(SledOptions::new(&path)).unwrap());
    let error = OnDisk::open(OnDiskOptions::new(Engine::Redb, path.clone(), 1 << 20));
    assert!(matches!(error.err(), Some(OpenError::OtherEngine { .. })));
    assert!(!path.join(FILE).exists(), "redb has made a file");
}
