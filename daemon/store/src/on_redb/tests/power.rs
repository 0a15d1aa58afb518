//! Losses of power. Every write, change of length and sync of a run is recorded: three lives of a
//! store, with commits, closes and openings. A loss of power at any moment leaves what was synced,
//! and of the later writes any selection, in any order, each one whole or torn at sectors.
//!
//! Covered: all that redb does to its file. Not covered: the directory entry of the file, which is
//! synced before a store is used (`opening.rs`), and a drive that loses what it has synced.

use std::path::Path;

use super::disk::{Disk, Op, apply};
use super::{on, options};
use crate::power_cuts::{Acknowledged, Dice, check, commit};

const SECTOR: usize = 512;
const LIVES: u64 = 3;
const COMMITS: u64 = 24;
/// States that are opened and looked at.
const CUTS: usize = 1350;

/// What was recorded: the disk when the first life began, and everything after that.
struct Recording {
    first: Vec<u8>,
    ops: Vec<Op>,
    revisions: Vec<u64>,
}

async fn record() -> Recording {
    let disk = Disk::default();
    let mut first = Vec::new();
    let mut revisions = vec![0];
    let mut begin = 0;
    for life in 0..LIVES {
        let store = on(&disk, options(Path::new("nowhere"))).unwrap();
        if life == 0 {
            (first, begin) = (disk.image(), disk.ops().len());
        }
        for number in life * COMMITS + 1..=(life + 1) * COMMITS {
            let Acknowledged { number, revision } = commit(&store, number).await;
            revisions.push(revision);
            disk.add(Op::Acknowledged(number));
        }
        store.close().await.unwrap();
    }
    Recording { first, ops: disk.ops().split_off(begin), revisions }
}

impl Recording {
    /// The state of the disk after a loss of power behind the first `count` operations, and what
    /// was acknowledged by then. `honest`: syncs do what they promise.
    fn cut(&self, count: usize, honest: bool, dice: &mut Dice) -> (Vec<u8>, Acknowledged) {
        let done = &self.ops[..count];
        let last = |wanted: fn(&Op) -> bool| done.iter().rposition(wanted).map_or(0, |at| at + 1);
        let synced = if honest { last(|op| matches!(op, Op::Sync)) } else { 0 };
        let mut image = self.first.clone();
        done[..synced].iter().for_each(|op| apply(&mut image, op));
        for op in selection(&done[synced..], dice) {
            apply(&mut image, &op);
        }
        let numbers = done.iter().filter_map(|op| match op {
            Op::Acknowledged(number) => Some(*number),
            _ => None,
        });
        let number = numbers.max().unwrap_or_default();
        (image, Acknowledged { number, revision: self.revisions[usize::try_from(number).unwrap()] })
    }
}

/// What reaches the disk of operations that no sync has followed.
fn selection(unsynced: &[Op], dice: &mut Dice) -> Vec<Op> {
    let all = dice.below(8) == 0;
    let mut kept: Vec<Op> = unsynced.iter().filter(|_| all || dice.coin()).cloned().collect();
    if dice.coin() {
        kept = kept.into_iter().flat_map(|op| torn(op, dice)).collect();
    }
    if dice.coin() {
        for at in (1..kept.len()).rev() {
            kept.swap(at, dice.below(at + 1));
        }
    }
    kept
}

/// Some sectors of a write.
fn torn(op: Op, dice: &mut Dice) -> Vec<Op> {
    let Op::Write { offset, bytes } = op else { return vec![op] };
    let sectors = bytes.chunks(SECTOR).enumerate().map(|(number, sector)| Op::Write {
        offset: offset + number * SECTOR,
        bytes: sector.to_vec(),
    });
    let whole = dice.below(3) == 0;
    sectors.filter(|_| whole || dice.coin()).collect()
}

/// What is wrong with a state.
async fn fault(image: Vec<u8>, acknowledged: Acknowledged) -> Option<String> {
    match on(&Disk::of(image), options(Path::new("nowhere"))) {
        Ok(store) => check(&store, acknowledged).await.err(),
        Err(error) => Some(format!("after {acknowledged:?} it does not open: {error:?}")),
    }
}

async fn faults(recording: &Recording, cuts: usize, honest: bool) -> Vec<String> {
    let mut dice = Dice(u64::from(honest));
    let mut faults = Vec::new();
    for cut in 0..cuts {
        // Every moment in turn, so that none is missed.
        let count = if honest { cut } else { dice.below(usize::MAX >> 1) };
        let count = count % (recording.ops.len() + 1);
        let (image, acknowledged) = recording.cut(count, honest, &mut dice);
        let fault = fault(image, acknowledged).await;
        faults.extend(fault.map(|fault| format!("cut {cut}, after {count} operations: {fault}")));
    }
    faults
}

#[tokio::test]
async fn a_loss_of_power_loses_nothing_acknowledged() {
    let recording = record().await;
    assert!(recording.ops.len() < CUTS, "{} moments, not all are tried", recording.ops.len());
    let faults = faults(&recording, CUTS, true).await;
    assert!(faults.is_empty(), "{} of {CUTS}: {faults:#?}", faults.len());
}

/// The test above can fail: on a drive whose syncs do nothing it does.
#[tokio::test]
async fn without_syncs_it_would() {
    let recording = record().await;
    let faults = faults(&recording, 90, false).await;
    assert!(faults.len() > 45, "only {} of 90 cuts have lost something", faults.len());
}
