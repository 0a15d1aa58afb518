//! The audit log as a file: events leave the store's outbox and become lines.
//!
//! A round writes lines at the end of the file, and when they are durable there, one batch removes
//! their events from the store and records where the log ends. Between the two a daemon may die:
//! the file is then ahead of the store by the lines of one round, whose events still wait. These
//! lines are authenticated, made durable where they stand, and recorded instead of being written a
//! second time. A line that was cut off while it was written is removed. Any other line that the
//! store does not know shows that the store is an older one ([`Behind`]).
//!
//! Nothing else is ever changed in the file. Where it does not end as it was left, writing stops
//! and readiness says so; events wait in the store. What comes before its end is not read here:
//! [`super::Verifier`] checks that.

mod ahead;

use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::Mutex;

pub use self::ahead::Behind;
use self::ahead::{Ahead, last_number};
use super::line::write;
use super::verify::{Check, LONGEST_LINE};
use crate::error::{BoxedCause, Error};
use crate::ground::Ground;
use crate::keyring::{Authenticator, Keyring};
use crate::model::mark::Mark;
use crate::ports::audit::{AuditEcho, AuditFile};
use crate::ports::store::{Expected, Store};
use crate::ports::{Clock, Entropy};
use crate::records::{AUDIT_BATCH, AuditEnd, CommitError, Outgoing, Records};

/// The purpose of the key that signs lines.
pub(super) const PURPOSE: &str = "audit log";
/// Batches of the store that one write to the file serves: writing durably costs the same for few
/// lines and many.
const BATCHES: usize = 8;
/// Most lines of one write.
const ROUND: usize = BATCHES * AUDIT_BATCH;
/// How much is read of a file that was moved away: more than a round has.
const MOST_MOVED: usize = 64 * PIECE;
/// How often an empty outbox is read.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long to wait when something failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the same trouble is logged.
const REPEAT: Duration = Duration::from_secs(60);
/// How much of the file is read at a time.
const PIECE: usize = 4 * LONGEST_LINE;

/// Writes the audit log.
pub struct AuditLog {
    ground: Arc<Ground>,
    file: Arc<dyn AuditFile>,
    echo: Arc<dyn AuditEcho>,
    key: Authenticator,
    /// Held while the file is written.
    writing: Mutex<Place>,
    trouble: SyncMutex<Trouble>,
}

/// The state of the file.
#[derive(Default)]
struct Place {
    /// The end of the file was checked by this process.
    seen: bool,
    /// Where a write failed, and how many bytes it has left there at most.
    failed: Option<(u64, u64)>,
}

#[derive(Default)]
struct Trouble {
    sentence: Option<String>,
    /// The store is older than the log.
    behind: Option<Behind>,
    logged: Option<Duration>,
    /// A key in the outbox that is not one of an event, as a sentence.
    strange: Option<String>,
    strange_logged: Option<Duration>,
}

/// Where the log ends, and which record of the store says so.
struct Position {
    end: AuditEnd,
    expected: Expected,
    /// Bytes behind the end that are written over.
    left: u64,
}

impl AuditLog {
    /// The log in `file`, each line of which is echoed to `echo` when it is durable. Nothing is
    /// written before [`AuditLog::start`].
    pub fn new(
        ground: Arc<Ground>,
        file: Arc<dyn AuditFile>,
        echo: Arc<dyn AuditEcho>,
    ) -> Arc<Self> {
        let key = ground.records.authenticator(PURPOSE);
        let (writing, trouble) = (Mutex::default(), SyncMutex::default());
        Arc::new(Self { ground, file, echo, key, writing, trouble })
    }

    /// Looks whether the store is as new as the log, before anything is served from it.
    ///
    /// # Errors
    /// [`Behind`]: the log has lines that the store has forgotten. A file that cannot be read is no
    /// error here: it is reported by [`AuditLog::trouble`] for as long as events wait.
    pub async fn begin(&self) -> Result<(), Behind> {
        let looked = self.position(&mut *self.writing.lock().await).await.map(drop);
        self.note(looked.as_ref().err());
        self.troubles().behind.map_or(Ok(()), Err)
    }

    /// Starts writing events, until the daemon stops.
    pub fn start(self: &Arc<Self>) {
        let log = Arc::clone(self);
        self.ground
            .tasks
            .spawn("audit log", Box::pin(async move { log.write_until_stopped().await }));
    }

