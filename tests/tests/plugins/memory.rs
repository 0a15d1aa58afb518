//! What hostile calls take of the daemon's own memory, as the operating system counts it.

use std::fs;

use crate::log::Mark;
use crate::stage::{EVER, Stage, hostile};

const MIB: u64 = 1 << 20;

/// A figure of `/proc/self/status`, in bytes.
fn figure(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it tells that");
    let kib: u64 =
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// Makes the kernel count the peak anew.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("the kernel forgets the peak");
}

/// A hundred MiB of answer that are one MiB in the guest would be a hundred in the host, if it
/// copied them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_large_only_for_the_host_is_not_taken() {
    let stage = Stage::with_good().await;
    stage.load(hostile("aliasing", EVER)).await.unwrap();
    for how in ["trap", "flood-aliased"] {
        // The first call of all makes room for the machinery.
        stage.misbehave("aliasing", how).await;
    }
    forget_peak();
    let before = figure("VmRSS");
    stage.misbehave("aliasing", "flood-aliased").await;
    let peak = figure("VmHWM");
    assert!(
        peak < before + 48 * MIB,
        "{} MiB before, {} MiB at the peak",
        before / MIB,
        peak / MIB
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_comes_back() {
    let stage = Stage::with_good().await;
    stage.load(hostile("eating", EVER)).await.unwrap();
    let round = async || {
        for how in [
            "memory",
            "recursion",
            "trap",
            "flood-output",
            "flood-aliased",
            "many-entries",
            "huge-state",
            "handles",
            "stderr",
            "big-state",
            "echo-secret-log-then-trap",
        ] {
            stage.misbehave("eating", how).await;
            stage.good_call().await;
        }
    };
    for _ in 0..2 {
        round().await;
    }
    let (before, mark) = (figure("VmRSS"), Mark::now());
    for _ in 0..6 {
        round().await;
    }
    let logged = mark.text().len() as u64;
    let after = figure("VmRSS");
    assert!(
        after < before + 32 * MIB + 3 * logged,
        "{} MiB before, {} MiB after 60 hostile calls",
        before / MIB,
        after / MIB
    );
}
