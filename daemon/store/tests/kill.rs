//! kill -9 at random moments, over and over, on the same store. The child (this program again, with
//! a variable set) commits from several tasks and prints every acknowledgement; the parent kills
//! it, opens the store and checks: every acknowledged commit is there, every batch is complete, and
//! no revision is given again.
//!
//! This shows what a crash of the process does. A loss of power is more than a kill can show: there
//! the order of flush, sync and acknowledgement counts, which a unit test records.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::env;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use credsmith_core::ports::store::{Batch, Expected, Key, Revision, Store, StoreError, Versioned};
use credsmith_store::{Engine, OnDisk, OnDiskOptions};
use tokio::runtime::{Builder, Runtime};

const ROUNDS: usize = 40;
const TASKS: u64 = 12;
/// Keys that one commit writes together.
const PARTS: u64 = 6;
/// Entries of the journal that a task keeps: each commit adds one and deletes the one that falls
/// out.
const KEPT: u64 = 5;
const NAME: &str = "acknowledged_commits_survive_a_kill";
const CHILD: &str = "CREDSMITH_STORE_KILL_CHILD";
const ENGINE: &str = "CREDSMITH_STORE_KILL_ENGINE";

fn main() -> ExitCode {
    if let Some(directory) = env::var_os(CHILD) {
        let engine = env::var(ENGINE).expect("an engine").parse().expect("a known one");
        return child(engine, Path::new(&directory));
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        let _ = writeln!(std::io::stdout(), "{NAME}: test");
        return ExitCode::SUCCESS;
    }
    let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    if filters.peek().is_none() || filters.any(|filter| NAME.contains(filter.as_str())) {
        for engine in Engine::ALL {
            parent(engine);
            let _ = writeln!(std::io::stdout(), "test {NAME}: {engine} ... ok ({ROUNDS} kills)");
        }
    }
    ExitCode::SUCCESS
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn open(engine: Engine, directory: &Path) -> OnDisk {
    let options = OnDiskOptions::new(engine, directory, 32 << 20);
    OnDisk::open(options).expect("the store opens")
}

// The child: commits until it is killed.

fn child(engine: Engine, directory: &Path) -> ExitCode {
    let store = Arc::new(open(engine, directory));
    runtime().block_on(async move {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            tasks.spawn(work(Arc::clone(&store), task));
        }
        tasks.join_all().await;
    });
    // Not reached: the parent kills this process.
    ExitCode::FAILURE
}

async fn work(store: Arc<OnDisk>, task: u64) {
    let mut last = stamp(&store, task).await;
    loop {
        let count = last.as_ref().map_or(1, |(count, _)| count + 1);
        let expected =
            last.as_ref().map_or(Expected::Absent, |(_, revision)| Expected::At(*revision));
        let batch = (0..PARTS)
            .fold(Batch::default().expect(part(task, 0), expected), |batch, number| {
                batch.put(part(task, number), filled(count, number))
            });
        let batch = batch.put(journal(task, count), count.to_string());
        let batch = if count > KEPT { batch.delete(journal(task, count - KEPT)) } else { batch };
        let revision = match store.commit(batch).await {
            Ok(committed) => committed.revision,
            Err(error) => panic!("task {task}, commit {count}: {error:?}"),
        };
        acknowledge(task, count, revision);
        increment(&store).await;
        last = Some((count, revision));
    }
}

/// The contended one: every task adds to it.
async fn increment(store: &OnDisk) {
    loop {
        let (count, expected) = match store.get(&Key::new("shared")).await.expect("a read") {
            None => (0, Expected::Absent),
            Some(found) => (number(&found), Expected::At(found.revision)),
        };
        let batch = Batch::default().expect(Key::new("shared"), expected);
        match store.commit(batch.put(Key::new("shared"), (count + 1).to_string())).await {
            Ok(committed) => return acknowledge(TASKS, count + 1, committed.revision),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => panic!("the shared counter: {error:?}"),
        }
    }
}

/// One write of one line: a kill leaves it whole or not there.
fn acknowledge(task: u64, count: u64, revision: Revision) {
    let line = format!("{task} {count} {}\n", revision.0);
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
}

// The parent: kills and looks.

/// What was acknowledged last, by task: count and revision. The shared counter counts as one more
/// task.
type Acknowledged = BTreeMap<u64, (u64, u64)>;

fn parent(engine: Engine) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let place = directory.path().join("store");
    let mut acknowledged = Acknowledged::new();
    let mut total = 0;
    for round in 0..ROUNDS {
        let before = acknowledged.clone();
        total += run_and_kill(engine, &place, &mut acknowledged);
        assert!(acknowledged != before, "round {round}: the child has committed nothing");
        runtime().block_on(look(engine, &place, round, &mut acknowledged));
    }
    assert!(total > ROUNDS, "{total} commits are too few to show anything");
}

