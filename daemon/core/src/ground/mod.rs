//! The common ground of both halves of the domain: time, tasks, entropy, the records and the audit.
//!
//! [`Ground`] is made once and shared by leases, companies, users, sessions and the vault, so that
//! they agree about the end of the daemon, the state of its clock, and the order of audit events.
//! It also holds what many use-cases share: `Ground::detached` runs work that a client
//! must not cut short, `retry` repeats a change that lost a race.
//!
//! An audit event takes one of three ways:
//! - it is part of the batch that makes the change (`Writing::event`, `Change::events`): the event
//!   exists if and only if the change happened;
//! - `Ground::record` makes it durable before an answer leaves that must be accounted for;
//! - `Ground::remark` queues it without waiting: it may be lost under load, and is counted then.
//!
//! Never here: a lease, a user, a credential, a decision about a caller.

mod clock_watch;
mod kept_clock;
mod noted;
mod remarks;
mod retry;
mod watched_store;
mod work;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tracing::Span;

use crate::caller::Subject;
use crate::error::{Error, Kind};
use crate::keyring::Keyring;
use crate::limits::KeyedPermits;
use crate::model::lease::Boot;
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::store::Store;
use crate::ports::{Clock, Entropy, Tasks};
use crate::records::Records;
use crate::time::Timestamp;
use clock_watch::ClockWatch;
pub(crate) use clock_watch::{Clocks, Doubt};
use kept_clock::KeptClock;
#[cfg(test)]
pub(crate) use remarks::ROOM_OF_STRANGERS;
use remarks::Remarks;
pub(crate) use retry::{retry, too_contended};
use watched_store::WatchedStore;
pub use work::Work;

/// The dependencies of a [`Ground`].
pub struct GroundDependencies {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The runner of detached work, so that no client cuts it short.
    pub tasks: Arc<dyn Tasks>,
    /// Ids and jitter.
    pub entropy: Arc<dyn Entropy>,
    /// The store of the records.
    pub store: Arc<dyn Store>,
    /// The keys that seal them.
    pub keyring: Arc<Keyring>,
    /// The largest drift between wall clock and monotonic clock at which due work is still done.
    pub max_drift: Duration,
    /// Requests of one user in work at a time, in both dialects together.
    pub requests_per_user: usize,
}

/// The common ground of both halves. Cheap to share behind its `Arc`.
pub struct Ground {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Arc<dyn Tasks>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) records: Records,
    /// This run of the daemon.
    pub(crate) boot: Boot,
    remarks: Remarks,
    work: KeyedPermits<Subject>,
    max_drift: Duration,
    kept_clock: Arc<KeptClock>,
    clock_watch: Mutex<ClockWatch>,
    watched_store: Arc<WatchedStore>,
    /// Earlier runs, which are over.
    over: OnceLock<Vec<Boot>>,
    stopping: watch::Sender<bool>,
}

/// The largest drift between wall clock and monotonic clock, unless configured otherwise.
pub const DEFAULT_MAX_DRIFT: Duration = Duration::from_secs(60);

/// Requests of one user in work at a time, unless configured otherwise.
pub const DEFAULT_REQUESTS_PER_USER: usize = 64;

impl Ground {
    /// Connects the dependencies.
    pub fn new(parts: GroundDependencies) -> Arc<Self> {
        let GroundDependencies {
            clock,
            tasks,
            entropy,
            store,
            keyring,
            max_drift,
            requests_per_user,
        } = parts;
        let kept_clock = Arc::new(KeptClock::new(clock));
        let clock = Arc::clone(&kept_clock) as Arc<dyn Clock>;
        let watched_store = Arc::new(WatchedStore::new(store, Arc::clone(&clock)));
        let store = Arc::clone(&watched_store) as Arc<dyn Store>;
        let mut boot = [0; 8];
        entropy.fill(&mut boot);
        Arc::new(Self {
            records: Records::new(store, keyring, Arc::clone(&clock), Arc::clone(&entropy)),
            clock,
            tasks,
            entropy,
            boot: Boot(u64::from_be_bytes(boot)),
            remarks: Remarks::default(),
            work: KeyedPermits::new(requests_per_user),
            max_drift,
            kept_clock,
            clock_watch: Mutex::default(),
            watched_store,
            over: OnceLock::new(),
            stopping: watch::Sender::new(false),
        })
    }

    /// What fails in the store, as a sentence for operators.
    pub(crate) fn store_complaint(&self) -> Option<String> {
        self.watched_store.complaint()
    }

    /// Notes which runs of the daemon are over: their claims are void.
    pub(crate) fn boots_over(&self, boots: Vec<Boot>) {
        // A second start of one run finds the same.
        let _ = self.over.set(boots);
    }

