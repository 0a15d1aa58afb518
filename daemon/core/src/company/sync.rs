//! Synchronising: the directory is walked at start, at intervals and at an operator's command, one
//! walk at a time, and changes are written in batches of whole companies. A walk that the end of
//! the daemon cuts off leaves no harm; the next one continues.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, Either, select};
use tokio::sync::{oneshot, watch};

use super::failure::SyncFailure;
use super::listing::{Listing, Unusable};
use super::plan::{Counts, Write, mass_vanishing, plan};
use super::walk::{LONGEST_WALK, TOO_MANY_COMPANIES, Walk, WalkEnd, walk};
use super::{Companies, Source};
use crate::access::{Grant, Operate};
use crate::error::{Error, Kind};
use crate::ids::CompanyId;
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::directory::{Directory, DirectoryCompany};
use crate::ports::random_16;
use crate::ports::store::Revision;
use crate::records::{COMPANIES_IN_A_BATCH, CommitError};

/// How often a listing is planned and written while other daemons write too. Fewer than
/// [`crate::ground::retry`] makes: each attempt compares all companies, and the next walk is
/// another.
const WRITE_ATTEMPTS: usize = 4;

/// The result of a synchronisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synchronised {
    /// How many companies were written.
    pub counts: Counts,
    /// The companies of the directory that are left out.
    pub unusable: Unusable,
}

/// The state of synchronising.
#[derive(Default)]
pub(super) struct Synchroniser {
    running: Arc<tokio::sync::Mutex<()>>,
    stopping: watch::Sender<bool>,
    status: Mutex<Status>,
}

/// What operators are warned of after the last synchronisation.
#[derive(Default)]
struct Status {
    failure: Option<String>,
    unusable: Unusable,
}

/// What caused a synchronisation.
#[derive(Debug)]
enum Trigger {
    Daemon,
    Operator { accept: bool, actor: Actor },
}

impl Synchroniser {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Companies {
    /// Checks that companies can be read, and starts to synchronise them. A list of the
    /// configuration is in effect when this returns; a directory is not awaited.
    ///
    /// # Errors
    /// `Internal` when the store fails, or a record cannot be read.
    pub async fn start(self: &Arc<Self>) -> Result<(), Error> {
        self.view().await?;
        match &self.source {
            Source::Listed(_) => self.apply_list().await,
            Source::Directory(_) => {
                let companies = Arc::clone(self);
                let work = async move { companies.synchronise_until_stopped().await };
                self.ground.tasks.spawn("synchronise companies", Box::pin(work));
                Ok(())
            }
        }
    }

    async fn apply_list(&self) -> Result<(), Error> {
        match self.synchronise(&Trigger::Daemon).await {
            Err(SyncFailure::Own(error)) => Err(error),
            // Any other failure is among the warnings.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Ends the running walk, and starts no other. Companies can still be read.
    pub fn stop(&self) {
        self.synchroniser.stopping.send_replace(true);
    }

    /// The warnings for operators, as sentences. None: all is well.
    pub fn warnings(&self) -> Vec<String> {
        let status = self.synchroniser.status();
        let Unusable { count, some } = &status.unusable;
        let unusable = (*count > 0).then(|| {
            let named = match some.as_slice() {
                [] => String::new(),
                some => format!(" (among them those with the ids {})", some.join(", ")),
            };
            format!(
                "{count} companies of the directory have no usable id or name and are left out{named}; give them a name there"
            )
        });
        status.failure.clone().into_iter().chain(unusable).collect()
    }

    /// Synchronises now; with `accept`, however many companies the directory lacks. Runs to its end
    /// even if the future is dropped.
    ///
    /// # Errors
    /// `Busy` while a walk is running already, or the daemon is ending; `Conflict` when more than a
    /// tenth and more than ten companies would be missing, and that is not accepted: nothing has
    /// changed then; `Upstream` when the directory cannot be read to its end; `Internal` when the
    /// store fails.
    pub async fn sync(
        self: &Arc<Self>,
        grant: Grant<Operate>,
        accept: bool,
    ) -> Result<Synchronised, Error> {
        let (sender, receiver) = oneshot::channel();
        let (companies, actor) = (Arc::clone(self), grant.actor());
        let work: BoxFuture<'static, ()> = Box::pin(async move {
            let result = companies.synchronise(&Trigger::Operator { accept, actor }).await;
            // If the receiver is gone, the audit log and the warnings still have the result.
            let _ = sender.send(result);
        });
        self.ground.tasks.spawn("synchronise companies for an operator", work);
        match receiver.await {
            Ok(result) => result.map_err(Error::from),
            Err(_) => Err(Error::internal("the synchronisation ended without a result")),
        }
    }

