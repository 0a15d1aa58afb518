//! `kill -9` at any moment, two hundred times and more, while users ask, fetch, list and revoke.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use credsmith_tests::{Provider, Site, credsmith};

use crate::client::User;
use crate::dice::Dice;
use crate::promises::{Promises, Tally, assert_kept, assert_sound};
use crate::site::{REMOTE, examine, site};
use crate::world::World;

/// Daemons side by side, each with data, a target and users of its own.
const LANES: u64 = 4;
/// Lives of each. Some end before they serve.
const LIVES: u64 = 56;
/// Users of each.
const USERS: u64 = 6;

#[test]
fn two_hundred_kills_lose_and_leak_nothing() {
    let provider = Provider::start();
    let (kills, tally) = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                let provider = &provider;
                scope.spawn(move || run_lane(lane, provider))
            })
            .collect();
        let mut kills = 0;
        let mut tally = Tally::default();
        for lane in lanes {
            let (killed, done) =
                lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            kills += killed;
            tally += done;
        }
        (kills, tally)
    });
    assert!(kills >= 200, "{kills} kills");
    // Without this much, the kills met nothing.
    let enough =
        tally.cut >= 20 && tally.issued >= 60 && tally.fetched >= 50 && tally.revoked >= 20;
    assert!(enough, "{tally:?}");
}

fn run_lane(lane: u64, provider: &Provider) -> (usize, Tally) {
    let mut dice = Dice::new(0x5eed + lane);
    let (world, target) = World::serve(lane, true);
    let site = site(provider, &target, Duration::from_secs(1));
    let names = (0..USERS).map(|user| format!("user-{}", 1 + lane * USERS + user));
    let users: Vec<_> =
        names.map(|name| (User::new(provider, &name), Promises::default())).collect();
    let mut kills = 0;
    for life in 0..LIVES {
        if dice.percent(10) {
            kill_while_starting(&site, &mut dice);
        } else {
            live_and_die(&site, &users, &mut dice, lane * LIVES + life);
        }
        kills += 1;
    }
    world.calm_down();
    let daemon = site.serve();
    let users: Vec<_> = users.iter().map(|(user, promises)| (user.clone(), promises)).collect();
    assert_kept(daemon.address(), &world, &users);
    assert!(daemon.stop().status.success(), "it drains");
    assert_sound(&examine(&site), &world);
    let mut tally = Tally::default();
    users.iter().for_each(|(_, promises)| tally += promises.tally());
    (kills, tally)
}

/// A kill in the middle of a start, which may be the middle of a recovery.
pub(crate) fn kill_while_starting(site: &Site, dice: &mut Dice) {
    let mut child = credsmith()
        .arg("serve")
        .arg("--config")
        .arg(site.configuration())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(dice.below(400)));
    child.kill().unwrap();
    child.wait().unwrap();
}

fn live_and_die(site: &Site, users: &[(User, Promises)], dice: &mut Dice, life: u64) {
    let mut daemon = site.serve();
    let address = daemon.address();
    let over = AtomicBool::new(false);
    let moment = Duration::from_millis(20 + dice.below(480));
    thread::scope(|scope| {
        for (at, (user, promises)) in users.iter().enumerate() {
            let mut dice = Dice::new(life * 100 + at as u64);
            let over = &over;
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let tag = format!("r-{life}-{at}-{number}");
                    // An error is the end of the daemon, in the middle of whatever it was asked; or
                    // nobody can sign in yet.
                    if something(user, promises, address, &mut dice, &tag).is_err() {
                        thread::sleep(Duration::from_millis(5));
                    }
                }
            });
        }
        thread::sleep(moment);
        assert!(daemon.lives(), "it was there to be killed: {}", daemon.log());
        let ended = daemon.kill();
        over.store(true, Ordering::SeqCst);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    });
}

/// One thing that users do.
fn something(
    user: &User,
    promises: &Promises,
    to: std::net::SocketAddr,
    dice: &mut Dice,
    tag: &str,
) -> std::io::Result<()> {
    let have = user.list(to, REMOTE)?;
    if !have.is_empty() && dice.percent(40) {
        let id = &have[usize::try_from(dice.below(have.len() as u64)).unwrap()];
        promises.revoking(id);
        let answer = user.revoke(to, id)?;
        match answer.status {
            200 => promises.revoked(id),
            // It failed, and goes on in the background; or it is somebody else's turn.
            401 | 404 | 500 | 503 | 504 => {}
            _ => panic!("{answer:?}"),
        }
        return Ok(());
    }
    promises.asked(tag);
    match user.request(to, REMOTE, &format!("random:{tag}"))? {
        Ok(path) => {
            promises.issued(tag);
            if dice.percent(90) {
                let id = user.fetch(to, &path)?;
                promises.fetched(tag, &id.expect("what was promised is there"));
            }
        }
        // The limit, a refusal, a provider that was too slow.
        Err(answer) if matches!(answer.status, 400 | 401) => promises.refused(tag),
        // The plugin broke or was too slow, or too many wait: what there may be is cleaned up.
        Err(answer) if matches!(answer.status, 500 | 503 | 504) => promises.refused(tag),
        Err(answer) => panic!("{answer:?}"),
    }
    Ok(())
}
