//! Copies of the last good state: the files of a store as they were before an opening that found
//! everything. Kept by number, oldest first to go, and a new one once a day at most.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::copy;
use super::place::Place;
use crate::error::OpenError;

/// Restarts within this time keep no further copy: a daemon that is started over and over would
/// push out the older ones.
pub(super) const EVERY: Duration = Duration::from_secs(24 * 3600);

/// How many copies are kept, and where.
#[derive(Debug, Clone)]
pub struct Copies {
    /// The directory of the copies, on the file system of the store.
    pub directory: PathBuf,
    /// How many; 0: none, and those that are there stay.
    pub count: usize,
}

/// Makes the files that `place` has kept the newest copy, or removes them. Never fails a start.
pub(super) fn keep(place: &Place, copies: Option<&Copies>, revision: u64) -> Result<(), OpenError> {
    let Some(copies) = copies.filter(|copies| copies.count > 0) else { return place.discard() };
    match try_keep(place, copies, revision) {
        Ok(true) => Ok(()),
        Ok(false) => place.discard(),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "no copy of the store was kept");
            place.discard()
        }
    }
}

fn try_keep(place: &Place, copies: &Copies, revision: u64) -> Result<bool, OpenError> {
    // Nothing is kept where the files were moved to another place.
    if place.kept()?.is_none() {
        return Ok(false);
    }
    copy::make_directory(&copies.directory)?;
    let mut kept = kept(&copies.directory)?;
    if kept.last().is_some_and(|newest| is_recent(newest)) {
        return Ok(false);
    }
    let newest = copies.directory.join(name(revision));
    place.move_kept(&newest)?;
    kept.retain(|path| *path != newest);
    let excess = (kept.len() + 1).saturating_sub(copies.count);
    kept.iter().take(excess).try_for_each(|oldest| copy::remove(oldest))?;
    Ok(true)
}

/// The copies that are there, oldest first.
fn kept(directory: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(OpenError::io(directory, "list"))?;
    let mut kept: Vec<_> = entries
        .into_iter()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_name))
        .map(|entry| entry.path())
        .collect();
    kept.sort();
    Ok(kept)
}

fn name(revision: u64) -> String {
    format!("store-{revision:020}")
}

fn is_name(name: &str) -> bool {
    let digits = name.strip_prefix("store-");
    digits.is_some_and(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn is_recent(copy: &Path) -> bool {
    let made = fs::metadata(copy.join("list")).and_then(|about| about.modified());
    made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age < EVERY))
}
