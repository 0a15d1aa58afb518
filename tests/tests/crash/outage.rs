//! A target that is down: what has to be revoked there waits, what is elsewhere does not, and in
//! the end nothing is left.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use credsmith_tests::{Provider, eventually};

use crate::client::User;
use crate::promises::assert_sound;
use crate::site::{REMOTE, bare, examine, remote_lines};
use crate::world::World;

const USERS: usize = 6;
const EACH: usize = 4;

fn cycle(user: &User, to: SocketAddr) -> Duration {
    let begun = Instant::now();
    let path = user.request(to, "elsewhere", "").unwrap().unwrap();
    let id = user.fetch(to, &path).unwrap().unwrap();
    assert_eq!(user.revoke(to, &id).unwrap().status, 200);
    begun.elapsed()
}

fn median_of_cycles(user: &User, to: SocketAddr) -> Duration {
    let mut times: Vec<_> = (0..15).map(|_| cycle(user, to)).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn a_target_that_is_down_delays_its_own_revocations_and_nothing_else() {
    let provider = Provider::start();
    let (world, target) = World::serve(0, false);
    let site = bare(&provider)
        .service(REMOTE, "remote", &remote_lines(REMOTE, &target, "plugin_timeout = \"1s\""))
        .service(
            "short",
            "remote",
            &remote_lines("short", &target, "plugin_timeout = \"1s\"\nmax_lifetime = \"4s\""),
        )
        .service("elsewhere", "unique", "parallel_runner = 4");
    let daemon = site.serve();
    let to = daemon.address();
    let users: Vec<_> =
        (0..USERS).map(|n| User::new(&provider, &format!("user-{}", 200 + n))).collect();
    eventually("somebody can sign in", || users[0].list(to, REMOTE).is_ok());
    let issue = |user: &User, service: &str, tag: String| {
        let path = user.request(to, service, &format!("plain:{tag}")).unwrap().unwrap();
        user.fetch(to, &path).unwrap().unwrap()
    };
    let mut ids = Vec::new();
    for user in &users {
        for n in 0..EACH {
            ids.push((user, issue(user, REMOTE, format!("{}-{n}", user.name))));
        }
        issue(user, "short", format!("{}-short", user.name));
    }
    let before = median_of_cycles(&users[0], to);

    world.set_down(true);
    let answers = thread::scope(|scope| {
        let asked: Vec<_> = ids
            .iter()
            .map(|(user, id)| scope.spawn(move || user.revoke(to, id).unwrap()))
            .collect();
        let meanwhile = median_of_cycles(&users[0], to);
        assert!(
            meanwhile <= before * 10 + Duration::from_millis(500),
            "{meanwhile:?} instead of {before:?}"
        );
        asked.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    for answer in &answers {
        assert!(
            matches!(answer.status, 500 | 503 | 504),
            "nobody is told that it is gone: {answer:?}"
        );
    }
    // The credentials with a lifetime are past it by now, and wait as well.
    thread::sleep(Duration::from_secs(2));
    for user in &users {
        assert_eq!(user.count(to, REMOTE).unwrap(), EACH as u64, "they count until they are gone");
        assert_eq!(
            user.list(to, REMOTE).unwrap().len(),
            EACH,
            "and are listed: somebody asked for their end"
        );
        assert_eq!(user.count(to, "short").unwrap(), 1);
        assert_eq!(world.alive(&user.name).len(), EACH + 1);
    }
    let later = median_of_cycles(&users[1], to);
    assert!(later <= before * 10 + Duration::from_millis(500), "{later:?} instead of {before:?}");
    // A restart in the middle of it forgets nothing.
    daemon.kill();
    let daemon = site.serve();
    let to = daemon.address();
    eventually("somebody can sign in", || users[0].list(to, REMOTE).is_ok());

    world.set_down(false);
    eventually("all is revoked", || users.iter().all(|user| world.alive(&user.name).is_empty()));
    eventually("nothing counts any more", || {
        users.iter().all(|user| {
            let count = |service| user.count(to, service).unwrap();
            count(REMOTE) + count("short") + count("elsewhere") == 0
        })
    });
    assert!(daemon.stop().status.success());
    assert_sound(&examine(&site), &world);
    assert_eq!(world.faults(), Vec::<String>::new());
}