    /// Writes every event that waits. For the end of the daemon, when no more events come.
    ///
    /// # Errors
    /// `Internal` when the file or the store fails; events that were not written wait in the store.
    pub async fn finish(&self) -> Result<(), Error> {
        self.ground.flush_remarks().await?;
        while self.round().await? {}
        Ok(())
    }

    /// Why events wait, or what is wrong with the outbox, for operators.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.troubles();
        trouble.sentence.clone().or_else(|| trouble.strange.clone())
    }

    /// The check for a log that begins with line `from`, as of now.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn check(&self, from: u64) -> Result<Check, Error> {
        check(&self.ground.records, from).await
    }

    async fn write_until_stopped(&self) {
        let mut stopping = self.ground.stopping();
        while !*stopping.borrow_and_update() {
            let round = self.round().await;
            self.note(round.as_ref().err());
            let pause = match round {
                Ok(true) => continue,
                Ok(false) => LOOK_EVERY,
                Err(_) => PAUSE,
            };
            let stop = std::pin::pin!(stopping.changed());
            if let Either::Right((Err(_), _)) = select(self.ground.clock.sleep(pause), stop).await {
                return;
            }
        }
    }

    /// Keeps the failure for operators, and logs it, once a minute at most.
    fn note(&self, error: Option<&Error>) {
        let now = self.ground.clock.monotonic();
        let mut trouble = self.troubles();
        trouble.sentence = error.map(|error| {
            let why = error.cause().unwrap_or_else(|| error.to_string());
            format!("the audit log cannot be written, and events wait in the store: {why}")
        });
        let Some(error) = error else { return };
        if is_due(&mut trouble.logged, now) {
            tracing::error!(%error, cause = error.cause(), "the audit log cannot be written; events wait in the store");
        }
    }

    /// The events that wait, oldest first. Keys that are not of events are skipped, and reported
    /// for as long as they are there.
    async fn outgoing(&self, most: usize) -> Result<Vec<Outgoing>, Error> {
        let outbox = self.records().outgoing_events(most).await?;
        let now = self.ground.clock.monotonic();
        let mut trouble = self.troubles();
        match outbox.strange {
            Some(error) => {
                let why = error.cause().unwrap_or_else(|| error.to_string());
                trouble.strange = Some(format!(
                    "the outbox of the audit log holds something that is no event: {why}"
                ));
                if is_due(&mut trouble.strange_logged, now) {
                    tracing::error!(%error, cause = error.cause(), "the outbox of the audit log holds something that is no event");
                }
            }
            // It may be behind what was read.
            None if outbox.more => {}
            None => trouble.strange = None,
        }
        Ok(outbox.events)
    }

    fn troubles(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn records(&self) -> &Records {
        &self.ground.records
    }

    /// Writes the events that wait, up to a bound. Returns whether there may be more.
    async fn round(&self) -> Result<bool, Error> {
        let mut place = self.writing.lock().await;
        if place.seen && self.outgoing(1).await?.is_empty() {
            return Ok(false);
        }
        let mut at = self.position(&mut place).await?;
        // Read after catching up with the file: events that are in it already wait no more.
        let waiting = self.outgoing(ROUND).await?;
        if waiting.is_empty() {
            return Ok(false);
        }
        let (lines, ends) = self.lines(&at.end, &waiting);
        let (begin, length) = (at.end.bytes, lines.len() as u64);
        if let Err(error) = self.file.write(begin, at.left, lines.into()).await {
            // A part may have been written, and none of it counts as durable.
            place.failed = Some((begin, length.max(at.left)));
            return Err(file_failed(error));
        }
        place.failed = None;
        for (end, events) in ends.into_iter().zip(waiting.chunks(AUDIT_BATCH)) {
            let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
            self.remember(&mut at, end, &ids).await?;
            events.iter().for_each(|outgoing| self.echo(outgoing));
        }
        Ok(waiting.len() == ROUND)
    }

    /// Shows an event in the daemon's log, within the span of the request that caused it.
    fn echo(&self, outgoing: &Outgoing) {
        if let Some(event) = outgoing.event() {
            outgoing.span.in_scope(|| self.echo.echo(&event));
        }
    }

    /// The lines of `waiting`, and where the log ends after each batch of them.
    fn lines(&self, end: &AuditEnd, waiting: &[Outgoing]) -> (Vec<u8>, Vec<AuditEnd>) {
        let (mut lines, mut mark, mut ends) = (Vec::new(), end.mark, Vec::new());
        for batch in waiting.chunks(AUDIT_BATCH) {
            for event in batch {
                mark = write(&mut lines, &mark, &event.id, &event.json, &self.key);
            }
            ends.push(AuditEnd { mark, bytes: end.bytes + lines.len() as u64 });
        }
        (lines, ends)
    }

    async fn remember(
        &self,
        at: &mut Position,
        end: AuditEnd,
        ids: &[String],
    ) -> Result<(), Error> {
        match self.records().put_audit_end(at.expected, &end, ids).await {
            Ok(revision) => {
                *at = Position { end, expected: Expected::At(revision), left: 0 };
                Ok(())
            }
            Err(CommitError::Conflict) => {
                Err(Error::internal("another daemon writes the audit log of this store"))
            }
            Err(CommitError::Failed(error)) => Err(error),
        }
    }

    /// The position to write at: the end of the file, once it is what the store says.
    async fn position(&self, place: &mut Place) -> Result<Position, Error> {
        let (end, expected) = self.records().audit_end().await?;
        let mut at = Position { end, expected, left: 0 };
        let length = self.file.length().await.map_err(file_failed)?;
        if length == 0 {
            // It is new, or the old one was moved away.
            if !place.seen {
                self.follow_moved_file(&mut at).await?;
            }
            at.end.bytes = 0;
        } else if let Some(left) = self.left_by_failed_write(place, &at.end, length).await? {
            at.left = left;
        } else if !(place.seen
            && length == at.end.bytes
            && self.is_at_end_of(&at.end, length).await?)
        {
            self.catch_up(&mut at, length).await?;
        }
        place.seen = true;
        Ok(at)
    }

    /// How many bytes stand behind the end that this process failed to write: whether they are
    /// durable is unknown, and reading them back shows nothing, so they are written over.
    async fn left_by_failed_write(
        &self,
        place: &Place,
        end: &AuditEnd,
        length: u64,
    ) -> Result<Option<u64>, Error> {
        let Some((begin, most)) = place.failed else { return Ok(None) };
        let left = length.checked_sub(begin).filter(|left| *left <= most);
        let is_same_place =
            begin == 0 || begin == end.bytes && self.is_at_end_of(end, length).await?;
        Ok(left.filter(|_| is_same_place))
    }

    /// Reads on from where the store says that the log ends. Lines there are written once more over
    /// themselves before they count: an earlier process may have died between write and sync.
    async fn catch_up(&self, at: &mut Position, length: u64) -> Result<(), Error> {
        if !self.is_at_end_of(&at.end, length).await? {
            // A new file that the store does not know yet, because the daemon died over its first
            // lines?
            at.end.bytes = 0;
        }
        let begin = at.end.bytes;
        let mut bytes = self.read_ahead(begin).await?;
        let ahead = Ahead::read(&bytes, &at.end.mark, &self.key);
        self.check_ahead(at, &ahead, length).await?;
        let left = length.saturating_sub(begin);
        if ahead.length() as u64 == left {
            if left == 0 {
                return Ok(());
            }
        } else {
            tracing::warn!(
                after = at.end.mark.number,
                "a line of the audit log was cut off while it was written; it is written anew"
            );
        }
        if ahead.lines.is_empty() {
            return self.file.cut(begin).await.map_err(file_failed);
        }
        bytes.truncate(ahead.length());
        self.file.write(begin, left, bytes.into()).await.map_err(file_failed)?;
        self.adopt(at, &ahead, begin).await
    }

    /// What stands behind `begin`: more than a round can have left, if there is that much.
    async fn read_ahead(&self, begin: u64) -> Result<Vec<u8>, Error> {
        let (mut bytes, mut lines) = (Vec::new(), 0);
        loop {
            let from = begin + bytes.len() as u64;
            let piece = self.file.read(from, PIECE).await.map_err(file_failed)?;
            lines += piece.iter().filter(|byte| **byte == b'\n').count();
            bytes.extend_from_slice(&piece);
            if piece.len() < PIECE || lines > ROUND {
                return Ok(bytes);
            }
        }
    }

    /// Lines ahead of the store are those of one round that was cut off, or the store is an older
    /// one.
    async fn check_ahead(&self, at: &Position, ahead: &Ahead, length: u64) -> Result<(), Error> {
        let is_round = ahead.lines.len() <= ROUND && self.all_wait(ahead).await?;
        if !is_round || ahead.leaves_out.is_some() {
            return Err(self.behind(at, ahead, Some(length)).await?);
        }
        if ahead.ends_well { Ok(()) } else { Err(not_as_left(at)) }
    }

    /// Whether the events of these lines still wait in the store.
    async fn all_wait(&self, ahead: &Ahead) -> Result<bool, Error> {
        for line in &ahead.lines {
            if !self.records().is_outgoing(&line.id).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn behind(
        &self,
        at: &Position,
        ahead: &Ahead,
        length: Option<u64>,
    ) -> Result<Error, Error> {
        let mut written = ahead.lines.last().map(|line| line.mark.number).or(ahead.leaves_out);
        if let Some(length) = length {
            let from = length.saturating_sub(PIECE as u64);
            let tail = self.file.read(from, PIECE).await.map_err(file_failed)?;
            written = written.max(last_number(&tail));
        }
        let known = at.end.mark.number;
        let behind = Behind { known, written: written.unwrap_or(known) };
        self.troubles().behind = Some(behind);
        Ok(Error::internal(behind))
    }

    /// The file was moved away while no daemon ran. Lines of a round that was cut off stand in it.
    async fn follow_moved_file(&self, at: &mut Position) -> Result<(), Error> {
        let tail = tail_of(&at.end);
        let Some(from) = at.end.bytes.checked_sub(tail.len() as u64) else { return Ok(()) };
        for moved in self.file.moved(from, MOST_MOVED).await.map_err(file_failed)? {
            let Some(rest) = moved.strip_prefix(&*tail) else { continue };
            let ahead = Ahead::read(rest, &at.end.mark, &self.key);
            if ahead.lines.is_empty() {
                continue;
            }
            if ahead.lines.len() > ROUND || !self.all_wait(&ahead).await? {
                return Err(self.behind(at, &ahead, None).await?);
            }
            tracing::warn!(
                lines = ahead.lines.len(),
                "the audit log was moved away before the store knew of its last lines, which are in the moved file"
            );
            self.adopt(at, &ahead, at.end.bytes).await?;
            return Ok(());
        }
        if at.end.mark != Mark::START && !self.outgoing(1).await?.is_empty() {
            tracing::warn!(
                after = at.end.mark.number,
                "the audit log was moved away while no daemon ran; if the daemon was killed before, the first lines of the new file may stand in the moved one too"
            );
        }
        Ok(())
    }

    /// Whether the last line that the store knows of stands in a file of that `length` where it was
    /// written.
    async fn is_at_end_of(&self, end: &AuditEnd, length: u64) -> Result<bool, Error> {
        let tail = tail_of(end);
        let Some(from) = end.bytes.checked_sub(tail.len() as u64).filter(|_| end.bytes <= length)
        else {
            return Ok(false);
        };
        Ok(self.file.read(from, tail.len()).await.map_err(file_failed)? == tail)
    }

    /// Records lines that are durable in the file from `begin` on.
    async fn adopt(&self, at: &mut Position, ahead: &Ahead, begin: u64) -> Result<(), Error> {
        for batch in ahead.lines.chunks(AUDIT_BATCH) {
            let Some(last) = batch.last() else { continue };
            let end = AuditEnd { mark: last.mark, bytes: begin + last.end as u64 };
            let ids: Vec<_> = batch.iter().map(|line| line.id.clone()).collect();
            self.remember(at, end, &ids).await?;
        }
        Ok(())
    }
}

/// The check for the log of `store` that begins with line `from`, where no daemon runs.
///
/// # Errors
/// `Internal` when the store fails.
pub async fn check_of(
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    from: u64,
) -> Result<Check, Error> {
    check(&Records::new(store, keyring, clock, entropy), from).await
}

async fn check(records: &Records, from: u64) -> Result<Check, Error> {
    let (end, _) = records.audit_end().await?;
    Ok(Check { key: Some(records.authenticator(PURPOSE)), end: Some(end.mark), from })
}

/// The end of the last line that the store knows of, as it stands in the file.
fn tail_of(end: &AuditEnd) -> Vec<u8> {
    if end.mark == Mark::START { Vec::new() } else { end.mark.tail() }
}

/// Whether a failure that was `logged` then is to be logged again at `now`, which is noted.
fn is_due(logged: &mut Option<Duration>, now: Duration) -> bool {
    let is_due = logged.is_none_or(|last| now.saturating_sub(last) >= REPEAT);
    if is_due {
        *logged = Some(now);
    }
    is_due
}

fn file_failed(error: BoxedCause) -> Error {
    Error::internal(error)
}

fn not_as_left(at: &Position) -> Error {
    Error::internal(format!(
        "what stands in the file does not go on from line {} of the log: copy it first, then move it to another place, and the log goes on in a new one",
        at.end.mark.number
    ))
}

#[cfg(test)]
mod tests;
