//! Compares what is known of a store with what is there.

use std::path::{Path, PathBuf};

use super::reached::Reached;
use super::stock::Stock;
use super::tip::Known;
use super::{Guarded, Safeguards};
use crate::error::OpenError;
use crate::loss::{Loss, Reason};

/// What is known before the engine opens the files.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) known: Known,
    /// No file has any content.
    pub(super) bare: bool,
    /// The files at the last clean end.
    pub(super) clean: Option<Stock>,
}

impl Before {
    /// Whether nothing shows that there ever was a commit.
    pub(super) fn is_new(&self) -> bool {
        self.bare && self.never_acknowledged()
    }

    fn never_acknowledged(&self) -> bool {
        match self.known {
            Known::Missing => self.clean.is_none(),
            Known::At(reached) => reached == Reached::default(),
            Known::Damaged => false,
        }
    }
}

/// The store as it was found.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) reached: Reached,
    /// What it has lost, where it was opened despite that.
    pub(super) loss: Option<Loss>,
}

/// Whether the engine may open the files of the store in `path`. Where there is none, a new one may
/// be made only where nothing shows that there was one.
pub(super) fn files(
    path: &Path,
    before: &Before,
    safeguards: &Safeguards,
) -> Result<(), OpenError> {
    if !before.bare {
        return Ok(());
    }
    if !before.is_new() {
        return Err(gone(path, super::Place::of(path).tip_path()));
    }
    check_evidence(path, safeguards)
}

/// Judges the content of an opened store, and records what it has reached where the engine has not.
pub(super) fn content(
    engine: &mut impl Guarded,
    path: &Path,
    before: &Before,
    safeguards: &Safeguards,
) -> Result<Judgement, OpenError> {
    let damaged = |cause| OpenError::damaged(path, cause);
    let found = engine.count().map_err(damaged)?;
    let recorded = engine.recorded().map_err(damaged)?;
    // A store that was made and never written to is as good as none.
    let is_unused = recorded.is_none_or(|recorded| recorded == Reached::default());
    let is_empty = is_unused && found.entries == 0;
    if is_empty && before.never_acknowledged() {
        check_evidence(path, safeguards)?;
        return adopt(engine, path, Reached::default(), None);
    }
    if is_empty {
        return Err(gone(path, super::Place::of(path).tip_path()));
    }
    // With the first tip: an earlier opening was undone after it had made that one.
    let is_of_older_format = recorded.is_none() && before.never_acknowledged();
    if is_of_older_format {
        return adopt(engine, path, found, None);
    }
    match lost(before.known, recorded, found) {
        None => Ok(Judgement { reached: recorded.unwrap_or(found), loss: None }),
        Some(loss) if !safeguards.despite_loss => {
            Err(OpenError::Lost { path: path.to_owned(), loss })
        }
        Some(loss) => {
            let known = [Some(found), recorded, acknowledged(before.known)];
            let last = known.into_iter().flatten().map(|reached| reached.revision).max();
            let revision = last.unwrap_or(0).saturating_add(1);
            adopt(engine, path, Reached { revision, ..found }, Some(loss))
        }
    }
}

fn adopt(
    engine: &mut impl Guarded,
    path: &Path,
    reached: Reached,
    loss: Option<Loss>,
) -> Result<Judgement, OpenError> {
    engine.record(reached).map_err(|cause| OpenError::damaged(path, cause))?;
    Ok(Judgement { reached, loss })
}

fn lost(known: Known, recorded: Option<Reached>, found: Reached) -> Option<Loss> {
    let tip = acknowledged(known);
    let has = recorded.unwrap_or(found);
    let loss = |reason, expected: Option<Reached>| Loss {
        reason,
        has: (has.revision, found.entries),
        acknowledged: expected.map(|expected| (expected.revision, expected.entries)),
    };
    let behind = |tip: &Reached| recorded.is_none_or(|recorded| recorded.revision < tip.revision);
    if let Some(tip) = tip.filter(behind) {
        return Some(loss(Reason::Behind, Some(tip)));
    }
    let is_whole = recorded.is_some_and(|recorded| recorded.has_entries_of(&found));
    // The first tip knows of no commit.
    let exchanged = tip.filter(|tip| *tip != Reached::default() && tip.revision == has.revision);
    let exchanged = exchanged.filter(|tip| !tip.has_entries_of(&found));
    if !is_whole || exchanged.is_some() {
        return Some(loss(Reason::Entries, exchanged.or(recorded)));
    }
    match known {
        Known::At(_) => None,
        Known::Missing => Some(loss(Reason::TipMissing, None)),
        Known::Damaged => Some(loss(Reason::TipDamaged, None)),
    }
}

fn acknowledged(known: Known) -> Option<Reached> {
    match known {
        Known::At(reached) => Some(reached),
        Known::Missing | Known::Damaged => None,
    }
}

fn check_evidence(path: &Path, safeguards: &Safeguards) -> Result<(), OpenError> {
    match safeguards.evidence.iter().find(|evidence| has_content(evidence)) {
        Some(evidence) => Err(gone(path, evidence.clone())),
        None => Ok(()),
    }
}

/// Whether a file or a directory is there and not empty: an administrator may have made it.
fn has_content(path: &Path) -> bool {
    let is_full_directory = || path.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    path.metadata()
        .is_ok_and(|about| if about.is_dir() { is_full_directory() } else { about.len() > 0 })
}

fn gone(path: &Path, evidence: PathBuf) -> OpenError {
    OpenError::Gone { path: path.to_owned(), evidence }
}

/// Logs which files are not as they were left. The content decides whether anything is lost.
pub(super) fn warn_of(changed: &[PathBuf]) {
    for file in changed {
        tracing::error!(
            file = %file.display(),
            "the file {} of the store is not as it was left when the daemon ended: it was changed, \
             or is damaged",
            file.display()
        );
    }
}
