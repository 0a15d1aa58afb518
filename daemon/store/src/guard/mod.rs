//! Watches over the files of a store, above every engine: nothing that was acknowledged is lost in
//! silence, and a start that is refused leaves the files as they were.
//!
//! | file | what it does |
//! |---|---|
//! | `stock` | reads every file once before an engine may open them |
//! | `place`, `copy` | keeps a copy of the files until the opening has found everything |
//! | `reached` | what an engine records of its own content, group by group |
//! | `tip` | knows the last acknowledged commit, outside the store |
//! | `copies` | keeps copies of the last good state |
//! | `judge` | compares all of that |
//!
//! An opening goes: take stock, copy, let the engine open, count every entry, compare with the
//! engine's own record and with the tip; then the copy goes, or it is put back. Each group of
//! commits moves the tip before it is acknowledged. At the end of the last use the files are noted
//! with their digests.
//!
//! Never here: the format of an engine, a repair, a deletion of what could be the newest data.

mod copies;
mod copy;
mod judge;
mod place;
mod reached;
mod stock;
#[cfg(test)]
mod tests;
mod tip;

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use credsmith_core::error::BoxedCause;
use parking_lot::Mutex;

use crate::directory::Directory;
use crate::error::OpenError;
use crate::fatal::panic_text;
use crate::loss::Loss;
use judge::{Before, Judgement};
use place::Place;
use stock::{Reader, Stock, read_file};
use tip::Tip;

pub use copies::Copies;
pub(crate) use reached::{REACHED_BYTES, Reached};

/// How long an engine may take to let go of its files after it was dropped.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// How a store is watched over.
#[derive(Debug, Clone, Default)]
pub struct Safeguards {
    /// Files and directories that exist only where there was a store: where one of them is and the
    /// store is not, no new store is made.
    pub evidence: Vec<PathBuf>,
    /// Copies of the last good state.
    pub copies: Option<Copies>,
    /// The files can be put back until the store is settled: by closing it, or by the next start.
    /// Until then nothing that is committed counts as acknowledged. A new store is settled at once.
    pub held: bool,
    /// Opens a store that has lost something too, and holds it.
    pub despite_loss: bool,
}

/// An engine that has opened its files, as its guard needs it.
pub(crate) trait Guarded {
    /// What the engine recorded with its last group; `None` in a store without a group, or of a
    /// format that recorded nothing.
    fn recorded(&self) -> Result<Option<Reached>, BoxedCause>;

    /// Reads every entry and counts it. The revision of the result does not matter.
    fn count(&self) -> Result<Reached, BoxedCause>;

    /// Records `reached`, durably, and lets revisions go on above it.
    fn record(&mut self, reached: Reached) -> Result<(), BoxedCause>;
}

/// Watches over one store while it is open. Dropped last: it holds the lock of the directory.
#[derive(Debug)]
pub(crate) struct Guard {
    place: Place,
    safeguards: Safeguards,
    watched: Mutex<Watched>,
    _directory: Directory,
}

#[derive(Debug)]
struct Watched {
    /// The last acknowledged commit.
    reached: Reached,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The store is as it is.
    Settled(Tip),
    /// It is put back at its end, unless it is settled. What it has lost.
    Held(Option<Loss>, Kept),
    /// The files were put back.
    PutBack,
    /// It was settled, and the tip could not follow.
    Unfinished,
}

/// The files of a store before it was opened.
#[derive(Debug)]
struct Kept {
    stock: Stock,
    clean: Option<Stock>,
}

/// Opens a store: `open` has the engine open the files in `directory`.
///
/// # Errors
/// The store is not all there, or cannot be read. Its files are then as they were.
pub(crate) fn open<E: Guarded>(
    directory: Directory,
    safeguards: &Safeguards,
    open: impl FnOnce(&Directory) -> Result<E, OpenError>,
) -> Result<(E, Guard), OpenError> {
    open_with(directory, safeguards, &read_file, open)
}

