//! The core's ports on this machine: clocks, tasks, random numbers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use credsmith_core::ports::{Clock, Entropy, Tasks};
use credsmith_core::time::Timestamp;
use credsmith_http::Drain;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Takes care that the memory of this process, which holds keys and secrets, reaches no disk and no
/// other process of its user: no core dump is written, and no debugger may attach.
///
/// # Errors
/// What the system refused.
pub(crate) fn harden() -> std::io::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

use crate::failure::Failure;

/// The clocks of this machine.
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

/// No machine that runs this version has had an earlier time, in Unix seconds: 2026-01-01.
const EARLIEST: u64 = 1_767_225_600;

/// Refuses to start by a clock that cannot be right: every certificate and every token would be
/// refused, and what the daemon records would be due at once when the clock is set.
pub(crate) fn check_clock() -> Result<(), Failure> {
    check_time(SystemTime::now())
}

fn check_time(now: SystemTime) -> Result<(), Failure> {
    let wrong = match now.duration_since(UNIX_EPOCH) {
        Ok(since) if since.as_secs() >= EARLIEST => return Ok(()),
        Ok(since) => {
            format!(
                "The clock of this machine says {}",
                Timestamp::from_secs(since.as_secs()).rfc3339()
            )
        }
        Err(_) => "The clock of this machine says a time before 1970".to_owned(),
    };
    Err(Failure::run(format!(
        "{wrong}, which is before this version of Credsmith was made: set the clock, and start again."
    )))
}

impl SystemClock {
    /// The monotonic clock begins at zero.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock that is set to a time before 1970 while the daemon runs is wrong in any case, and
        // the watch over the clock says so.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}

/// Tasks that the drain waits for.
#[derive(Debug)]
pub(crate) struct DrainedTasks(pub(crate) Drain);

impl Tasks for DrainedTasks {
    fn spawn(&self, name: &'static str, work: BoxFuture<'static, ()>) {
        self.0.spawn(name, work);
    }
}

/// The random numbers of the operating system.
#[derive(Debug)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            // A daemon with guessable ids and nonces is worse than none.
            tracing::error!(%error, "the operating system gives no random numbers; the daemon ends at once");
            std::process::abort();
        }
    }
}

/// The ports of this machine, for every part of the daemon.
#[derive(Clone)]
pub(crate) struct System {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Arc<dyn Tasks>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Connections of clients. They drain first: the work that a request needs continues until it
    /// is answered.
    pub(crate) connections: Drain,
    /// Everything else: effects, background work, the operators' socket.
    pub(crate) drain: Drain,
}

impl System {
    /// This machine, with drains of its own.
    pub(crate) fn new() -> Self {
        let drain = Drain::new();
        Self {
            clock: Arc::new(SystemClock::new()),
            tasks: Arc::new(DrainedTasks(drain.clone())),
            entropy: Arc::new(SystemEntropy),
            connections: Drain::new(),
            drain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_this_version_is_a_sentence() {
        let before = |since: u64| UNIX_EPOCH + Duration::from_secs(since);
        assert!(check_time(before(EARLIEST)).is_ok());
        assert!(check_clock().is_ok());
        for (now, words) in [
            (UNIX_EPOCH - Duration::from_secs(1), "a time before 1970"),
            (before(0), "1970-01-01T00:00:00.000Z"),
            (before(EARLIEST - 1), "2025-12-31T23:59:59.000Z"),
        ] {
            let refused = check_time(now).unwrap_err().to_string();
            assert!(refused.contains(words) && refused.contains("set the clock"), "{refused}");
        }
    }

    #[test]
    fn the_wall_clock_is_the_machines() {
        let clock = SystemClock::new();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(clock.now().as_secs().abs_diff(seconds) <= 5);
    }

    #[tokio::test]
    async fn sleeping_takes_its_time_on_the_monotonic_clock() {
        let clock = SystemClock::new();
        let before = clock.monotonic();
        clock.sleep(Duration::from_millis(20)).await;
        assert!(clock.monotonic() - before >= Duration::from_millis(20));
    }

    #[test]
    fn the_memory_of_the_process_is_not_dumped() {
        use rustix::process::{dumpable_behavior, getrlimit};
        harden().unwrap();
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[test]
    fn randomness_differs() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        SystemEntropy.fill(&mut one);
        SystemEntropy.fill(&mut other);
        assert_ne!(one, other);
    }
}
