//! What clients of the vault do most: reading a credential, a page of companies, secure values;
//! making a credential; renewing tokens. Reads stand beside hyper alone that sends the same bytes
//! to the same clients, the rest beside what the store alone commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::list::detail;
use super::yardstick::{self, Commits};
use crate::Effort;
use crate::audit::AuditLog;
use crate::clients::Reader;
use crate::load::{self, Failure, Seen, Span};
use crate::process::Served;
use crate::sign_in::{self, Member};
use crate::site::Place;
use crate::table::{Row, Table, Target, time};
use crate::vault::{self, Kind, Refresher, Revealer};

const READERS: usize = 64;
const WRITERS: usize = 32;
const COMPANIES: usize = 5_000;
/// Not the first one: that would be too easy.
const PAGE: &str = "/v1/company/companies?page=84&rpp=30";
/// Credentials that each client reads in turn.
const EACH: usize = 32;
/// As the daemon has them by default.
const CONNECTIONS: usize = 4_096;

/// Keys of the batches: an event; a record, its secure values, two indexes, the epoch of its type
/// and an event; a session.
const REVEAL: usize = 1;
const CREATE: usize = 6;
const REFRESH: usize = 1;

pub(super) fn measure(effort: &Effort, table: &mut Table) -> Result<(), Failure> {
    let place = Place::vault(COMPANIES, CONNECTIONS);
    let daemon = place.serve()?;
    let sitting = Sitting::begin(effort.span, &place, &daemon)?;
    let credentials = sitting.read(&sitting.credentials)?;
    let companies = sitting.read(&[vec![PAGE.to_owned()]])?;
    let (reveals, told) = sitting.reveals()?;
    let creates = sitting.creates()?;
    let refreshes = sitting.refreshes()?;
    let Sitting { span, runtime, members, credentials: paths, .. } = sitting;
    daemon.stop()?;

    let bare = Bare { span, place: &place, runtime: &runtime, members: &members };
    let what = format!("credential by id, {READERS} clients");
    table.0.push(bare.beside(&what, &credentials, &paths)?);
    let what = format!("30 of {COMPANIES} companies, {READERS} clients");
    table.0.push(bare.beside(&what, &companies, &[vec![PAGE.to_owned()]])?);

    let commits = |keys| Commits::measure(&place.data(), effort.span.watched / 2, &[WRITERS], keys);
    let reveal = format!("reveal, its audit event committed, {WRITERS} clients");
    let detail =
        format!("{}; all {} in the audit log {} later", detail(&reveals), told.0, time(told.1));
    let target = Target::at_least("4,000/s", reveals.rate, 4_000.0);
    table.0.push(Row {
        detail,
        target,
        ..beside_store(reveal, &reveals, &commits(REVEAL)?, REVEAL)?
    });
    let create = format!("create a credential, {WRITERS} clients");
    table.0.push(beside_store(create, &creates, &commits(CREATE)?, CREATE)?);
    let refresh = format!("refresh, {WRITERS} clients");
    table.0.push(beside_store(refresh, &refreshes, &commits(REFRESH)?, REFRESH)?);
    Ok(())
}

/// A daemon, users who are signed in, and what they read.
struct Sitting<'a> {
    span: Span,
    place: &'a Place,
    runtime: Runtime,
    daemon: &'a Served,
    members: Vec<Member>,
    kind: Kind,
    ids: Vec<String>,
    /// The paths of the credentials that each client reads.
    credentials: Vec<Vec<String>>,
}

impl<'a> Sitting<'a> {
    fn begin(span: Span, place: &'a Place, daemon: &'a Served) -> Result<Self, Failure> {
        let runtime = super::runtime()?;
        let (members, kind, ids) = runtime.block_on(async {
            let members = sign_in::members(READERS, daemon.address()).await?;
            let kind = Kind::make(members.first().ok_or("nobody")?).await?;
            let ids = kind.credentials(&members, READERS * EACH).await?;
            Ok::<_, Failure>((members, kind, ids))
        })?;
        let credentials = ids.chunks(EACH).map(vault::paths).collect();
        Ok(Self { span, place, runtime, daemon, members, kind, ids, credentials })
    }

