//! How long a store takes to open, and what memory it takes: fills a new one, closes it, and opens
//! it several times, each in a process of its own.
//!
//! `cargo run --release -p credsmith-store --example opening -- [DIRECTORY] [KEYS]`

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use credsmith_core::ports::store::{Batch, Key, Store};
use credsmith_store::{Sled, SledOptions};
use tokio::task::JoinSet;

const OPEN: &str = "--open";
const BATCH: u64 = 16;
const WRITERS: u64 = 16;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let [first, path] = &arguments[..]
        && first == OPEN
    {
        return open(Path::new(path)).await;
    }
    let temporary = tempfile::tempdir()?;
    let path = arguments.first().map_or(temporary.path().join("store"), PathBuf::from);
    let keys = arguments.get(1).and_then(|text| text.to_str()?.parse().ok()).unwrap_or(4_000_000);
    let begun = Instant::now();
    fill(&path, keys).await?;
    writeln!(std::io::stdout(), "filled with {keys} keys in {:.1?}", begun.elapsed())?;
    for _ in 0..3 {
        Command::new(std::env::current_exe()?).arg(OPEN).arg(&path).status()?;
    }
    Ok(())
}

async fn fill(path: &Path, keys: u64) -> Result<(), Box<dyn Error>> {
    let store = Arc::new(Sled::open(SledOptions::new(path))?);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let numbers: Vec<u64> =
                (0..keys).filter(|number| number / BATCH % WRITERS == writer).collect();
            for chunk in numbers.chunks(BATCH as usize) {
                let batch = chunk.iter().fold(Batch::default(), |batch, number| {
                    let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    batch.put(Key::new(format!("lease/{id:032x}")), vec![0x5a; 200])
                });
                store.commit(batch).await?;
            }
            Ok::<(), credsmith_core::ports::store::StoreError>(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    store.close().await?;
    Ok(())
}

async fn open(path: &Path) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let store = Sled::open(SledOptions::new(path))?;
    let opened = begun.elapsed();
    let page = store.scan(&Key::new("lease/"), None, 100).await?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown").trim();
    writeln!(
        std::io::stdout(),
        "opened in {opened:.2?}, {} keys read, resident {resident}",
        page.entries.len()
    )?;
    store.close().await?;
    Ok(())
}
