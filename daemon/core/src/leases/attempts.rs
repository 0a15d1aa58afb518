//! Which attempts to revoke are under way, so that whoever wants the same waits for the same.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Error, Kind};
use crate::ids::LeaseId;

/// How an attempt ended, for everybody who waited for it.
pub(crate) type Told = Result<(), Answer>;

/// An error that can be told to several.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) public: Cow<'static, str>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) cause: Option<Arc<str>>,
}

impl Answer {
    pub(crate) fn new(kind: Kind, public: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, public: public.into(), retry_after: None, cause: None }
    }

    pub(crate) fn because(self, cause: impl std::fmt::Display) -> Self {
        Self { cause: Some(cause.to_string().into()), ..self }
    }

    pub(crate) fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind(),
            public: error.public().to_owned().into(),
            retry_after: error.retry_hint(),
            cause: error.cause().map(Arc::from),
        }
    }
}

impl From<Answer> for Error {
    fn from(answer: Answer) -> Self {
        let mut error = Self::new(answer.kind, answer.public);
        if let Some(after) = answer.retry_after {
            error = error.retry_after(after);
        }
        match answer.cause {
            Some(cause) => error.because(&*cause),
            None => error,
        }
    }
}

type UnderWay = Arc<Mutex<HashMap<LeaseId, watch::Receiver<Option<Told>>>>>;

/// The attempts under way in this process.
#[derive(Default)]
pub(crate) struct Attempts(UnderWay);

/// What somebody gets who wants to attempt.
pub(crate) enum Entered {
    /// Nobody is at it: go ahead.
    Mine(Ticket),
    /// Somebody is: wait.
    Other(Waiting),
}

/// The right to be the only one at a lease, until dropped.
pub(crate) struct Ticket {
    id: LeaseId,
    tell: watch::Sender<Option<Told>>,
    under_way: UnderWay,
}

/// The end of somebody else's attempt.
pub(crate) struct Waiting(watch::Receiver<Option<Told>>);

impl Attempts {
    /// Begins an attempt on `id`, or joins the one under way.
    pub(crate) fn enter(&self, id: LeaseId) -> Entered {
        match lock(&self.0).entry(id) {
            Entry::Occupied(other) => Entered::Other(Waiting(other.get().clone())),
            Entry::Vacant(free) => {
                let (tell, told) = watch::channel(None);
                free.insert(told);
                Entered::Mine(Ticket { id, tell, under_way: Arc::clone(&self.0) })
            }
        }
    }
}

impl Ticket {
    /// Tells everybody who waits.
    pub(crate) fn finish(self, told: &Told) {
        self.tell.send_replace(Some(told.clone()));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.id);
    }
}

impl Waiting {
    /// How the attempt ended.
    pub(crate) async fn told(mut self) -> Told {
        match self.0.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(told)) => told.clone(),
            Ok(None) | Err(_) => {
                Err(Error::internal("an attempt to revoke ended without a result").into())
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mine(attempts: &Attempts, id: LeaseId) -> Ticket {
        match attempts.enter(id) {
            Entered::Mine(ticket) => ticket,
            Entered::Other(_) => panic!("somebody is at it"),
        }
    }

    fn other(attempts: &Attempts, id: LeaseId) -> Waiting {
        match attempts.enter(id) {
            Entered::Mine(_) => panic!("nobody is at it"),
            Entered::Other(waiting) => waiting,
        }
    }

    #[tokio::test]
    async fn everybody_hears_the_same_end() {
        let (attempts, id) = (Attempts::default(), LeaseId::from_random([1; 16]));
        let ticket = mine(&attempts, id);
        let (first, second) = (other(&attempts, id), other(&attempts, id));
        drop(mine(&attempts, LeaseId::from_random([2; 16])));
        ticket.finish(&Err(Answer::new(Kind::Refused, "no").because("log")));
        for waiting in [first, second] {
            let error = Error::from(waiting.told().await.unwrap_err());
            assert_eq!(
                (error.kind(), error.public(), error.cause()),
                (Kind::Refused, "no", Some("log".into()))
            );
        }
        drop(mine(&attempts, id));
    }

    #[tokio::test]
    async fn an_attempt_that_dies_leaves_nobody_waiting() {
        let (attempts, id) = (Attempts::default(), LeaseId::from_random([1; 16]));
        let ticket = mine(&attempts, id);
        let waiting = other(&attempts, id);
        drop(ticket);
        assert_eq!(waiting.told().await.unwrap_err().kind, Kind::Internal);
        drop(mine(&attempts, id));
    }
}
