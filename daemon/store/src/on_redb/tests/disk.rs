//! A disk in memory that records every write and sync, fails on demand, and may hold up a sync.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What was done to a disk.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
    Length(usize),
    Sync,
    /// A commit was acknowledged: the test adds it.
    Acknowledged(u64),
}

/// The disk. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    image: Mutex<Vec<u8>>,
    ops: Mutex<Vec<Op>>,
    fails: AtomicBool,
    gate: Mutex<Option<Gate>>,
}

/// Every sync reports that it begins, and waits until it may go on.
#[derive(Debug)]
struct Gate {
    begun: UnboundedSender<()>,
    go: Receiver<()>,
}

impl Disk {
    pub(super) fn of(image: Vec<u8>) -> Self {
        let disk = Self::default();
        *disk.0.image.lock().unwrap() = image;
        disk
    }

    pub(super) fn length(&self) -> usize {
        self.0.image.lock().unwrap().len()
    }

    pub(super) fn image(&self) -> Vec<u8> {
        self.0.image.lock().unwrap().clone()
    }

    pub(super) fn ops(&self) -> Vec<Op> {
        self.0.ops.lock().unwrap().clone()
    }

    pub(super) fn add(&self, op: Op) {
        self.0.ops.lock().unwrap().push(op);
    }

    /// How many syncs there were, and whether something was written after the last one.
    pub(super) fn syncs(&self) -> (usize, bool) {
        let ops = self.ops();
        let dirty = ops.iter().rev().take_while(|op| !matches!(op, Op::Sync));
        let written = |op: &Op| matches!(op, Op::Write { .. } | Op::Length(_));
        (ops.iter().filter(|op| matches!(op, Op::Sync)).count(), dirty.into_iter().any(written))
    }

    /// From now on every write and sync fails, as on a full disk.
    pub(super) fn fail(&self) {
        self.0.fails.store(true, Ordering::Release);
    }

    /// From now on each sync waits to be let through.
    pub(super) fn gate(&self) -> (UnboundedReceiver<()>, Sender<()>) {
        let (begun, begun_receiver) = unbounded_channel();
        let (go, go_receiver) = channel();
        *self.0.gate.lock().unwrap() = Some(Gate { begun, go: go_receiver });
        (begun_receiver, go)
    }

    fn check(&self) -> io::Result<()> {
        if self.0.fails.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        }
        Ok(())
    }
}

/// Applies `op` to `image`.
pub(super) fn apply(image: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*offset..end].copy_from_slice(bytes);
        }
        Op::Length(length) => image.resize(*length, 0),
        Op::Sync | Op::Acknowledged(_) => {}
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.length() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let image = self.0.image.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let from = image.get(offset..offset + out.len());
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check()?;
        let op = Op::Length(usize::try_from(len).unwrap());
        apply(&mut self.0.image.lock().unwrap(), &op);
        self.add(op);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.check()?;
        if let Some(gate) = &*self.0.gate.lock().unwrap() {
            // The last sync comes when the test has ended.
            let (_ended, _let_through) = (gate.begun.send(()), gate.go.recv());
        }
        self.check()?;
        self.add(Op::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check()?;
        let op = Op::Write { offset: usize::try_from(offset).unwrap(), bytes: data.to_vec() };
        apply(&mut self.0.image.lock().unwrap(), &op);
        self.add(op);
        Ok(())
    }
}
