//! Synchronising: the directory is walked at start, at intervals and when an operator asks, one
//! walk at a time, and what changed is written in batches of whole companies. A walk that is cut
//! short by the end of the daemon has done no harm; the next one goes on.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, Either, select};
use tokio::sync::{oneshot, watch};

use super::listed::Found;
use super::plan::{Counts, Questionable, Write, is_questionable, plan};
use super::walk::{End, LONGEST_WALK, Walked, walk};
use super::{Companies, Source};
use crate::access::{Grant, Operate};
use crate::error::{Error, Kind};
use crate::ids::CompanyId;
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::random_16;
use crate::ports::store::Revision;
use crate::records::{COMPANIES_IN_A_BATCH, CommitError};

/// How often what was found is written anew when another daemon writes, too.
const ATTEMPTS: usize = 4;

/// What a synchronisation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synchronised {
    /// What was written.
    pub counts: Counts,
    /// How many companies of the directory cannot be used: without an id, or without any name.
    pub unusable: usize,
}

/// Where synchronising stands.
#[derive(Default)]
pub(super) struct Synchroniser {
    running: Arc<tokio::sync::Mutex<()>>,
    stopping: watch::Sender<bool>,
    standing: Mutex<Standing>,
}

/// What the last synchronisation left behind that operators should know.
#[derive(Default)]
struct Standing {
    trouble: Option<String>,
    unusable: usize,
}

/// Who wants a synchronisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Daemon,
    Operator { accept: bool },
}

/// Why nothing, or not everything, was synchronised.
#[derive(Debug)]
enum Failure {
    /// The directory did not answer to the end; what it did say is written, unless a call never
    /// came back.
    Interrupted(String),
    /// What it said makes no sense.
    Senseless(&'static str),
    Questionable(Questionable),
    /// Other daemons kept writing.
    Contended,
    Stopping,
    Ours(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interrupted(why) => {
                write!(f, "the directory of companies could not be read to its end: {why}")
            }
            Self::Senseless(why) => {
                write!(f, "what the directory of companies says makes no sense: {why}")
            }
            Self::Questionable(Questionable { vanished, there }) => write!(
                f,
                "the directory lacks {vanished} of {there} companies; nothing was changed. If that is right: \
                 credsmith vault sync --accept"
            ),
            Self::Contended => f.write_str("another daemon kept changing the companies meanwhile"),
            Self::Stopping => f.write_str("the daemon is ending"),
            Self::Ours(_) => {
                f.write_str("the companies cannot be read or written; the log says why")
            }
        }
    }
}

impl Synchroniser {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Companies {
    /// Checks that companies can be read, and has them synchronised from now on. A list of the
    /// configuration is in effect when this returns; a directory is not waited for.
    ///
    /// # Errors
    /// `Internal` when the store fails, or a record cannot be read.
    pub async fn start(self: &Arc<Self>) -> Result<(), Error> {
        self.view().await?;
        match &self.source {
            Source::Listed(_) => match self.synchronise(By::Daemon).await {
                Err(Failure::Ours(error)) => Err(error),
                // The warnings tell.
                Ok(_) | Err(_) => Ok(()),
            },
            Source::Directory(_) => {
                let companies = Arc::clone(self);
                let work = async move { companies.synchronise_until_stopped().await };
                self.ground.tasks.spawn("synchronise companies", Box::pin(work));
                Ok(())
            }
        }
    }

    /// Ends the walk that is under way, and begins no other. What was read can still be read.
    pub fn stop(&self) {
        self.synchroniser.stopping.send_replace(true);
    }

    /// What operators should know, as sentences. None: all is well.
    pub fn warnings(&self) -> Vec<String> {
        let standing = self.synchroniser.standing();
        let unusable = (standing.unusable > 0).then(|| {
            format!(
                "{} companies of the directory have no usable id or name; they are left out",
                standing.unusable
            )
        });
        standing.trouble.clone().into_iter().chain(unusable).collect()
    }

