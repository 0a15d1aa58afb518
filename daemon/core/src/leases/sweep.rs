//! Due work that no request triggers: deadlines, ends, limits, attempts to revoke, records that
//! were kept long enough.
//!
//! The sweeper walks the index of due leases in laps, a bounded number of them at each visit, so
//! that a target that is down and has thousands of leases waiting delays no other. It puts the
//! leases to revoke into the queues of [`crate::leases::background`]; attempts run in tasks of
//! their own, and each that ends begins the next.
//!
//! Never here: what becomes of a lease (that is [`crate::model::lease`]'s), how one is revoked
//! (that is [`crate::leases::revoke`]'s).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream;

use crate::audit::write_remarks_until_stopped;
use crate::error::Error;
use crate::ids::{LeaseId, ServiceId};
use crate::leases::attempts::Entered;
use crate::leases::background::{Offered, Outage, Turn, Waiting};
use crate::leases::ledger::NotAdvanced;
use crate::leases::revoke::By;
use crate::leases::{Leases, target_of};
use crate::model::lease::{Event, Lease, Overdue};
use crate::ports::audit::{Action, Outcome};
use crate::ports::store::{Key, Versioned};

/// Leases of one page of an index.
const PAGE: usize = 256;
/// Pages at one visit.
const PAGES: usize = 16;
/// Leases of a page that are worked on concurrently.
const AT_A_TIME: usize = 32;
/// The pause before a full queue is offered more.
const ROOM_PAUSE: Duration = Duration::from_secs(1);
/// How often leases that wait for their service are checked.
const RECHECK_PARKED: Duration = Duration::from_secs(300);

/// The state of the sweeper.
#[derive(Default)]
pub(crate) struct Sweeper {
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
    /// When the wall time was kept last.
    time_kept: Option<Duration>,
}

/// The result of a visit.
struct Visit {
    /// Whether there is more that is due.
    more: bool,
    /// How many leases moved.
    moved: usize,
}

impl Sweeper {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the wall time was kept last, on the monotonic clock.
    pub(super) fn time_kept(&self) -> Option<Duration> {
        self.progress().time_kept
    }

    /// Notes that the wall time is kept now.
    pub(super) fn keep_time(&self, now: Duration) {
        self.progress().time_kept = Some(now);
    }
}

impl Leases {
    /// Checks that the store answers, judges the clock, and starts the sweeper and the writer of
    /// remarks. It reads only what became due since the daemon last ran, so its time does not grow
    /// with the ledger; but the first start over a store of an earlier version reads the ledger
    /// once. A lease that cannot be read does not stop it: readiness reports that.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn start(self: &Arc<Self>) -> Result<(), Error> {
        self.ground.records.bring_leases_into_form().await?;
        self.begin_clock().await?;
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
        reasons.extend(self.ground.store_complaint());
        reasons.extend(progress.trouble.clone().or_else(|| progress.parked_trouble.clone()));
        reasons
    }

    /// What an operator should know although the daemon is ready, as sentences.
    pub fn warnings(&self) -> Vec<String> {
        let outages = self.background.outages(self.ground.clock.monotonic());
        let sentence = |outage: &Outage| {
            let (service, seconds) = (&outage.service, outage.lasts.as_secs());
            format!(
                "revocations of the service {service} have failed for {seconds} s: they wait, and one is tried at a time"
            )
        };
        outages.iter().map(sentence).collect()
    }

    async fn sweep_until_stopped(self: Arc<Self>) {
        let mut stopping = self.ground.stopping();
        while !*stopping.borrow_and_update() {
            if self.visit().await {
                continue;
            }
            let pause = self.ground.clock.sleep(self.options.sweep_every);
            let room = std::pin::pin!(self.background.has_room());
            let stop = std::pin::pin!(stopping.changed());
            if let Either::Right((Err(_), _)) = select(select(pause, room), stop).await {
                return;
            }
        }
    }

    /// Looks for due work once. Returns whether there is reason to look again at once.
    async fn visit(self: &Arc<Self>) -> bool {
        self.handoffs.purge(self.ground.clock.monotonic());
        if let Err(error) = self.tend_clock().await {
            self.complaint(&error);
        }
        if self.ground.is_clock_off() {
            return false;
        }
        for service in self.background.waiting() {
            self.revoke_waiting(&service);
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
        if self.background.knows(id) {
            return Ok(false);
        }
        let Some(stored) = self.ground.records.lease(id).await? else { return Ok(false) };
        let (event, action, outcome) =
            match stored.value.overdue(self.ground.clock.now(), &self.ledger.timing) {
                None => return Ok(false),
                Some(Overdue::Limit | Overdue::Attempt) => {
                    let waiting = Waiting { lease: id, is_early: false };
                    let offered = self.background.offer(&stored.value.service, waiting);
                    self.revoke_waiting(&stored.value.service);
                    return Ok(offered == Offered::Taken);
                }
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

    /// Begins as many attempts on waiting leases of `service` as may run now, each in a task of its
    /// own that goes on with the next ones when it ends.
    fn revoke_waiting(self: &Arc<Self>, service: &ServiceId) {
        while !self.ground.is_stopping() && !self.ground.is_clock_off() {
            let now = self.ground.clock.monotonic();
            let Some(turn) = self.background.take(service, now) else { return };
            let (leases, service) = (Arc::clone(self), service.clone());
            let work = async move {
                leases.revoke_one(turn, &service).await;
                leases.revoke_waiting(&service);
            };
            self.ground.tasks.spawn("revoke in the background", Box::pin(work));
        }
    }

    async fn revoke_one(self: &Arc<Self>, turn: Turn, service: &ServiceId) {
        let Waiting { lease, is_early } = turn.waiting;
        let result = match self.ground.records.lease(lease).await {
            Ok(None) => return,
            Ok(Some(stored)) => {
                let Entered::Mine(ticket) = self.attempts.enter(lease) else { return };
                let by = if is_early { By::DaemonEarly } else { By::Daemon };
                self.attempt(ticket, stored, by).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::info!(%lease, %service, answer = error.public(), cause = error.cause(), "a lease could not be revoked yet");
        }
    }

    /// Has the leases of `service` tried at once that failed while its target did not answer: their
    /// users wait for room below their limit.
    pub(super) fn bring_forward(self: &Arc<Self>, service: ServiceId) {
        let leases = Arc::clone(self);
        let work = async move {
            if let Err(error) = leases.offer_failing(&service).await {
                tracing::warn!(%service, %error, cause = error.cause(), "revocations that failed keep their times");
            }
        };
        self.ground.tasks.spawn("bring revocations forward", Box::pin(work));
    }

    async fn offer_failing(self: &Arc<Self>, service: &ServiceId) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self.ground.records.failing(service, after.as_ref(), PAGE).await?;
            for lease in page.leases {
                let waiting = Waiting { lease, is_early: true };
                while self.background.offer(service, waiting) == Offered::Full {
                    if self.ground.is_stopping() || self.background.is_open(service) {
                        return Ok(());
                    }
                    self.ground.clock.sleep(ROOM_PAUSE).await;
                }
                self.revoke_waiting(service);
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
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
