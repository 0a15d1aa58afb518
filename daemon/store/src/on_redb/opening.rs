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
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError,
};

use super::layout::{self, ENTRIES, FILE, Header};
use super::options::RedbOptions;
use super::writer::Writer;
use super::{Files, Redb};
use crate::committer::Queue;
use crate::directory::Directory;
use crate::error::OpenError;
use crate::fatal::panic_text;
use crate::guard::{self, Guard, Guarded, Reached};
use crate::revisions::Revisions;

/// An empty store that is being made: another start begins anew.
const UNFINISHED: &str = "data.redb.new";
/// A copy that is being made: what is cut off must not pass for an empty store.
pub(super) const UNFINISHED_COPY: &str = "data.redb.copy";

/// Opens the store in its directory.
pub(super) fn open(options: RedbOptions) -> Result<Redb, OpenError> {
    let directory = Directory::claim(&options.path)?;
    open_guarded(options, directory, open_file)
}

/// Opens the store, whose database `open` opens, under its guard.
pub(super) fn open_guarded(
    options: RedbOptions,
    directory: Directory,
    open: impl FnOnce(&Directory, &RedbOptions) -> Result<Database, OpenError>,
) -> Result<Redb, OpenError> {
    let opened = guard::open(directory, &options.safeguards, |directory| {
        let database = open(directory, &options)?;
        Opened::of(database).map_err(|cause| OpenError::damaged_file(&options.path, FILE, cause))
    });
    let (Opened { database, header }, guard) = opened?;
    run(options, database, header, guard)
}

fn open_file(directory: &Directory, options: &RedbOptions) -> Result<Database, OpenError> {
    if directory.file(UNFINISHED_COPY).exists() {
        let cause = "a copy into this directory was not finished";
        return Err(OpenError::damaged_file(&options.path, UNFINISHED_COPY, cause));
    }
    if !directory.file(FILE).exists() {
        create(directory, UNFINISHED, options, |database| Ok(empty(database)?))?;
    }
    let file = existing_file(&directory.file(FILE))?;
    let database = open_database(options, file)?;
    directory.sync(&[FILE])?;
    Ok(database)
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
    layout::put_header(&transaction, Header { ceiling: 0, reached: None })?;
    Ok(transaction.commit()?)
}

/// Runs the store in `database`.
fn run(
    options: RedbOptions,
    database: Database,
    header: Header,
    guard: Guard,
) -> Result<Redb, OpenError> {
    let RedbOptions { path, group, on_fatal, .. } = options;
    let reached = header.reached.unwrap_or_default();
    let revisions = Revisions::above(header.ceiling.max(reached.revision));
    let (files, guard) = (Arc::new(Files::new(database)), Arc::new(guard));
    let writer = Writer { files: Arc::clone(&files), revisions, reached };
    let closed = Arc::clone(&files);
    let release = move || closed.close();
    let queue = Queue::start(writer, group, on_fatal, release, Arc::clone(&guard))
        .map_err(OpenError::io(&path, "start the thread that writes to"))?;
    Ok(Redb { queue, files, guard })
}

/// redb, opened and not yet in use.
struct Opened {
    database: Database,
    header: Header,
}

impl Opened {
    fn of(database: Database) -> Result<Self, BoxedCause> {
        let transaction = database.begin_read()?;
        let header = layout::header(&transaction)?;
        drop(transaction);
        Ok(Self { database, header })
    }
}

impl Guarded for Opened {
    fn recorded(&self) -> Result<Option<Reached>, BoxedCause> {
        Ok(self.header.reached)
    }

    fn count(&self) -> Result<Reached, BoxedCause> {
        let mut found = Reached::default();
        let entries = self.database.begin_read()?.open_table(ENTRIES)?;
        for entry in entries.iter()? {
            let (key, stored) = entry?;
            found.revision = found.revision.max(stored.value().0);
            found.add(key.value(), &layout::summed(stored.value()));
        }
        Ok(found)
    }

    fn record(&mut self, reached: Reached) -> Result<(), BoxedCause> {
        let ceiling = self.header.ceiling.max(reached.revision);
        let header = Header { ceiling, reached: Some(reached) };
        let transaction = self.database.begin_write()?;
        layout::put_header(&transaction, header)?;
        transaction.commit()?;
        self.header = header;
        Ok(())
    }
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
