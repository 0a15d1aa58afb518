//! The engines side by side, in one run: commits per second and CPU per commit at 1 and 64 waiters,
//! bytes on disk for each live byte, the time to open after a close and after a crash.
//!
//! `cargo run --release -p credsmith-store --example engines -- [SECONDS] [KEYS]`

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use credsmith_core::ports::store::{Batch, Key, Store, StoreError};
use credsmith_store::{Engine, OnDisk, OnDiskOptions, Redb, RedbOptions};
use tokio::task::JoinSet;

const VALUE: [u8; 300] = [0x5a; 300];
const CACHE: u64 = 16 << 20;
const BATCH: u64 = 4;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: f64 = arguments.next().map_or(Ok(5.0), |text| text.parse())?;
    let keys: u64 = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let mut out = std::io::stdout();
    for engine in Engine::ALL {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("store");
        let store = Arc::new(open(engine, &path)?);
        for waiters in [1, 64] {
            let cpu = cpu_time();
            let commits = measure(&store, waiters, Duration::from_secs_f64(seconds)).await?;
            let cpu = cpu_time().saturating_sub(cpu).as_micros() as f64 / commits as f64;
            let rate = commits as f64 / seconds;
            writeln!(
                out,
                "{engine}: {waiters} waiters: {rate:.0} commits/s, {cpu:.0} us of CPU each"
            )?;
        }
        close(store).await?;

        let path = directory.path().join("filled");
        let store = Arc::new(open(engine, &path)?);
        let live = fill(&store, keys).await?;
        writeln!(
            out,
            "{engine}: {keys} keys: {:.1} bytes on disk for a live one",
            bytes(&path)? as f64 / live as f64
        )?;
        let crashed = directory.path().join("crashed");
        copy(&path, &crashed)?;
        close(store).await?;
        writeln!(
            out,
            "{engine}: closed: {:.1} bytes on disk for a live one",
            bytes(&path)? as f64 / live as f64
        )?;
        for (name, path) in
            [("after a close", &path), ("again", &path), ("after a crash", &crashed)]
        {
            let begun = Instant::now();
            let store = Arc::new(open(engine, path)?);
            writeln!(out, "{engine}: opened {name} in {:.1?}", begun.elapsed())?;
            close(store).await?;
        }
        if engine == Engine::Redb {
            let options =
                RedbOptions { cache_bytes: CACHE, verify: false, ..RedbOptions::new(&path) };
            let begun = Instant::now();
            let store = Redb::open(options)?;
            writeln!(out, "{engine}: opened without verification in {:.1?}", begun.elapsed())?;
            store.close().await?;
        }
    }
    Ok(())
}

fn open(engine: Engine, path: &Path) -> Result<OnDisk, Box<dyn Error>> {
    let options = OnDiskOptions::new(engine, path, CACHE);
    Ok(OnDisk::open(options)?)
}

async fn close(store: Arc<OnDisk>) -> Result<(), Box<dyn Error>> {
    store.close().await?;
    Arc::into_inner(store).ok_or("the store is in use")?;
    Ok(())
}

/// How many commits there were.
async fn measure(
    store: &Arc<OnDisk>,
    waiters: u64,
    length: Duration,
) -> Result<u64, Box<dyn Error>> {
    let end = Instant::now() + length;
    let mut tasks = JoinSet::new();
    for waiter in 0..waiters {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let mut count = 0;
            while Instant::now() < end {
                store.commit(batch((waiter << 40) + count * BATCH, 100_000)).await?;
                count += 1;
            }
            Ok::<u64, StoreError>(count)
        });
    }
    let mut commits = 0;
    while let Some(done) = tasks.join_next().await {
        commits += done??;
    }
    Ok(commits)
}

/// Fills the store as a daemon does, from many tasks, and rewrites every entry once; returns the
/// bytes of keys and values.
async fn fill(store: &Arc<OnDisk>, keys: u64) -> Result<u64, Box<dyn Error>> {
    for _ in 0..2 {
        let mut tasks = JoinSet::new();
        for task in 0..64 {
            let store = Arc::clone(store);
            tasks.spawn(async move {
                for first in (0..keys).step_by(BATCH as usize).filter(|n| n / BATCH % 64 == task) {
                    store.commit(batch(first, keys)).await?;
                }
                Ok::<(), StoreError>(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
    }
    let (mut live, mut after) = (0, None::<Key>);
    loop {
        let page = store.scan(&Key::new(""), after.as_ref(), 10_000).await?;
        live += page
            .entries
            .iter()
            .map(|(key, found)| (key.as_bytes().len() + found.value.len()) as u64)
            .sum::<u64>();
        after = page.entries.last().map(|(key, _)| key.clone());
        if !page.more {
            return Ok(live);
        }
    }
}

/// Keys that are scattered, as ids are.
fn batch(first: u64, keys: u64) -> Batch {
    (first..first + BATCH).fold(Batch::default(), |batch, number| {
        let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys;
        batch.put(Key::new(format!("lease/{id:032}/{:02}", number % BATCH)), &VALUE[..])
    })
}

fn bytes(directory: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in std::fs::read_dir(directory)? {
        let about = entry?.metadata()?;
        total += if about.is_file() { about.blocks() * 512 } else { 0 };
    }
    Ok(total)
}

/// The files as a crash leaves them.
fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != "lock" {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// What this process has computed so far, all threads together, in the kernel's steps of ten
/// milliseconds.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 =
        after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
