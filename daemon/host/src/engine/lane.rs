//! Waiting one's turn: a bounded number of calls at once, a bounded number in the queue, users
//! before the daemon's own work.
//!
//! Never here: the calls themselves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use credsmith_core::ports::plugins::Urgency;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The queue is full, or the wait was too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Busy;

#[derive(Debug)]
struct Queues {
    free: usize,
    user: VecDeque<oneshot::Sender<Turn>>,
    background: VecDeque<oneshot::Sender<Turn>>,
}

impl Queues {
    fn of(&mut self, urgency: Urgency) -> &mut VecDeque<oneshot::Sender<Turn>> {
        match urgency {
            Urgency::User => &mut self.user,
            Urgency::Background => &mut self.background,
        }
    }

    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        self.user.pop_front().or_else(|| self.background.pop_front())
    }
}

/// One lane: as many turns at once as it is wide.
#[derive(Debug)]
pub(crate) struct Lane {
    queues: Mutex<Queues>,
    /// How many may wait, of each urgency.
    length: usize,
}

/// The right to run. Dropping it lets the next one run.
#[derive(Debug)]
pub(crate) struct Turn(Option<Arc<Lane>>);

impl Lane {
    pub(crate) fn new(width: usize, length: usize) -> Arc<Self> {
        let queues =
            Queues { free: width.max(1), user: VecDeque::new(), background: VecDeque::new() };
        Arc::new(Self { queues: Mutex::new(queues), length })
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock()
    }

    /// Waits for a turn, at most `patience`. A dropped future leaves the queue.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        urgency: Urgency,
        patience: Duration,
    ) -> Result<Turn, Busy> {
        let waiting = {
            let mut queues = self.queues();
            // No call waits while a turn is free: a turn that ends goes to the next in the queue.
            if queues.free > 0 {
                queues.free -= 1;
                return Ok(Turn(Some(self.clone())));
            }
            let queue = queues.of(urgency);
            queue.retain(|waiting| !waiting.is_closed());
            if queue.len() >= self.length {
                return Err(Busy);
            }
            let (sender, receiver) = oneshot::channel();
            queue.push_back(sender);
            receiver
        };
        match timeout(patience, waiting).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }

    /// Hands a turn that ended to the next call in the queue that still waits.
    fn pass_on(self: &Arc<Self>) {
        let mut turn = Turn(Some(self.clone()));
        loop {
            let next = {
                let mut queues = self.queues();
                let next = queues.next();
                if next.is_none() {
                    queues.free += 1;
                }
                next
            };
            let Some(next) = next else {
                turn.0 = None;
                return;
            };
            match next.send(turn) {
                Ok(()) => return,
                Err(back) => turn = back,
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(lane) = self.0.take() {
            lane.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::yield_now;

    const LONG: Duration = Duration::from_secs(60);

    async fn settle() {
        for _ in 0..10 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn it_is_as_wide_as_it_was_made() {
        let lane = Lane::new(2, 0);
        let first = lane.turn(Urgency::User, LONG).await.unwrap();
        let _second = lane.turn(Urgency::User, LONG).await.unwrap();
        assert_eq!(lane.turn(Urgency::User, LONG).await.unwrap_err(), Busy);
        drop(first);
        assert!(lane.turn(Urgency::User, LONG).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_and_the_wait_are_bounded() {
        let lane = Lane::new(1, 1);
        let held = lane.turn(Urgency::User, LONG).await.unwrap();
        let waiting = tokio::spawn({
            let lane = lane.clone();
            async move { lane.turn(Urgency::User, Duration::from_secs(5)).await }
        });
        settle().await;
        assert_eq!(lane.turn(Urgency::User, LONG).await.unwrap_err(), Busy, "the queue is full");
        assert_eq!(waiting.await.unwrap().unwrap_err(), Busy, "the wait was too long");
        drop(held);
        assert!(lane.turn(Urgency::User, LONG).await.is_ok());
    }

    #[tokio::test]
    async fn users_come_first() {
        let lane = Lane::new(1, 10);
        let held = lane.turn(Urgency::User, LONG).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, urgency) in [
            ("b1", Urgency::Background),
            ("u1", Urgency::User),
            ("b2", Urgency::Background),
            ("u2", Urgency::User),
        ] {
            let (lane, order) = (lane.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let _turn = lane.turn(urgency, LONG).await.unwrap();
                order.lock().push(name);
            }));
            settle().await;
        }
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), ["u1", "u2", "b1", "b2"]);
    }

    #[tokio::test]
    async fn calls_that_stop_waiting_block_no_other() {
        let lane = Lane::new(1, 100);
        let held = lane.turn(Urgency::User, LONG).await.unwrap();
        let mut gone = Vec::new();
        for _ in 0..100 {
            let lane = lane.clone();
            gone.push(tokio::spawn(async move { lane.turn(Urgency::User, LONG).await.map(drop) }));
        }
        settle().await;
        for task in &gone {
            task.abort();
        }
        for task in gone {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        let last = tokio::spawn({
            let lane = lane.clone();
            async move { lane.turn(Urgency::User, LONG).await.map(drop) }
        });
        settle().await;
        drop(held);
        last.await.unwrap().unwrap();
        assert_eq!(lane.queues().free, 1);
    }
}
