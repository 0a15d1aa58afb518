//! A bit of the file that has changed while no daemon ran: the opening finds it, or it was in a
//! place that means nothing. Never is another content read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use credsmith_core::ports::store::{Batch, Key, Page, Store};

use super::disk::Disk;
use super::{Redb, RedbOptions, on, options};
use crate::power_cuts::Dice;

const FLIPS: usize = 300;

fn checked(verify: bool) -> RedbOptions {
    RedbOptions { verify, ..options(Path::new("nowhere")) }
}

async fn filled() -> Vec<u8> {
    let disk = Disk::default();
    let store = on(&disk, checked(true)).unwrap();
    for number in 0..400 {
        let key = Key::new(format!("lease/{number:04}"));
        let filled = Batch::default().put(key, vec![b'v'; 60 + number % 300]);
        let filled = filled.put(Key::new(format!("due/{number:04}")), "");
        store.commit(filled).await.unwrap();
    }
    store.close().await.unwrap();
    disk.image()
}

async fn content(store: Arc<Redb>) -> Option<Page> {
    let read = tokio::spawn(async move { store.scan(&Key::new(""), None, 10_000).await });
    read.await.ok()?.ok()
}

/// What became of flips: refused at the opening, refused at a read, harmless, unnoticed.
#[derive(Debug, Default)]
struct Outcome {
    refused: usize,
    unreadable: usize,
    harmless: usize,
    unnoticed: usize,
}

async fn flip(verify: bool) -> Outcome {
    let image = filled().await;
    let whole = on(&Disk::of(image.clone()), checked(verify)).unwrap();
    let whole = content(Arc::new(whole)).await.unwrap();
    let mut dice = Dice(7);
    let mut outcome = Outcome::default();
    for _ in 0..FLIPS {
        let mut damaged = image.clone();
        let at = dice.below(damaged.len());
        damaged[at] ^= 1 << dice.below(8);
        let disk = Disk::of(damaged);
        let opened = catch_unwind(AssertUnwindSafe(|| on(&disk, checked(verify))));
        let Ok(Ok(store)) = opened else {
            outcome.refused += 1;
            continue;
        };
        match content(Arc::new(store)).await {
            None => outcome.unreadable += 1,
            Some(page) if page.entries == whole.entries => outcome.harmless += 1,
            Some(_) => outcome.unnoticed += 1,
        }
    }
    outcome
}

#[tokio::test]
async fn a_flipped_bit_is_found_when_the_store_opens() {
    let outcome = flip(true).await;
    assert_eq!((outcome.unreadable, outcome.unnoticed), (0, 0), "{outcome:?}");
    // The others are in pages that are free.
    assert!(outcome.refused > FLIPS / 4, "{outcome:?}");
}

/// The reason for `verify`.
#[tokio::test]
async fn without_verification_a_flipped_bit_may_pass() {
    let outcome = flip(false).await;
    assert!(outcome.unnoticed > 0, "{outcome:?}: then `verify` need not be paid for");
}
