//! The guard over a toy engine, whose every read can fail, and over the real ones, whose files are
//! damaged at a thousand places.

mod damage;
mod toy;

use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use self::toy::Toy;
use super::{Copies, Guard, Safeguards, Stock, open, open_with, read_file};
use crate::directory::Directory;
use crate::error::OpenError;

/// A directory in memory where there is one: a thousand openings sync a lot.
pub(super) fn directory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// A store of the toy engine, and what was acknowledged.
struct Site {
    root: TempDir,
    safeguards: Safeguards,
}

impl Site {
    fn new() -> Self {
        Self { root: directory(), safeguards: Safeguards::default() }
    }

    fn store(&self) -> PathBuf {
        self.root.path().join("store")
    }

    fn open(&self) -> Result<(Toy, Guard), OpenError> {
        let claimed = Directory::claim(&self.store()).unwrap();
        open(claimed, &self.safeguards, |directory| Toy::open(directory.path(), None))
    }

    /// A daemon that adds these entries; it ends in order where `cleanly`.
    fn run(&self, entries: std::ops::Range<u64>, cleanly: bool) {
        let (mut toy, guard) = self.open().unwrap();
        for entry in entries {
            guard.advance(toy.add(&format!("entry {entry}"))).unwrap();
        }
        drop(toy);
        if cleanly {
            guard.end();
        }
    }

    fn files(&self) -> Stock {
        Stock::take(&self.store(), &read_file).unwrap()
    }

    /// Every file beside the store, but for the lock.
    fn all_files(&self) -> Stock {
        Stock::take(self.root.path(), &read_file).unwrap()
    }

    fn entries(&self) -> usize {
        let (toy, _guard) = self.open().unwrap();
        toy.lines().len()
    }
}

/// Fails at the read with that number, of all files together.
struct Failing<'a>(Box<dyn Read>, &'a Cell<usize>);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.1.get() {
            0 => Err(io::Error::from_raw_os_error(5)),
            left => {
                self.1.set(left - 1);
                self.0.read(buffer)
            }
        }
    }
}

#[test]
fn a_read_error_at_any_read_of_the_guard_refuses_and_changes_nothing() {
    for cleanly in [true, false] {
        let site = Site::new();
        site.run(0..50, cleanly);
        fs::write(site.store().join("more"), vec![7; 600 << 10]).unwrap();
        if cleanly {
            site.run(50..60, true);
        }
        let before = site.all_files();
        let mut reads = 0;
        loop {
            let left: &'static Cell<usize> = Box::leak(Box::new(Cell::new(reads)));
            let reader = |path: &Path| -> io::Result<Box<dyn Read>> {
                Ok(Box::new(Failing(read_file(path)?, left)))
            };
            let claimed = Directory::claim(&site.store()).unwrap();
            let opened = open_with(claimed, &site.safeguards, &reader, |directory| {
                Toy::open(directory.path(), None)
            });
            let Err(error) = opened else { break };
            assert!(matches!(error, OpenError::Io { .. }), "{reads}: {error}");
            assert_eq!(site.all_files(), before, "read {reads}");
            reads += 1;
        }
        assert!(reads > 10, "{reads} reads are too few to show anything");
        assert!(site.entries() >= 50);
    }
}

/// As sled does: what cannot be read is taken for the end, and what follows is overwritten.
#[test]
fn a_read_error_inside_the_engine_is_found_out_and_undone() {
    for cleanly in [true, false] {
        let site = Site::new();
        site.run(0..50, cleanly);
        let before = site.files();
        for fails_at in 0..=50 {
            let claimed = Directory::claim(&site.store()).unwrap();
            let opened = open(claimed, &site.safeguards, |directory| {
                Toy::open(directory.path(), Some(fails_at))
            });
            let error = opened.err().expect("it should not open");
            let is_reported = matches!(error, OpenError::Lost { .. } | OpenError::Gone { .. });
            assert!(is_reported, "{fails_at}: {error}");
            assert_eq!(site.files(), before, "{fails_at}");
        }
        assert_eq!(site.entries(), 50);
    }
}

