//! What the committer's thread does with a group: one atomic sled batch, flush, fdatasync. Reads
//! see the group only after the last step.

use std::sync::Arc;

use credsmith_core::ports::store::Batch;
use sled::Tree;

use super::group::{Changes, Group};
use super::in_flight::InFlight;
use super::write::{Log, SyncFile};
use crate::committer::{Answer, Engine, Written};
use crate::fatal::{Fatal, Step};
use crate::guard::Reached;
use crate::revisions::Revisions;

/// sled, as the committer uses it.
pub(super) struct Writer {
    pub(super) tree: Tree,
    pub(super) log: Box<dyn Log>,
    pub(super) file: Box<dyn SyncFile>,
    pub(super) revisions: Revisions,
    /// What the last group has reached.
    pub(super) reached: Reached,
    pub(super) in_flight: Arc<InFlight>,
}

impl Engine for Writer {
    fn commit(&mut self, batches: &[Batch]) -> Written {
        let mut staged = Group::new(&self.tree, &mut self.revisions);
        let answers: Vec<Answer> = batches.iter().map(|batch| staged.admit(batch)).collect();
        let durable = match staged.into_changes(self.reached) {
            Some(changes) => self.make_durable(changes).map(Some),
            None => Ok(None),
        };
        Written { answers, durable }
    }

    fn finish(&mut self) -> Result<(), Fatal> {
        self.log.flush().map_err(|cause| Fatal::new(Step::Flush, cause))?;
        self.file.sync_data().map_err(|cause| Fatal::new(Step::Sync, cause))
    }
}

impl Writer {
    fn make_durable(&mut self, changes: Changes) -> Result<Reached, Fatal> {
        let in_flight = Arc::clone(&self.in_flight);
        in_flight
            .apply(changes.previous, || self.log.apply(changes.batch))
            .map_err(|cause| Fatal::new(Step::Apply, cause))?;
        self.finish()?;
        self.in_flight.clear();
        self.reached = changes.reached;
        Ok(self.reached)
    }
}
