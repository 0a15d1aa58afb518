//! Somebody who keeps credentials and remembers every answer.
//!
//! What was acknowledged has to be there, exactly so. What was asked and never answered has
//! happened as a whole or not at all: it is in doubt until the next daemon is asked, and from then
//! on it is known. Nobody else touches these credentials, so there is no other excuse.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use credsmith_tests::{Answer, Request, Session};
use serde_json::{Value, json};

use super::Client;
use super::editor::assert_one_definition;
use super::remains::Remains;
use super::site::{CREDENTIALS, values};
use crate::dice::Dice;

/// Fields that are always set together, to the same value: one in the open, one secure.
pub(super) const OPEN: &str = "open";
pub(super) const SEALED: &str = "sealed";
/// A secure field that is set once.
pub(super) const KEPT: &str = "kept";

/// Most credentials of one keeper.
const MOST: usize = 6;

/// A credential as its keeper knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    name: String,
    kept: String,
    generation: String,
    /// Writes so far, its making among them.
    version: u64,
    /// How many of them set values.
    sets: u64,
}

/// What was asked and not answered.
#[derive(Debug)]
enum Doubt {
    /// A credential that may be there, under an id that nobody was told.
    Made(Held),
    /// A credential that may be so by now; `None`: gone.
    Changed(String, Option<Held>),
    /// The refresh token may be spent.
    Rotated,
    /// The session may be over.
    Ended,
}

/// How often something happened that has an event, by what is known: at least, at most.
#[derive(Debug, Default, Clone, Copy)]
struct Range {
    answered: u64,
    asked: u64,
}

/// How much of each there was, so that a test can tell that something happened at all.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) made: u64,
    pub(super) changed: u64,
    pub(super) deleted: u64,
    pub(super) rotated: u64,
    pub(super) ended: u64,
    /// Requests that were never answered, and of these the ones that had happened.
    pub(super) cut: u64,
    pub(super) cut_and_done: u64,
}

/// One client of the vault.
pub(super) struct Keeper {
    /// As the provider knows them.
    pub(super) user: String,
    to: SocketAddr,
    session: Session,
    of: String,
    company: String,
    held: BTreeMap<String, Held>,
    gone: BTreeMap<String, Held>,
    doubt: Option<Doubt>,
    names: u64,
    reveals: BTreeMap<String, Range>,
    sign_ins: Range,
    ends: Range,
    /// What opened and renewed sessions that are over.
    over: Vec<Session>,
    pub(super) tally: Tally,
}

