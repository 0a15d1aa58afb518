//! A thousand places of a store's files, damaged after an unclean end: whatever the engine makes of
//! it, everything that was acknowledged is there, or the opening is refused and the files are as
//! they were.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use credsmith_core::ports::store::{Batch, Key, Store, Versioned};
use tempfile::TempDir;

use super::{Stock, directory, read_file};
use crate::directory::Directory;
use crate::{OpenError, Sled, SledOptions};

const PAGE: u64 = 4096;
/// An opening mostly waits for threads of the engine to end.
const THREADS: usize = 8;

/// A kind of damage at a place of a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Bit,
    Page,
    Cut,
}

const KINDS: [Damage; 3] = [Damage::Bit, Damage::Page, Damage::Cut];

type Content = BTreeMap<Key, Versioned>;

/// A store that was killed, with what it has acknowledged.
struct Killed {
    root: TempDir,
    content: Content,
}

impl Killed {
    /// Three starts: after a start sled reads the log from there on, so that damage behind it and
    /// damage before it are different cases.
    fn new() -> Self {
        let root = directory();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let place = root.path().join("store");
        let mut found = Content::new();
        for start in 0..3 {
            let store = Sled::open(SledOptions::new(&place)).unwrap();
            runtime.block_on(async {
                for number in 0..150 {
                    let key = |of| Key::new(format!("lease/{:03}/{of}", (number * 7) % 100));
                    let value = format!("{start} {number} {}", "x".repeat(200));
                    let batch = Batch::default().put(key(start), value.clone()).put(key(9), value);
                    store.commit(batch).await.unwrap();
                }
                found = content(&store).await;
                if start < 2 {
                    store.close().await.unwrap();
                }
            });
        }
        // The last one was dropped without an end: its thread lets go of the directory.
        while Directory::claim(&place).is_err() {
            thread::yield_now();
        }
        let content = found;
        Self { root, content }
    }

    /// The files with a content, and how far it goes.
    fn files(&self) -> Vec<(PathBuf, u64)> {
        let stock = Stock::take(&self.root.path().join("store"), &read_file).unwrap();
        let used = |name: &PathBuf| {
            let bytes = fs::read(self.root.path().join("store").join(name)).unwrap();
            bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
        };
        let files = stock.0.keys().map(|name| (name.clone(), used(name)));
        files.filter(|(_, length)| *length > 0).collect()
    }

    fn copy(&self) -> TempDir {
        let to = directory();
        for part in ["store", "store.guard"] {
            super::super::copy::make_directory(&to.path().join(part)).unwrap();
            let from = self.root.path().join(part);
            let stock = Stock::take(&from, &read_file).unwrap();
            super::super::copy::files(&stock, &from, &to.path().join(part), &read_file).unwrap();
        }
        to
    }
}

async fn content(store: &Sled) -> Content {
    let page = store.scan(&Key::new(""), None, 100_000).await.unwrap();
    assert!(!page.more);
    page.entries.into_iter().collect()
}

fn damage(path: &Path, kind: Damage, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    match kind {
        Damage::Bit => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            byte[0] ^= 1 << (at % 8);
            file.write_all_at(&byte, at).unwrap();
        }
        Damage::Page => {
            let begin = at / PAGE * PAGE;
            let end = (begin + PAGE).min(file.metadata().unwrap().len());
            file.write_all_at(&vec![0; (end - begin) as usize], begin).unwrap();
        }
        Damage::Cut => file.set_len(at).unwrap(),
    }
}

/// Returns whether it opened.
fn is_whole_or_refused(killed: &Killed, file: &Path, kind: Damage, at: u64) -> bool {
    let context = format!("{kind:?} at {at} of {}", file.display());
    let root = killed.copy();
    let place = root.path().join("store");
    damage(&place.join(file), kind, at);
    let before = Stock::take(&place, &read_file).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match Sled::open(SledOptions::new(&place)) {
        Ok(store) => {
            assert_eq!(runtime.block_on(content(&store)), killed.content, "{context}");
            true
        }
        Err(error) => {
            let is_reported = matches!(
                error,
                OpenError::Lost { .. }
                    | OpenError::Damaged { .. }
                    | OpenError::Gone { .. }
                    | OpenError::Io { .. }
            );
            assert!(is_reported, "{context}: {error}");
            let after = Stock::take(&place, &read_file).unwrap();
            assert_eq!(after, before, "{context}: the files are not as they were");
            false
        }
    }
}

/// `count` places, spread over all files and their whole length.
fn places(files: &[(PathBuf, u64)], count: u64) -> Vec<(PathBuf, u64)> {
    let total: u64 = files.iter().map(|(_, length)| length).sum();
    let mut places = Vec::new();
    for (name, length) in files {
        let of_file = (count * length / total).max(30).min(*length);
        places.extend((0..of_file).map(|number| (name.clone(), number * length / of_file)));
    }
    places
}

#[test]
fn damage_of_a_killed_store_at_a_thousand_places_is_never_silent() {
    let killed = Killed::new();
    let places = places(&killed.files(), 320);
    let parts: Vec<_> = places.chunks(places.len().div_ceil(THREADS)).collect();
    let opened: Vec<(usize, usize)> = thread::scope(|scope| {
        let killed = &killed;
        let work = |places: &[(PathBuf, u64)]| {
            let all = places.iter().flat_map(|place| KINDS.map(|kind| (place, kind)));
            let outcomes =
                all.map(|((file, at), kind)| is_whole_or_refused(killed, file, kind, *at));
            let outcomes: Vec<bool> = outcomes.collect();
            (outcomes.iter().filter(|opened| **opened).count(), outcomes.len())
        };
        let threads: Vec<_> = parts.iter().map(|part| scope.spawn(move || work(part))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (opened, all) = opened.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(all >= 1000, "{all} places");
    assert!(opened > 0 && opened < all, "{opened} of {all} opened: nothing was tried");
}