    async fn synchronise_until_stopped(self: Arc<Self>) {
        let mut stopping = self.synchroniser.stopping.subscribe();
        while !*stopping.borrow_and_update() {
            // A failure is among the warnings; `Busy` means that an operator's command is running.
            let _ = self.synchronise(&Trigger::Daemon).await;
            let pause = self.ground.clock.sleep(self.interval);
            let stop = pin!(stopping.changed());
            if let Either::Right((Err(_), _)) = select(pause, stop).await {
                return;
            }
        }
    }

    async fn synchronise(&self, trigger: &Trigger) -> Result<Synchronised, SyncFailure> {
        let Ok(_one_at_a_time) = self.synchroniser.running.try_lock() else {
            return Err(already_running().into());
        };
        let result = self.walk_and_write(trigger).await;
        self.update_status(&result);
        self.record_command(trigger, &result).await?;
        result
    }

    async fn walk_and_write(&self, trigger: &Trigger) -> Result<Synchronised, SyncFailure> {
        let Walk { listing, end } = self.walk().await?;
        let complete = match &end {
            WalkEnd::Complete => true,
            WalkEnd::Interrupted(_) => false,
            WalkEnd::Inconsistent(reason) => return Err(SyncFailure::Inconsistent(reason)),
        };
        let counts = self.write(&listing, complete, trigger).await?;
        match end {
            WalkEnd::Interrupted(reason) => Err(SyncFailure::Interrupted(reason)),
            WalkEnd::Complete | WalkEnd::Inconsistent(_) => {
                Ok(Synchronised { counts, unusable: listing.unusable() })
            }
        }
    }

    async fn walk(&self) -> Result<Walk, SyncFailure> {
        match &self.source {
            Source::Directory(directory) => self.walk_directory(&**directory).await,
            Source::Listed(companies) => Ok(walk_list(companies)),
        }
    }

    async fn walk_directory(&self, directory: &dyn Directory) -> Result<Walk, SyncFailure> {
        let walk = pin!(walk(directory, &*self.ground.clock));
        match select(walk, pin!(self.reason_to_cut_off())).await {
            Either::Left((walk, _)) => Ok(walk),
            Either::Right((failure, _)) => Err(failure),
        }
    }

    /// Resolves when a walk has to end, wherever it is.
    async fn reason_to_cut_off(&self) -> SyncFailure {
        let mut stopping = self.synchroniser.stopping.subscribe();
        let stop = pin!(stopping.wait_for(|stopping| *stopping));
        match select(stop, self.ground.clock.sleep(LONGEST_WALK)).await {
            Either::Left(_) => SyncFailure::Stopping,
            Either::Right(_) => SyncFailure::Interrupted("it took too long".to_owned()),
        }
    }

    async fn write(
        &self,
        listing: &Listing,
        complete: bool,
        trigger: &Trigger,
    ) -> Result<Counts, SyncFailure> {
        let mut written = Counts::default();
        for _ in 0..WRITE_ATTEMPTS {
            let (epoch, writes) = self.plan(listing, complete, trigger).await?;
            match self.write_all(epoch, &writes, trigger, &mut written).await {
                Ok(()) => return Ok(written),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error.into()),
            }
        }
        Err(SyncFailure::Contended)
    }

