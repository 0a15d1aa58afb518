//! Due work that no request triggers: deadlines, ends, limits, attempts to revoke, records that
//! were kept long enough.
//!
//! The sweeper walks the index of due leases in laps, a bounded number of them at each visit, so
//! that a target that is down and has thousands of leases waiting delays no other. Revocations run
//! in tasks of their own, a bounded number of each service at a time.
//!
//! Never here: what becomes of a lease (that is [`crate::model::lease`]'s), how one is revoked
//! (that is [`crate::leases::revoke`]'s).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream;

use crate::access::{Grant, Operate};
use crate::audit::write_remarks_until_stopped;
use crate::error::Error;
use crate::ids::{LeaseId, ServiceId};
use crate::leases::attempts::Entered;
use crate::leases::ledger::NotAdvanced;
use crate::leases::revoke::By;
use crate::leases::{Leases, Options, target_of};
use crate::limits::KeyedPermits;
use crate::model::lease::{Event, Lease, Overdue};
use crate::ports::audit::{Action, Outcome};
use crate::ports::store::{Key, Versioned};

/// Leases of one page of an index.
const PAGE: usize = 256;
/// Pages at one visit.
const PAGES: usize = 16;
/// Leases of a page that are worked on concurrently.
const AT_A_TIME: usize = 32;
/// How often leases that wait for their service are checked.
const RECHECK_PARKED: Duration = Duration::from_secs(300);

/// The state of the sweeper.
pub(crate) struct Sweeper {
    background: KeyedPermits<ServiceId>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// Where the lap through the due leases goes on; `None`: from its beginning.
    due: Option<Key>,
    /// The same for parked leases, and when their next lap begins.
    parked: Option<Key>,
    parked_from: Duration,
    /// What was wrong at the last visit to the due leases, and during the last lap through the
    /// parked ones.
    trouble: Option<String>,
    parked_trouble: Option<String>,
    trouble_logged: Option<Duration>,
}

/// The result of a visit.
struct Visit {
    /// Whether there is more that is due.
    more: bool,
    /// How many leases moved.
    moved: usize,
}

impl Sweeper {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            background: KeyedPermits::new(options.background_revocations),
            progress: Mutex::default(),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leases {
    /// Checks that the store answers, and starts the sweeper and the writer of remarks. It reads
    /// only due leases, so its time does not grow with the ledger. A lease that cannot be read does
    /// not stop it: readiness reports that.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn start(self: &Arc<Self>) -> Result<(), Error> {
        self.ground.trust_clock();
        self.ground.records.due(None, self.ground.clock.now(), 1).await?;
        let sweep = Arc::clone(self).sweep_until_stopped();
        self.ground.tasks.spawn("sweep", Box::pin(sweep));
        let remarks = write_remarks_until_stopped(Arc::clone(&self.ground));
        self.ground.tasks.spawn("audit", Box::pin(remarks));
        Ok(())
    }

    /// Begins nothing more: issues and revocations are answered with `Busy`, the sweeper ends. Work
    /// that is under way goes on to its end; [`crate::ports::Tasks`] knows when that is.
    pub fn stop(&self) {
        self.effects.close();
        self.ground.stop();
    }

    /// Why the daemon is not ready, as sentences for operators. Empty: it is ready.
    pub fn readiness(&self) -> Vec<String> {
        let progress = self.sweeper.progress();
        let mut reasons = Vec::new();
        if !self.ground.is_clock_watched() {
            reasons.push("the ledger has not been started".to_owned());
        }
        if self.ground.is_stopping() {
            reasons.push("the daemon is ending".to_owned());
        }
        reasons.extend(self.ground.clock_complaint());
        reasons.extend(progress.trouble.clone().or_else(|| progress.parked_trouble.clone()));
        reasons
    }

    /// Accepts the wall clock as it is now: an operator has checked it after it had jumped.
    pub fn trust_clock(&self, _grant: Grant<Operate>) {
        self.ground.trust_clock();
    }

    async fn sweep_until_stopped(self: Arc<Self>) {
        let mut stopping = self.ground.stopping();
        while !*stopping.borrow_and_update() {
            if self.visit().await {
                continue;
            }
            let pause = self.ground.clock.sleep(self.options.sweep_every);
            let stop = std::pin::pin!(stopping.changed());
            if let Either::Right((Err(_), _)) = select(pause, stop).await {
                return;
            }
        }
    }

    /// Looks for due work once. Returns whether there is reason to look again at once.
    async fn visit(self: &Arc<Self>) -> bool {
        self.handoffs.purge(self.ground.clock.monotonic());
        if self.ground.is_clock_off() {
            return false;
        }
        let due = self.visit_due().await;
        let trouble = due.as_ref().err().map(|error| self.complaint(error));
        self.sweeper.progress().trouble = trouble;
        self.visit_parked().await;
        due.is_ok_and(|visit| visit.more && visit.moved > 0)
    }

    /// Logs what went wrong, once a minute at most: it repeats until an operator mends it.
    fn complaint(&self, error: &Error) -> String {
        let now = self.ground.clock.monotonic();
        let mut progress = self.sweeper.progress();
        if progress
            .trouble_logged
            .is_none_or(|logged| now.saturating_sub(logged) >= Duration::from_secs(60))
        {
            progress.trouble_logged = Some(now);
            tracing::error!(%error, cause = error.cause(), "due work cannot be done");
        }
        "due work cannot be done: the ledger cannot be read or written; the log says why".to_owned()
    }

