//! Opens a store and starts its committer.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use credsmith_core::error::BoxedCause;
use sled::{Config, Db, Tree};

use super::in_flight::InFlight;
use super::layout::{self, Header};
use super::options::SledOptions;
use super::write::{Log, SyncFile};
use super::writer::Writer;
use super::{Files, Sled, remains};
use crate::committer::Queue;
use crate::directory::Directory;
use crate::error::OpenError;
use crate::fatal::panic_text;
use crate::guard::{self, Guarded, Reached};
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
    let (opened, guard) =
        guard::open(directory, &options.safeguards, |directory| Opened::open(directory, &options))?;
    let Opened { db, file, header } = opened;
    let header = header.unwrap_or(Header { ceiling: 0, reached: None });
    let reached = header.reached.unwrap_or_default();
    let revisions = Revisions::above(header.ceiling.max(reached.revision));

    let tree: Tree = Tree::clone(&db);
    let in_flight = Arc::new(InFlight::default());
    let (log, file) = writers(tree.clone(), file);
    let of_writer = Arc::clone(&in_flight);
    let writer = Writer { tree, log, file, revisions, reached, in_flight: of_writer };
    let (files, guard) = (Arc::new(Files::new(db)), Arc::new(guard));
    let closed = Arc::clone(&files);
    let release = move || closed.close();
    let (group, on_fatal) = (options.group, options.on_fatal);
    let queue = Queue::start(writer, group, on_fatal, release, Arc::clone(&guard))
        .map_err(OpenError::io(&options.path, "start the thread that writes to"))?;
    Ok(Sled { queue, files, in_flight, guard })
}

/// sled, opened and not yet in use.
pub(super) struct Opened {
    db: Db,
    file: File,
    /// `None` in a new store.
    header: Option<Header>,
}

impl Opened {
    fn open(directory: &Directory, options: &SledOptions) -> Result<Self, OpenError> {
        remains::clear(&options.path)?;
        let db = open_sled(options)?;
        let log = directory.file("db");
        let file = File::open(&log).map_err(OpenError::io(&log, "open"))?;
        let header = read_header(&db).map_err(|cause| OpenError::damaged(&options.path, cause))?;
        file.sync_all().map_err(OpenError::io(&log, "make durable"))?;
        directory.sync(&["db", "conf", "blobs"])?;
        Ok(Self { db, file, header })
    }
}

impl Guarded for Opened {
    fn recorded(&self) -> Result<Option<Reached>, BoxedCause> {
        Ok(self.header.and_then(|header| header.reached))
    }

    fn count(&self) -> Result<Reached, BoxedCause> {
        let mut found = Reached::default();
        for entry in self.db.iter() {
            let (key, stored) = entry?;
            if *key == *layout::HEADER_KEY {
                continue;
            }
            // A value without a revision is an error of its reader, and counts like any other.
            if let Ok(revision) = layout::revision(&stored) {
                found.revision = found.revision.max(revision.0);
            }
            found.add(&key, &stored);
        }
        Ok(found)
    }

    fn record(&mut self, reached: Reached) -> Result<(), BoxedCause> {
        let ceiling = self.header.map_or(0, |header| header.ceiling).max(reached.revision);
        self.db.insert(layout::HEADER_KEY, layout::header(ceiling, reached))?;
        self.db.flush()?;
        self.file.sync_all()?;
        self.header = Some(Header { ceiling, reached: Some(reached) });
        Ok(())
    }
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
        Err(payload) => Err(panicked(path, panic_text(&*payload))),
    }
}

/// A thread that the system does not make is a panic inside sled, and no damage.
fn panicked(path: &Path, text: String) -> OpenError {
    if text.contains("kind: WouldBlock") || text.contains("Resource temporarily unavailable") {
        return OpenError::io(path, "start the threads of the store in")(io::Error::other(text));
    }
    OpenError::damaged(path, text)
}

fn is_sleds_lock(cause: &std::io::Error) -> bool {
    cause.to_string().starts_with("could not acquire lock")
}

/// Reads the header; `None` in an empty store.
fn read_header(db: &Db) -> Result<Option<Header>, BoxedCause> {
    match db.get(layout::HEADER_KEY)? {
        Some(header) => Ok(Some(layout::read_header(&header)?)),
        None if db.is_empty() => Ok(None),
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

    #[test]
    fn a_thread_that_cannot_be_made_is_no_damage() {
        let path = Path::new("/var/lib/credsmith/store");
        let cannot = || -> io::Result<()> { Err(io::Error::from_raw_os_error(11)) };
        let error = without_panic(path, || {
            cannot().expect("a thread");
            unreachable!()
        });
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("cannot start the threads of the store"), "{text}");
    }
}
