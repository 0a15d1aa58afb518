//! From starting the program to its being ready: with nothing, with compiled components at hand,
//! with many leases.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Effort;
use crate::load::{Failure, at};
use crate::process::{beside, printed};
use crate::rows::memory::make_leases;
use crate::site::Place;
use crate::table::{Row, Table, Target, time};

const EMPTY: Duration = Duration::from_millis(300);
const FULL: Duration = Duration::from_secs(3);

pub(super) fn measure(effort: &Effort, table: &mut Table) -> Result<(), Failure> {
    let place = Place::new();
    let alone = format!("the program alone {}", time(alone(effort)?));
    let forget = || if place.data().exists() { fs::remove_dir_all(place.data()) } else { Ok(()) };
    let cold = middle(effort, || {
        forget()?;
        started(&place)
    })?;
    table.0.push(row("start to ready, nothing there, components compiled", cold, EMPTY, &alone));
    let warm = middle(effort, || started(&place))?;
    table.0.push(row("start to ready, no leases", warm, EMPTY, &alone));

    let [_, leases] = effort.leases;
    let daemon = place.serve()?;
    let took = make_leases(&place, &daemon, leases)?;
    daemon.stop()?;
    let first = started(&place)?;
    let later = middle(effort, || started(&place))?;
    let empty = format!("no leases {}", time(warm));
    let seeded = format!("made over the API in {}", time(took));
    let mut first = row(&format!("start to ready, {leases} leases, first"), first, FULL, &empty);
    first.detail = seeded;
    table.0.push(first);
    table.0.push(row(&format!("start to ready, {leases} leases, later"), later, FULL, &empty));
    Ok(())
}

fn started(place: &Place) -> Result<Duration, Failure> {
    let daemon = place.serve()?;
    let began_in = daemon.began_in;
    daemon.stop()?;
    Ok(began_in)
}

/// The program with nothing to do.
fn alone(effort: &Effort) -> Result<Duration, Failure> {
    let program = beside("credsmith")?;
    middle(effort, || {
        let begun = Instant::now();
        printed(Command::new(&program).arg("--version"))?;
        Ok(begun.elapsed())
    })
}

fn middle(
    effort: &Effort,
    once: impl Fn() -> Result<Duration, Failure>,
) -> Result<Duration, Failure> {
    let mut times: Vec<_> = (0..effort.starts).map(|_| once()).collect::<Result<_, _>>()?;
    times.sort_unstable();
    Ok(at(&times, 0.5))
}

fn row(what: &str, took: Duration, most: Duration, yardstick: &str) -> Row {
    Row {
        what: what.to_owned(),
        measured: time(took),
        detail: String::new(),
        yardstick: yardstick.to_owned(),
        target: Target::at_most(time(most), took.as_secs_f64(), most.as_secs_f64()),
    }
}
