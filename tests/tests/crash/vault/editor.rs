//! Somebody who changes a type over and over: name, icon and fields in one request, all of one
//! number.

use std::io;
use std::net::SocketAddr;

use credsmith_tests::{Request, Session};
use serde_json::{Value, json};

use super::Client;
use super::keeper::{KEPT, OPEN, SEALED};
use super::remains::Remains;
use super::site::{TYPES, field};
use crate::dice::Dice;

/// A field that every other change adds, and the next one takes away.
const EXTRA: &str = "extra";

/// One who changes a type.
pub(super) struct Editor {
    session: Session,
    /// The type's id.
    pub(super) of: String,
    /// Of the last change that is known to have happened.
    number: u64,
    /// Whether the next one was asked for and not answered.
    in_doubt: bool,
    /// Changes that happened.
    changes: u64,
}

impl Editor {
    /// Makes the type.
    pub(super) fn new(to: SocketAddr, user: &str) -> Self {
        let session = Session::begin(to, user);
        let mut body = definition(0);
        body["permissionScope"] = json!("crash.login");
        let of = session.make_type(&body);
        Self { session, of, number: 0, in_doubt: false, changes: 0 }
    }

    /// Changes that happened.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    fn happened(&mut self) {
        self.in_doubt = false;
        self.number += 1;
        self.changes += 1;
    }

    /// Credentials of the type: as the type counts them, and as its list has them.
    pub(super) fn counts(&self) -> (u64, u64) {
        let of = format!("{TYPES}/{}", self.of);
        let counted =
            self.session.get(&of).expect(200).json()["data"]["credentialCount"].as_u64().unwrap();
        let listed = self.session.get(&format!("{of}/credentials")).expect(200).json();
        (counted, listed["data"].as_array().unwrap().len() as u64)
    }

    /// Every change was told once.
    pub(super) fn assert_told(&self, remains: &Remains) {
        let told = |action: &str| {
            remains.told(|event| {
                event["action"] == action
                    && event["target"]["type"] == self.of.as_str()
                    && event["target"]["credential"].is_null()
            })
        };
        assert_eq!(
            (told("create"), told("change")),
            (1, self.changes),
            "what was told of the type"
        );
    }
}

impl Client for Editor {
    fn settle(&mut self, to: SocketAddr) -> io::Result<()> {
        self.session = self.session.moved(to);
        let now =
            self.session.try_ask(Request::get(format!("{TYPES}/{}", self.of)))?.expect(200).json();
        let now = number(&now["data"]);
        if self.in_doubt && now == self.number + 1 {
            self.happened();
        }
        self.in_doubt = false;
        assert_eq!(now, self.number, "the change of the type that was acknowledged last");
        Ok(())
    }

    fn act(&mut self, _: &mut Dice) -> io::Result<()> {
        self.in_doubt = true;
        let body = definition(self.number + 1);
        let request = Request::json("PATCH", format!("{TYPES}/{}", self.of), &body);
        self.session.try_ask(request)?.expect(200);
        self.happened();
        Ok(())
    }
}

fn definition(number: u64) -> Value {
    let mut fields =
        vec![field(OPEN, "Open", false), field(SEALED, "Sealed", true), field(KEPT, "Kept", true)];
    if number % 2 == 1 {
        fields.push(field(EXTRA, "Extra", false));
    }
    json!({ "name": format!("Type {number}"), "icon": icon(number), "fields": fields })
}

fn icon(number: u64) -> String {
    format!("https://example.org/{number}")
}

/// The number of a type, all of which has to be of that number.
fn number(of: &Value) -> u64 {
    let number = assert_one_definition(of);
    assert_eq!(of["icon"], icon(number), "one change of the type: {of}");
    number
}

/// Name and fields of a type have to be of one change. Its number.
pub(super) fn assert_one_definition(of: &Value) -> u64 {
    let number = of["name"].as_str().unwrap().strip_prefix("Type ").unwrap().parse().unwrap();
    let extra = of["fields"].as_array().unwrap().iter().any(|field| field["id"] == EXTRA);
    assert_eq!(extra, number % 2 == 1, "one change of the type: {of}");
    number
}