/// Starts a child, kills it some time after its first acknowledgement, and returns how many there
/// were.
fn run_and_kill(engine: Engine, place: &Path, acknowledged: &mut Acknowledged) -> usize {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .env(CHILD, place)
        .env(ENGINE, engine.as_str())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let seen = Arc::new(AtomicU64::new(0));
    let killer = thread::spawn({
        let seen = Arc::clone(&seen);
        move || kill(child, &seen)
    });
    let mut count = 0;
    for line in lines {
        let line = line.expect("a line");
        let numbers: Vec<u64> =
            line.split(' ').map(|number| number.parse().expect("a number")).collect();
        let [task, number, revision] = numbers[..] else { panic!("a torn line: {line}") };
        let newest = acknowledged.entry(task).or_default();
        *newest = (*newest).max((number, revision));
        count += 1;
        seen.fetch_add(1, Ordering::Release);
    }
    killer.join().expect("the killer");
    count
}

fn kill(mut child: Child, seen: &AtomicU64) {
    let random = RandomState::new().hash_one(child.id());
    let mut patience = 0;
    while seen.load(Ordering::Acquire) <= random % 16 && patience < 30_000 {
        thread::sleep(Duration::from_millis(1));
        patience += 1;
    }
    thread::sleep(Duration::from_micros(random % 200_000));
    child.kill().expect("the child is killed");
    let status = child.wait().expect("the child has ended");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9),
        "it was not killed: {status}"
    );
}

async fn look(engine: Engine, place: &Path, round: usize, acknowledged: &mut Acknowledged) {
    let store = open(engine, place);
    for task in 0..TASKS {
        let parts = parts(&store, task).await;
        let promised = acknowledged.get(&task).copied().unwrap_or_default();
        let found = parts.first().map_or((0, 0), |part| (leading(part), part.revision.0));
        assert!(
            found >= promised,
            "round {round}, task {task}: {promised:?} was acknowledged, {found:?} is there"
        );
        assert!(
            found.0 <= promised.0 + 1,
            "round {round}, task {task}: {found:?} was never asked for"
        );
        whole(&store, task, found.0, &parts).await;
    }
    let shared =
        store.get(&Key::new("shared")).await.expect("a read").map_or(0, |found| number(&found));
    let promised = acknowledged.get(&TASKS).map_or(0, |(count, _)| *count);
    assert!(
        shared >= promised,
        "round {round}: the shared counter is {shared}, acknowledged was {promised}"
    );
    assert!(
        shared <= promised + TASKS,
        "round {round}: the shared counter is {shared}, at most {promised} + {TASKS}"
    );

    let newest = acknowledged.values().map(|(_, revision)| *revision).max().unwrap_or_default();
    let next = store
        .commit(Batch::default().put(Key::new("parent"), "1"))
        .await
        .expect("a commit")
        .revision;
    assert!(next.0 > newest, "round {round}: {next:?} after {newest}");
    store.close().await.expect("the store closes");
}

/// All parts of the task's last commit are of that commit, and so is its journal.
async fn whole(store: &OnDisk, task: u64, count: u64, parts: &[Versioned]) {
    assert_eq!(
        parts.len() as u64,
        if count == 0 { 0 } else { PARTS },
        "task {task}: a part is missing"
    );
    for (number, part) in (0..).zip(parts) {
        assert_eq!(
            part.value,
            filled(count, number),
            "task {task}: part {number} is of another commit"
        );
        assert_eq!(
            part.revision, parts[0].revision,
            "task {task}: part {number} has another revision"
        );
    }
    let page =
        store.scan(&Key::new(format!("journal/{task:02}/")), None, 1000).await.expect("a scan");
    let found: Vec<Key> = page.entries.into_iter().map(|(key, _)| key).collect();
    let kept: Vec<Key> =
        (1..=count).rev().take(KEPT as usize).map(|count| journal(task, count)).collect();
    assert_eq!(found, kept.into_iter().rev().collect::<Vec<_>>(), "task {task} at {count}");
}

async fn parts(store: &OnDisk, task: u64) -> Vec<Versioned> {
    let page = store.scan(&Key::new(format!("part/{task:02}/")), None, 1000).await.expect("a scan");
    page.entries.into_iter().map(|(_, part)| part).collect()
}

async fn stamp(store: &OnDisk, task: u64) -> Option<(u64, Revision)> {
    parts(store, task).await.first().map(|part| (leading(part), part.revision))
}

fn part(task: u64, number: u64) -> Key {
    Key::new(format!("part/{task:02}/{number}"))
}

fn journal(task: u64, count: u64) -> Key {
    Key::new(format!("journal/{task:02}/{count:010}"))
}

/// A value that names its commit, of some hundred bytes and occasionally of thousands.
fn filled(count: u64, number: u64) -> String {
    let length = if (count + number).is_multiple_of(37) { 9000 } else { 40 + 97 * number as usize };
    format!("{count} {}", "x".repeat(length))
}

fn leading(part: &Versioned) -> u64 {
    let text = std::str::from_utf8(&part.value).expect("text");
    text.split(' ').next().expect("a first word").parse().expect("a number")
}

fn number(found: &Versioned) -> u64 {
    std::str::from_utf8(&found.value).expect("text").parse().expect("a number")
}
