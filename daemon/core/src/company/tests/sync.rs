//! Synchronisations: what they store, mark and audit.

use super::*;
use crate::doubles::Fault;
use crate::error::Kind;

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

/// The daemon is killed after each batch of a synchronisation in turn: no reader sees a partial
/// company or one twice, and the next synchronisation completes the work.
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
                Some(stored) => assert_eq!(company.id, stored.id),
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
async fn a_commit_with_unknown_outcome_creates_no_company_twice() {
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

/// Race: two daemons over one store.
#[tokio::test]
async fn two_daemons_at_once_create_each_company_once() {
    let mut world = World::with(500);
    let (one, other) = (world.companies().await, world.companies().await);
    let (first, second) = tokio::join!(sync(&one), sync(&other));
    assert_eq!(first.unwrap().counts.new + second.unwrap().counts.new, 500);
    assert_eq!(all(&one).await, all(&other).await);
}

/// Attack or accident: most companies vanish from a directory at once.
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
async fn every_batch_has_an_event_and_so_has_a_command_that_changed_nothing() {
    let mut world = World::with(130);
    let companies = world.companies().await;
    sync(&companies).await.unwrap();
    assert_eq!(world.events(), 3, "62 companies in a batch");
    sync(&companies).await.unwrap();
    assert_eq!(world.events(), 4);
    companies.start().await.unwrap();
    world.clock.run(3 * HOUR).await;
    assert_eq!(world.events(), 4, "the daemon itself audits only changes");
    companies.stop();
    world.tasks.at_most(0).await;
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

    // Half of the lines were deleted by accident.
    world.crash();
    let companies = world.listed(numbered(3..15)).await;
    assert_eq!(present(&companies.view().await.unwrap()), 28);
    assert_eq!(companies.warnings().len(), 1);
    companies.sync(operator(), true).await.unwrap();
    assert_eq!(present(&companies.view().await.unwrap()), 12);
    assert_eq!(world.tasks.running(), 0, "a list needs no task");
}
