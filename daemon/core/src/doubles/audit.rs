//! An echo of the audit log that remembers, and a file of the audit log that fails when a test
//! makes it fail.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use super::lock;
use crate::error::BoxedCause;
use crate::ports::audit::{Action, AuditEcho, AuditFile, Event};

/// Keeps every event in order.
#[derive(Debug, Default)]
pub struct RecordingAudit {
    events: Mutex<Vec<Event>>,
}

impl RecordingAudit {
    /// Nothing happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The events so far.
    pub fn events(&self) -> Vec<Event> {
        lock(&self.events).clone()
    }

    /// The actions so far, without actor, time and outcome.
    pub fn actions(&self) -> Vec<Action> {
        lock(&self.events).iter().map(|event| event.action).collect()
    }

    /// Takes the events so far.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.events))
    }
}

impl AuditEcho for RecordingAudit {
    fn echo(&self, event: &Event) {
        lock(&self.events).push(event.clone());
    }
}

/// A file in memory. Clones are the same file.
#[derive(Debug, Clone, Default)]
pub struct MemoryFile(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    /// What a loss of power leaves.
    durable: Vec<u8>,
    moved: Vec<Vec<u8>>,
    /// How many more bytes the disk takes; `None`: any number.
    room: Option<usize>,
    fails_to_sync: bool,
    appends: usize,
}

impl MemoryFile {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.0).bytes.clone()
    }

    /// Its lines.
    pub fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.bytes()).lines().map(ToOwned::to_owned).collect()
    }

    /// Changes it behind the daemon's back; `Vec::new()` is what moving it away leaves.
    pub fn set(&self, bytes: impl Into<Vec<u8>>) {
        let mut contents = lock(&self.0);
        contents.bytes = bytes.into();
        contents.durable = contents.bytes.clone();
    }

    /// The same, and a loss of power leaves what was there before.
    pub fn set_unsynced(&self, bytes: impl Into<Vec<u8>>) {
        lock(&self.0).bytes = bytes.into();
    }

    /// Moves the file away, to a place beside it.
    pub fn move_away(&self) {
        let mut contents = lock(&self.0);
        let bytes = std::mem::take(&mut contents.bytes);
        contents.durable = Vec::new();
        contents.moved.insert(0, bytes);
    }

    /// The next sync fails. What was written can still be read, and is not durable.
    pub fn fail_next_sync(&self) {
        lock(&self.0).fails_to_sync = true;
    }

    /// What was not synced is gone.
    pub fn lose_power(&self) {
        let mut contents = lock(&self.0);
        contents.bytes = contents.durable.clone();
    }

    /// The disk takes so many bytes more and is full then; `None`: there is room again.
    pub fn set_room(&self, room: Option<usize>) {
        lock(&self.0).room = room;
    }

    /// How often it was written.
    pub fn appends(&self) -> usize {
        lock(&self.0).appends
    }
}

#[async_trait]
impl AuditFile for MemoryFile {
    async fn length(&self) -> Result<u64, BoxedCause> {
        Ok(lock(&self.0).bytes.len() as u64)
    }

    async fn read(&self, from: u64, most: usize) -> Result<Bytes, BoxedCause> {
        let contents = lock(&self.0);
        let rest = contents.bytes.get(usize::try_from(from)?..).unwrap_or_default();
        Ok(Bytes::copy_from_slice(rest.get(..most).unwrap_or(rest)))
    }

    async fn write(&self, at: u64, left: u64, bytes: Bytes) -> Result<(), BoxedCause> {
        let mut contents = lock(&self.0);
        let behind = (contents.bytes.len() as u64).checked_sub(at);
        if behind.is_none_or(|behind| behind > left) {
            return Err("the file is not as long as it was".into());
        }
        contents.appends += 1;
        let fits = contents.room.unwrap_or(usize::MAX).min(bytes.len());
        contents.bytes.truncate(usize::try_from(at)?);
        contents.bytes.extend_from_slice(bytes.get(..fits).unwrap_or_default());
        contents.room = contents.room.map(|room| room - fits);
        if fits < bytes.len() {
            return Err("no space left on device".into());
        }
        if std::mem::take(&mut contents.fails_to_sync) {
            // The kernel reports the failure once, and takes what it has for written from then on.
            return Err("input/output error".into());
        }
        // As a kernel does that takes earlier pages for clean: what was not written again is not
        // durable.
        contents.durable.truncate(usize::try_from(at)?);
        let known = contents.durable.len();
        let unwritten = usize::try_from(at)?.saturating_sub(known);
        contents.durable.extend(std::iter::repeat_n(0, unwritten));
        contents.durable.extend_from_slice(&bytes);
        Ok(())
    }

    async fn moved(&self, from: u64, most: usize) -> Result<Vec<Bytes>, BoxedCause> {
        let from = usize::try_from(from)?;
        let moved = &lock(&self.0).moved;
        let rest = moved.iter().filter_map(|bytes| bytes.get(from..));
        Ok(rest.map(|rest| Bytes::copy_from_slice(rest.get(..most).unwrap_or(rest))).collect())
    }

    async fn cut(&self, length: u64) -> Result<(), BoxedCause> {
        let mut contents = lock(&self.0);
        contents.bytes.truncate(usize::try_from(length)?);
        contents.durable.truncate(usize::try_from(length)?);
        Ok(())
    }
}