#[test]
fn an_opening_that_was_killed_is_undone_by_the_next() {
    let site = Site::new();
    site.run(0..20, true);
    let claimed = Directory::claim(&site.store()).unwrap();
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let place = super::Place::of(claimed.path());
        let stock = site.files();
        place.keep(&stock, &read_file).unwrap();
        place.forget_clean_end().unwrap();
        // The engine has begun to destroy the data when the process dies.
        fs::write(site.store().join(toy::FILE), "").unwrap();
    }));
    killed.unwrap();
    drop(claimed);
    assert_eq!(site.entries(), 20);
    assert!(!site.root.path().join("store.guard/before").exists());
}

/// An operator restores a backup after a start was killed: the next start must not destroy it.
#[test]
fn what_was_put_into_the_store_after_an_opening_broke_off_is_kept() {
    let mut site = Site::new();
    site.safeguards.held = true;
    site.run(0..20, true);
    for attempt in 1..3 {
        // Dropped without an end: the process is killed.
        drop(site.open().unwrap());
        assert!(site.root.path().join("store.guard/before.list").exists());
        for (name, content) in [(toy::FILE, "a backup"), ("more", "of the backup")] {
            fs::write(site.store().join(name), content).unwrap();
        }
        assert_eq!(site.entries(), 20);
        let kept = site.root.path().join(format!("store.guard/displaced-{attempt}"));
        assert_eq!(fs::read_to_string(kept.join(toy::FILE)).unwrap(), "a backup");
        assert_eq!(fs::read_to_string(kept.join("more")).unwrap(), "of the backup");
        assert!(!site.store().join("more").exists());
    }
    // Nothing is kept of files that were not changed.
    assert_eq!(site.entries(), 20);
    assert!(!site.root.path().join("store.guard/displaced-3").exists());
}