    /// The writes against the current companies, and the epoch at which these were read.
    async fn plan(
        &self,
        listing: &Listing,
        complete: bool,
        trigger: &Trigger,
    ) -> Result<(Option<Revision>, Vec<Write>), SyncFailure> {
        let view = self.view().await?;
        let fresh_id = || CompanyId::from_random(random_16(&*self.ground.entropy));
        let writes = plan(&view, listing, complete, self.ground.clock.now(), fresh_id);
        match mass_vanishing(&view, &writes) {
            Some(vanishing) if !matches!(trigger, Trigger::Operator { accept: true, .. }) => {
                Err(SyncFailure::MassVanishing(vanishing))
            }
            Some(_) | None => Ok((view.epoch, writes)),
        }
    }

    async fn write_all(
        &self,
        mut epoch: Option<Revision>,
        writes: &[Write],
        trigger: &Trigger,
        written: &mut Counts,
    ) -> Result<(), CommitError> {
        for batch in writes.chunks(COMPANIES_IN_A_BATCH) {
            let counts = Counts::of(batch);
            let event = self.event(trigger, Outcome::Done, Some(counts.to_string()));
            let companies: Vec<_> = batch.iter().map(|write| &write.company).collect();
            epoch = Some(self.ground.records.put_companies(epoch, &companies, &event).await?);
            *written = *written + counts;
        }
        Ok(())
    }

    /// Audits an operator's command that changed nothing. One that changed companies is in the
    /// audit log with its batches.
    async fn record_command(
        &self,
        trigger: &Trigger,
        result: &Result<Synchronised, SyncFailure>,
    ) -> Result<(), SyncFailure> {
        let Trigger::Operator { accept, .. } = trigger else { return Ok(()) };
        let outcome = match result {
            Ok(done) if done.counts != Counts::default() => return Ok(()),
            Ok(_) => Outcome::Done,
            Err(failure) => failure.outcome(),
        };
        let note = accept.then(|| "any number of missing companies was to be accepted".to_owned());
        let mut writing = self.ground.records.writing();
        writing.event(&self.event(trigger, outcome, note)).await?;
        writing.commit().await?;
        Ok(())
    }

    fn event(&self, trigger: &Trigger, outcome: Outcome, note: Option<String>) -> Event {
        let actor = match trigger {
            Trigger::Daemon => None,
            Trigger::Operator { actor, .. } => Some(actor.clone()),
        };
        Event {
            at: self.ground.clock.now(),
            actor,
            action: Action::Synchronise,
            target: Target::default(),
            note,
            outcome,
        }
    }

    /// Keeps the result for the warnings, and logs it where it is new.
    fn update_status(&self, result: &Result<Synchronised, SyncFailure>) {
        let mut status = self.synchroniser.status();
        match result {
            Ok(done) => {
                *status = Status { failure: None, unusable: done.unusable.clone() };
                if done.counts != Counts::default() {
                    tracing::info!(counts = %done.counts, "companies were synchronised");
                }
            }
            Err(SyncFailure::Stopping) => {}
            Err(failure) => {
                let reason = failure.to_string();
                if status.failure.as_ref() != Some(&reason) {
                    let cause = failure.cause();
                    tracing::warn!(reason, cause, "companies are not up to date");
                }
                status.failure = Some(reason);
            }
        }
    }
}

fn walk_list(companies: &[DirectoryCompany]) -> Walk {
    match Listing::of(companies) {
        Ok(listing) => Walk { listing, end: WalkEnd::Complete },
        Err(_) => {
            Walk { listing: Listing::default(), end: WalkEnd::Inconsistent(TOO_MANY_COMPANIES) }
        }
    }
}

fn already_running() -> Error {
    Error::new(Kind::Busy, "Companies are being synchronised already.")
}
