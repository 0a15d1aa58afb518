//! Walks over a directory that is slow, interrupted or hostile.

use super::*;
use crate::company::walk::LONGEST_WALK;
use crate::doubles::{DirectoryStep, Gate};
use crate::error::Kind;
use crate::ports::directory::DirectoryPage;
use crate::ports::plugins::BrokenHow;

#[tokio::test]
async fn walks_run_at_start_and_at_every_interval_and_readers_never_wait() {
    let mut world = World::with(3);
    let companies = world.companies().await;
    let gate = Gate::shut();
    world.directory.then(DirectoryStep::Wait(gate.clone(), Box::new(DirectoryStep::Answer)));
    companies.start().await.unwrap();
    world.clock.run(SECOND).await;
    assert_eq!(gate.waiting(), 1);
    assert!(companies.view().await.unwrap().is_empty());
    gate.open();
    world.clock.run(SECOND).await;
    assert_eq!(companies.view().await.unwrap().len(), 3);

    world.directory.set(numbered(0..5));
    world.clock.run(HOUR).await;
    assert_eq!(companies.view().await.unwrap().len(), 5);
    companies.stop();
    world.tasks.at_most(0).await;
}

#[tokio::test]
async fn a_page_is_requested_again_after_the_pause_that_the_directory_asks_for() {
    let mut world = World::with(250);
    let companies = world.companies().await;
    world.directory.then(DirectoryStep::Answer);
    world.directory.then(DirectoryStep::Refuse(Some(90 * SECOND)));
    world.directory.then(DirectoryStep::Refuse(Some(HOUR)));
    world.directory.then(DirectoryStep::Refuse(Some(Duration::ZERO)));
    world.directory.then(DirectoryStep::Busy);
    companies.start().await.unwrap();
    let asked = |world: &World| world.directory.cursors().len();
    world.clock.run(Duration::ZERO).await;
    for (pause, calls) in [(89, 2), (1, 3), (299, 3), (1, 4), (1, 5), (5, 7)] {
        world.clock.run(pause * SECOND).await;
        assert_eq!(asked(&world), calls, "after {pause} more seconds");
    }
    let cursors: Vec<_> =
        world.directory.cursors().into_iter().map(Option::unwrap_or_default).collect();
    assert_eq!(cursors, ["", "100", "100", "100", "100", "100", "200"]);
    assert_eq!(world.directory.most_calls(), 1);
    assert_eq!(companies.view().await.unwrap().len(), 250);
    assert_eq!(companies.warnings(), [""; 0]);
    companies.stop();
    world.tasks.at_most(0).await;
}

/// Attack: a directory asks for pauses without end.
#[tokio::test]
async fn the_pauses_of_a_walk_are_bounded() {
    let mut world = World::with(3);
    let companies = world.companies().await;
    for _ in 0..100 {
        world.directory.then(DirectoryStep::Refuse(Some(HOUR)));
    }
    companies.start().await.unwrap();
    world.clock.run(LONGEST_WALK + SECOND).await;
    assert_eq!(companies.warnings().len(), 1, "{:?}", companies.warnings());
    let asked = world.directory.cursors().len();
    assert!(asked <= 25, "{asked}");
    companies.stop();
    world.tasks.at_most(0).await;
}

/// Attack: a call that never returns keeps the daemon from ending.
#[tokio::test]
async fn the_end_of_the_daemon_cuts_off_a_walk() {
    let mut world = World::with(3);
    let companies = world.companies().await;
    world.directory.then(DirectoryStep::Wait(Gate::shut(), Box::new(DirectoryStep::Answer)));
    companies.start().await.unwrap();
    world.clock.run(SECOND).await;
    assert_eq!(sync(&companies).await.unwrap_err().kind(), Kind::Busy, "one at a time");
    companies.stop();
    world.tasks.at_most(0).await;
    assert_eq!(world.directory.most_calls(), 1);
}

/// Attacks: cursors in a circle, pages without end, an overlong cursor. None of these companies is
/// stored.
#[tokio::test]
async fn a_walk_without_end_is_ended_and_changes_nothing() {
    let page = |id: &str, next: &str| {
        let companies = vec![FakeDirectory::company(id, "", "Ghost")];
        DirectoryStep::Page(DirectoryPage { companies, next: Some(next.to_owned()) })
    };
    let circle: Vec<_> = ["a", "b", "a"].iter().map(|next| page("666", next)).collect();
    let endless: Vec<_> = (0..10_001).map(|n| page(&n.to_string(), &format!("p{n}"))).collect();
    let long = vec![page("666", &"x".repeat(2000))];
    for steps in [circle, endless, long] {
        let mut world = World::with(3);
        let companies = world.companies().await;
        sync(&companies).await.unwrap();
        steps.into_iter().for_each(|step| world.directory.then(step));
        assert_eq!(sync(&companies).await.unwrap_err().kind(), Kind::Upstream);
        assert_eq!(all(&companies).await.len(), 3);
        assert_eq!(present(&companies.view().await.unwrap()), 3);
        assert_eq!(companies.warnings().len(), 1);
    }
}

#[tokio::test]
async fn a_walk_that_breaks_off_adds_and_marks_nothing() {
    let mut world = World::with(150);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    world.directory.set(numbered(1..200));
    for step in [DirectoryStep::Break(BrokenHow::Timeout), DirectoryStep::Refuse(None)] {
        world.directory.then(DirectoryStep::Answer);
        world.directory.then(step);
        assert_eq!(sync(&companies).await.unwrap_err().kind(), Kind::Upstream);
        assert_eq!(present(&companies.view().await.unwrap()), 150);
        assert_eq!(companies.warnings().len(), 1);
    }
    let done = sync(&companies).await.unwrap().counts;
    assert_eq!((done.new, done.vanished), (50, 1));
    assert_eq!(companies.warnings(), [""; 0]);
}

#[tokio::test]
async fn unusable_companies_are_left_out_and_reported() {
    let mut world = World::new();
    let companies = world.companies().await;
    let good = FakeDirectory::company("1", "acme", "Acme");
    let twice = FakeDirectory::company("1", "acme", "Acme Corp");
    world.directory.set([
        good,
        twice,
        FakeDirectory::company("", "x", "X"),
        FakeDirectory::company("2", "", ""),
    ]);
    let done = sync(&companies).await.unwrap();
    assert_eq!((done.counts.new, done.unusable.count), (1, 2));
    assert_eq!(all(&companies).await["1"].name, "Acme Corp");
    let warnings = companies.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("with the ids 2)"), "{warnings:?}");
}
