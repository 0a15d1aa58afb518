//! Many calls at once: hostile ones beside good ones, more than there are places, more than may
//! wait.

use std::time::{Duration, Instant};

use credsmith_core::ports::plugins::BrokenHow::{BadOutput, Timeout, Trap};
use credsmith_host::ServiceSetup;
use futures_util::future::join_all;

use crate::peer::{Manner, Peer};
use crate::stage::{EVER, End, SHORT, Stage, destination, hostile, text};

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn good_calls(stage: &Stage, count: usize) -> Duration {
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(stage.good_call().await);
    }
    median(times)
}

/// Busy guests in all places that one service may have, on as many threads as there are: the others
/// wait for a tick or two, not for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_plugins_slow_nobody_down() {
    let stage = Stage::with_good().await;
    let busy = Duration::from_secs(2);
    stage.load(ServiceSetup { parallel_runner: None, ..hostile("busy", busy) }).await.unwrap();
    let alone = good_calls(&stage, 50).await;
    let begun = Instant::now();
    let crowd = async { join_all((0..3).map(|_| stage.misbehave("busy", "loop"))).await };
    let others = async {
        // Until the guests are at it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let beside = good_calls(&stage, 20).await;
        (beside, begun.elapsed())
    };
    let (ends, (beside, took)) = tokio::join!(crowd, others);
    for ended in ends {
        assert!(matches!(ended.end, End::Broken(Timeout, _)), "{ended:?}");
    }
    // A call takes a handful of steps; before each of them it may wait for every busy guest of its
    // thread, a tick long.
    assert!(
        beside <= alone * 20 + Duration::from_millis(200),
        "{beside:?} beside busy guests, {alone:?} alone"
    );
    assert!(took < EVER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_calls_in_parallel_end_each_alone() {
    let stage = Stage::with_good().await;
    stage
        .load(ServiceSetup { parallel_runner: None, queue_length: 1000, ..hostile("crowd", EVER) })
        .await
        .unwrap();
    let hows =
        ["trap", "panic", "memory", "recursion", "huge-state", "flood-aliased", "log-flood", "ok"];
    let hostile_calls = join_all((0..48).map(async |n| {
        let how = hows[n % hows.len()];
        (how, stage.misbehave("crowd", how).await)
    }));
    let good_calls = join_all((0..48).map(|_| stage.good_call()));
    let (ends, _) = tokio::join!(hostile_calls, good_calls);
    for (how, ended) in ends {
        match how {
            "ok" => drop(ended.end.made()),
            "huge-state" | "flood-aliased" => {
                assert!(matches!(ended.end, End::Broken(BadOutput, _)), "{how}: {ended:?}");
            }
            _ => assert!(matches!(ended.end, End::Broken(Trap, _)), "{how}: {ended:?}"),
        }
    }
}

/// Of eight places one service has four at most, one of them for revocations; the others can work
/// meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_service_has_at_most_half_of_the_pool() {
    let stage = Stage::with_good().await;
    let silent = Peer::start(Manner::Silent).await;
    let mut setup =
        ServiceSetup { parallel_runner: None, ..hostile("greedy", Duration::from_secs(3)) };
    setup.destinations = vec![destination(&silent.url(), true)];
    setup.settings.insert("target".to_owned(), text(silent.url()));
    setup.queue_wait = Duration::from_millis(500);
    stage.load(setup).await.unwrap();
    let crowd = join_all((0..16).map(|_| stage.misbehave("greedy", "wait")));
    let others = async {
        while silent.open() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..20 {
            stage.good_call().await;
        }
        silent.open()
    };
    let (ends, open) = tokio::join!(crowd, others);
    assert_eq!(open, 3, "its calls were under way all the while");
    assert_eq!(silent.most_open(), 3);
    let count = |wanted: fn(&End) -> bool| ends.iter().filter(|ended| wanted(&ended.end)).count();
    assert_eq!(count(|end| matches!(end, End::Broken(Timeout, _))), 3);
    assert_eq!(count(|end| *end == End::Busy), 13, "those that waited too long");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_finds_the_queue_full_is_told_at_once() {
    let stage = Stage::with_good().await;
    let mut setup = hostile("narrow", Duration::from_secs(1));
    setup.queue_length = 2;
    setup.queue_wait = EVER;
    stage.load(setup).await.unwrap();
    // One runs, two wait, the others are turned away; then the two have their turns.
    let calls =
        join_all((0..6).map(|n| stage.misbehave("narrow", if n == 0 { "loop" } else { "ok" })));
    let ends = calls.await;
    assert!(matches!(ends[0].end, End::Broken(Timeout, _)), "{:?}", ends[0]);
    assert!(ends[1..3].iter().all(|ended| matches!(ended.end, End::Issued(_))), "{ends:?}");
    for ended in &ends[3..] {
        assert_eq!(ended.end, End::Busy);
        assert!(ended.took < Duration::from_secs(1), "turned away after {:?}", ended.took);
    }
    stage.good_call().await;
}

/// Callers that go away while they wait, or while the plugin runs, leave nothing behind that others
/// would have to wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_free_their_places() {
    let stage = Stage::with_good().await;
    stage.load(ServiceSetup { parallel_runner: None, ..hostile("left", EVER) }).await.unwrap();
    for _ in 0..5 {
        let crowd = join_all((0..16).map(|_| stage.misbehave("left", "loop")));
        assert!(
            tokio::time::timeout(SHORT / 4, crowd).await.is_err(),
            "they run until they are left"
        );
    }
    let mine = stage.misbehave("left", "ok").await;
    mine.end.made();
    assert!(mine.took < EVER / 2, "its place was free after {:?}", mine.took);
    stage.good_call().await;
}