impl Keeper {
    /// Somebody new, for credentials of the type `of`.
    pub(super) fn new(to: SocketAddr, user: &str, of: &str, company: &str) -> Self {
        let session = Session::begin(to, user);
        Self {
            user: user.to_owned(),
            to,
            company: session.company(company),
            session,
            of: of.to_owned(),
            held: BTreeMap::new(),
            gone: BTreeMap::new(),
            doubt: None,
            names: 0,
            reveals: BTreeMap::new(),
            sign_ins: Range { answered: 1, asked: 1 },
            ends: Range::default(),
            over: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// How many credentials they have.
    pub(super) fn count(&self) -> u64 {
        self.held.len() as u64
    }

    fn ask(&self, request: Request) -> io::Result<Answer> {
        self.session.try_ask(request)
    }

    fn next_name(&mut self) -> String {
        self.names += 1;
        format!("{}.{}", self.user, self.names)
    }

    fn make(&mut self) -> io::Result<()> {
        let name = self.next_name();
        let made = Held {
            kept: format!("kept {name}"),
            generation: name.clone(),
            name,
            version: 1,
            sets: 0,
        };
        let body = json!({
            "name": made.name,
            "typeId": self.of,
            "companyId": self.company,
            "fields": values([(OPEN, &made.generation), (SEALED, &made.generation), (KEPT, &made.kept)]),
        });
        self.doubt = Some(Doubt::Made(made.clone()));
        let answer = self.ask(Request::post(CREDENTIALS, &body))?.expect(201).json();
        self.doubt = None;
        self.tally.made += 1;
        self.held.insert(answer["data"]["id"].as_str().unwrap().to_owned(), made);
        Ok(())
    }

    fn set(&mut self, id: &str) -> io::Result<()> {
        let generation = self.next_name();
        let body = json!({ "fields": values([(OPEN, &generation), (SEALED, &generation)]) });
        let held = &self.held[id];
        let after =
            Held { generation, version: held.version + 1, sets: held.sets + 1, ..held.clone() };
        let request = Request::json("PUT", format!("{CREDENTIALS}/{id}/fields"), &body);
        self.change(id, Some(after), request)
    }

    fn rename(&mut self, id: &str) -> io::Result<()> {
        let name = self.next_name();
        let request =
            Request::json("PATCH", format!("{CREDENTIALS}/{id}"), &json!({ "name": name }));
        let held = &self.held[id];
        let after = Held { name, version: held.version + 1, ..held.clone() };
        self.change(id, Some(after), request)
    }

    fn delete(&mut self, id: &str) -> io::Result<()> {
        self.change(id, None, Request::delete(format!("{CREDENTIALS}/{id}")))
    }

    fn change(&mut self, id: &str, after: Option<Held>, request: Request) -> io::Result<()> {
        self.doubt = Some(Doubt::Changed(id.to_owned(), after.clone()));
        self.ask(request)?.expect(200);
        self.doubt = None;
        match &after {
            Some(_) => self.tally.changed += 1,
            None => self.tally.deleted += 1,
        }
        self.learn(id, after);
        Ok(())
    }

    fn learn(&mut self, id: &str, now: Option<Held>) {
        match now {
            Some(now) => {
                self.held.insert(id.to_owned(), now);
            }
            None => self.gone.extend(self.held.remove_entry(id)),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.doubt = Some(Doubt::Rotated);
        let answer = self.session.try_refresh()?;
        answer.expect(201);
        self.doubt = None;
        self.tally.rotated += 1;
        Ok(())
    }

    /// Ends the session, by saying so or by showing a token that is spent, and begins another one.
    fn end(&mut self, says_so: bool) -> io::Result<()> {
        if says_so {
            self.doubt = Some(Doubt::Ended);
            self.ends.asked += 1;
            self.ask(Request::new("POST", "/v1/auth/logout"))?.expect(200);
        } else {
            let mut spent = self.session.clone();
            self.rotate()?;
            self.doubt = Some(Doubt::Ended);
            self.ends.asked += 1;
            spent.try_refresh()?.expect(401);
        }
        self.ends.answered += 1;
        self.tally.ended += 1;
        self.begin()
    }

    /// Signs in anew; the session before is over.
    fn begin(&mut self) -> io::Result<()> {
        self.sign_ins.asked += 1;
        let session = Session::try_begin(self.to, &self.user)?;
        self.sign_ins.answered += 1;
        self.doubt = None;
        self.over.push(std::mem::replace(&mut self.session, session));
        Ok(())
    }

    fn settle_session(&mut self) -> io::Result<()> {
        let answer = self.ask(Request::get("/v1/user/@me"))?;
        match (answer.status, &self.doubt) {
            (200, Some(Doubt::Rotated)) => self.settle_rotation()?,
            (200, Some(Doubt::Ended)) => self.doubt = None,
            // What was never answered may have ended it, be it that somebody looked whether a token
            // is spent.
            (401, Some(Doubt::Ended | Doubt::Rotated)) => self.begin()?,
            (200, _) => {}
            _ => panic!("{}: a session that was not ended is over: {answer:?}", self.user),
        }
        for over in self.over.iter().rev().take(2) {
            let mut over = over.moved(self.to);
            over.try_ask(Request::get("/v1/user/@me"))?.expect(401);
            over.try_refresh()?.expect(401);
        }
        Ok(())
    }

    /// If the token was spent, showing it once more ends the session.
    fn settle_rotation(&mut self) -> io::Result<()> {
        self.ends.asked += 1;
        let answer = self.session.try_refresh()?;
        if answer.status == 201 {
            self.doubt = None;
            return Ok(());
        }
        answer.expect(401);
        self.ends.answered += 1;
        self.begin()
    }

    fn settle_making(&mut self) -> io::Result<()> {
        let Some(Doubt::Made(made)) = &self.doubt else { return Ok(()) };
        let made = made.clone();
        let found = self.listed()?.into_iter().find(|(_, name)| *name == made.name);
        self.doubt = None;
        self.tally.cut += 1;
        if let Some((id, _)) = found {
            self.tally.cut_and_done += 1;
            self.held.insert(id, made);
        }
        Ok(())
    }

    fn settle_one(&mut self, id: &str) -> io::Result<()> {
        let now = self.look_at(id)?;
        let before = self.held[id].clone();
        let after = match &self.doubt {
            Some(Doubt::Changed(changed, after)) if changed == id => Some(after.clone()),
            _ => None,
        };
        if let Some(after) = after {
            self.doubt = None;
            self.tally.cut += 1;
            let same = |held: &Held| now.as_ref().is_some_and(|now| now.is(held));
            if !same(&before) {
                assert!(
                    after.as_ref().map_or(now.is_none(), same),
                    "{id}: {now:?} is neither {before:?} nor {after:?}"
                );
                self.tally.cut_and_done += 1;
                self.learn(id, after);
            }
            return Ok(());
        }
        assert!(
            now.as_ref().is_some_and(|now| now.is(&before)),
            "{id}: {now:?} instead of {before:?}"
        );
        Ok(())
    }

    /// Their credentials, by id with their names, as the list of the company has them.
    fn listed(&self) -> io::Result<BTreeMap<String, String>> {
        let answer = self.ask(Request::get(format!("{CREDENTIALS}/company/{}", self.company)))?;
        let all = answer.expect(200).json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all = all["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (text(&one["id"]), text(&one["name"])));
        let own = format!("{}.", self.user);
        Ok(all.filter(|(_, name)| name.starts_with(&own)).collect())
    }

    /// The credential, which has to be as it is known to be.
    fn look(&mut self, id: &str) -> io::Result<()> {
        let now = self.look_at(id)?;
        let held = &self.held[id];
        assert!(now.as_ref().is_some_and(|now| now.is(held)), "{id}: {now:?} instead of {held:?}");
        Ok(())
    }

    /// What there is of the credential; `None`: nothing.
    fn look_at(&mut self, id: &str) -> io::Result<Option<Seen>> {
        let path = format!("{CREDENTIALS}/{id}");
        let answer = self.ask(Request::get(path.clone()))?;
        if answer.status == 404 {
            self.ask(Request::get(format!("{path}/secure-values")))?.expect(404);
            return Ok(None);
        }
        let answer = answer.expect(200);
        let tag = answer.header("etag").unwrap().trim_matches('"').parse().unwrap();
        let data = answer.json()["data"].clone();
        assert_one_definition(&data["type"]);
        self.reveals.entry(id.to_owned()).or_default().asked += 1;
        let secure = self.ask(Request::get(format!("{path}/secure-values")))?.expect(200).json();
        self.reveals.entry(id.to_owned()).or_default().answered += 1;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Ok(Some(Seen {
            name: text(&data["name"]),
            version: tag,
            open: data["fields"].clone(),
            secure: secure["data"].clone(),
        }))
    }

    /// Every event is there that has to be, once, and no other.
    pub(super) fn assert_told(&self, remains: &Remains) {
        let mut told: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for event in remains.events.iter().filter(|event| event["outcome"] == "done") {
            let text = |value: &'static str, of: &'static str| {
                event[value][of].as_str().unwrap_or_default()
            };
            let action = event["action"].as_str().unwrap();
            *told.entry((action, text("target", "credential"))).or_default() += 1;
        }
        let told = |action, id| told.get(&(action, id)).copied().unwrap_or(0);
        let all = self.held.iter().map(|one| (one, 0)).chain(self.gone.iter().map(|one| (one, 1)));
        for ((id, held), deletions) in all {
            let exact = [told("create", id), told("change", id), told("delete", id)];
            assert_eq!(exact, [1, held.version - 1, deletions], "{id}: what was told of it");
            // An attempt that lost against a change of the type has shown the kept value to the
            // plugin as well.
            assert!(told("use", id) >= held.sets, "{id}: what the plugin saw");
            self.reveals.get(id).copied().unwrap_or_default().assert_in(told("reveal", id), id);
        }
        let is_mine = |event: &Value| event["actor"]["subject"] == self.user.as_str();
        let sign_ins = remains.told(|event| is_mine(event) && event["action"] == "sign-in");
        self.sign_ins.assert_in(sign_ins, &self.user);
    }

    /// How many ends of sessions were told at least, and at most.
    pub(super) fn ends(&self) -> (u64, u64) {
        (self.ends.answered, self.ends.asked)
    }
}

impl Client for Keeper {
    fn settle(&mut self, to: SocketAddr) -> io::Result<()> {
        self.to = to;
        self.session = self.session.moved(to);
        self.settle_session()?;
        self.settle_making()?;
        for id in self.held.keys().cloned().collect::<Vec<_>>() {
            self.settle_one(&id)?;
        }
        for id in self.gone.keys().rev().take(MOST) {
            self.ask(Request::get(format!("{CREDENTIALS}/{id}")))?.expect(404);
        }
        let listed = self.listed()?;
        let known: BTreeMap<_, _> =
            self.held.iter().map(|(id, held)| (id.clone(), held.name.clone())).collect();
        assert_eq!(listed, known, "{}: the list", self.user);
        Ok(())
    }

    fn act(&mut self, dice: &mut Dice) -> io::Result<()> {
        let ids: Vec<_> = self.held.keys().cloned().collect();
        if ids.is_empty() || (ids.len() < MOST && dice.percent(20)) {
            return self.make();
        }
        let id = &ids[usize::try_from(dice.below(ids.len() as u64)).unwrap()];
        match dice.below(100) {
            0..40 => self.set(id),
            40..60 => self.rename(id),
            60..70 => self.delete(id),
            70..85 => self.look(id),
            85..96 => self.rotate(),
            _ => self.end(dice.percent(50)),
        }
    }
}

impl Range {
    fn assert_in(self, told: u64, what: &str) {
        assert!(
            (self.answered..=self.asked).contains(&told),
            "{what}: told {told} times, {self:?}"
        );
    }
}

/// A credential as the daemon shows it.
#[derive(Debug)]
struct Seen {
    name: String,
    version: u64,
    open: Value,
    secure: Value,
}

impl Seen {
    /// Whether all of it is as `held` says.
    fn is(&self, held: &Held) -> bool {
        let Held { name, kept, generation, version, .. } = held;
        self.name == *name
            && self.version == *version
            && self.open == json!({ OPEN: generation })
            && self.secure == json!({ SEALED: generation, KEPT: kept })
    }
}
