//! The orderly end: who is still at work, and whether it is time to stop.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tracing::Instrument;

use crate::layer::panic_text;

/// Owns every task that has to end in order: connections, effects, background loops. Clones are the
/// same drain.
///
/// First [`Drain::begin`]: listeners close, connections finish the request in work and say
/// `connection: close`, loops that watch [`Draining`] end themselves; tasks may still be spawned.
/// Then [`Drain::wait`]. [`Drain::stop`] drops whatever is left.
#[derive(Clone)]
pub struct Drain(Arc<Inner>);

struct Inner {
    phase: watch::Sender<Phase>,
    at_work: AtomicUsize,
    idle: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Stopped,
}

/// A view of the drain that keeps no task alive: for loops and upgraded connections that end when
/// it begins.
#[derive(Debug, Clone)]
pub struct Draining(watch::Receiver<Phase>);

impl Drain {
    /// A drain with no tasks.
    pub fn new() -> Self {
        let inner = Inner {
            phase: watch::Sender::new(Phase::Serving),
            at_work: AtomicUsize::new(0),
            idle: Notify::new(),
        };
        Self(Arc::new(inner))
    }

    /// Runs `work` to its end on the ambient tokio runtime, whoever waits for it or not, within the
    /// caller's tracing span. A panic ends that task alone and is logged with `name`. After
    /// [`Drain::stop`] nothing runs any more.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let seat = Seat::take(&self.0);
        let mut phase = self.0.phase.subscribe();
        // A future that others wrap takes its room once more for each of them.
        let work = Box::pin(work);
        let task = async move {
            let _seat = seat;
            tokio::select! {
                outcome = AssertUnwindSafe(work).catch_unwind() => if let Err(panic) = outcome {
                    tracing::error!(task = name, panic = %panic_text(&*panic), "a task panicked");
                },
                _ = phase.wait_for(|phase| *phase == Phase::Stopped) => {
                    tracing::warn!(task = name, "a task was cut by the hard stop");
                },
            }
        };
        drop(tokio::spawn(task.in_current_span()));
    }

    /// Begins to drain. Calling it again changes nothing.
    pub fn begin(&self) {
        self.advance(Phase::Draining);
    }

    /// Drops all tasks at their next await. For the second signal: what they were doing is cut.
    pub fn stop(&self) {
        self.advance(Phase::Stopped);
    }

    fn advance(&self, to: Phase) {
        self.0.phase.send_if_modified(|phase| {
            let later = *phase < to;
            if later {
                *phase = to;
            }
            later
        });
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.phase.borrow() >= Phase::Draining
    }

    /// A view for those who end when it begins.
    pub fn watch(&self) -> Draining {
        Draining(self.0.phase.subscribe())
    }

    /// Resolves when no task is left: at once if there is none. Meant for the time after
    /// [`Drain::begin`].
    pub async fn wait(&self) {
        loop {
            let mut idle = std::pin::pin!(self.0.idle.notified());
            // Registered before the count is read, so that the last task's notice cannot fall in
            // between.
            idle.as_mut().enable();
            if self.at_work() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// How many tasks have not ended.
    pub fn at_work(&self) -> usize {
        self.0.at_work.load(Ordering::Acquire)
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
    /// Resolves when the drain has begun, also if that was before. A drain that nobody holds any
    /// more has begun.
    pub async fn begun(&mut self) {
        // An error says that all senders are gone: there is nothing left to wait for.
        let _ = self.0.wait_for(|phase| *phase >= Phase::Draining).await;
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }
}

/// Counts one task for as long as it lives, even when it panics or is dropped by its runtime.
struct Seat(Arc<Inner>);

impl Seat {
    fn take(inner: &Arc<Inner>) -> Self {
        inner.at_work.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(inner))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.0.at_work.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_waits_for_tasks_and_theirs() {
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
    async fn watchers_hear_of_it_before_and_after() {
        let drain = Drain::new();
        let mut early = drain.watch();
        assert!(!early.has_begun());
        drain.begin();
        early.begun().await;
        drain.watch().begun().await;
        assert!(drain.has_begun());
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
        let (tell, told) = oneshot::channel();
        drain.spawn("good", async { tell.send(7).unwrap() });
        assert_eq!(told.await, Ok(7));
    }
}