#[test]
fn a_store_behind_its_tip_is_refused_and_a_loss_is_accepted_by_command_alone() {
    let mut site = Site::new();
    site.run(0..10, true);
    let older = fs::read(site.store().join(toy::FILE)).unwrap();
    site.run(10..25, true);
    let newest = fs::read(site.store().join(toy::FILE)).unwrap();
    fs::write(site.store().join(toy::FILE), &older).unwrap();
    let before = site.files();
    for _ in 0..2 {
        let error = site.open().err().unwrap();
        let text = error.to_string();
        for part in ["up to 15 commits are missing", "Copy the whole", "store accept"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert_eq!(site.files(), before);
    }

    // Looked at, and declined.
    site.safeguards.despite_loss = true;
    let (mut toy, guard) = site.open().unwrap();
    assert!(guard.loss().is_some());
    guard.advance(toy.add("by the operator")).unwrap();
    drop(toy);
    guard.end();
    drop(guard);
    assert_eq!(site.files(), before, "what was not accepted is undone");

    // The newest state is put back: nothing is lost.
    fs::write(site.store().join(toy::FILE), &newest).unwrap();
    site.safeguards.despite_loss = false;
    assert_eq!(site.entries(), 25);

    // Accepted.
    fs::write(site.store().join(toy::FILE), &older).unwrap();
    site.safeguards.despite_loss = true;
    let (mut toy, guard) = site.open().unwrap();
    guard.advance(toy.add("by the operator")).unwrap();
    let kept = guard.settle().unwrap().unwrap();
    assert_eq!(fs::read(kept.join(toy::FILE)).unwrap(), older);
    assert!(guard.loss().is_none());
    let next = toy.add("after it");
    assert!(next.revision > 25, "no revision comes back: {next:?}");
    guard.advance(next).unwrap();
    drop((toy, guard));
    site.safeguards.despite_loss = false;
    assert_eq!(site.entries(), 12);
}

/// A start that is refused by another part of the daemon leaves the files as they were, too.
#[test]
fn a_store_that_is_not_settled_is_put_back() {
    let mut site = Site::new();
    site.safeguards.held = true;
    site.run(0..5, true);
    let (files, tip) = (site.files(), fs::read(site.root.path().join("store.guard/tip")).unwrap());
    for ended in [true, false] {
        let (mut toy, guard) = site.open().unwrap();
        guard.advance(toy.add("by a start")).unwrap();
        drop(toy);
        if ended {
            guard.end();
            assert_eq!(site.files(), files);
        }
        assert_eq!(fs::read(site.root.path().join("store.guard/tip")).unwrap(), tip);
    }
    // The second one was killed; the next start undoes it.
    let (mut toy, guard) = site.open().unwrap();
    assert_eq!(toy.lines().len(), 5);
    guard.advance(toy.add("by a start")).unwrap();
    assert_eq!(guard.settle().unwrap(), None);
    guard.advance(toy.add("acknowledged")).unwrap();
    drop((toy, guard));
    site.safeguards.held = false;
    assert_eq!(site.entries(), 7);
}

#[test]
fn entries_of_another_moment_are_found_out_at_the_same_revision() {
    let site = Site::new();
    site.run(0..10, true);
    let path = site.store().join(toy::FILE);
    let text = fs::read_to_string(&path).unwrap();
    // A line in the middle is missing, and the last one is there.
    fs::write(&path, text.replace("entry 4\n", "")).unwrap();
    let error = site.open().err().unwrap().to_string();
    assert!(error.contains("it has 9 at revision 10"), "{error}");
    fs::write(&path, text.replace("entry 4\n", "entry 5\n")).unwrap();
    assert!(site.open().is_err());
    fs::write(&path, text).unwrap();
    assert_eq!(site.entries(), 10);
}

#[test]
fn nothing_new_is_made_where_something_was() {
    // The audit log, or compiled plugins, are evidence of a store.
    let mut site = Site::new();
    let evidence = site.root.path().join("audit.jsonl");
    site.safeguards.evidence = vec![site.root.path().join("absent"), evidence.clone()];
    fs::write(&evidence, "a line").unwrap();
    let error = site.open().err().unwrap();
    assert!(matches!(error, OpenError::Gone { .. }), "{error}");
    assert!(error.to_string().contains("audit.jsonl"), "{error}");
    fs::remove_file(&evidence).unwrap();
    site.run(0..3, true);
    fs::write(&evidence, "a line").unwrap();
    assert_eq!(site.entries(), 3);

    // So is the tip, and so is the list of a clean end.
    for gone in [false, true] {
        let site = Site::new();
        site.run(0..3, gone);
        fs::remove_file(site.store().join(toy::FILE)).unwrap();
        for tip in [true, false] {
            if !tip && gone {
                fs::remove_file(site.root.path().join("store.guard/tip")).unwrap();
            }
            let error = site.open().err().unwrap();
            assert!(matches!(error, OpenError::Gone { .. }), "{error}");
            assert!(!site.store().join(toy::FILE).exists());
        }
    }
}

#[test]
fn without_its_tip_a_store_is_refused() {
    for damaged in [false, true] {
        let mut site = Site::new();
        site.run(0..3, true);
        let tip = site.root.path().join("store.guard/tip");
        if damaged {
            fs::write(&tip, "x").unwrap();
        } else {
            fs::remove_file(&tip).unwrap();
        }
        let error = site.open().err().unwrap();
        assert!(matches!(error, OpenError::Lost { .. }), "{error}");
        assert_eq!(tip.exists(), damaged);
        site.safeguards.despite_loss = true;
        let (toy, guard) = site.open().unwrap();
        guard.settle().unwrap();
        drop((toy, guard));
        site.safeguards.despite_loss = false;
        assert_eq!(site.entries(), 3);
    }
}

/// A version that made its tip in place was killed before the first write.
#[test]
fn a_tip_without_content_does_not_lock_a_new_store() {
    let site = Site::new();
    fs::create_dir(site.root.path().join("store.guard")).unwrap();
    fs::write(site.root.path().join("store.guard/tip"), "").unwrap();
    site.run(0..3, true);
    assert_eq!(site.entries(), 3);
    // Of a store with commits it is a missing one.
    fs::write(site.root.path().join("store.guard/tip"), "").unwrap();
    assert!(matches!(site.open().err().unwrap(), OpenError::Lost { .. }));
}

#[test]
fn a_store_of_the_format_without_a_record_is_taken_over() {
    let site = Site::new();
    let claimed = Directory::claim(&site.store()).unwrap();
    fs::write(site.store().join(toy::FILE), "entry 0\nentry 1\n").unwrap();
    drop(claimed);
    site.run(2..4, false);
    assert_eq!(site.entries(), 4);
    // From then on it is watched over.
    fs::write(site.store().join(toy::FILE), "entry 0\nentry 1\n").unwrap();
    assert!(site.open().is_err());
}

#[test]
fn a_group_that_was_not_acknowledged_is_no_loss() {
    let site = Site::new();
    let (mut toy, guard) = site.open().unwrap();
    guard.advance(toy.add("acknowledged")).unwrap();
    // Durable, and the daemon dies before the tip was written.
    toy.add("not acknowledged");
    drop((toy, guard));
    assert_eq!(site.entries(), 2);
}

#[test]
fn copies_of_the_last_good_state_are_rotated() {
    let mut site = Site::new();
    let directory = site.root.path().join("copies");
    site.safeguards.copies = Some(Copies { directory: directory.clone(), count: 2 });
    for start in 0..4 {
        site.run(start..start + 1, true);
        let names = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
        let mut copies: Vec<_> = names.collect();
        copies.sort();
        assert_eq!(copies.len(), (start as usize + 1).min(2), "{copies:?}");
        // It is the store as it was before that start.
        let newest = fs::read_to_string(copies.last().unwrap().join(toy::FILE)).unwrap_or_default();
        assert_eq!(newest.matches("entry").count(), start as usize);
        // Another start of the same day keeps none.
        site.run(0..0, true);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), copies.len());
        // A day passes.
        for copy in copies {
            let list = fs::File::open(copy.join("list")).unwrap();
            let yesterday = std::time::SystemTime::now() - super::copies::EVERY;
            list.set_modified(yesterday).unwrap();
        }
    }
    // What keeps a copy from being made does not keep the daemon from starting.
    fs::remove_dir_all(&directory).unwrap();
    fs::write(&directory, "in the way").unwrap();
    assert_eq!(site.entries(), 4);
}

