//! What has to be done though nobody asks: deadlines, ends, limits, attempts that are due, records
//! that were kept long enough.
//!
//! The sweeper walks the index of due leases in laps, a bounded number of them at each visit, so
//! that a target that is down and has thousands waiting for it delays nobody else. Revocations go
//! to tasks of their own, some of each service at a time.
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
use crate::leases::{About, Leases, Options};
use crate::limits::KeyedPermits;
use crate::model::lease::Lease;
use crate::model::lease::{Event, Overdue};
use crate::ports::audit::{Action, Outcome};
use crate::ports::store::Key;
use crate::ports::store::Versioned;

/// Leases looked at together.
const PAGE: usize = 256;
/// Pages at one visit.
const PAGES: usize = 16;
/// Leases of a page that are worked on at a time.
const AT_A_TIME: usize = 32;
/// How often leases are looked at that wait for their service to come back.
const RECHECK_PARKED: Duration = Duration::from_secs(300);

/// Where the sweeper stands.
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
    /// What was wrong at the last look at what is due, and during the last lap through what is
    /// parked.
    trouble: Option<String>,
    parked_trouble: Option<String>,
    trouble_told: Option<Duration>,
}

/// What a visit came to.
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
    /// Checks that the store answers, and has due work looked for from now on. It reads nothing but
    /// what is due, so its time does not grow with the ledger. A lease that cannot be read keeps
    /// the others no more waiting here than later: readiness tells of it.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn start(self: &Arc<Self>) -> Result<(), Error> {
        self.ground.trust_clock();
        self.ground.records.due(None, self.ground.clock.now(), 1).await?;
        let core = Arc::clone(self);
        self.ground.tasks.spawn("sweep", Box::pin(async move { core.sweep_until_stopped().await }));
        let remarks = write_remarks_until_stopped(Arc::clone(&self.ground));
        self.ground.tasks.spawn("audit", Box::pin(remarks));
        Ok(())
    }

    /// Begins nothing more: issues and revocations are answered with `Busy`, the sweeper ends. What
    /// is under way goes on to its end; [`crate::ports::Tasks`] knows when that is.
    pub fn stop(&self) {
        self.effects.close();
        self.ground.stop();
    }

    /// Why the daemon is not in order, as sentences for operators. None: it is.
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

    /// Takes the wall clock as it is now for right: an operator has looked at it after it had
    /// jumped.
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

    /// Looks once for what is due. Tells whether it pays to look again at once.
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

    /// Logs what went wrong, once a minute at most: it goes on until somebody does something about
    /// it.
    fn complaint(&self, error: &Error) -> String {
        let now = self.ground.clock.monotonic();
        let mut progress = self.sweeper.progress();
        if progress
            .trouble_told
            .is_none_or(|told| now.saturating_sub(told) >= Duration::from_secs(60))
        {
            progress.trouble_told = Some(now);
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
            let work = stream::iter(page.leases.into_iter().map(|id| self.take_care(id)));
            let results: Vec<_> = work.buffer_unordered(AT_A_TIME).collect().await;
            for result in results {
                // One lease that cannot be read keeps no other waiting.
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

    /// Does what is due about a lease; tells whether it moved or is about to.
    async fn take_care(self: &Arc<Self>, id: LeaseId) -> Result<bool, Error> {
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
        let told =
            action.map(|action| self.event(None, action, About::from(&stored.value), outcome));
        match self.advance(&stored, [event], |_| told.into_iter().collect()).await {
            Ok(_) => Ok(true),
            Err(NotAdvanced::Conflict | NotAdvanced::NotPossible(_)) => Ok(false),
            Err(NotAdvanced::Failed(error)) => Err(error),
        }
    }

    /// Begins a revocation in a task of its own, unless its service has enough of them or somebody
    /// is at it.
    fn begin_attempt(self: &Arc<Self>, stored: Versioned<Lease>) -> bool {
        let Some(permit) = self.sweeper.background.take(&stored.value.service) else {
            return false;
        };
        let Entered::Mine(ticket) = self.attempts.enter(stored.value.id) else { return false };
        let core = Arc::clone(self);
        let work = async move {
            let _permit = permit;
            let (lease, service) = (stored.value.id, stored.value.service.clone());
            if let Err(answer) = core.attempt(ticket, stored, By::Daemon).await {
                tracing::info!(%lease, %service, answer = %answer.public, cause = answer.cause.as_deref(), "a lease could not be revoked yet");
            }
        };
        self.ground.tasks.spawn("revoke in the background", Box::pin(work));
        true
    }

    /// Looks whether services of parked leases are back, one page at a visit, in laps with pauses
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
            // One lease that cannot be read keeps no other waiting.
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
        let told = self.event(None, Action::Retry, About::from(&stored.value), Outcome::Done);
        match self.advance(&stored, [Event::ServiceBack], |_| vec![told]).await {
            Ok(_) => Ok(()),
            Err(NotAdvanced::Conflict | NotAdvanced::NotPossible(_)) => Ok(()),
            Err(NotAdvanced::Failed(error)) => Err(error),
        }
    }
}
