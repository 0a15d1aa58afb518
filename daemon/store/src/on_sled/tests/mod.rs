//! Tests beyond the conformance suite: the order of the steps, the failure of each, and the
//! directory.

mod directories;
mod durability;
mod power;
mod size;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use credsmith_core::ports::store::{Batch, Key, Store};
use sled::Tree;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::opening;
use super::write::{Log, SyncFile};
use super::{Sled, SledOptions};
use crate::Step;

/// The events of a test, in order.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<&'static str>>>);

impl Record {
    fn add(&self, event: &'static str) {
        self.0.lock().unwrap().push(event);
    }

    fn so_far(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

/// sled's log, recorded, which fails at `fails_at`.
struct RecordedLog {
    tree: Tree,
    record: Record,
    fails_at: Option<Step>,
}

impl Log for RecordedLog {
    fn apply(&mut self, batch: sled::Batch) -> sled::Result<()> {
        self.record.add("apply");
        match self.fails_at {
            Some(Step::Apply) => Err(no_space().into()),
            Some(Step::Panic) => panic!("a bug in the log"),
            _ => self.tree.apply(batch),
        }
    }

    fn flush(&mut self) -> sled::Result<()> {
        self.record.add("flush");
        Log::flush(&mut self.tree)?;
        if self.fails_at == Some(Step::Flush) { Err(no_space().into()) } else { Ok(()) }
    }
}

/// The log's file, recorded; every sync reports its begin and waits for the gate.
struct GatedFile {
    file: File,
    record: Record,
    begun: UnboundedSender<()>,
    gate: Receiver<()>,
    fails_at: Option<Step>,
}

impl SyncFile for GatedFile {
    fn sync_data(&mut self) -> io::Result<()> {
        self.record.add("sync");
        self.begun.send(()).unwrap();
        self.gate.recv().unwrap();
        SyncFile::sync_data(&mut self.file)?;
        if self.fails_at == Some(Step::Sync) { Err(no_space()) } else { Ok(()) }
    }
}

/// A store whose steps are recorded and whose syncs are opened by hand.
struct Recorded {
    store: Arc<Sled>,
    record: Record,
    begun: UnboundedReceiver<()>,
    gate: Sender<()>,
    _directory: TempDir,
}

impl Recorded {
    fn open() -> Self {
        Self::failing(None, |options| options)
    }

    fn failing(fails_at: Option<Step>, change: impl FnOnce(SledOptions) -> SledOptions) -> Self {
        let directory = TempDir::new().unwrap();
        let record = Record::default();
        let (begun, begun_receiver) = unbounded_channel();
        let (gate, gate_receiver) = channel();
        let recorded = record.clone();
        let store = opening::open(change(options(directory.path())), move |tree, file| {
            let log = RecordedLog { tree, record: recorded.clone(), fails_at };
            let file = GatedFile { file, record: recorded, begun, gate: gate_receiver, fails_at };
            (Box::new(log), Box::new(file))
        });
        Self {
            store: Arc::new(store.unwrap()),
            record,
            begun: begun_receiver,
            gate,
            _directory: directory,
        }
    }

    /// Returns once a sync has begun; it waits for [`Self::let_sync`].
    async fn sync_begins(&mut self) {
        self.begun.recv().await.unwrap();
    }

    fn let_sync(&self) {
        self.gate.send(()).unwrap();
    }

    /// Puts, and lets the sync through.
    async fn put(&mut self, key: &'static str, value: &'static str) {
        self.let_sync();
        self.store.commit(Batch::default().put(Key::new(key), value)).await.unwrap();
        self.sync_begins().await;
    }

    async fn value(&self, key: &'static str) -> Option<String> {
        let found = self.store.get(&Key::new(key)).await.unwrap();
        found.map(|versioned| String::from_utf8(versioned.value.to_vec()).unwrap())
    }

    /// All entries as `key=value`, by pages of `size`.
    async fn entries(&self, size: usize) -> String {
        let mut shown = Vec::new();
        let mut after: Option<Key> = None;
        loop {
            let page = self.store.scan(&Key::new(""), after.as_ref(), size).await.unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let entries = page.entries.iter();
            shown
                .extend(entries.map(|(key, found)| {
                    format!("{}={}", text(key.as_bytes()), text(&found.value))
                }));
            after = page.entries.last().map(|(key, _)| key.clone());
            if !page.more {
                return shown.join(" ");
            }
        }
    }
}

fn options(directory: &Path) -> SledOptions {
    SledOptions::new(directory.join("store"))
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}
