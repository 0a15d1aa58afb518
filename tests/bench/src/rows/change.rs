//! A field becomes secure in every credential of a type, while others read them. To a reader that
//! is one moment: every answer goes by one of the two definitions, and none by the old one once any
//! has gone by the new one. Yardsticks: the same readers while nothing changes, and what the store
//! alone commits in as many batches.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::yardstick::Commits;
use crate::Effort;
use crate::audit::AuditLog;
use crate::clients::{Reader, expect};
use crate::connection::Connection;
use crate::load::{self, Client, Failure, at};
use crate::sign_in::{self, Member};
use crate::site::Place;
use crate::table::{Row, Table, time};
use crate::vault::{self, Kind, Revealer, TOKEN};

const CLIENTS: usize = 32;
/// As the daemon has them by default.
const CONNECTIONS: usize = 4_096;
const COMPANIES: usize = 30;
/// Credentials that the daemon seals at a time, and keys of the batch: the record, the values of
/// before and of now.
const AT_A_TIME: usize = 16;
const KEYS: usize = 3;
/// What the audit log says when nothing is left to seal.
const SEALED: &str = r#""values sealed""#;

pub(super) fn measure(effort: &Effort, table: &mut Table) -> Result<(), Failure> {
    let place = Place::vault(COMPANIES, CONNECTIONS);
    let daemon = place.serve()?;
    let change = super::runtime()?.block_on(watch(effort, &place, daemon.address()))?;
    daemon.stop()?;
    let store = Commits::measure(&place.data(), effort.span.watched / 2, &[AT_A_TIME], KEYS)?
        .rate(AT_A_TIME)?;

    let count = effort.credentials;
    table.0.push(Row {
        what: format!("a field becomes secure in {count} credentials: until the answer"),
        measured: time(change.answered),
        detail: "from here on no reader sees a value".to_owned(),
        yardstick: format!("all sealed after {}", time(change.sealed)),
        target: None,
    });
    table.0.push(Row {
        what: format!("a field becomes secure in {count} credentials: until all is sealed"),
        measured: time(change.sealed),
        detail: format!(
            "{} while {CLIENTS} clients read",
            super::rate(count as f64 / change.sealed.as_secs_f64())
        ),
        yardstick: format!(
            "bare store {} commits of {KEYS} keys, so {}",
            super::rate(store),
            time(Duration::from_secs_f64(count as f64 / store))
        ),
        target: None,
    });
    table.0.push(Row {
        what: format!("credential by id meanwhile, {CLIENTS} clients"),
        measured: spread(&change.meanwhile),
        detail: format!("{} reads, none failed or saw half a change", change.meanwhile.len()),
        yardstick: format!("nothing changing: {}", spread(&change.calm)),
        target: None,
    });
    Ok(())
}

fn spread(times: &[Duration]) -> String {
    let [p50, p99, longest] = [0.5, 0.99, 1.0].map(|share| time(at(times, share)));
    format!("p50 {p50}, p99 {p99}, max {longest}")
}

/// What was seen of a change.
struct Change {
    /// Reads before it, and from asking for it until all was sealed.
    calm: Vec<Duration>,
    meanwhile: Vec<Duration>,
    answered: Duration,
    sealed: Duration,
}