fn open_with<E: Guarded>(
    directory: Directory,
    safeguards: &Safeguards,
    reader: Reader<'_>,
    open: impl FnOnce(&Directory) -> Result<E, OpenError>,
) -> Result<(E, Guard), OpenError> {
    let place = Place::of(directory.path());
    undo_broken_opening(&place)?;
    let stock = Stock::take(&place.store, reader)?;
    let clean = place.at_clean_end()?;
    let before = Before { known: place.known()?, bare: stock.is_bare(), clean: clean.clone() };
    judge::files(&place.store, &before, safeguards)?;
    judge::warn_of(&clean.as_ref().map(|clean| stock.differences(clean)).unwrap_or_default());

    place.make()?;
    copies::make_room(safeguards.copies.as_ref(), || place.keep(&stock, reader))?;
    if before.is_new() {
        // The tip of a new store comes before the store: without one, files are of an older format.
        place.tip(Reached::default())?;
    }
    place.forget_clean_end()?;
    let kept = Kept { stock, clean };
    let is_held = safeguards.despite_loss || safeguards.held && !before.is_new();
    let opened = opened(&place, &before, safeguards, || open(&directory));
    let settled = opened.and_then(|(engine, Judgement { reached, loss })| {
        let settling = Settling { reached, is_whole: loss.is_none(), accepted: None };
        let tip = if is_held { None } else { Some(settle(&place, safeguards, &settling)?) };
        Ok((engine, reached, loss, tip))
    });
    let (engine, reached, loss, tip) = match settled {
        Ok(settled) => settled,
        Err(error) => {
            put_back(&place, &kept)?;
            return Err(error);
        }
    };
    let state = tip.map_or(State::Held(loss, kept), State::Settled);
    let watched = Mutex::new(Watched { reached, state });
    let safeguards = safeguards.clone();
    Ok((engine, Guard { place, safeguards, watched, _directory: directory }))
}

/// A daemon that died amid an opening may have left anything in the files, and an operator may have
/// put others there since.
fn undo_broken_opening(place: &Place) -> Result<(), OpenError> {
    let Some(stock) = place.kept()? else {
        if let Some(kept) = place.keep_unmoved()? {
            tracing::warn!(
                directory = %kept.display(),
                "the files of the store from before it was settled are kept in {}",
                kept.display()
            );
        }
        return Ok(());
    };
    tracing::warn!("an opening of the store broke off; its files are put back as they were before");
    if let Some(kept) = place.undo(&stock)? {
        tracing::warn!(
            directory = %kept.display(),
            "the files that stood in the store until now are kept in {}; if they are of a backup that \
             was put there, stop the daemon and put them back once more",
            kept.display()
        );
    }
    Ok(())
}

/// Has the engine open its files, and judges what it found. An engine that found too little is
/// dropped here.
fn opened<E: Guarded>(
    place: &Place,
    before: &Before,
    safeguards: &Safeguards,
    open: impl FnOnce() -> Result<E, OpenError>,
) -> Result<(E, Judgement), OpenError> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut engine = open()?;
        match judge::content(&mut engine, &place.store, before, safeguards) {
            Ok(judgement) => Ok((engine, judgement)),
            Err(error) => {
                // Some engines panic over damaged data when they are dropped, too.
                let _panicked = catch_unwind(AssertUnwindSafe(|| drop(engine)));
                Err(error)
            }
        }
    }));
    outcome.unwrap_or_else(|payload| Err(OpenError::damaged(&place.store, panic_text(&*payload))))
}

/// A store that is about to be settled.
struct Settling {
    reached: Reached,
    /// Whether it has lost nothing.
    is_whole: bool,
    /// Where the files are moved that stood there before an operator accepted a loss.
    accepted: Option<PathBuf>,
}

/// Takes the store as it is. The removal of the list of the copy is what settles it: before, the
/// files can be put back, and the tip is as it was; after, they cannot, and the tip follows. A
/// store that is ahead of its tip opens.
fn settle(place: &Place, safeguards: &Safeguards, settling: &Settling) -> Result<Tip, OpenError> {
    let Settling { reached, is_whole, accepted } = settling;
    if *is_whole {
        // A store of an older format has no tip. With the first one it opens in either form;
        // without one, the new form would not.
        place.tip(Reached::default())?;
    }
    if let Some(accepted) = accepted {
        place.move_kept(accepted)?;
    }
    copies::keep(place, safeguards.copies.as_ref(), reached.revision)?;
    let mut tip = place.tip(*reached)?;
    tip.advance(*reached).map_err(OpenError::io(&place.tip_path(), "write"))?;
    Ok(tip)
}