    /// Whether that run of the daemon is over.
    pub(crate) fn is_over(&self, boot: Boot) -> bool {
        self.over.get().is_some_and(|over| over.contains(&boot))
    }

    /// Becomes true when the daemon ends.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Whether the daemon is ending.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Ends every loop that watches [`Ground::stopping`].
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Both clocks of the machine as they are: `clock` never shows a time before the last one that
    /// was trusted.
    pub(crate) fn machine_clocks(&self) -> Clocks {
        self.kept_clock.machine()
    }

    /// How far the wall clock may be from where it should be.
    pub(crate) fn max_drift(&self) -> Duration {
        self.max_drift
    }

    /// Accepts the wall clock as it was at `now`. Until the clock was accepted or doubted once, it
    /// is not watched.
    pub(crate) fn trust_clock(&self, now: Clocks) {
        self.kept_clock.keep(now.wall);
        *self.clock_watch.lock() = ClockWatch::Trusted(now);
    }

    /// Doubts the wall clock as it was at `now`: due work waits.
    pub(crate) fn doubt_clock(&self, now: Clocks, doubt: Doubt) {
        *self.clock_watch.lock() = ClockWatch::Doubted(now, doubt);
    }

    /// No time before `wall` is shown from now on.
    pub(crate) fn keep_time(&self, wall: Timestamp) {
        self.kept_clock.keep(wall);
    }

    /// Whether a clock in doubt was set since, so that it has to be judged again.
    pub(crate) fn is_clock_to_be_judged(&self) -> bool {
        self.clock_watch.lock().is_to_be_judged(self.machine_clocks(), self.max_drift)
    }

    /// Whether the clock is watched: the daemon has started.
    pub(crate) fn is_clock_watched(&self) -> bool {
        !matches!(*self.clock_watch.lock(), ClockWatch::Unwatched)
    }

    /// What is wrong with the wall clock, as a sentence for operators.
    pub(crate) fn clock_complaint(&self) -> Option<String> {
        self.clock_watch.lock().complaint(self.machine_clocks(), self.max_drift)
    }

    /// Whether the wall clock cannot be trusted: due work waits then.
    pub(crate) fn is_clock_off(&self) -> bool {
        self.clock_complaint().is_some()
    }

    /// Runs `work` to its end, whether or not the caller goes on waiting for it. It comes boxed,
    /// because it is large: every future that awaits it would otherwise carry room for it.
    ///
    /// # Errors
    /// Those of `work`; `Internal` when its task ended without a result.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        name: &'static str,
        work: BoxFuture<'static, Result<T, Error>>,
    ) -> Result<T, Error> {
        let (sender, receiver) = oneshot::channel();
        let work = async move {
            if let Err(Err(error)) = sender.send(work.await) {
                tracing::warn!(
                    %error,
                    cause = error.cause(),
                    work = name,
                    "detached work failed, and no caller waited for its result any more"
                );
            }
        };
        self.tasks.spawn(name, Box::pin(work));
        receiver.await.unwrap_or_else(|_| {
            Err(Error::internal(format!("the task `{name}` ended without a result")))
        })
    }

    /// An audit event with the present time and without a note.
    pub(crate) fn event(
        &self,
        actor: Option<Actor>,
        action: Action,
        target: Target,
        outcome: Outcome,
    ) -> Event {
        Event { at: self.clock.now(), actor, action, target, note: None, outcome }
    }

    /// Makes `event` durable, for an answer that must not leave before it is accounted for. The
    /// event reaches the audit log whatever happens to the daemon from here on.
    ///
    /// # Errors
    /// `Internal` when the store fails: then do not answer.
    pub(crate) async fn record(&self, event: &Event) -> Result<(), Error> {
        self.records.put_events(&[(event.clone(), Span::current())]).await.map(drop)
    }
}

/// The refusal of a suspended subject.
pub(crate) fn suspended() -> Error {
    Error::new(Kind::Unauthenticated, "Your access is suspended.")
}

/// The outcome of an error for the audit: a refusal, or a failure.
pub(crate) fn outcome_of(error: &Error) -> Outcome {
    let sentence = error.public().to_owned();
    match error.kind() {
        Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::Invalid
        | Kind::Conflict
        | Kind::Stale
        | Kind::LimitReached
        | Kind::Disabled
        | Kind::LoginRequired
        | Kind::Refused
        | Kind::Busy => Outcome::Refused(sentence),
        Kind::PluginFailed | Kind::PluginTimeout | Kind::Upstream | Kind::Internal => {
            Outcome::Failed(sentence)
        }
    }
}
