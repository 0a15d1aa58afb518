//! The bare store's group commits per second: tasks that put and wait, for one, eight and 64 of
//! them, with batches of one, four and sixteen keys, or for others. It is the baseline for
//! everything above the store.
//!
//! `cargo run --release -p credsmith-store --example commits -- [DIRECTORY] [SECONDS] [CACHE_MIB]
//! [WAITERS] [KEYS]`; the directory must be new or a store's, the last two are numbers with commas
//! between them.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use credsmith_core::ports::store::{Batch, Key, Store};
use credsmith_store::{Sled, SledOptions};
use tokio::task::JoinSet;

const VALUE: [u8; 300] = [0x5a; 300];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let temporary = tempfile::tempdir()?;
    let path = arguments.next().map_or(temporary.path().join("store"), PathBuf::from);
    let seconds = arguments.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(3.0);
    let mut options = SledOptions::new(path);
    if let Some(mebibytes) = arguments.next().and_then(|text| text.to_str()?.parse::<u64>().ok()) {
        options.cache_bytes = mebibytes << 20;
    }
    let waiting = numbers(arguments.next(), &[1, 8, 64])?;
    let sizes = numbers(arguments.next(), &[1, 4, 16])?;
    let store = Arc::new(Sled::open(options)?);
    let mut out = std::io::stdout();
    writeln!(out, "waiters  keys  commits/s  p50      p99      CPU per commit")?;
    for &keys in &sizes {
        for &waiters in &waiting {
            let cpu = cpu_time();
            let times = measure(&store, waiters, keys, Duration::from_secs_f64(seconds)).await?;
            let at = |share: f64| {
                times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default()
            };
            let rate = times.len() as f64 / seconds;
            let cpu = cpu_time().saturating_sub(cpu).div_f64(times.len() as f64);
            writeln!(
                out,
                "{waiters:7}  {keys:4}  {rate:9.0}  {:<7.0?}  {:<7.0?}  {cpu:.0?}",
                at(0.5),
                at(0.99)
            )?;
        }
    }
    store.close().await?;
    Ok(())
}

/// What `text` lists, or `usual`.
fn numbers(text: Option<OsString>, usual: &[u64]) -> Result<Vec<u64>, Box<dyn Error>> {
    let Some(text) = text else { return Ok(usual.to_vec()) };
    let text = text.to_str().ok_or("a list that is no text")?;
    Ok(text.split(',').map(str::parse).collect::<Result<_, _>>()?)
}

/// How long each commit took, in order of length.
async fn measure(
    store: &Arc<Sled>,
    waiters: u64,
    keys: u64,
    length: Duration,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let end = Instant::now() + length;
    let mut tasks = JoinSet::new();
    for waiter in 0..waiters {
        tasks.spawn(commit_until(Arc::clone(store), waiter, keys, end));
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    times.sort_unstable();
    Ok(times)
}

async fn commit_until(
    store: Arc<Sled>,
    waiter: u64,
    keys: u64,
    end: Instant,
) -> Result<Vec<Duration>, credsmith_core::ports::store::StoreError> {
    let mut times = Vec::new();
    for round in 0_u64.. {
        let batch = (0..keys).fold(Batch::default(), |batch, number| {
            // Scattered over the tree, a hundred thousand of them, as ids are.
            let id = ((waiter << 40) + round * keys + number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                % 100_000;
            batch.put(Key::new(format!("lease/{id:032}/{number:02}")), &VALUE[..])
        });
        let begun = Instant::now();
        store.commit(batch).await?;
        times.push(begun.elapsed());
        if Instant::now() >= end {
            break;
        }
    }
    Ok(times)
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
