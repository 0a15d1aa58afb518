//! The one thread that writes. It takes the queued commits, as many as a group may have, and has
//! the engine make them durable together: check, apply, sync, acknowledge, in this order. While a
//! group is being synced the next one gathers in the queue, so groups grow with the load and no
//! commit waits for a timer.
//!
//! Never here: a retry after a failed write (see `fatal.rs`), a second writer, an answer before the
//! sync, the word of an engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::{io, thread};

use credsmith_core::error::BoxedCause;
use credsmith_core::ports::store::{Batch, Committed, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::fatal::{Fatal, OnFatal, Step};
use crate::guard::{Guard, Reached};
use crate::limits::check_batch;
use crate::options::GroupLimits;

pub(crate) type Answer = Result<Committed, StoreError>;

/// The part of a store that writes. Used by the committer's thread alone.
pub(crate) trait Engine: Send + 'static {
    /// Checks `batches` in their order, each against the store and the earlier ones of the group,
    /// leaves out as a whole each one whose expectation fails, and makes the others durable
    /// together.
    fn commit(&mut self, batches: &[Batch]) -> Written;

    /// Called once, after the last group: leaves nothing unwritten.
    fn finish(&mut self) -> Result<(), Fatal>;
}

/// What became of a group.
pub(crate) struct Written {
    /// The answer to each batch, valid if the group is durable. A refusal stays one in any case.
    pub(crate) answers: Vec<Answer>,
    /// Whether the group is durable, and how far the store has come with it; `None` where the group
    /// changed nothing.
    pub(crate) durable: Result<Option<Reached>, Fatal>,
}

/// The queue of the committer's thread.
pub(crate) struct Queue(mpsc::Sender<Request>);

/// A request to the committer.
enum Request {
    /// Make this durable.
    Commit(Waiting),
    /// Finish the earlier commits, write everything, end; then answer.
    Close(oneshot::Sender<()>),
}

/// A commit in the queue, and the channel of its answer.
struct Waiting {
    batch: Batch,
    /// Bytes of its keys and values.
    bytes: usize,
    answer: oneshot::Sender<Answer>,
}

/// The state of the thread.
struct Committer<E> {
    engine: E,
    guard: Arc<Guard>,
    limits: GroupLimits,
    on_fatal: OnFatal,
}

impl Queue {
    /// Starts the thread. At an orderly end it drops the engine and calls `release`, after which
    /// nothing may hold the files of the store; before it answers a close, `guard` notes them.
    /// After a failed write the files stay open, for reads.
    pub(crate) fn start(
        engine: impl Engine,
        limits: GroupLimits,
        on_fatal: OnFatal,
        release: impl FnOnce() + Send + 'static,
        guard: Arc<Guard>,
    ) -> io::Result<Self> {
        let (sender, queue) = mpsc::channel(limits.commits.max(1));
        let committer = Committer { engine, guard: Arc::clone(&guard), limits, on_fatal };
        thread::Builder::new().name("store-committer".to_owned()).spawn(move || {
            let ended = match committer.run(queue) {
                Ending::Closed(ended) => {
                    release();
                    guard.end();
                    Some(ended)
                }
                Ending::Abandoned => {
                    release();
                    None
                }
                Ending::Failed(ended) => ended,
            };
            drop(guard);
            if let Some(ended) = ended {
                let _cancelled = ended.send(());
            }
        })?;
        Ok(Self(sender))
    }

    /// Checks the limits of `batch`, queues it and waits for its answer. Dropping the future does
    /// not cancel it once it is in the queue.
    pub(crate) async fn commit(&self, batch: Batch) -> Answer {
        let bytes = check_batch(&batch)?;
        let (answer, answered) = oneshot::channel();
        let request = Request::Commit(Waiting { batch, bytes, answer });
        self.0.send(request).await.map_err(|_| unavailable("the store is closed"))?;
        answered.await.map_err(|gone| StoreError::Unknown(gone.into()))?
    }

    /// Waits until every earlier commit is finished and the thread has ended.
    ///
    /// # Errors
    /// `Unavailable` when the last write failed, in a process whose `on_fatal` returned.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        let (done, ended) = oneshot::channel();
        if self.0.send(Request::Close(done)).await.is_err() {
            return Ok(());
        }
        ended.await.map_err(unavailable)
    }
}

impl<E: Engine> Committer<E> {
    /// Runs until it is closed, until every sender is dropped, or until a write fails. The caller
    /// answers a close request after dropping everything else.
    fn run(mut self, mut queue: mpsc::Receiver<Request>) -> Ending {
        while let Some(request) = queue.blocking_recv() {
            let (group, closing) = self.gather(request, &mut queue);
            let done = self
                .commit(group)
                .and_then(|()| if closing.is_some() { self.finish() } else { Ok(()) });
            if let Err(fatal) = done {
                (self.on_fatal)(&fatal);
                refuse_queued(queue);
                return Ending::Failed(closing);
            }
            if let Some(ended) = closing {
                return Ending::Closed(ended);
            }
        }
        Ending::Abandoned
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
        if group.is_empty() {
            return Ok(());
        }
        let (batches, waiting): (Vec<Batch>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.batch, waiting.answer)).unzip();
        // A panic inside the engine is a failed write: nothing of it is used afterwards.
        let written = catch_unwind(AssertUnwindSafe(|| self.engine.commit(&batches)));
        let Written { answers, durable } = written.unwrap_or_else(|payload| Written {
            answers: Vec::new(),
            durable: Err(Fatal::from_panic(&*payload)),
        });
        // The tip comes before the first answer: what is acknowledged is known outside the store.
        let durable = durable.and_then(|reached| match reached {
            Some(reached) => {
                self.guard.advance(reached).map_err(|cause| Fatal::new(Step::Tip, cause))
            }
            None => Ok(()),
        });
        let durable = durable.map_err(Arc::new);
        let mut answers = answers.into_iter();
        for waiting in waiting {
            let answer = match (&durable, answers.next()) {
                (Ok(()), Some(answer)) => answer,
                (_, Some(Err(refused))) => Err(refused),
                (Err(fatal), _) => Err(StoreError::Unknown(Box::new(Arc::clone(fatal)))),
                (Ok(()), None) => Err(StoreError::Unknown("the engine gave no answer".into())),
            };
            // The caller may have stopped waiting.
            let _cancelled = waiting.send(answer);
        }
        durable
    }

    fn finish(&mut self) -> Result<(), Arc<Fatal>> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.engine.finish()));
        outcome.unwrap_or_else(|payload| Err(Fatal::from_panic(&*payload))).map_err(Arc::new)
    }
}

/// How the thread ended.
enum Ending {
    /// Everything is written. The channel of the close request.
    Closed(oneshot::Sender<()>),
    /// No handle is left; every acknowledged commit is durable.
    Abandoned,
    /// A write failed. The channel of a close request, if there was one.
    Failed(Option<oneshot::Sender<()>>),
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

/// The error of an operation that changed nothing.
pub(crate) fn unavailable(cause: impl Into<BoxedCause>) -> StoreError {
    StoreError::Unavailable(cause.into())
}
