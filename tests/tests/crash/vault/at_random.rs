//! `kill -9` at any moment while clients make, change, reveal and delete credentials, renew and end
//! their sessions, and a type changes under all of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use credsmith_tests::{Provider, Site};

use super::Client as _;
use super::editor::Editor;
use super::keeper::{Keeper, Tally};
use super::remains::Remains;
use super::site::{COMPANIES, assert_in_order, assert_log_holds, vault};
use crate::at_random::kill_while_starting;
use crate::dice::Dice;

const KEEPERS: u64 = 6;
/// Most lives of the daemon, and for how long another one begins.
const LIVES: u64 = 40;
const SPAN: Duration = Duration::from_secs(25);
/// On a machine that is slow and busy there are fewer lives, but not fewer than these.
const LEAST: u64 = 10;

#[test]
fn kills_at_random_lose_nothing_and_halve_nothing() {
    let provider = Provider::start();
    let site = vault(&provider).role("admin", &["*"], Some("users"), "");
    let mut dice = Dice::new(0xcafe);
    let daemon = site.serve();
    let to = daemon.address();
    let mut editor = Editor::new(to, "user-300");
    let mut keepers: Vec<_> = (0..KEEPERS)
        .zip(COMPANIES.iter().cycle())
        .map(|(n, company)| Keeper::new(to, &format!("user-{}", 301 + n), &editor.of, company))
        .collect();
    daemon.kill();

    let begun = Instant::now();
    for life in 0..LIVES {
        if life >= LEAST && begun.elapsed() > SPAN {
            break;
        }
        if dice.percent(10) {
            kill_while_starting(&site, &mut dice);
        }
        live_and_die(&site, &mut editor, &mut keepers, &mut dice, life);
        // Not each time: looking opens the store, and most often that is for the next daemon to do.
        if dice.percent(30) {
            assert_log_holds(&site);
        }
    }

    let daemon = site.serve();
    let to = daemon.address();
    editor.settle(to).unwrap();
    keepers.iter_mut().for_each(|keeper| keeper.settle(to).unwrap());
    let held = keepers.iter().map(Keeper::count).sum();
    assert_eq!(editor.counts(), (held, held), "credentials of the type");
    assert_in_order(&daemon);
    assert_log_holds(&site);
    assert!(daemon.stop().status.success(), "it drains");

    assert_log_holds(&site);
    let remains = Remains::of(&site);
    remains.assert_whole();
    editor.assert_told(&remains);
    keepers.iter().for_each(|keeper| keeper.assert_told(&remains));
    assert_ends_told(&keepers, &remains);
    assert_enough(&keepers, &editor);
}

fn live_and_die(
    site: &Site,
    editor: &mut Editor,
    keepers: &mut [Keeper],
    dice: &mut Dice,
    life: u64,
) {
    let mut daemon = site.serve();
    let to = daemon.address();
    let doomed = AtomicBool::new(false);
    let moment = Duration::from_millis(20 + dice.below(900));
    thread::scope(|scope| {
        let doomed = &doomed;
        scope.spawn(move || editor.live(to, Dice::new(life * 100), doomed));
        for (keeper, at) in keepers.iter_mut().zip(1..) {
            scope.spawn(move || keeper.live(to, Dice::new(life * 100 + at), doomed));
        }
        thread::sleep(moment);
        assert!(daemon.lives(), "it was there to be killed: {}", daemon.log());
        doomed.store(true, Ordering::SeqCst);
        let ended = daemon.kill();
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    });
}

fn assert_ends_told(keepers: &[Keeper], remains: &Remains) {
    let told = remains.told(|event| event["action"] == "sign-out");
    let (least, most) =
        keepers.iter().map(Keeper::ends).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(
        (least..=most).contains(&told),
        "ends of sessions: told {told} times, {least} to {most}"
    );
}

/// Without this much, the kills met nothing.
fn assert_enough(keepers: &[Keeper], editor: &Editor) {
    let mut all = Tally::default();
    for Keeper { tally, .. } in keepers {
        all.made += tally.made;
        all.changed += tally.changed;
        all.deleted += tally.deleted;
        all.rotated += tally.rotated;
        all.ended += tally.ended;
        all.cut += tally.cut;
        all.cut_and_done += tally.cut_and_done;
    }
    let enough = all.made >= 30 && all.changed >= 100 && all.deleted >= 10 && all.rotated >= 20;
    assert!(
        enough && all.ended >= 5 && all.cut >= 10 && editor.changes() >= 20,
        "{all:?}, {}",
        editor.changes()
    );
}
