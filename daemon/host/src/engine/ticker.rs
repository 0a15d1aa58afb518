//! The clock that interrupts guests: it ticks while calls run and sleeps otherwise, so that an idle
//! daemon uses no processor time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wasmtime::Engine;

/// How long the clock goes on after the last call, so that a steady trickle of calls does not wake
/// a thread for each.
const LINGER: Duration = Duration::from_millis(50);

struct Shared {
    running: AtomicUsize,
    ending: AtomicBool,
}

/// Owns the ticking thread; dropping it ends the thread.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// While one of these is held, the clock ticks.
pub(crate) struct Ticking(Arc<Shared>);

impl Ticker {
    /// Starts the thread; `tick` is the time between two interruptions of a busy guest.
    pub(crate) fn start(engine: &Engine, tick: Duration) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { running: AtomicUsize::new(0), ending: AtomicBool::new(false) });
        let engine = engine.clone();
        let seen = shared.clone();
        let thread = thread::Builder::new()
            .name("guest-ticker".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || keep_ticking(&seen, tick, || engine.increment_epoch()))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Makes the clock tick for as long as the answer lives.
    pub(crate) fn hold(&self) -> Ticking {
        if self.shared.running.fetch_add(1, Ordering::SeqCst) == 0
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Ticking(self.shared.clone())
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
        }
    }
}

fn keep_ticking(shared: &Shared, every: Duration, mut tick: impl FnMut()) {
    let mut last_busy = Instant::now();
    while !shared.ending.load(Ordering::SeqCst) {
        if shared.running.load(Ordering::SeqCst) > 0 {
            last_busy = Instant::now();
        } else if last_busy.elapsed() > LINGER {
            // A call that begins right here has left its token: parking then returns at once.
            thread::park();
            continue;
        }
        thread::sleep(every);
        tick();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn until(mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(20), "waited too long");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn it_ticks_while_held_and_stops_after() {
        let shared =
            Arc::new(Shared { running: AtomicUsize::new(1), ending: AtomicBool::new(false) });
        let ticks = Arc::new(AtomicU64::new(0));
        let thread = thread::spawn({
            let (shared, ticks) = (shared.clone(), ticks.clone());
            move || {
                keep_ticking(&shared, Duration::from_millis(1), || {
                    ticks.fetch_add(1, Ordering::SeqCst);
                })
            }
        });
        until(|| ticks.load(Ordering::SeqCst) > 3);
        shared.running.store(0, Ordering::SeqCst);
        until(|| {
            let before = ticks.load(Ordering::SeqCst);
            thread::sleep(LINGER * 4);
            ticks.load(Ordering::SeqCst) == before
        });
        shared.running.store(1, Ordering::SeqCst);
        let resting = ticks.load(Ordering::SeqCst);
        thread.thread().unpark();
        until(|| ticks.load(Ordering::SeqCst) > resting);
        shared.ending.store(true, Ordering::SeqCst);
        thread.thread().unpark();
        thread.join().unwrap();
    }
}
