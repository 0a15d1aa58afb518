//! Opens a store and starts its committer.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sled::{Config, Db, Tree};

use super::in_flight::InFlight;
use super::layout;
use super::options::SledOptions;
use super::write::{Log, SyncFile};
use super::writer::Writer;
use super::{OpenFiles, Sled, remains};
use crate::committer::Queue;
use crate::directory::Directory;
use crate::error::OpenError;
use crate::fatal::panic_text;
use crate::revisions::Revisions;

/// sled writes an item that is larger than a quarter of a segment into a file of its own under
/// `blobs/`, which is never synced. The largest item is a leaf: it splits at 17 entries, may hold
/// some more after a merge, and an entry is at most 33 KiB. With this size a quarter is 1 MiB, room
/// for 31 of them.
const SEGMENT_BYTES: usize = 4 << 20;

/// How long sled's threads may take to release a store that this process has just closed.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// The interfaces that the committer writes through.
pub(super) type Writers = (Box<dyn Log>, Box<dyn SyncFile>);

/// Opens the store; `writers` may wrap the interfaces that the committer writes through.
pub(super) fn open(
    options: SledOptions,
    writers: impl FnOnce(Tree, File) -> Writers,
) -> Result<Sled, OpenError> {
    let directory = Directory::claim(&options.path)?;
    remains::clear(&options.path)?;
    let db = open_sled(&options)?;
    let log = directory.file("db");
    let file = File::open(&log).map_err(OpenError::io(&log, "open"))?;
    let revisions = read_header(&db).map_err(|cause| OpenError::damaged(&options.path, cause))?;
    file.sync_all().map_err(OpenError::io(&log, "make durable"))?;
    directory.sync(&["db", "conf", "blobs"])?;

    let tree: Tree = Tree::clone(&db);
    let in_flight = Arc::new(InFlight::default());
    let (log, file) = writers(tree.clone(), file);
    let writer =
        Writer { tree: tree.clone(), log, file, revisions, in_flight: Arc::clone(&in_flight) };
    let files = Arc::new(OpenFiles { _db: db, _directory: directory });
    let queue = Queue::start(writer, options.group, options.on_fatal, Arc::clone(&files))
        .map_err(OpenError::io(&options.path, "start the thread that writes to"))?;
    Ok(Sled { queue, tree, in_flight, _files: files })
}

pub(super) fn open_sled(options: &SledOptions) -> Result<Db, OpenError> {
    let config = Config::new()
        .path(&options.path)
        .cache_capacity(options.cache_bytes)
        .segment_size(SEGMENT_BYTES);
    let give_up = Instant::now() + RELEASE_TIMEOUT;
    loop {
        match without_panic(&options.path, || config.open()) {
            // This process holds the directory's lock, so the holder of sled's lock is its thread
            // pool, which has not yet released an earlier store.
            Err(OpenError::Io { cause, .. })
                if is_sleds_lock(&cause) && Instant::now() < give_up =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

/// Opens sled, and turns a panic into an error: sled panics on inconsistent data.
fn without_panic(path: &Path, open: impl FnOnce() -> sled::Result<Db>) -> Result<Db, OpenError> {
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(cause))) => Err(OpenError::io(path, "open the store in")(cause)),
        Ok(Err(cause)) => Err(OpenError::damaged(path, cause)),
        Err(payload) => Err(OpenError::damaged(path, panic_text(&*payload))),
    }
}

fn is_sleds_lock(cause: &std::io::Error) -> bool {
    cause.to_string().starts_with("could not acquire lock")
}

/// Reads the header, or writes the first one into an empty store.
fn read_header(db: &Db) -> Result<Revisions, credsmith_core::error::BoxedCause> {
    match db.get(layout::HEADER_KEY)? {
        Some(header) => Ok(Revisions::above(layout::ceiling(&header)?)),
        None if db.is_empty() => {
            db.insert(layout::HEADER_KEY, layout::header(0))?;
            db.flush()?;
            Ok(Revisions::above(0))
        }
        None => Err("it holds data without the header of this store".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_a_remedy() {
        let path = Path::new("/var/lib/credsmith/store");
        let error = without_panic(path, || panic!("segment 7 is nowhere")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/var/lib/credsmith/store/db") && text.contains("backup"), "{text}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "segment 7 is nowhere");
    }
}
