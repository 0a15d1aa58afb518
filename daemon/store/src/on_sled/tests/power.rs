//! Losses of power. sled takes no disk of a test's own, so the log's file is looked at from
//! outside: before each sync, the sectors that have changed since the one before are recorded. A
//! loss of power leaves what was synced, and of the changed sectors any selection: that is every
//! drop, tear and order of the writes between two syncs, as long as no sector is written twice
//! between them.
//!
//! Covered: the log, from the first commit of a store on. Not covered: states in which an earlier
//! of two writes to one sector has survived; the files that sled writes when it opens a store and
//! never syncs (`conf`, `snap.*`), which the daemon syncs or which are built anew; a freed segment
//! that is written again (README.md).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::{Sled, SledOptions, opening, options};
use crate::on_sled::write::SyncFile;
use crate::power_cuts::{Acknowledged, Dice, check, commit};

const SECTOR: usize = 512;
const PAGE: usize = 8 * SECTOR;
const COMMITS: u64 = 60;
/// States that are opened and looked at.
const CUTS: usize = 240;

/// Sectors that have changed, by number.
type Changes = Vec<(usize, Vec<u8>)>;

/// What happened to the log: its first content, and the changes before each sync.
#[derive(Debug, Default)]
struct Recording {
    image: Vec<u8>,
    syncs: Vec<Changes>,
    /// The tip of the guard before each sync: it knows the commits that were acknowledged by then.
    tips: Vec<Vec<u8>>,
}

impl Recording {
    /// Adds what has changed in the file.
    fn look(&mut self, file: &File, tip: &Path) {
        self.tips.push(fs::read(tip).unwrap());
        let mut now = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut now, 0).unwrap();
        self.image.resize(now.len().max(self.image.len()), 0);
        let sectors = now.chunks(SECTOR).zip(self.image.chunks(SECTOR)).enumerate();
        let changes = sectors.filter(|(_, (new, old))| new != old);
        self.syncs.push(changes.map(|(number, (new, _))| (number, new.to_vec())).collect());
        self.image = now;
    }
}

struct WatchedFile {
    file: File,
    tip: PathBuf,
    recording: Arc<Mutex<Recording>>,
}

impl SyncFile for WatchedFile {
    fn sync_data(&mut self) -> io::Result<()> {
        self.recording.lock().unwrap().look(&self.file, &self.tip);
        self.file.sync_data()
    }
}

/// A store's life: its directory as it was when it was opened, what happened to its log after
/// that, and the acknowledged commits, the first of which is none.
struct Life {
    directory: TempDir,
    begin: Vec<u8>,
    syncs: Vec<Changes>,
    tips: Vec<Vec<u8>>,
    acknowledged: Vec<Acknowledged>,
}

async fn live() -> Life {
    let directory = TempDir::new().unwrap();
    let recording = Arc::new(Mutex::new(Recording::default()));
    let watched = Arc::clone(&recording);
    let tip = directory.path().join("store.guard/tip");
    let store = opening::open(options(directory.path()), move |tree, file| {
        watched.lock().unwrap().look(&file, &tip);
        (Box::new(tree), Box::new(WatchedFile { file, tip, recording: watched }))
    });
    let store = store.unwrap();
    let begin = recording.lock().unwrap().image.clone();
    recording.lock().unwrap().syncs.clear();
    recording.lock().unwrap().tips.clear();
    let mut acknowledged = vec![Acknowledged::default()];
    for number in 1..=COMMITS {
        acknowledged.push(commit(&store, number).await);
    }
    let Recording { syncs, tips, .. } = std::mem::take(&mut *recording.lock().unwrap());
    assert_eq!(syncs.len() as u64, COMMITS, "a sync for each commit");
    Life { directory, begin, syncs, tips, acknowledged }
}

impl Life {
    /// What is wrong after a loss of power while the changes before sync number `sync` were under
    /// way, on a disk that has kept those before sync number `kept`.
    async fn fault(&self, kept: usize, sync: usize, dice: &mut Dice) -> Option<String> {
        let mut log = self.begin.clone();
        let mut put = |(number, bytes): &(usize, Vec<u8>)| {
            let at = number * SECTOR;
            log.resize(log.len().max(at + bytes.len()), 0);
            log[at..at + bytes.len()].copy_from_slice(bytes);
        };
        self.syncs[..kept].iter().flatten().for_each(&mut put);
        let all = dice.below(8) == 0;
        let unit = if dice.coin() { PAGE / SECTOR } else { 1 };
        let mut coins = std::collections::BTreeMap::new();
        for change in self.syncs[kept..=sync].iter().flatten() {
            if all || *coins.entry(change.0 / unit).or_insert_with(|| dice.coin()) {
                put(change);
            }
        }
        let directory = TempDir::new().unwrap();
        self.restore(&directory.path().join("store"), &log);
        let guard = directory.path().join("store.guard");
        fs::DirBuilder::new().mode(0o700).create(&guard).unwrap();
        fs::write(guard.join("tip"), &self.tips[sync]).unwrap();
        let acknowledged = self.acknowledged[sync];
        match Sled::open(SledOptions::new(directory.path().join("store"))) {
            Ok(store) => {
                let outcome = check(&store, acknowledged).await;
                store.close().await.unwrap();
                outcome.err()
            }
            Err(error) => Some(format!("after {acknowledged:?} it does not open: {error:?}")),
        }
    }

    /// Makes the directory of a store with that log.
    fn restore(&self, place: &Path, log: &[u8]) {
        fs::DirBuilder::new().mode(0o700).create(place).unwrap();
        fs::create_dir(place.join("blobs")).unwrap();
        for entry in fs::read_dir(self.directory.path().join("store")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if path.is_file() && name != "db" && name != "lock" {
                fs::copy(&path, place.join(name)).unwrap();
            }
        }
        let file = File::create(place.join("db")).unwrap();
        file.set_len(log.len() as u64).unwrap();
        for (number, page) in
            log.chunks(PAGE).enumerate().filter(|(_, page)| page.iter().any(|b| *b != 0))
        {
            file.write_all_at(page, (number * PAGE) as u64).unwrap();
        }
    }
}

#[tokio::test]
async fn a_loss_of_power_loses_nothing_acknowledged() {
    let life = live().await;
    let mut dice = Dice(1);
    let mut faults = Vec::new();
    for cut in 0..CUTS {
        let sync = cut % life.syncs.len();
        let fault = life.fault(sync, sync, &mut dice).await;
        faults.extend(fault.map(|fault| format!("cut {cut}: {fault}")));
    }
    assert!(faults.is_empty(), "{} of {CUTS}: {faults:#?}", faults.len());
}

/// sled alone acknowledges after its flush, which syncs nothing: what the committer's sync is for,
/// and the proof that the test above can fail.
#[tokio::test]
async fn sled_alone_would() {
    let life = live().await;
    let mut dice = Dice(2);
    let mut faults = 0;
    for cut in 0..30 {
        let sync = 10 + cut;
        faults += usize::from(life.fault(0, sync, &mut dice).await.is_some());
    }
    assert!(faults > 15, "only {faults} of 30 cuts have lost something");
}
