//! The orderly shutdown: which tasks are still running, and whether they should stop.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::escape::panic_text;

/// Owns every task that has to end in order: connections, effects, background loops. Clones are the
/// same drain.
///
/// First [`Drain::begin`]: listeners close, connections finish the request in work and send
/// `connection: close`, loops that watch [`Draining`] return; tasks may still be spawned. Then
/// [`Drain::wait`]. [`Drain::stop`] drops the tasks that are left.
#[derive(Clone)]
pub struct Drain(Arc<Inner>);

struct Inner {
    tasks: TaskTracker,
    stopped: CancellationToken,
    /// A child of `stopped`, so that a stop is a begin too. Cancelled as well when the last handle
    /// and the last task are gone.
    draining: DropGuard,
}

/// A view of the drain that keeps no task alive: for loops and upgraded connections that end when
/// it begins.
#[derive(Debug, Clone)]
pub struct Draining(CancellationToken);

impl Drain {
    /// A drain with no tasks.
    pub fn new() -> Self {
        let (tasks, stopped) = (TaskTracker::new(), CancellationToken::new());
        // A closed tracker still takes tasks; only a closed one can be waited for.
        tasks.close();
        let draining = stopped.child_token().drop_guard();
        Self(Arc::new(Inner { tasks, stopped, draining }))
    }

    /// Runs `work` to its end on the ambient tokio runtime, whether or not the caller waits for it,
    /// within the caller's tracing span. A panic ends that task alone and is logged with `name`.
    /// After [`Drain::stop`] no task makes progress.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let inner = Arc::clone(&self.0);
        // Boxed: each future that wraps another reserves the room of the inner one again.
        let work = Box::pin(work);
        let task = async move {
            tokio::select! {
                outcome = AssertUnwindSafe(work).catch_unwind() => if let Err(panic) = outcome {
                    tracing::error!(task = name, panic = %panic_text(&*panic), "a task panicked");
                },
                () = inner.stopped.cancelled() => {
                    tracing::warn!(task = name, "a task was cut by the hard stop");
                },
            }
        };
        drop(self.0.tasks.spawn(task.in_current_span()));
    }

    /// Begins to drain. A second call changes nothing.
    pub fn begin(&self) {
        self.0.draining.token().cancel();
    }

    /// Drops all tasks at their next await, for the second signal: their work is cut.
    pub fn stop(&self) {
        self.0.stopped.cancel();
    }

    /// Whether the drain has begun.
    pub fn has_begun(&self) -> bool {
        self.0.draining.token().is_cancelled()
    }

    /// A view for tasks that end when the drain begins.
    pub fn watch(&self) -> Draining {
        Draining(self.0.draining.token().clone())
    }

    /// Resolves when no task is left: at once if there is none. Meant for the time after
    /// [`Drain::begin`].
    pub async fn wait(&self) {
        // A task may have been spawned since the tracker was last empty.
        while !self.0.tasks.is_empty() {
            self.0.tasks.wait().await;
        }
    }

    /// The number of tasks that have not ended.
    pub fn at_work(&self) -> usize {
        self.0.tasks.len()
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("at_work", &self.at_work())
            .field("begun", &self.has_begun())
            .finish()
    }
}

impl Draining {
    /// Resolves when the drain has begun, also if it began earlier. A drain without handles and
    /// tasks has begun.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }

    /// Whether the drain has begun.
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_waits_for_tasks_and_the_tasks_that_they_spawn() {
        let drain = Drain::new();
        let (go, gate) = oneshot::channel::<()>();
        let finished = Arc::new(AtomicBool::new(false));
        let (inner, done) = (drain.clone(), Arc::clone(&finished));
        drain.spawn("outer", async move {
            gate.await.unwrap();
            inner.clone().spawn("inner", async move {
                tokio::task::yield_now().await;
                done.store(true, Ordering::SeqCst);
            });
        });
        drain.begin();
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        go.send(()).unwrap();
        waiting.await.unwrap();
        assert!(finished.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn watchers_see_the_begin_whether_they_subscribe_before_or_after() {
        let drain = Drain::new();
        let early = drain.watch();
        assert!(!early.has_begun());
        drain.begin();
        early.begun().await;
        drain.watch().begun().await;
        assert!(drain.has_begun());
    }

    #[tokio::test]
    async fn a_dropped_drain_has_begun_once_its_tasks_have_ended() {
        let drain = Drain::new();
        let (go, gate) = oneshot::channel::<()>();
        drain.spawn("last", async move { gate.await.unwrap() });
        let watcher = drain.watch();
        drop(drain);
        tokio::task::yield_now().await;
        assert!(!watcher.has_begun(), "a task still belongs to it");
        go.send(()).unwrap();
        watcher.begun().await;
    }

    #[tokio::test]
    async fn a_hard_stop_cuts_and_a_late_begin_does_not_undo_it() {
        let drain = Drain::new();
        drain.spawn("endless", std::future::pending());
        drain.stop();
        drain.begin();
        drain.wait().await;
        assert_eq!(drain.at_work(), 0);
    }

    #[tokio::test]
    async fn a_panic_ends_one_task_alone() {
        let drain = Drain::new();
        drain.spawn("bad", async { panic!("on purpose") });
        drain.wait().await;
        let (send, received) = oneshot::channel();
        drain.spawn("good", async { send.send(7).unwrap() });
        assert_eq!(received.await, Ok(7));
    }
}