    /// Synchronises now. With `accept`, however many companies the directory lacks. Whether or not
    /// somebody waits, it goes on to its end.
    ///
    /// # Errors
    /// `Busy` while a walk is under way already, or the daemon is ending; `Conflict` when more than
    /// a tenth and more than ten companies would be missing, and that is not accepted: nothing has
    /// changed then; `Upstream` when the directory cannot be read to its end; `Internal` when the
    /// store fails.
    pub async fn sync(
        self: &Arc<Self>,
        _grant: Grant<Operate>,
        accept: bool,
    ) -> Result<Synchronised, Error> {
        let (tell, told) = oneshot::channel();
        let companies = Arc::clone(self);
        let work: BoxFuture<'static, ()> = Box::pin(async move {
            let result = companies.synchronise(By::Operator { accept }).await;
            // Nobody there any more: the audit log and the warnings have it.
            let _ = tell.send(result);
        });
        self.ground.tasks.spawn("synchronise companies for an operator", work);
        match told.await {
            Ok(result) => result.map_err(told_to_operators),
            Err(_) => Err(Error::internal("the synchronisation ended without a result")),
        }
    }

    async fn synchronise_until_stopped(self: Arc<Self>) {
        let mut stopping = self.synchroniser.stopping.subscribe();
        while !*stopping.borrow_and_update() {
            // Whatever came of it stands in the warnings; busy is an operator who was faster.
            let _ = self.synchronise(By::Daemon).await;
            let pause = self.ground.clock.sleep(self.interval);
            let stop = pin!(stopping.changed());
            if let Either::Right((Err(_), _)) = select(pause, stop).await {
                return;
            }
        }
    }

    async fn synchronise(&self, by: By) -> Result<Synchronised, Failure> {
        let Ok(_one_at_a_time) = self.synchroniser.running.try_lock() else {
            return Err(Failure::Ours(Error::new(
                Kind::Busy,
                "Companies are being synchronised already.",
            )));
        };
        let result = self.walk_and_write(by).await;
        self.note(&result);
        self.answer_for(by, &result).await?;
        result
    }

    async fn walk_and_write(&self, by: By) -> Result<Synchronised, Failure> {
        let Walked { found, end } = self.walk().await?;
        let complete = match &end {
            End::Complete => true,
            End::Interrupted(_) => false,
            End::Senseless(why) => return Err(Failure::Senseless(why)),
        };
        let counts = self.write(&found, complete, by).await?;
        match end {
            End::Interrupted(why) => Err(Failure::Interrupted(why)),
            End::Complete | End::Senseless(_) => {
                Ok(Synchronised { counts, unusable: found.useless() })
            }
        }
    }

    async fn walk(&self) -> Result<Walked, Failure> {
        let directory = match &self.source {
            Source::Directory(directory) => directory,
            Source::Listed(companies) => {
                let too_many =
                    |_| Failure::Senseless("it has more companies than anybody can have");
                return Ok(Walked {
                    found: Found::of(companies).map_err(too_many)?,
                    end: End::Complete,
                });
            }
        };
        let walk = pin!(walk(&**directory, &*self.ground.clock));
        match select(walk, pin!(self.reason_to_cut())).await {
            Either::Left((walked, _)) => Ok(walked),
            Either::Right((failure, _)) => Err(failure),
        }
    }

    /// Resolves when a walk has to end, wherever it is.
    async fn reason_to_cut(&self) -> Failure {
        let mut stopping = self.synchroniser.stopping.subscribe();
        let stop = pin!(stopping.wait_for(|stopping| *stopping));
        match select(stop, self.ground.clock.sleep(LONGEST_WALK)).await {
            Either::Left(_) => Failure::Stopping,
            Either::Right(_) => Failure::Interrupted("it took too long".to_owned()),
        }
    }

    async fn write(&self, found: &Found, complete: bool, by: By) -> Result<Counts, Failure> {
        let mut written = Counts::default();
        for _ in 0..ATTEMPTS {
            let view = self.view().await?;
            let fresh_id = || CompanyId::from_random(random_16(&*self.ground.entropy));
            let writes = plan(&view, found, complete, self.ground.clock.now(), fresh_id);
            if let Some(questionable) =
                is_questionable(&view, &writes).filter(|_| by != By::Operator { accept: true })
            {
                return Err(Failure::Questionable(questionable));
            }
            match self.write_all(view.epoch, &writes, by, &mut written).await {
                Ok(()) => return Ok(written),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(Failure::Ours(error)),
            }
        }
        Err(Failure::Contended)
    }

    async fn write_all(
        &self,
        mut epoch: Option<Revision>,
        writes: &[Write],
        by: By,
        written: &mut Counts,
    ) -> Result<(), CommitError> {
        for batch in writes.chunks(COMPANIES_IN_A_BATCH) {
            let counts = Counts::of(batch);
            let event = self.event(by, Outcome::Done, Some(counts.to_string()));
            let companies: Vec<_> = batch.iter().map(|write| &write.company).collect();
            epoch = Some(self.ground.records.put_companies(epoch, &companies, &event).await?);
            *written = *written + counts;
        }
        Ok(())
    }

    /// An operator's command is in the audit log also where it changed nothing.
    async fn answer_for(
        &self,
        by: By,
        result: &Result<Synchronised, Failure>,
    ) -> Result<(), Failure> {
        let (By::Operator { accept }, outcome) = (by, outcome_of(result)) else { return Ok(()) };
        if result.as_ref().is_ok_and(|done| done.counts != Counts::default()) {
            return Ok(());
        }
        let note = accept.then(|| "whatever is missing was to be accepted".to_owned());
        let mut writing = self.ground.records.writing();
        writing.event(&self.event(by, outcome, note)).await?;
        match writing.commit().await {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict) => Err(Failure::Contended),
            Err(CommitError::Failed(error)) => Err(Failure::Ours(error)),
        }
    }

    fn event(&self, by: By, outcome: Outcome, note: Option<String>) -> Event {
        Event {
            at: self.ground.clock.now(),
            actor: matches!(by, By::Operator { .. }).then_some(Actor::Operator),
            action: Action::Synchronise,
            target: Target::default(),
            note,
            outcome,
        }
    }

    /// Keeps what operators should know, and logs it where it is news.
    fn note(&self, result: &Result<Synchronised, Failure>) {
        let mut standing = self.synchroniser.standing();
        match result {
            Ok(done) => {
                *standing = Standing { trouble: None, unusable: done.unusable };
                if done.counts != Counts::default() {
                    tracing::info!(counts = %done.counts, "companies were synchronised");
                }
            }
            Err(Failure::Stopping) => {}
            Err(failure) => {
                let words = failure.to_string();
                let cause = if let Failure::Ours(error) = failure { error.cause() } else { None };
                if standing.trouble.as_ref() != Some(&words) {
                    tracing::warn!(reason = words, cause, "companies are not up to date");
                }
                standing.trouble = Some(words);
            }
        }
    }
}

fn outcome_of(result: &Result<Synchronised, Failure>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(failure @ Failure::Questionable(_)) => Outcome::Refused(failure.to_string()),
        Err(failure) => Outcome::Failed(failure.to_string()),
    }
}

fn told_to_operators(failure: Failure) -> Error {
    let words = failure.to_string();
    let kind = match failure {
        Failure::Ours(error) => return error,
        Failure::Interrupted(_) | Failure::Senseless(_) => Kind::Upstream,
        Failure::Questionable(_) => Kind::Conflict,
        Failure::Contended | Failure::Stopping => Kind::Busy,
    };
    Error::new(kind, words)
}
