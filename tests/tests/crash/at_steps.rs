//! `kill -9` at each step of a lease's life: the target holds the request that stands for the step,
//! the daemon dies, the target goes on.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use credsmith_tests::{Provider, eventually};

use crate::client::User;
use crate::promises::{Promises, assert_kept, assert_sound};
use crate::site::{QUEUE_WAIT, REMOTE, SETTLE, examine, site};
use crate::world::{Deletion, World};

/// The steps at which the daemon is killed, all at once: each befalls another user.
const STEPS: [&str; 7] = [
    "create-asked",
    "create-done",
    "create-late",
    "issued",
    "delete-before",
    "delete-after",
    "revoked",
];

/// Longer than it takes to bring all users to their steps.
const PLUGIN_TIMEOUT: Duration = Duration::from_secs(5);

struct Stage {
    users: Vec<(User, Promises)>,
}

impl Stage {
    fn of(&self, step: &str) -> &(User, Promises) {
        &self.users[STEPS.iter().position(|known| *known == step).unwrap()]
    }
}

fn deletions(world: &World, tag: &str) -> Vec<Deletion> {
    let state = world.state();
    let object = state.objects.values().find(|object| object.tag == tag).unwrap();
    state.deletions.get(&object.credential).cloned().unwrap_or_default()
}

#[test]
fn a_kill_at_any_step_loses_and_leaks_nothing() {
    let provider = Provider::start();
    let (world, target) = World::serve(0, true);
    let site = site(&provider, &target, PLUGIN_TIMEOUT);
    let users = (0..STEPS.len())
        .map(|n| (User::new(&provider, &format!("user-{}", 100 + n)), Promises::default()));
    let stage = Stage { users: users.collect() };

    let daemon = site.serve();
    let to = daemon.address();
    wait_for_provider(&stage, to);
    let ids: Vec<_> = ["issued", "delete-before", "delete-after", "revoked"]
        .map(|step| (step, issue(&stage, step, to)))
        .into();
    thread::scope(|scope| {
        let stage = &stage;
        // Three requests never get an answer.
        for (step, manner) in [
            ("create-asked", "held-before"),
            ("create-done", "held-after"),
            ("create-late", "after-first-delete"),
        ] {
            scope.spawn(move || {
                let answer = stage.of(step).0.request(to, REMOTE, &format!("{manner}:{step}"));
                assert!(
                    answer.is_err(),
                    "{step}: the daemon was killed before it answered: {answer:?}"
                );
            });
        }
        // Of three credentials the revocation is asked for; one answer comes.
        for (step, id) in &ids[1..] {
            let (user, promises) = stage.of(step);
            promises.revoking(id);
            scope.spawn(move || {
                let answer = user.revoke(to, id);
                match *step {
                    "revoked" => {
                        assert_eq!(answer.unwrap().status, 200);
                        promises.revoked(id);
                    }
                    _ => assert!(
                        answer.is_err(),
                        "{step}: the daemon was killed before it answered: {answer:?}"
                    ),
                }
            });
        }
        let revoked = &stage.of("revoked").1;
        eventually("one revocation is answered", || revoked.tally().revoked == 1);
        let held = ["before:create-asked", "after:create-done", "late:create-late"];
        let held =
            held.into_iter().chain(["delete-before:delete-before", "delete-after:delete-after"]);
        let held: Vec<String> = held.map(str::to_owned).collect();
        world.await_held(&held);
        daemon.kill();
        // The target knows nothing of that and does what it was asked.
        held.iter().for_each(|name| world.release(name));
    });

    // Once more at the moment in which the recovery has begun, and once more for good.
    let daemon = site.serve();
    eventually("the recovery has begun", || world.state().deletions.len() > 2);
    daemon.kill();
    let daemon = site.serve();
    let users: Vec<_> =
        stage.users.iter().map(|(user, promises)| (user.clone(), promises)).collect();
    assert_kept(daemon.address(), &world, &users);
    assert_eq!(
        stage.of("issued").0.list(daemon.address(), REMOTE).unwrap().len(),
        1,
        "the only one left"
    );
    assert!(daemon.stop().status.success());
    assert_sound(&examine(&site), &world);
    the_cut_short_were_revoked_twice(&world);
}

/// A credential that its user has, under the name of the step.
fn issue(stage: &Stage, step: &str, to: SocketAddr) -> String {
    let (user, promises) = stage.of(step);
    let path = user.request(to, REMOTE, &format!("plain:{step}")).unwrap().unwrap();
    promises.asked(step);
    promises.issued(step);
    let id = user.fetch(to, &path).unwrap().unwrap();
    promises.fetched(step, &id);
    id
}

/// The provider is discovered in the background.
fn wait_for_provider(stage: &Stage, to: SocketAddr) {
    let (user, _) = stage.of("issued");
    eventually("somebody can sign in", || user.list(to, REMOTE).is_ok());
}

/// Once when the deadline has passed, and once more when nothing of the request can be under way
/// any more.
fn the_cut_short_were_revoked_twice(world: &World) {
    for tag in ["create-asked", "create-done", "create-late"] {
        let deletions = deletions(world, tag);
        assert!(deletions.len() >= 2, "{tag}: {deletions:?}");
        assert!(
            deletions.iter().all(|deletion| !deletion.by_id),
            "{tag}: nobody had told the daemon what it is called"
        );
        let (first, last) = (&deletions[0], &deletions[deletions.len() - 1]);
        // Records keep milliseconds.
        let tolerance = Duration::from_millis(20);
        assert!(last.at + tolerance >= first.at + SETTLE, "{tag}: settle lies between them");
    }
    let made = |tag: &str| {
        let state = world.state();
        state.objects.values().find(|object| object.tag == tag).unwrap().made
    };
    let late = deletions(world, "create-late");
    assert!(
        made("create-late") > late[0].at,
        "it was made after the daemon had been told that there is nothing"
    );
    let held = deletions(world, "create-done");
    let deadline = made("create-done") + QUEUE_WAIT + PLUGIN_TIMEOUT;
    assert!(held[0].at >= deadline, "nobody revokes what may still be answered");
}
