//! The one thread that writes. It takes the queued commits, as many as a group may have, and makes
//! them durable together: check, apply, flush, sync, acknowledge, in this order. While a group is
//! being synced the next one gathers in the queue, so groups grow with the load and no commit waits
//! for a timer.
//!
//! Never here: a retry after a failed write (see `fatal.rs`), a second writer, an answer before the
//! sync.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use credsmith_core::ports::store::{Batch, Committed, StoreError};
use sled::Tree;
use tokio::sync::{mpsc, oneshot};

use super::fatal::{Fatal, OnFatal, Step};
use super::group::{Changes, Group, unavailable};
use super::in_flight::InFlight;
use super::options::GroupLimits;
use super::revisions::Revisions;
use super::write::{Log, SyncFile};

type Answer = Result<Committed, StoreError>;

/// A request to the committer.
pub(super) enum Request {
    /// Make this durable.
    Commit(Waiting),
    /// Finish the earlier commits, flush, end; then answer.
    Close(oneshot::Sender<()>),
}

/// A commit in the queue, and the channel of its answer.
pub(super) struct Waiting {
    pub(super) batch: Batch,
    /// Bytes of its keys and values.
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The state of the thread.
pub(super) struct Committer {
    pub(super) tree: Tree,
    pub(super) log: Box<dyn Log>,
    pub(super) file: Box<dyn SyncFile>,
    pub(super) revisions: Revisions,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) limits: GroupLimits,
    pub(super) on_fatal: OnFatal,
}

impl Committer {
    /// Runs until it is closed, until every sender is dropped, or until a write fails. Returns the
    /// channel of a close request; the caller answers it after dropping everything else.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) -> Option<oneshot::Sender<()>> {
        while let Some(request) = queue.blocking_recv() {
            let (group, closing) = self.gather(request, &mut queue);
            let done = self
                .commit(group)
                .and_then(|()| if closing.is_some() { self.write_out() } else { Ok(()) });
            if let Err(fatal) = done {
                (self.on_fatal)(&fatal);
                refuse_queued(queue);
                return closing;
            }
            if closing.is_some() {
                return closing;
            }
        }
        None
    }

    /// The queued commits up to the limits of a group, and the close request if one follows them.
    fn gather(
        &self,
        first: Request,
        queue: &mut mpsc::Receiver<Request>,
    ) -> (Vec<Waiting>, Option<oneshot::Sender<()>>) {
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Close(ended) => return (group, Some(ended)),
                Request::Commit(waiting) => {
                    bytes += waiting.bytes;
                    group.push(waiting);
                }
            }
            let full = group.len() >= self.limits.commits || bytes >= self.limits.bytes;
            next = if full { None } else { queue.try_recv().ok() };
        }
        (group, None)
    }

    /// Makes a group durable and answers its commits, after an error too.
    fn commit(&mut self, group: Vec<Waiting>) -> Result<(), Arc<Fatal>> {
        let mut staged = Group::new(&self.tree, &mut self.revisions);
        let checked: Vec<(oneshot::Sender<Answer>, Answer)> = group
            .into_iter()
            .map(|waiting| (waiting.answer, staged.admit(&waiting.batch)))
            .collect();
        let result = match staged.into_changes() {
            Some(changes) => self.make_durable(changes),
            None => Ok(()),
        };
        for (waiting, answer) in checked {
            // The caller may have stopped waiting.
            let _cancelled = waiting.send(match &result {
                Ok(()) => answer,
                Err(fatal) => answer.and(Err(StoreError::Unknown(Box::new(Arc::clone(fatal))))),
            });
        }
        result
    }

    fn make_durable(&mut self, changes: Changes) -> Result<(), Arc<Fatal>> {
        let in_flight = Arc::clone(&self.in_flight);
        self.guarded(|this| {
            let applied = in_flight.apply(changes.previous, || this.log.apply(changes.batch));
            applied.map_err(|cause| Fatal::new(Step::Apply, cause))?;
            this.flush_and_sync()
        })?;
        self.in_flight.clear();
        Ok(())
    }

    fn write_out(&mut self) -> Result<(), Arc<Fatal>> {
        self.guarded(Self::flush_and_sync)
    }

    fn flush_and_sync(&mut self) -> Result<(), Fatal> {
        self.log.flush().map_err(|cause| Fatal::new(Step::Flush, cause))?;
        self.file.sync_data().map_err(|cause| Fatal::new(Step::Sync, cause))
    }

    /// Treats a panic inside sled as a failed write. After it only the list of the group in flight
    /// is used.
    fn guarded(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), Fatal>,
    ) -> Result<(), Arc<Fatal>> {
        let outcome = catch_unwind(AssertUnwindSafe(|| write(self)));
        outcome.unwrap_or_else(|payload| Err(Fatal::from_panic(&*payload))).map_err(Arc::new)
    }
}

/// Refuses the commits that are still queued: they have changed nothing.
fn refuse_queued(mut queue: mpsc::Receiver<Request>) {
    queue.close();
    while let Some(request) = queue.blocking_recv() {
        if let Request::Commit(waiting) = request {
            let _cancelled =
                waiting.answer.send(Err(unavailable("the store has stopped after a failed write")));
        }
    }
}
