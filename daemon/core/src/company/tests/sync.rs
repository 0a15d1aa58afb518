use super::*;
use crate::company::walk::LONGEST_WALK;
use crate::doubles::{DirectoryStep, Fault, Gate};
use crate::error::Kind;
use crate::paging::Paging;
use crate::ports::directory::DirectoryPage;
use crate::ports::plugins::BrokenHow;
use crate::rights::Reach;

#[tokio::test]
async fn ids_stay_while_names_change() {
    let mut world = World::with(250);
    let companies = world.companies().await;
    assert_eq!(sync(&companies).await.unwrap().counts.new, 250);
    let before = all(&companies).await;

    let renamed = numbered(0..250)
        .into_iter()
        .map(|company| DirectoryCompany { name: format!("New {}", company.name), ..company });
    world.directory.set(renamed);
    world.crash();
    let companies = world.companies().await;
    assert_eq!(sync(&companies).await.unwrap().counts.changed, 250);
    for (directory_id, company) in all(&companies).await {
        assert_eq!(company.id, before[&directory_id].id);
        assert_eq!(company.name, format!("New {}", before[&directory_id].name));
    }
    assert_eq!(sync(&companies).await.unwrap().counts, Default::default());
}

#[tokio::test]
async fn it_runs_at_start_and_at_every_interval_and_readers_never_wait() {
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
async fn what_did_not_change_is_not_read_again() {
    let mut world = World::with(100);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    let before = companies.view().await.unwrap();
    assert!(Arc::ptr_eq(&before, &companies.view().await.unwrap()));
    world.directory.set(numbered(0..101));
    sync(&companies).await.unwrap();
    let after = companies.view().await.unwrap();
    assert_eq!(after.len(), 101);
    assert!(before.all().all(|company| Arc::ptr_eq(company, after.by_id(company.id).unwrap())));
}

/// A page of a long list costs no record: that of 5,000 is answered when there is none left to
/// read.
#[tokio::test]
async fn a_list_is_answered_from_memory() {
    let mut world = World::with(5000);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    assert_eq!(companies.view().await.unwrap().len(), 5000);
    for (record, _) in world.store.dump("company/") {
        world.store.tamper(&record, None);
    }
    for (search, number, listed, total) in
        [("", 1, 30, 5000), ("", 167, 20, 5000), ("company 49", 4, 21, 111)]
    {
        let view = companies.view().await.unwrap();
        let page = view.list(&Reach::Everywhere, search, Paging::new(number, 30).unwrap());
        assert_eq!((page.items.len(), page.total), (listed, total), "{search} {number}");
    }
}

/// The daemon is killed after each batch of a synchronisation in turn: no reader ever sees half a
/// company or one twice, and the next synchronisation completes it.
#[tokio::test]
async fn a_kill_between_any_two_batches_leaves_whole_companies() {
    let listed = |name: &str| -> Vec<_> {
        let renamed = numbered(5..300).into_iter();
        renamed
            .map(|company| DirectoryCompany { name: format!("{name} {}", company.id), ..company })
            .collect()
    };
    let mut finished = false;
    for commits in 0.. {
        let mut world = World::new();
        world.directory.set(numbered(0..150));
        let companies = world.companies().await;
        sync(&companies).await.unwrap();
        let before = all(&companies).await;

        world.directory.set(listed("Renamed"));
        world.store.stop_after(commits);
        finished = sync(&companies).await.is_ok();
        world.crash();

        let companies = world.companies().await;
        for (directory_id, company) in all(&companies).await {
            match before.get(&directory_id) {
                Some(known) => assert_eq!(company.id, known.id),
                None => assert!(company.name.starts_with("Renamed")),
            }
            let names = [format!("Company {directory_id}"), format!("Renamed {directory_id}")];
            assert!(names.contains(&company.name), "{company:?}");
        }
        let half_way = all(&companies).await;
        sync(&companies).await.unwrap();
        let after = all(&companies).await;
        assert_eq!(after.len(), 300);
        assert_eq!(present(&companies.view().await.unwrap()), 295);
        assert!(
            half_way.iter().all(|(directory_id, company)| after[directory_id].id == company.id)
        );
        if finished {
            break;
        }
    }
    assert!(finished);
}

#[tokio::test]
async fn a_commit_of_unknown_fate_makes_no_company_twice() {
    for applied in [true, false] {
        let mut world = World::with(100);
        let companies = world.companies().await;
        world.store.fail_next(Fault::Unknown { applied });
        let synchronising = tokio::spawn({
            let companies = companies.clone();
            async move { sync(&companies).await }
        });
        world.clock.run(SECOND).await;
        assert_eq!(synchronising.await.unwrap().unwrap().counts.new, 100);
        assert_eq!(all(&companies).await.len(), 100);
    }
}

/// Two daemons over one store at once.
#[tokio::test]
async fn two_that_synchronise_at_once_make_each_company_once() {
    let mut world = World::with(500);
    let (one, other) = (world.companies().await, world.companies().await);
    let (first, second) = tokio::join!(sync(&one), sync(&other));
    assert_eq!(first.unwrap().counts.new + second.unwrap().counts.new, 500);
    assert_eq!(all(&one).await, all(&other).await);
}

#[tokio::test]
async fn a_directory_that_wants_a_pause_is_asked_for_the_same_again() {
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

/// Attack: a directory that keeps the walk waiting for ever.
#[tokio::test]
async fn pauses_have_an_end() {
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

/// Attack: a call that never answers keeps the daemon from ending.
#[tokio::test]
async fn the_end_of_the_daemon_cuts_a_walk() {
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

/// Attacks: cursors that lead in a circle, pages without end, cursors without end. Nothing of it is
/// believed.
#[tokio::test]
async fn a_walk_without_end_is_cut_and_changes_nothing() {
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

/// Attack, or accident: a directory that suddenly has next to nothing.
#[tokio::test]
async fn too_many_missing_wait_for_an_operator() {
    let mut world = World::with(100);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    let events = world.events();

    world.directory.set(numbered(11..103));
    let error = sync(&companies).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.public().contains("11 of 100"), "{error}");
    assert_eq!(all(&companies).await.len(), 100, "nothing at all was changed");
    assert_eq!(world.events(), events + 1, "the command is in the audit log");
    let [warning] = companies.warnings().try_into().unwrap();
    assert!(warning.contains("credsmith vault sync --accept"));

    let counts = companies.sync(operator(), true).await.unwrap().counts;
    assert_eq!((counts.new, counts.vanished), (3, 11));
    assert_eq!(companies.warnings(), [""; 0]);
    let view = companies.view().await.unwrap();
    assert_eq!((view.len(), present(&view)), (103, 92));

    world.directory.set(numbered(0..103));
    assert_eq!(sync(&companies).await.unwrap().counts.returned, 11);
    assert_eq!(present(&companies.view().await.unwrap()), 103);
}

#[tokio::test]
async fn every_batch_has_its_event_and_so_has_a_command_that_changed_nothing() {
    let mut world = World::with(130);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    assert_eq!(world.events(), 3, "62 companies in a batch");
    sync(&companies).await.unwrap();
    assert_eq!(world.events(), 4);
    companies.start().await.unwrap();
    world.clock.run(3 * HOUR).await;
    assert_eq!(world.events(), 4, "the daemon itself tells of changes alone");
    companies.stop();
    world.tasks.at_most(0).await;
}

#[tokio::test]
async fn what_cannot_be_used_is_left_out_and_told() {
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
    assert_eq!((done.counts.new, done.unusable), (1, 2));
    assert_eq!(all(&companies).await["1"].name, "Acme Corp");
    assert_eq!(companies.warnings().len(), 1);
}

#[tokio::test]
async fn a_list_is_in_effect_when_the_daemon_has_started() {
    let mut world = World::new();
    let companies = world.listed(numbered(0..30)).await;
    let before = all(&companies).await;
    assert_eq!(before.len(), 30);

    world.crash();
    let companies = world.listed(numbered(3..31)).await;
    let after = all(&companies).await;
    assert_eq!((after.len(), present(&companies.view().await.unwrap())), (31, 28));
    assert!(before.iter().all(|(directory_id, company)| after[directory_id].id == company.id));

    // Half of the lines went in an editor.
    world.crash();
    let companies = world.listed(numbered(3..15)).await;
    assert_eq!(present(&companies.view().await.unwrap()), 28);
    assert_eq!(companies.warnings().len(), 1);
    companies.sync(operator(), true).await.unwrap();
    assert_eq!(present(&companies.view().await.unwrap()), 12);
    assert_eq!(world.tasks.running(), 0, "a list needs nobody to watch it");
}

/// Attack: a record is exchanged for that of another company behind our back.
#[tokio::test]
async fn records_that_were_tampered_with_are_not_believed() {
    let mut world = World::with(2);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    let records = world.store.dump("company/");
    world.store.tamper(&records[0].0, Some(records[1].1.clone()));
    world.crash();
    let companies = world.companies().await;
    assert_eq!(companies.view().await.unwrap_err().kind(), Kind::Internal);
    assert_eq!(companies.start().await.unwrap_err().kind(), Kind::Internal);
}
