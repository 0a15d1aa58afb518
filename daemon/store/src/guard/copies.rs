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

/// Does `work`, and again after the oldest copy was removed, as long as it finds no room on the
/// disk. The newest copy stays: what stands in the store has not been found in order yet.
pub(super) fn make_room<T>(
    copies: Option<&Copies>,
    mut work: impl FnMut() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let mut older = match copies {
        Some(copies) if copies.directory.is_dir() => kept(&copies.directory)?,
        _ => Vec::new(),
    };
    older.pop();
    let mut older = older.iter();
    loop {
        let done = work();
        if !matches!(done, Err(OpenError::NoRoom { .. })) {
            return done;
        }
        let Some(oldest) = older.next() else { return done };
        tracing::warn!(
            directory = %oldest.display(),
            "the disk is almost full: the oldest copy of the store, {}, is removed",
            oldest.display()
        );
        copy::remove(oldest)?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn no_room() -> OpenError {
        OpenError::NoRoom { path: PathBuf::new(), needed: 2, free: 1 }
    }

    #[test]
    fn without_room_for_an_opening_older_copies_go_and_the_newest_stays() {
        let root = tempfile::tempdir().unwrap();
        let copies = Copies { directory: root.path().to_owned(), count: 3 };
        let left = || kept(root.path()).unwrap().len();
        for revision in [1, 2, 3] {
            fs::create_dir(root.path().join(name(revision))).unwrap();
        }
        make_room(Some(&copies), || Ok(())).unwrap();
        assert_eq!(left(), 3, "there was room");
        make_room(Some(&copies), || if left() == 3 { Err(no_room()) } else { Ok(()) }).unwrap();
        assert_eq!(left(), 2);
        let refused = make_room(Some(&copies), || Err::<(), _>(no_room())).unwrap_err();
        assert!(matches!(refused, OpenError::NoRoom { .. }), "{refused}");
        assert_eq!(kept(root.path()).unwrap(), [root.path().join(name(3))]);
        make_room(None, || Err::<(), _>(no_room())).unwrap_err();
        let missing = Copies { directory: root.path().join("missing"), count: 3 };
        make_room(Some(&missing), || Ok(())).unwrap();
    }
}