/// Puts the files back, unless the store was settled.
fn put_back(place: &Place, kept: &Kept) -> Result<(), OpenError> {
    if !place.can_put_back() {
        tracing::warn!("the store is settled; its files stay as they are");
        return Ok(());
    }
    if !is_released(place) {
        tracing::warn!(
            "the engine still holds the files of the store; they are put back as new ones"
        );
    }
    place.put_back(&kept.stock)?;
    kept.clean.as_ref().map_or(Ok(()), |clean| place.note_clean_end(clean))
}

/// Waits until no thread of the engine holds a file any more: engines lock theirs, and some let go
/// of them on a thread of their own.
fn is_released(place: &Place) -> bool {
    let nothing = |_: &std::path::Path| Ok(Box::new(io::empty()) as Box<dyn io::Read>);
    let Ok(stock) = Stock::take(&place.store, &nothing) else { return false };
    let give_up = Instant::now() + RELEASE_TIMEOUT;
    stock.0.keys().all(|name| {
        loop {
            let locked = File::open(place.store.join(name)).map(|file| file.try_lock().is_ok());
            match locked {
                Ok(true) | Err(_) => return true,
                Ok(false) if Instant::now() >= give_up => return false,
                Ok(false) => thread::sleep(Duration::from_millis(2)),
            }
        }
    })
}

impl Guard {
    /// Records that the store has come as far as `reached`. The commits up to there may be
    /// acknowledged when this returns.
    ///
    /// # Errors
    /// The tip could not be written: acknowledge nothing.
    pub(crate) fn advance(&self, reached: Reached) -> io::Result<()> {
        let mut watched = self.watched.lock();
        watched.reached = reached;
        match &mut watched.state {
            State::Settled(tip) => tip.advance(reached),
            // The tip stays as it is.
            State::Held(..) | State::PutBack => Ok(()),
            State::Unfinished => Err(io::Error::other("the store could not be settled")),
        }
    }

    /// What the store has lost, as long as it is held.
    pub(crate) fn loss(&self) -> Option<Loss> {
        match &self.watched.lock().state {
            State::Held(loss, _) => loss.clone(),
            State::Settled(_) | State::PutBack | State::Unfinished => None,
        }
    }

    /// Takes the store as it is now, with what it has lost. Returns where the files are kept as
    /// they were, if they were opened despite a loss.
    ///
    /// # Errors
    /// A file could not be written. The next start says whether the store is settled.
    pub(crate) fn settle(&self) -> Result<Option<PathBuf>, OpenError> {
        let mut watched = self.watched.lock();
        let State::Held(loss, _) = &watched.state else { return Ok(None) };
        let (reached, is_whole) = (watched.reached, loss.is_none());
        let accepted = self.safeguards.despite_loss.then(|| self.place.accepted(reached.revision));
        let settling = Settling { reached, is_whole, accepted };
        match settle(&self.place, &self.safeguards, &settling) {
            Ok(tip) => {
                watched.state = State::Settled(tip);
                Ok(settling.accepted)
            }
            Err(error) => {
                if !self.place.can_put_back() {
                    watched.state = State::Unfinished;
                }
                Err(error)
            }
        }
    }

    /// Called when the engine was dropped after a clean end: notes its files, or puts them back
    /// where the store was not settled.
    pub(crate) fn end(&self) {
        let mut watched = self.watched.lock();
        let ended = match &watched.state {
            State::Settled(_) => self.note_clean_end(),
            State::Held(_, kept) => put_back(&self.place, kept),
            State::PutBack | State::Unfinished => Ok(()),
        };
        if matches!(watched.state, State::Held(..)) {
            watched.state = State::PutBack;
        }
        if let Err(error) = ended {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            // The next start treats it as an unclean end.
            tracing::warn!(%error, cause, "the files of the store were not noted");
        }
    }

    fn note_clean_end(&self) -> Result<(), OpenError> {
        if !is_released(&self.place) {
            tracing::warn!("the engine still holds the files of the store, which were not noted");
            return Ok(());
        }
        let stock = Stock::take(&self.place.store, &read_file)?;
        self.place.note_clean_end(&stock)
    }
}
