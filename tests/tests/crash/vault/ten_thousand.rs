//! Changes of a type with ten thousand credentials, and kills in the middle of them: a field
//! becomes secure, the scope changes, the type goes, comes back, and is purged. To a reader each is
//! one moment, whenever the daemon dies; what it leaves to do is done by the next one.

use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credsmith_dev_provider::Account;
use credsmith_tests::{Daemon, Provider, Request, Session, Site, credsmith, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::line::Line;
use super::remains::{Keys, Remains};
use super::site::{
    COMPANIES, CREDENTIALS, TYPES, assert_in_order, assert_log_holds, deleted, field, values, vault,
};
use crate::dice::Dice;

const COUNT: usize = 10_000;
/// Connections at a time.
const LINES: usize = 16;
/// Those of readers while a change goes through.
const READERS: u64 = 2;
/// Of so many credentials it is looked whether all are alike.
const SAMPLES: usize = 25;
/// What begins every value that is in the open at first.
const CANARY: &str = "canary-";
/// What stands once in each credential of a list.
const LISTED: &str = "\"typeId\":";
/// How often the daemon is killed about the time at which it is asked for a change; then it may
/// live.
const KILLS: u64 = 3;

const OLD: &str = "crash.old";
const NEW: &str = "crash.new";

#[test]
fn changes_of_ten_thousand_are_one_moment_and_go_on_after_kills() {
    let mut stage = Stage::set();
    stage.seal_a_field();
    stage.change_the_scope();
    stage.delete_and_restore();
    stage.purge();
}

/// Everything there is. The daemon is dead between the scenes.
struct Stage {
    _provider: Provider,
    site: Site,
    dice: Dice,
    admin: Session,
    /// Who has the scope of before, and who has that of afterwards.
    old: Session,
    new: Session,
    of: String,
    companies: Vec<String>,
    /// By number.
    ids: Vec<String>,
    /// Reveals that were answered, and that were asked for.
    revealed: AtomicU64,
    asked: AtomicU64,
}

fn canary(number: usize) -> String {
    format!("{CANARY}{number:05}")
}

fn user(number: usize) -> String {
    format!("user of {number}")
}

fn password(number: usize) -> String {
    format!("password of {number}")
}

fn fields(token_is_secure: bool) -> Value {
    let token = field("token", "Token", token_is_secure);
    json!([field("user", "User", false), token, field("password", "Password", true)])
}

/// What makes a credential.
fn creation(of: &str, company: &str, number: usize) -> Request {
    let (user, token, password) = (user(number), canary(number), password(number));
    let fields = values([("user", &user), ("token", &token), ("password", &password)]);
    let name = format!("Credential {number}");
    Request::post(
        CREDENTIALS,
        &json!({ "name": name, "typeId": of, "companyId": company, "fields": fields }),
    )
}

impl Stage {
    fn set() -> Self {
        let person = |name: &str| Account::new(name, [("groups", json!([name]))]);
        let provider = Provider::with(vec![person("old"), person("new")]);
        let clerk = |scope| ["company.*", "credential.*", "credential_type.*", scope];
        let site = vault(&provider)
            .role("admin", &["*"], Some("admins"), "")
            .role("old", &clerk(OLD), Some("old"), "")
            .role("new", &clerk(NEW), Some("new"), "");
        let daemon = site.serve();
        let to = daemon.address();
        let admin = Session::begin(to, "alice");
        let of = admin
            .make_type(&json!({ "name": "Many", "permissionScope": OLD, "fields": fields(false) }));
        let companies: Vec<_> = COMPANIES.iter().map(|company| admin.company(company)).collect();
        let make = |line: &mut Line, number: usize| {
            let made =
                line.ask(creation(&of, &companies[number % companies.len()], number)).unwrap();
            made.expect(201).json()["data"]["id"].as_str().unwrap().to_owned()
        };
        let ids = for_each(to, &admin, make);
        let (old, new) = (Session::begin(to, "old"), Session::begin(to, "new"));
        daemon.kill();
        let (revealed, asked) = (AtomicU64::new(0), AtomicU64::new(0));
        let dice = Dice::new(0x10_000);
        Self {
            _provider: provider,
            site,
            dice,
            admin,
            old,
            new,
            of,
            companies,
            ids,
            revealed,
            asked,
        }
    }

    fn type_path(&self) -> String {
        format!("{TYPES}/{}", self.of)
    }

    fn change(&self, body: &Value) -> Request {
        Request::json("PATCH", self.type_path(), body)
    }

    /// Asks for a change and kills the daemon about that time. Whether it was acknowledged.
    fn kill_about(&mut self, request: &Request) -> bool {
        let daemon = self.site.serve();
        let admin = self.admin.moved(daemon.address());
        let moment = Duration::from_micros(self.dice.below(15_000));
        let answer = thread::scope(|scope| {
            let asked = scope.spawn(|| admin.try_ask(request.clone()));
            thread::sleep(moment);
            daemon.kill();
            asked.join().unwrap()
        });
        answer.is_ok_and(|answer| answer.expect(200).status == 200)
    }

    /// Has a change happen, with kills about the time of it. `has_happened` looks at everything,
    /// and finds it before or after the change.
    fn flip(&mut self, request: &Request, has_happened: impl Fn(&Self, SocketAddr) -> bool) {
        for _ in 0..KILLS {
            let acknowledged = self.kill_about(request);
            let daemon = self.site.serve();
            let happened = has_happened(self, daemon.address());
            assert!(happened || !acknowledged, "what was acknowledged happened");
            daemon.kill();
            if happened {
                return;
            }
        }
        let daemon = self.site.serve();
        self.admin.moved(daemon.address()).ask(request.clone()).expect(200);
        assert!(has_happened(self, daemon.address()));
        daemon.kill();
    }

    /// Numbers of some credentials, here and there.
    fn samples(&self) -> impl Iterator<Item = usize> {
        (0..SAMPLES).map(|n| n * (COUNT / SAMPLES) + n)
    }

    /// How often `part` is in the list of the type, as `session` gets it.
    fn listed(&self, session: &Session, part: &str) -> usize {
        count_in_pages(session, &format!("{}/credentials", self.type_path()), part)
    }

    // A field becomes secure.

    fn seal_a_field(&mut self) {
        assert_eq!(
            Remains::of(&self.site).in_the_open(CANARY),
            COUNT,
            "all are in the open at first"
        );
        self.flip(&self.change(&json!({ "fields": fields(true) })), Self::is_sealed);
        let met = self.kill_while_sealing();
        assert!(met >= 2, "{met} kills in the middle");
        assert_log_holds(&self.site);
        assert_eq!(
            Remains::of(&self.site).in_the_open(CANARY),
            0,
            "nothing is in the open any more"
        );

        let daemon = self.site.serve();
        let to = daemon.address();
        for_each(to, &self.admin, |line, number| {
            self.check_reveal(line, number).unwrap();
            if number % 8 == 0 {
                self.check_fields(line, number).unwrap();
            }
        });
        assert_in_order(&daemon);
        daemon.kill();
    }

    /// Whether the token is secure: then it is in no view.
    fn is_sealed(&self, to: SocketAddr) -> bool {
        let admin = self.admin.moved(to);
        let of = admin.get(&self.type_path()).expect(200).json();
        let sealed = is_secure(&of["data"]);
        let open = self.listed(&admin, CANARY);
        assert_eq!(open, if sealed { 0 } else { COUNT }, "a list goes by one definition");
        let mut line = Line::open(to, &admin).unwrap();
        self.samples()
            .for_each(|number| assert_eq!(self.check_view(&mut line, number).unwrap(), sealed));
        sealed
    }

    /// Lives and deaths until nothing is left to seal. How many of these deaths were in the middle
    /// of it.
    fn kill_while_sealing(&mut self) -> usize {
        let mut met = 0;
        for life in 1.. {
            assert!(life < 100, "it is sealed in the end");
            let keys = Keys::of(&self.site);
            if keys.under("reseal/").next().is_none() {
                break;
            }
            let sealed = keys.sealed().filter(|(_, version)| *version > 1).count();
            met += usize::from(0 < sealed && sealed < COUNT);
            let moment = Duration::from_millis(100 + self.dice.below(500 * life));
            self.read_until_killed(moment);
        }
        met
    }

    fn read_until_killed(&self, moment: Duration) {
        let daemon = self.site.serve();
        let to = daemon.address();
        let doomed = AtomicBool::new(false);
        thread::scope(|scope| {
            for reader in 0..READERS {
                let doomed = &doomed;
                scope.spawn(move || {
                    let seed = u64::try_from(moment.as_micros()).unwrap() + reader;
                    let error = self.read(to, Dice::new(seed)).unwrap_err();
                    assert!(
                        doomed.load(Ordering::SeqCst),
                        "no answer though nobody killed the daemon: {error}"
                    );
                });
            }
            thread::sleep(moment);
            doomed.store(true, Ordering::SeqCst);
            let ended = daemon.kill();
            assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        });
    }

    /// Reads for as long as somebody answers.
    fn read(&self, to: SocketAddr, mut dice: Dice) -> io::Result<()> {
        let mut line = Line::open(to, &self.admin)?;
        loop {
            let number = usize::try_from(dice.below(COUNT as u64)).unwrap();
            match dice.below(10) {
                0 => self.check_fields(&mut line, number)?,
                1 => self.check_reveal(&mut line, number)?,
                _ => assert!(self.check_view(&mut line, number)?, "{number}: it was secure before"),
            }
        }
    }

    /// The credential goes by one definition: whether the token is secure by it.
    fn check_view(&self, line: &mut Line, number: usize) -> io::Result<bool> {
        let view = line.ask(Request::get(self.path(number)))?.expect(200).json()["data"].clone();
        let sealed = is_secure(&view["type"]);
        let (user, token) = (user(number), canary(number));
        let shown =
            if sealed { json!({ "user": user }) } else { json!({ "user": user, "token": token }) };
        assert_eq!(view["fields"], shown, "{number}: half a change");
        Ok(sealed)
    }

    /// The token is a ciphertext with an id of its own.
    fn check_fields(&self, line: &mut Line, number: usize) -> io::Result<()> {
        let path = format!("{}/fields", self.path(number));
        let fields = line.ask(Request::get(path))?.expect(200).json()["data"].clone();
        let ids: Vec<_> =
            fields.as_array().unwrap().iter().map(|one| one["fieldId"].as_str().unwrap()).collect();
        assert_eq!(ids, ["user", "token", "password"], "{number}");
        let (token, own) = (&fields[1], fields[1]["id"].as_str().unwrap());
        assert!(!own.starts_with(&self.ids[number]) && own.len() == 25, "{number}: {token}");
        let sealed = STANDARD.decode(token["value"].as_str().unwrap()).unwrap();
        assert!(sealed.len() > canary(number).len());
        assert!(
            !sealed.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()),
            "{number}: in the open"
        );
        Ok(())
    }

    fn check_reveal(&self, line: &mut Line, number: usize) -> io::Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let path = format!("{}/secure-values", self.path(number));
        let secure = line.ask(Request::get(path))?.expect(200).json()["data"].clone();
        self.revealed.fetch_add(1, Ordering::SeqCst);
        assert_eq!(
            secure,
            json!({ "token": canary(number), "password": password(number) }),
            "{number}"
        );
        Ok(())
    }

    fn path(&self, number: usize) -> String {
        format!("{CREDENTIALS}/{}", self.ids[number])
    }

    // The scope changes.

    fn change_the_scope(&mut self) {
        self.flip(&self.change(&json!({ "permissionScope": NEW })), |stage, to| {
            let (old, new) = (stage.sees(&stage.old.moved(to)), stage.sees(&stage.new.moved(to)));
            assert_ne!(old, new, "one of the two scopes opens it");
            new
        });
    }

    /// Whether somebody sees the credentials: all or none, in every way.
    fn sees(&self, session: &Session) -> bool {
        let listed = self.listed(session, LISTED);
        let of = session.get(&self.type_path()).expect(200).json();
        assert_eq!(of["data"]["credentialCount"], listed);
        assert!(listed == 0 || listed == COUNT, "{listed} of {COUNT}");
        let status = if listed == 0 { 403 } else { 200 };
        self.samples().for_each(|number| {
            session.get(&self.path(number)).expect(status);
        });
        listed > 0
    }

    // The type goes, with its credentials, and comes back.

    fn delete_and_restore(&mut self) {
        self.flip(&Request::delete(self.type_path()), Self::is_gone);
        let daemon = self.site.serve();
        let listed = deleted(&daemon);
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!((&listed[0]["id"], &listed[0]["credentials"]), (&json!(self.of), &json!(COUNT)));
        assert!(self.operate(&daemon, "restore").success(), "it comes back");
        let admin = self.admin.moved(daemon.address());
        assert_eq!(self.listed(&admin, LISTED), COUNT);
        let mut line = Line::open(daemon.address(), &admin).unwrap();
        self.samples().for_each(|number| {
            assert!(self.check_view(&mut line, number).unwrap());
            self.check_reveal(&mut line, number).unwrap();
        });
        daemon.kill();
    }

    /// Whether the type and all of its credentials are gone, in every way.
    fn is_gone(&self, to: SocketAddr) -> bool {
        let admin = self.admin.moved(to);
        let gone = admin.get(&self.type_path()).status == 404;
        let status = if gone { 404 } else { 200 };
        admin.get(&format!("{}/credentials", self.type_path())).expect(status);
        for number in self.samples() {
            admin.get(&self.path(number)).expect(status);
            if gone {
                admin.get(&format!("{}/secure-values", self.path(number))).expect(404);
            }
        }
        let of_company = |company: &String| {
            count_in_pages(&admin, &format!("{CREDENTIALS}/company/{company}"), LISTED)
        };
        let left: usize = self.companies.iter().map(of_company).sum();
        assert_eq!(left, if gone { 0 } else { COUNT });
        gone
    }

    /// What an operator types about the type.
    fn operate(&self, daemon: &Daemon, command: &str) -> std::process::ExitStatus {
        let socket = daemon.data().unwrap().join("admin.sock");
        let mut operator = credsmith();
        operator.args(["vault", command, &self.of, "--socket"]).arg(socket);
        operator.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
    }

    // It is purged.

    fn purge(&mut self) {
        let daemon = self.site.serve();
        self.admin.moved(daemon.address()).ask(Request::delete(self.type_path())).expect(200);
        thread::scope(|scope| {
            let purging = scope.spawn(|| self.operate(&daemon, "purge"));
            let is_whole = |listed: &Value| listed["credentials"] == json!(COUNT);
            eventually("the purge has begun", || !deleted(&daemon).iter().any(is_whole));
            daemon.signal(Signal::KILL);
            assert!(!purging.join().unwrap().success(), "it was cut short");
        });
        drop(daemon);
        let met = self.kill_while_purging();
        assert!(met >= 1, "{met} kills in the middle");

        let daemon = self.site.serve();
        assert!(self.is_gone(daemon.address()));
        assert_eq!(deleted(&daemon), Vec::<Value>::new());
        assert_in_order(&daemon);
        assert!(daemon.stop().status.success(), "it drains");
        assert_log_holds(&self.site);
        let remains = Remains::of(&self.site);
        remains.assert_whole();
        assert_eq!(remains.credentials.len(), 0);
        for space in ["sealed/", "values/", "reseal/", "gone/"] {
            assert_eq!(remains.keys.under(space).count(), 0, "{space}");
        }
        self.assert_told(&remains);
    }

    /// Lives and deaths until nothing is left. How many of these deaths were in the middle of it.
    fn kill_while_purging(&mut self) -> usize {
        let mut met = 0;
        for life in 1.. {
            assert!(life < 100, "it is purged in the end");
            let keys = Keys::of(&self.site);
            if keys.under("gone/").next().is_none() {
                break;
            }
            met += usize::from(keys.under("credential/").count() < COUNT);
            let moment = Duration::from_millis(self.dice.below(300 * life));
            let daemon = self.site.serve();
            assert!(
                !self.operate(&daemon, "restore").success(),
                "what is half gone does not come back"
            );
            thread::sleep(moment);
            daemon.kill();
        }
        met
    }

    /// Everything that happened was told, once.
    fn assert_told(&self, remains: &Remains) {
        let is_of_type = |event: &Value| {
            event["target"]["type"] == self.of.as_str() && event["target"]["credential"].is_null()
        };
        let told =
            |action: &str| remains.told(|event| event["action"] == action && is_of_type(event));
        let sealed = remains.told(|event| event["note"] == "values sealed");
        assert_eq!((told("create"), told("change"), sealed), (1, 3, 1));
        assert_eq!((told("delete"), told("restore"), told("purge")), (2, 1, 1));

        let mut made: Vec<_> = remains
            .events
            .iter()
            .filter(|event| event["action"] == "create")
            .filter_map(|event| event["target"]["credential"].as_str())
            .collect();
        made.sort_unstable();
        let mut known: Vec<_> = self.ids.iter().map(String::as_str).collect();
        known.sort_unstable();
        assert!(made == known, "every credential was told once: {} of {}", made.len(), known.len());

        let told = remains.told(|event| event["action"] == "reveal");
        let (least, most) =
            (self.revealed.load(Ordering::SeqCst), self.asked.load(Ordering::SeqCst));
        assert!((least..=most).contains(&told), "reveals: told {told} times, {least} to {most}");
    }
}