    async fn visit_due(self: &Arc<Self>) -> Result<Visit, Error> {
        let mut visit = Visit { more: true, moved: 0 };
        let mut trouble = Ok(());
        for _ in 0..PAGES {
            let after = self.sweeper.progress().due.clone();
            let page =
                self.ground.records.due(after.as_ref(), self.ground.clock.now(), PAGE).await?;
            visit.more = page.next.is_some();
            self.sweeper.progress().due = page.next;
            let work = stream::iter(page.leases.into_iter().map(|id| self.advance_due(id)));
            let results: Vec<_> = work.buffer_unordered(AT_A_TIME).collect().await;
            for result in results {
                // A lease that cannot be read does not hold up the others.
                match result {
                    Ok(moved) => visit.moved += usize::from(moved),
                    Err(error) => trouble = Err(error),
                }
            }
            if !visit.more {
                break;
            }
        }
        trouble.map(|()| visit)
    }

    /// Does what is due for a lease. Returns whether it moved or is about to.
    async fn advance_due(self: &Arc<Self>, id: LeaseId) -> Result<bool, Error> {
        let Some(stored) = self.ground.records.lease(id).await? else { return Ok(false) };
        let (event, action, outcome) =
            match stored.value.overdue(self.ground.clock.now(), &self.ledger.timing) {
                None => return Ok(false),
                Some(Overdue::Limit | Overdue::Attempt) => return Ok(self.begin_attempt(stored)),
                Some(Overdue::Deadline) => {
                    let why = "the issue was cut short; what it left is cleaned up".to_owned();
                    (Event::CutShort, Some(Action::Issue), Outcome::Failed(why))
                }
                Some(Overdue::End) => (Event::EndPassed, Some(Action::Expire), Outcome::Done),
                Some(Overdue::Forget) => (Event::KeptLongEnough, None, Outcome::Done),
            };
        let target = target_of(&stored.value);
        let audited = action.map(|action| self.ground.event(None, action, target, outcome));
        match self.ledger.advance(&stored, [event], |_| audited.into_iter().collect()).await {
            Ok(_) => Ok(true),
            Err(NotAdvanced::Conflict | NotAdvanced::NotPossible(_)) => Ok(false),
            Err(NotAdvanced::Failed(error)) => Err(error),
        }
    }

    /// Begins a revocation in a task of its own, unless its service has enough of them or an
    /// attempt on the lease is under way. Returns whether it began one.
    fn begin_attempt(self: &Arc<Self>, stored: Versioned<Lease>) -> bool {
        let Some(permit) = self.sweeper.background.take(&stored.value.service) else {
            return false;
        };
        let Entered::Mine(ticket) = self.attempts.enter(stored.value.id) else { return false };
        let leases = Arc::clone(self);
        let work = async move {
            let _permit = permit;
            let (lease, service) = (stored.value.id, stored.value.service.clone());
            if let Err(error) = leases.attempt(ticket, stored, By::Daemon).await {
                tracing::info!(%lease, %service, answer = error.public(), cause = error.cause(), "a lease could not be revoked yet");
            }
        };
        self.ground.tasks.spawn("revoke in the background", Box::pin(work));
        true
    }

    /// Checks whether services of parked leases are back, one page at a visit, in laps with pauses
    /// between them.
    async fn visit_parked(&self) {
        let now = self.ground.clock.monotonic();
        let after = {
            let mut progress = self.sweeper.progress();
            if progress.parked.is_none() {
                if now < progress.parked_from {
                    return;
                }
                progress.parked_trouble = None;
            }
            progress.parked.clone()
        };
        if let Err(error) = self.bring_back_page(after, now).await {
            let complaint = self.complaint(&error);
            self.sweeper.progress().parked_trouble = Some(complaint);
        }
    }

    async fn bring_back_page(&self, after: Option<Key>, now: Duration) -> Result<(), Error> {
        let page = self.ground.records.parked(after.as_ref(), PAGE).await?;
        let mut result = Ok(());
        for id in page.leases {
            // A lease that cannot be read does not hold up the others.
            result = self.bring_back(id).await.and(result);
        }
        let mut progress = self.sweeper.progress();
        progress.parked_from = now + RECHECK_PARKED;
        progress.parked = page.next;
        result
    }

    async fn bring_back(&self, id: LeaseId) -> Result<(), Error> {
        let stored = self.ground.records.lease(id).await?;
        let waits = |stored: &Versioned<Lease>| {
            stored.value.state.waits_for_service() && self.is_service_back(&stored.value)
        };
        let Some(stored) = stored.filter(waits) else { return Ok(()) };
        let audited =
            self.ground.event(None, Action::Retry, target_of(&stored.value), Outcome::Done);
        match self.ledger.advance(&stored, [Event::ServiceBack], |_| vec![audited]).await {
            Ok(_) => Ok(()),
            Err(NotAdvanced::Conflict | NotAdvanced::NotPossible(_)) => Ok(()),
            Err(NotAdvanced::Failed(error)) => Err(error),
        }
    }
}
