//! Resident memory, idle and with leases, beside that of hyper alone.

use std::thread;
use std::time::Duration;

use super::yardstick;
use crate::Effort;
use crate::clients::Cycler;
use crate::load::{self, Failure};
use crate::process::{Served, resident};
use crate::site::Place;
use crate::table::{Row, Table, Target, mebibytes};

/// Clients that make leases: as many as may have their tokens looked up at once, else some would be
/// refused when tokens leave the cache.
const CLIENTS: usize = 32;
/// Each of them makes leases for so many users in turn.
const USERS_OF_A_CLIENT: usize = 32;

/// Until what belongs to starting is over.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) fn measure(effort: &Effort, table: &mut Table) -> Result<(), Failure> {
    let place = Place::new();
    // Compiling takes memory that a daemon with its components at hand never needs.
    place.serve()?.stop()?;
    let daemon = place.serve()?;
    thread::sleep(SETTLE);
    let idle = resident(daemon.id())?;
    let [leases, _] = effort.leases;
    let took = make_leases(&place, &daemon, leases)?;
    thread::sleep(SETTLE);
    let with_leases = resident(daemon.id())?;
    daemon.stop()?;

    let bare = yardstick::bare(&place, b"{}")?;
    let yardstick = format!("bare hyper {}", mebibytes(resident(bare.id())?));
    bare.stop()?;

    table.0.push(Row {
        what: "resident memory, idle".to_owned(),
        measured: mebibytes(idle),
        detail: "2 services".to_owned(),
        yardstick: yardstick.clone(),
        target: Target::at_most("40 MiB", idle as f64, f64::from(40 << 20)),
    });
    table.0.push(Row {
        what: format!("resident memory, {leases} leases made"),
        measured: mebibytes(with_leases),
        detail: format!("made at {}", super::rate(leases as f64 / took.as_secs_f64())),
        yardstick,
        target: None,
    });
    Ok(())
}

/// Has about `leases` leases issued and fetched, over the API. Gives how long it took.
pub(super) fn make_leases(
    place: &Place,
    daemon: &Served,
    leases: usize,
) -> Result<Duration, Failure> {
    super::runtime()?.block_on(async {
        let mut clients = Vec::new();
        for client in 0..CLIENTS {
            let users =
                place.users(client * USERS_OF_A_CLIENT, USERS_OF_A_CLIENT, daemon.address());
            clients.push(Cycler::keeping(&users).await?);
        }
        load::run_times(clients, leases.div_ceil(CLIENTS)).await
    })
}
