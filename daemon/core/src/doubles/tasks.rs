//! Tasks on tokio that a test can wait for.

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::ports::Tasks;

/// Spawns on the tokio runtime of the test, and counts.
#[derive(Debug, Default)]
pub struct TestTasks {
    running: watch::Sender<usize>,
}

impl TestTasks {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many run.
    pub fn running(&self) -> usize {
        *self.running.borrow()
    }

    /// Waits until no more than `left` run: a sweeper, say, runs for ever.
    pub async fn at_most(&self, left: usize) {
        let mut running = self.running.subscribe();
        // The sender lives as long as this borrow: the wait ends with the condition alone.
        let _ = running.wait_for(|running| *running <= left).await;
    }
}

/// Counts down however the task ends: done, panicked, or dropped with its runtime.
struct Ending(watch::Sender<usize>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running = running.saturating_sub(1));
    }
}

impl Tasks for TestTasks {
    fn spawn(&self, _name: &'static str, work: BoxFuture<'static, ()>) {
        self.running.send_modify(|running| *running += 1);
        let ending = Ending(self.running.clone());
        tokio::spawn(async move {
            let _ending = ending;
            work.await;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::doubles::Gate;

    #[tokio::test]
    async fn it_waits_for_what_it_spawned() {
        let (tasks, gate) = (Arc::new(TestTasks::new()), Gate::shut());
        for _ in 0..2 {
            let gate = gate.clone();
            tasks.spawn("wait", Box::pin(async move { gate.pass().await }));
        }
        tasks.spawn("end", Box::pin(async {}));
        tasks.at_most(2).await;
        assert_eq!(tasks.running(), 2);
        gate.open();
        tasks.at_most(0).await;
    }
}