/// Settling is cut off at each of its steps: what is left is opened by the next start, as it was
/// before or as it is.
#[test]
fn a_store_opens_wherever_settling_was_cut_off() {
    for older_format in [false, true] {
        for cut in ["before it", "first tip", "list gone", "copy gone", "done"] {
            let mut site = Site::new();
            if older_format {
                drop(Directory::claim(&site.store()).unwrap());
                fs::write(site.store().join(toy::FILE), "entry 0\nentry 1\n").unwrap();
            } else {
                site.run(0..2, true);
            }
            site.safeguards.held = true;
            let (mut toy, guard) = site.open().unwrap();
            guard.advance(toy.add("by the start")).unwrap();
            let place = super::Place::of(&site.store());
            match cut {
                "first tip" => drop(place.tip(super::Reached::default()).unwrap()),
                "list gone" | "copy gone" => {
                    place.tip(super::Reached::default()).unwrap();
                    fs::remove_file(site.root.path().join("store.guard/before.list")).unwrap();
                    if cut == "copy gone" {
                        place.discard().unwrap();
                    }
                }
                "done" => drop(guard.settle().unwrap()),
                _ => {}
            }
            drop((toy, guard));
            let is_settled = !["before it", "first tip"].contains(&cut);
            for _ in 0..2 {
                assert_eq!(site.entries(), if is_settled { 3 } else { 2 }, "{older_format} {cut}");
            }
        }
    }
}