/// Whether a type says that its token is secure.
fn is_secure(of: &Value) -> bool {
    let mut fields = of["fields"].as_array().unwrap().iter();
    fields.find(|field| field["id"] == "token").unwrap()["secure"].as_bool().unwrap()
}

/// How often `part` is in the whole list at `path`, page by page.
fn count_in_pages(session: &Session, path: &str, part: &str) -> usize {
    let page = |number: usize| {
        let listed = session.get(&format!("{path}?page={number}&rpp=1000")).expect(200);
        // Too long for reading it as JSON each time.
        listed.text()
    };
    (1..=COUNT.div_ceil(1000)).map(|number| page(number).matches(part).count()).sum()
}

/// Does something for every number, over several connections. What came of it, by number.
fn for_each<T: Send>(
    to: SocketAddr,
    by: &Session,
    work: impl Fn(&mut Line, usize) -> T + Sync,
) -> Vec<T> {
    let numbers: Vec<usize> = (0..COUNT).collect();
    thread::scope(|scope| {
        let work = &work;
        let shares = numbers.chunks(COUNT.div_ceil(LINES)).map(|share| {
            scope.spawn(move || {
                let mut line = Line::open(to, by).unwrap();
                share.iter().map(|number| work(&mut line, *number)).collect::<Vec<_>>()
            })
        });
        let shares: Vec<_> = shares.collect();
        shares.into_iter().flat_map(|share| share.join().unwrap()).collect()
    })
}