async fn watch(
    effort: &Effort,
    place: &Place,
    at: std::net::SocketAddr,
) -> Result<Change, Failure> {
    let members = sign_in::members(CLIENTS, at).await?;
    let by = members.first().ok_or("nobody")?;
    let kind = Kind::make(by).await?;
    let ids = kind.credentials(&members, effort.credentials).await?;
    let flip = Arc::new(Flip::default());

    let span = effort.span;
    let calm = async {
        tokio::time::sleep(span.watched).await;
        Ok(())
    };
    let (calm, ()) = load::run_during(watchers(&members, &ids, &flip).await?, calm).await?;
    let mut log = AuditLog::from_now(place.audit_log());
    let mut connection = Connection::open(at).await?;
    let changing = async {
        let begun = Instant::now();
        expect(&connection.exchange(&kind.change(by)).await?, 200)?;
        flip.has_been();
        let answered = begun.elapsed();
        log.wait(SEALED, 1).await?;
        Ok((answered, begun.elapsed()))
    };
    let (meanwhile, (answered, sealed)) =
        load::run_during(watchers(&members, &ids, &flip).await?, changing).await?;

    let each = ids.len().div_ceil(CLIENTS);
    load::run_times(watchers(&members, &ids, &flip).await?, each).await?;
    let done = Arc::new(AtomicUsize::new(0));
    let mut revealers = Vec::new();
    for (member, ids) in members.iter().zip(ids.chunks(each)) {
        revealers.push(Revealer::new(member, ids, true, &done).await?);
    }
    load::run_times(revealers, each).await?;
    Ok(Change { calm, meanwhile, answered, sealed })
}

/// The moment of the change, as far as readers know it.
#[derive(Default)]
struct Flip(OnceLock<Instant>);

impl Flip {
    /// Somebody was told just now. Only the first one counts.
    fn has_been(&self) {
        self.0.get_or_init(Instant::now);
    }

    fn was_before(&self, moment: Instant) -> bool {
        self.0.get().is_some_and(|first| *first < moment)
    }
}

/// A client for each member; each reads its share of the credentials in turn.
async fn watchers(
    members: &[Member],
    ids: &[String],
    flip: &Arc<Flip>,
) -> Result<Vec<Watcher>, Failure> {
    let mut watchers = Vec::new();
    for (member, ids) in members.iter().zip(ids.chunks(ids.len().div_ceil(members.len()))) {
        let reader = Reader::new(&member.user, &vault::paths(ids)).await?;
        watchers.push(Watcher { reader, flip: Arc::clone(flip) });
    }
    Ok(watchers)
}

/// Reads, and looks at what it reads.
struct Watcher {
    reader: Reader,
    flip: Arc<Flip>,
}

impl Client for Watcher {
    async fn once(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        match Sight::of(self.reader.body().await?)? {
            Sight::New => self.flip.has_been(),
            Sight::Old if self.flip.was_before(begun) => {
                return Err(
                    "an answer goes by the old definition after one went by the new one".into()
                );
            }
            Sight::Old => {}
        }
        Ok(())
    }
}

/// Which definition an answer goes by.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    Old,
    New,
}

impl Sight {
    fn of(body: &[u8]) -> Result<Self, Failure> {
        let body: Value = serde_json::from_slice(body)?;
        let data = body.get("data").ok_or("no credential")?;
        let (field, value) = TOKEN;
        let definition =
            data.pointer("/type/fields").and_then(Value::as_array).ok_or("no definition")?;
        let is_it = |other: &&Value| other.get("id").and_then(Value::as_str) == Some(field);
        let secure = definition.iter().find(is_it).and_then(|field| field.get("secure")?.as_bool());
        let shown = data.get("fields").ok_or("no fields")?.get(field);
        match (secure, shown.map(Value::as_str)) {
            (Some(false), Some(Some(text))) if text == value => Ok(Self::Old),
            (Some(true), None) => Ok(Self::New),
            _ => Err(format!("an answer goes by neither definition: {body}").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn half_a_change_is_seen() {
        let sight = |secure: bool, fields: Value| {
            let definition =
                json!([{ "id": "username", "secure": false }, { "id": "token", "secure": secure }]);
            let body = json!({ "data": { "fields": fields, "type": { "fields": definition } } });
            Sight::of(body.to_string().as_bytes()).ok()
        };
        let all = || json!({ "username": "operator", "token": TOKEN.1 });
        let one = || json!({ "username": "operator" });
        assert_eq!((sight(false, all()), sight(true, one())), (Some(Sight::Old), Some(Sight::New)));
        assert_eq!((sight(true, all()), sight(false, one())), (None, None));
        assert_eq!(sight(false, json!({ "token": "another" })), None);
    }
}