/// The tip cannot be written: the copy is gone by then, and its files must not be looked for.
#[test]
fn a_store_whose_tip_did_not_follow_is_not_put_back() {
    let mut site = Site::new();
    site.run(0..5, true);
    let tip = site.root.path().join("store.guard/tip");
    let acknowledged = fs::read(&tip).unwrap();
    fs::remove_file(&tip).unwrap();
    site.safeguards.despite_loss = true;
    let (mut toy, guard) = site.open().unwrap();
    guard.advance(toy.add("by the operator")).unwrap();
    let aside = site.root.path().join("store.guard/tip.new");
    fs::create_dir(&aside).unwrap();
    guard.settle().unwrap_err();
    let settled = site.files();
    drop(toy);
    guard.end();
    assert_eq!(site.files(), settled);
    assert!(guard.advance(super::Reached::default()).is_err(), "nothing is acknowledged");
    drop(guard);
    fs::remove_dir(&aside).unwrap();
    fs::write(&tip, acknowledged).unwrap();
    site.safeguards.despite_loss = false;
    assert_eq!(site.entries(), 6);
}

#[test]
fn a_store_of_an_older_format_whose_first_tip_cannot_be_made_is_put_back() {
    let mut site = Site::new();
    drop(Directory::claim(&site.store()).unwrap());
    fs::write(site.store().join(toy::FILE), "entry 0\nentry 1\n").unwrap();
    let before = site.files();
    site.safeguards.held = true;
    let (mut toy, guard) = site.open().unwrap();
    guard.advance(toy.add("by the start")).unwrap();
    let aside = site.root.path().join("store.guard/tip.new");
    fs::create_dir(&aside).unwrap();
    guard.settle().unwrap_err();
    drop(toy);
    guard.end();
    drop(guard);
    assert_eq!(site.files(), before);
    fs::remove_dir(&aside).unwrap();
    assert_eq!(site.entries(), 2);
}

/// The daemon dies after the list was moved into the copy, and before the copy was moved.
#[test]
fn the_copy_of_a_store_that_was_just_settled_is_not_removed() {
    let mut site = Site::new();
    site.run(0..5, true);
    site.safeguards.held = true;
    drop(site.open().unwrap());
    let guard = site.root.path().join("store.guard");
    fs::rename(guard.join("before.list"), guard.join("before/list")).unwrap();
    assert_eq!(site.entries(), 5);
    assert!(guard.join("displaced-1").join(toy::FILE).exists());
}

/// What is missing from the copy is not "put back already" unless it stands in the store.
#[test]
fn an_opening_to_undo_whose_copy_is_missing_is_refused_and_nothing_is_removed() {
    for whole in [true, false] {
        let mut site = Site::new();
        site.run(0..5, true);
        fs::write(site.store().join("more"), "a second file").unwrap();
        site.safeguards.held = true;
        // Dropped without an end: the process is killed.
        drop(site.open().unwrap());
        let (before, elsewhere) =
            (site.root.path().join("store.guard/before"), site.root.path().join("elsewhere"));
        let (from, to) =
            if whole { (before.clone(), elsewhere) } else { (before.join(toy::FILE), elsewhere) };
        fs::rename(&from, &to).unwrap();
        fs::write(site.store().join(toy::FILE), "a backup").unwrap();
        fs::write(site.store().join("of the backup"), "").unwrap();
        let all = site.all_files();
        for _ in 0..2 {
            let error = site.open().err().unwrap();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("it is missing") && cause.contains("before.list"), "{cause}");
            assert_eq!(site.all_files(), all);
        }
        fs::rename(&to, &from).unwrap();
        assert_eq!(site.entries(), 5);
        assert!(site.root.path().join("store.guard/displaced-1").join(toy::FILE).exists());
    }
    // An attempt that broke off has put one file back already.
    let mut site = Site::new();
    site.run(0..5, true);
    site.safeguards.held = true;
    drop(site.open().unwrap());
    let copied = site.root.path().join("store.guard/before").join(toy::FILE);
    fs::rename(copied, site.store().join(toy::FILE)).unwrap();
    assert_eq!(site.entries(), 5);
}
