//! Issue, fetch and revoke, each client a user of its own, everything durable. Yardsticks: what the
//! bare store commits in as many batches of that size, and what a process for each plugin call
//! would do.

use super::yardstick::Commits;
use crate::Effort;
use crate::clients::{Cycler, LIST, Reader};
use crate::load::{self, Failure, Seen};
use crate::process::Served;
use crate::rows::per_process::{self, Pairs};
use crate::site::Place;
use crate::table::{Row, Table, Target};

const CLIENTS: [usize; 3] = [1, 8, 64];
/// Commits of one cycle: reserve, activate, tell of the hand-out, claim the revocation, end.
const COMMITS: f64 = 5.0;
/// Keys of a batch of the bare store. Those of a cycle have 4, 4, 1, 2 and 7, events of the audit
/// included.
const KEYS: usize = 4;

pub(super) fn measure(effort: &Effort, table: &mut Table) -> Result<(), Failure> {
    let place = Place::new();
    let daemon = place.serve()?;
    let mut seen = Vec::new();
    for clients in CLIENTS {
        seen.push(cycles(effort, &place, &daemon, clients)?);
    }
    daemon.stop()?;
    let commits = Commits::measure(&place.data(), effort.span.watched / 2, &CLIENTS, KEYS)?;
    for (clients, seen) in CLIENTS.into_iter().zip(seen) {
        let store = commits.rate(clients)?;
        let native = per_process::native(clients, effort.span.watched / 2)?;
        let python = per_process::python(clients, effort.span.watched / 2)?;
        table.0.push(row(clients, &seen, store, &native, &python));
    }
    Ok(())
}

fn cycles(
    effort: &Effort,
    place: &Place,
    daemon: &Served,
    clients: usize,
) -> Result<Seen, Failure> {
    let users = place.users(0, clients, daemon.address());
    super::runtime()?.block_on(async {
        let mut cyclers = Vec::new();
        for user in &users {
            Reader::new(user, &[LIST]).await?.body().await?;
            cyclers.push(Cycler::new(std::slice::from_ref(user)).await?);
        }
        load::run(cyclers, effort.span, daemon.id()).await
    })
}

fn row(clients: usize, seen: &Seen, store: f64, native: &Pairs, python: &Pairs) -> Row {
    let most = clients == CLIENTS.into_iter().max().unwrap_or_default();
    Row {
        what: format!(
            "issue + fetch + revoke, {clients} client{}",
            if clients == 1 { "" } else { "s" }
        ),
        measured: super::rate(seen.rate),
        detail: super::list::detail(seen),
        yardstick: format!(
            "bare store {} commits, so {}; processes: native {}, python3 {}",
            super::rate(store),
            super::rate(store / COMMITS),
            native,
            python
        ),
        target: if most { Target::at_least("3,000/s", seen.rate, 3000.0) } else { None },
    }
}