    /// Lets all members read, each the paths at its place.
    fn read(&self, paths: &[Vec<String>]) -> Result<Read, Failure> {
        self.runtime.block_on(async {
            let mut readers = readers(&self.members, paths).await?;
            let body = readers.first_mut().ok_or("nobody")?.body().await?.to_vec();
            Ok(Read { body, seen: load::run(readers, self.span, self.daemon.id()).await? })
        })
    }

    /// Also gives how many there were altogether, and how long after the last of them the audit log
    /// had all of them.
    fn reveals(&self) -> Result<(Seen, (usize, Duration)), Failure> {
        let mut log = AuditLog::from_now(self.place.audit_log());
        let done = Arc::new(AtomicUsize::new(0));
        self.runtime.block_on(async {
            let mut revealers = Vec::new();
            for (member, ids) in self.members.iter().zip(self.ids.chunks(EACH)).take(WRITERS) {
                revealers.push(Revealer::new(member, ids, false, &done).await?);
            }
            let seen = load::run(revealers, self.span, self.daemon.id()).await?;
            let done = done.load(Ordering::Relaxed);
            Ok((seen, (done, log.wait(r#""action":"reveal""#, done).await?)))
        })
    }

    fn creates(&self) -> Result<Seen, Failure> {
        self.runtime.block_on(async {
            let makers = self.kind.makers(self.writers()).await?;
            load::run(makers, self.span, self.daemon.id()).await
        })
    }

    fn refreshes(&self) -> Result<Seen, Failure> {
        self.runtime.block_on(async {
            let mut refreshers = Vec::new();
            for member in self.writers() {
                refreshers.push(Refresher::new(member).await?);
            }
            load::run(refreshers, self.span, self.daemon.id()).await
        })
    }

    fn writers(&self) -> &[Member] {
        self.members.get(..WRITERS).unwrap_or_default()
    }
}

async fn readers(members: &[Member], paths: &[Vec<String>]) -> Result<Vec<Reader>, Failure> {
    let mut readers = Vec::new();
    for (member, paths) in members.iter().zip(paths.iter().cycle()) {
        readers.push(Reader::new(&member.user, paths).await?);
    }
    Ok(readers)
}

/// What came of reading, and one answer.
struct Read {
    seen: Seen,
    body: Vec<u8>,
}

/// Where hyper alone stands in for the daemon.
struct Bare<'a> {
    span: Span,
    place: &'a Place,
    runtime: &'a Runtime,
    members: &'a [Member],
}

impl Bare<'_> {
    /// A row of `read` beside the same with hyper alone.
    fn beside(&self, what: &str, read: &Read, paths: &[Vec<String>]) -> Result<Row, Failure> {
        let Read { seen, body } = read;
        let bare = self.read(body, paths)?;
        let share = seen.rate / bare.rate;
        Ok(Row {
            what: format!("{what}, {} bytes", body.len()),
            measured: super::rate(seen.rate),
            detail: detail(seen),
            yardstick: format!(
                "bare hyper {} ({}); {share:.2} of it",
                super::rate(bare.rate),
                detail(&bare)
            ),
            target: None,
        })
    }

    fn read(&self, body: &[u8], paths: &[Vec<String>]) -> Result<Seen, Failure> {
        let bare = yardstick::bare(self.place, body)?;
        let moved: Vec<_> =
            self.members.iter().map(|member| member.moved(bare.address())).collect();
        let seen = self.runtime.block_on(async {
            load::run(readers(&moved, paths).await?, self.span, bare.id()).await
        })?;
        bare.stop()?;
        Ok(seen)
    }
}

fn beside_store(what: String, seen: &Seen, store: &Commits, keys: usize) -> Result<Row, Failure> {
    let store = store.rate(WRITERS)?;
    let share = seen.rate / store;
    let keys = if keys == 1 { "a key".to_owned() } else { format!("{keys} keys") };
    Ok(Row {
        what,
        measured: super::rate(seen.rate),
        detail: detail(seen),
        yardstick: format!("bare store {} commits of {keys}; {share:.2} of it", super::rate(store)),
        target: None,
    })
}
