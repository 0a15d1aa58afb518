//! A clock that stands still until a test moves it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::lock;
use crate::ports::Clock;
use crate::time::Timestamp;

/// How often [`ManualClock::run`] lets others run before it looks for the next sleeper.
const YIELDS: usize = 256;

/// Time that moves by [`ManualClock::advance`] and [`ManualClock::run`] alone. Sleepers wake in the
/// order of their times, and of their calls where these are equal. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    wall: Timestamp,
    monotonic: Duration,
    // In the order of the calls.
    sleepers: Vec<Sleeper>,
}

#[derive(Debug)]
struct Sleeper {
    until: Duration,
    wake: oneshot::Sender<()>,
}

impl State {
    fn forward(&mut self, by: Duration) {
        self.wall = self.wall + by;
        self.monotonic += by;
        self.wake();
    }

    fn wake(&mut self) {
        let (mut due, rest): (Vec<_>, Vec<_>) =
            self.sleepers.drain(..).partition(|sleeper| sleeper.until <= self.monotonic);
        self.sleepers = rest;
        due.sort_by_key(|sleeper| sleeper.until);
        for sleeper in due {
            // It fails when the sleep was given up.
            let _ = sleeper.wake.send(());
        }
    }

    /// Forgets sleeps that were given up.
    fn tidy(&mut self) {
        self.sleepers.retain(|sleeper| !sleeper.wake.is_closed());
    }
}

impl ManualClock {
    /// A clock that shows `wall`.
    pub fn at(wall: Timestamp) -> Self {
        let state = State { wall, monotonic: Duration::from_secs(1000), sleepers: Vec::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Moves both clocks and wakes who is due. What the woken do happens when the test next awaits
    /// something.
    pub fn advance(&self, by: Duration) {
        lock(&self.0).forward(by);
    }

    /// Moves both clocks from one sleeper's time to the next, and lets every task run in between:
    /// what sleeps again on the way wakes again on the way. On a runtime of one thread the same
    /// happens every time; work that awaits more than some hundred times between two sleeps may see
    /// time move on under it.
    pub async fn run(&self, duration: Duration) {
        let end = self.monotonic() + duration;
        loop {
            settle().await;
            let now = self.monotonic();
            let next = self.next_waking().filter(|next| *next <= end);
            self.advance(next.unwrap_or(end).saturating_sub(now));
            if next.is_none() {
                return settle().await;
            }
        }
    }

    /// Sets the wall clock alone, as an operator or a time server does.
    pub fn set_wall(&self, wall: Timestamp) {
        lock(&self.0).wall = wall;
    }

    /// How many sleep.
    pub fn sleepers(&self) -> usize {
        let mut state = lock(&self.0);
        state.tidy();
        state.sleepers.len()
    }

    fn next_waking(&self) -> Option<Duration> {
        let mut state = lock(&self.0);
        state.tidy();
        state.sleepers.iter().map(|sleeper| sleeper.until).min()
    }
}

/// A day on which nothing in particular happened.
impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Timestamp::from_secs(1_800_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        lock(&self.0).wall
    }

    fn monotonic(&self) -> Duration {
        lock(&self.0).monotonic
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (wake, woken) = oneshot::channel();
        let mut state = lock(&self.0);
        let until = state.monotonic.saturating_add(duration);
        state.sleepers.push(Sleeper { until, wake });
        state.wake();
        woken.map(|_| ()).boxed()
    }
}

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn time_stands_still_and_sleepers_wake_when_due() {
        let clock = ManualClock::default();
        let start = clock.now();
        let long = clock.sleep(2 * SECOND);
        let mut short = clock.sleep(SECOND);
        assert_eq!(clock.sleepers(), 2);
        assert!((&mut short).now_or_never().is_none());
        clock.advance(SECOND);
        short.await;
        assert_eq!(clock.sleepers(), 1);
        drop(long);
        assert_eq!(clock.sleepers(), 0);
        assert_eq!(clock.now(), start + SECOND);
        clock.sleep(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn a_loop_of_sleeps_runs_through() {
        let clock = ManualClock::default();
        let woken = Arc::new(Mutex::new(Vec::new()));
        let (inner, list) = (clock.clone(), Arc::clone(&woken));
        let start = clock.monotonic();
        let task = tokio::spawn(async move {
            loop {
                inner.sleep(10 * SECOND).await;
                lock(&list).push(inner.monotonic() - start);
            }
        });
        clock.run(35 * SECOND).await;
        assert_eq!(*lock(&woken), [10 * SECOND, 20 * SECOND, 30 * SECOND]);
        assert_eq!(clock.monotonic() - start, 35 * SECOND);
        task.abort();
    }

    #[test]
    fn the_wall_clock_can_jump_alone() {
        let clock = ManualClock::default();
        let monotonic = clock.monotonic();
        clock.set_wall(Timestamp::from_secs(5));
        assert_eq!(clock.now(), Timestamp::from_secs(5));
        assert_eq!(clock.monotonic(), monotonic);
    }
}
