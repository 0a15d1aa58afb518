//! Opens a store and starts its committer.
//!
//! A new file is made under another name, whole, and then renamed: a file with the right name that
//! is empty or cut off is damaged, and not new.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use credsmith_core::error::BoxedCause;
use parking_lot::RwLock;
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError};

use super::layout::{self, ENTRIES, FILE};
use super::options::RedbOptions;
use super::writer::Writer;
use super::{Files, Redb};
use crate::committer::Queue;
use crate::directory::Directory;
use crate::error::OpenError;
use crate::fatal::panic_text;
use crate::revisions::Revisions;

/// An empty store that is being made: another start begins anew.
const UNFINISHED: &str = "data.redb.new";
/// A copy that is being made: what is cut off must not pass for an empty store.
pub(super) const UNFINISHED_COPY: &str = "data.redb.copy";

/// Opens the store in its directory.
pub(super) fn open(options: RedbOptions) -> Result<Redb, OpenError> {
    let directory = Directory::claim(&options.path)?;
    if directory.file(UNFINISHED_COPY).exists() {
        let cause = "a copy into this directory was not finished";
        return Err(OpenError::damaged_file(&options.path, UNFINISHED_COPY, cause));
    }
    if !directory.file(FILE).exists() {
        create(&directory, UNFINISHED, &options, |database| Ok(empty(database)?))?;
    }
    let file = existing_file(&directory.file(FILE))?;
    let database = open_database(&options, file)?;
    directory.sync(&[FILE])?;
    run(options, database, Some(directory))
}

/// Makes the file in `directory` with the content that `fill` gives it, under the name `unfinished`
/// until it is whole.
pub(super) fn create(
    directory: &Directory,
    unfinished: &'static str,
    options: &RedbOptions,
    fill: impl FnOnce(&Database) -> Result<(), BoxedCause>,
) -> Result<(), OpenError> {
    let name = unfinished;
    let unfinished = directory.file(name);
    let file = new_file(&unfinished)?;
    let backend = backend(&unfinished, file)?;
    let database = open_database(options, backend)?;
    fill(&database).map_err(|cause| failed_write(&unfinished, cause))?;
    database.close().map_err(|cause| failed_write(&unfinished, cause))?;
    directory.sync(&[name])?;
    let place = directory.file(FILE);
    fs::rename(&unfinished, &place).map_err(OpenError::io(&place, "create"))?;
    directory.sync(&[FILE])
}

fn failed_write(path: &Path, cause: impl Into<BoxedCause>) -> OpenError {
    OpenError::io(path, "write")(io::Error::other(cause))
}

pub(super) fn empty(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    layout::put_header(&transaction, 0)?;
    Ok(transaction.commit()?)
}

/// Runs the store in `database`.
pub(super) fn run(
    options: RedbOptions,
    database: Database,
    directory: Option<Directory>,
) -> Result<Redb, OpenError> {
    let RedbOptions { path, group, on_fatal, .. } = options;
    let ceiling =
        ceiling(&database).map_err(|cause| OpenError::damaged_file(&path, FILE, cause))?;
    let files = Arc::new(Files { database: RwLock::new(Some(database)), _directory: directory });
    let writer = Writer { files: Arc::clone(&files), revisions: Revisions::above(ceiling) };
    let queue = Queue::start(writer, group, on_fatal, Arc::clone(&files))
        .map_err(OpenError::io(&path, "start the thread that writes to"))?;
    Ok(Redb { queue, files })
}

fn ceiling(database: &Database) -> Result<u64, BoxedCause> {
    let transaction = database.begin_read()?;
    transaction.open_table(ENTRIES)?;
    layout::ceiling(&transaction)
}

/// Opens the database behind `backend`, and repairs it after a crash. redb panics on some damaged
/// files: that is an error like any other.
pub(super) fn open_database(
    options: &RedbOptions,
    backend: impl StorageBackend,
) -> Result<Database, OpenError> {
    let mut builder = Builder::new();
    builder
        .set_cache_size(usize::try_from(options.cache_bytes).unwrap_or(usize::MAX))
        .set_check_integrity_on_open(options.verify);
    let path = &options.path;
    match catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(backend))) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => {
            Err(OpenError::InUse { path: path.to_owned() })
        }
        Ok(Err(DatabaseError::Storage(StorageError::Io(cause)))) if !is_damage(&cause) => {
            Err(OpenError::io(&path.join(FILE), "read")(cause))
        }
        Ok(Err(cause)) => Err(OpenError::damaged_file(path, FILE, cause)),
        Err(payload) => Err(OpenError::damaged_file(path, FILE, panic_text(&*payload))),
    }
}

/// Whether redb found the file to be wrong, and not the system.
fn is_damage(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn existing_file(path: &Path) -> Result<FileBackend, OpenError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(OpenError::io(path, "open"))?;
    let length = file.metadata().map_err(OpenError::io(path, "look at"))?.len();
    if length == 0 {
        let directory = path.parent().unwrap_or(path);
        return Err(OpenError::damaged_file(directory, FILE, "the file is empty"));
    }
    backend(path, file)
}

fn new_file(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    options.open(path).map_err(OpenError::io(path, "create"))
}

fn backend(path: &Path, file: File) -> Result<FileBackend, OpenError> {
    FileBackend::new(file).map_err(|cause| failed_write(path, cause))
}
