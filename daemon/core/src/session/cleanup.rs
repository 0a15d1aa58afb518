//! Deleting sessions that are over and pending sign-ins that have expired, in the background.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{StreamExt as _, stream};

use super::Sessions;
use crate::error::Error;
use crate::ids::SessionId;
use crate::model::session::Session;
use crate::ports::store::{Key, Versioned};
use crate::records::CommitError;
use crate::time::Timestamp;

/// The pause between two runs.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);
/// Due sessions read together.
const PAGE: usize = 256;
/// Due sessions handled concurrently.
const AT_A_TIME: usize = 16;

impl Sessions {
    /// Starts the task that deletes ended sessions and expired sign-ins. Reads nothing itself.
    pub fn start(self: &Arc<Self>) {
        let sessions = Arc::clone(self);
        let work = async move { sessions.clean_up_until_stopped().await };
        self.ground.tasks.spawn("delete ended sessions", Box::pin(work));
    }

    async fn clean_up_until_stopped(&self) {
        let mut stopping = self.ground.stopping();
        while !*stopping.borrow_and_update() {
            let pause = self.ground.clock.sleep(CLEANUP_INTERVAL);
            let stop = std::pin::pin!(stopping.changed());
            if let Either::Right((Err(_), _)) = select(pause, stop).await {
                return;
            }
            self.clean_up().await;
        }
    }

    async fn clean_up(&self) {
        self.drop_expired(self.ground.clock.monotonic());
        if self.ground.is_clock_off() {
            return;
        }
        if let Err(error) = self.delete_ended().await {
            tracing::warn!(%error, cause = error.cause(), "sessions that are over could not be deleted yet");
        }
    }

    /// Deletes the sessions that are over, of those that are due.
    pub(super) async fn delete_ended(&self) -> Result<(), Error> {
        let now = self.ground.clock.now();
        let mut after: Option<Key> = None;
        loop {
            let due = self.ground.records.due_sessions(after.as_ref(), now, PAGE).await?;
            let work = due.sessions.into_iter().map(|(key, id)| self.delete_if_over(key, id, now));
            let results: Vec<_> = stream::iter(work).buffer_unordered(AT_A_TIME).collect().await;
            results.into_iter().collect::<Result<(), Error>>()?;
            after = due.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn delete_if_over(&self, key: Key, id: SessionId, now: Timestamp) -> Result<(), Error> {
        let records = &self.ground.records;
        let stored = records.session(id).await?;
        let next_check = match &stored {
            None => None,
            Some(session) => self.next_check(session, now).await?,
        };
        ignore_conflict(match next_check {
            Some(at) => records.postpone_session(&key, id, at).await,
            None => records.forget_session(&key, stored.as_ref()).await,
        })
    }

    /// When `session` is due again; `None`: it is over.
    async fn next_check(
        &self,
        session: &Versioned<Session>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let session = &session.value;
        let over_at = session.over_at();
        if over_at <= now {
            return Ok(None);
        }
        let user = self.ground.records.user(session.user).await?;
        let is_current =
            user.is_some_and(|user| user.value.session_generation == session.session_generation);
        Ok(is_current.then_some(over_at))
    }
}

/// A lost race needs no retry here: the due key stays, and the next run finds it again.
fn ignore_conflict(result: Result<(), CommitError>) -> Result<(), Error> {
    match result {
        Ok(()) | Err(CommitError::Conflict) => Ok(()),
        Err(CommitError::Failed(error)) => Err(error),
    }
}
