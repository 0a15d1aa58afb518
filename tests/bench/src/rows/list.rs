//! The list of services for callers whose tokens are in the cache, beside hyper alone that sends
//! the same bytes to the same clients.

use super::yardstick;
use crate::Effort;
use crate::clients::{LIST, Reader};
use crate::load::{self, Failure, Seen, Span};
use crate::site::{Place, User};
use crate::table::{Row, Table, Target, time};

const CLIENTS: usize = 64;

pub(super) fn measure(effort: &Effort, table: &mut Table) -> Result<(), Failure> {
    let place = Place::new();
    let runtime = super::runtime()?;
    let daemon = place.serve()?;
    let mut users = place.users(0, CLIENTS, daemon.address());
    let first = users.first().ok_or("no users")?.clone();
    let body = runtime.block_on(async {
        let mut reader = Reader::new(&first, &[LIST]).await?;
        Ok::<_, Failure>(reader.body().await?.to_vec())
    })?;
    let ours = runtime.block_on(lists(&users, effort.span, daemon.id()))?;
    daemon.stop()?;

    let bare = yardstick::bare(&place, &body)?;
    users.iter_mut().for_each(|user| user.at = bare.address());
    let bares = runtime.block_on(lists(&users, effort.span, bare.id()))?;
    bare.stop()?;

    let ratio = ours.rate / bares.rate;
    table.0.push(Row {
        what: format!("service list, cached token, {CLIENTS} clients, {} bytes", body.len()),
        measured: super::rate(ours.rate),
        detail: detail(&ours),
        yardstick: format!(
            "bare hyper {} ({}); {ratio:.2} of it",
            super::rate(bares.rate),
            detail(&bares)
        ),
        target: Target::at_least("half", ratio, 0.5),
    });
    Ok(())
}

async fn lists(users: &[User], span: Span, server: u32) -> Result<Seen, Failure> {
    let mut clients = Vec::new();
    for user in users {
        let mut client = Reader::new(user, &[LIST]).await?;
        // Now the token is in the cache.
        client.body().await?;
        clients.push(client);
    }
    load::run(clients, span, server).await
}

/// How long it took, and what it cost on both sides.
pub(super) fn detail(seen: &Seen) -> String {
    let Seen { p50, p99, server_cpu, client_cpu, .. } = seen;
    let [p50, p99, server, client] = [p50, p99, server_cpu, client_cpu].map(|span| time(*span));
    format!("p50 {p50}, p99 {p99}, CPU {server} + {client}")
}
