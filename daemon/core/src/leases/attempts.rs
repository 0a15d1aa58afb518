//! The attempts to revoke that are under way, so that a second request for the same lease waits for
//! the result of the first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::Error;
use crate::ids::LeaseId;

/// How an attempt ended, for every caller that waited for it.
pub(crate) type AttemptResult = Result<(), Error>;

type UnderWay = Arc<Mutex<HashMap<LeaseId, watch::Receiver<Option<AttemptResult>>>>>;

/// The attempts under way in this process.
#[derive(Default)]
pub(crate) struct Attempts(UnderWay);

/// The answer to a caller that wants to attempt.
pub(crate) enum Entered {
    /// No attempt is under way: this caller makes one.
    Mine(Ticket),
    /// An attempt is under way: this caller waits for it.
    Other(Waiting),
}

/// The exclusive right to attempt on a lease, until dropped.
pub(crate) struct Ticket {
    id: LeaseId,
    result: watch::Sender<Option<AttemptResult>>,
    under_way: UnderWay,
}

/// The result of an attempt that another caller makes.
pub(crate) struct Waiting(watch::Receiver<Option<AttemptResult>>);

impl Attempts {
    /// Begins an attempt on `id`, or joins the one under way.
    pub(crate) fn enter(&self, id: LeaseId) -> Entered {
        match self.0.lock().entry(id) {
            Entry::Occupied(other) => Entered::Other(Waiting(other.get().clone())),
            Entry::Vacant(free) => {
                let (result, waiting) = watch::channel(None);
                free.insert(waiting);
                Entered::Mine(Ticket { id, result, under_way: Arc::clone(&self.0) })
            }
        }
    }
}

impl Ticket {
    /// Hands the result to every caller that waits.
    pub(crate) fn finish(self, result: &AttemptResult) {
        self.result.send_replace(Some(result.clone()));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.id);
    }
}

impl Waiting {
    /// How the attempt ended.
    pub(crate) async fn result(mut self) -> AttemptResult {
        match self.0.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(result)) => result.clone(),
            Ok(None) | Err(_) => {
                Err(Error::internal("an attempt to revoke ended without a result"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn mine(attempts: &Attempts, id: LeaseId) -> Ticket {
        match attempts.enter(id) {
            Entered::Mine(ticket) => ticket,
            Entered::Other(_) => panic!("an attempt is under way"),
        }
    }

    fn other(attempts: &Attempts, id: LeaseId) -> Waiting {
        match attempts.enter(id) {
            Entered::Mine(_) => panic!("no attempt is under way"),
            Entered::Other(waiting) => waiting,
        }
    }

    #[tokio::test]
    async fn all_waiting_callers_get_the_same_result() {
        let (attempts, id) = (Attempts::default(), LeaseId::from_random([1; 16]));
        let ticket = mine(&attempts, id);
        let (first, second) = (other(&attempts, id), other(&attempts, id));
        drop(mine(&attempts, LeaseId::from_random([2; 16])));
        ticket.finish(&Err(Error::new(Kind::Refused, "no").because("log")));
        for waiting in [first, second] {
            let error = waiting.result().await.unwrap_err();
            assert_eq!(
                (error.kind(), error.public(), error.cause()),
                (Kind::Refused, "no", Some("log".into()))
            );
        }
        drop(mine(&attempts, id));
    }

    #[tokio::test]
    async fn an_attempt_that_dies_leaves_no_caller_waiting() {
        let (attempts, id) = (Attempts::default(), LeaseId::from_random([1; 16]));
        let ticket = mine(&attempts, id);
        let waiting = other(&attempts, id);
        drop(ticket);
        assert_eq!(waiting.result().await.unwrap_err().kind(), Kind::Internal);
        drop(mine(&attempts, id));
    }
}
