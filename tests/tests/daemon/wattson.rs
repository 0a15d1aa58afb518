//! What `wattson` 1.2.6 sends and how it reads the answers, in protocol 2 and 1: its requests byte
//! for byte as Go's client makes them, its redirects with headers copied along, its decoding with
//! every field typed.

use std::net::SocketAddr;

use credsmith_tests::{Answer, Daemon, Provider, Request, Shared, Site, eventually};
use serde_json::{Value, json};

/// What the client compares a refusal with, to offer the login page.
const LOGIN_HINT: &str = "login is required, please use the web interface";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Protocol {
    V1,
    V2,
}

/// The command line client with its environment.
struct Wattson {
    address: SocketAddr,
    protocol: Protocol,
    issuer: Option<&'static str>,
    token: Option<String>,
}

/// What the client prints: a value, or `error [<code>]: text`.
type Outcome<T> = Result<T, String>;

impl Wattson {
    fn base(&self) -> String {
        match (self.protocol, self.issuer) {
            (Protocol::V1, _) => "/api/v1/".into(),
            (Protocol::V2, Some(issuer)) => format!("/api/v2/{issuer}/"),
            (Protocol::V2, None) => "/api/v2/".into(),
        }
    }

    /// Go sorts the headers that the program sets behind its own two.
    fn dress(&self, request: Request) -> Request {
        let request = request
            .host(Some("localhost:7080"))
            .header("User-Agent", "Wattson")
            .header("Accept", "application/json");
        let request = match (&self.token, self.issuer) {
            (Some(token), Some(issuer)) => {
                let request = request.bearer(token);
                if self.protocol == Protocol::V1 {
                    request.header("X-Openid-Connect-Issuer", issuer)
                } else {
                    request
                }
            }
            _ => request,
        };
        request.header("Accept-Encoding", "gzip")
    }

    fn get(&self, what: &str) -> Answer {
        self.send(self.dress(Request::get(format!("{}{what}", self.base()))))
    }

    fn send(&self, request: Request) -> Answer {
        request.send(self.address)
    }

    /// After a 303 Go repeats `Accept` and `Content-Type`, adds a referer, and the client copies
    /// its three headers itself.
    fn follow(&self, mut answer: Answer) -> Answer {
        let mut hops = 0;
        while matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
            hops += 1;
            assert!(hops < 10, "redirects without an end");
            let location = answer.header("location").unwrap();
            // The token goes wherever this points.
            let path = location
                .strip_prefix("http://localhost:7080")
                .expect("a location at the configured host");
            let referer = format!("http://localhost:7080{}credential", self.base());
            let next = self.dress(Request::get(path)).header("Content-Type", "application/json");
            answer = self.send(next.header("Referer", referer));
        }
        answer
    }

    fn info(&self) -> Outcome<Value> {
        let info = decode(&self.get("info"))?;
        typed(
            &info,
            &[("display_name", 's'), ("logged_in", 'b'), ("redirect_path", 's'), ("version", 's')],
        )
    }

    fn providers(&self) -> Outcome<Vec<Value>> {
        let fields: &[_] = match self.protocol {
            // Absent keys are zero values in Go.
            Protocol::V1 => &[("id", 's'), ("issuer", 's')],
            Protocol::V2 => &[("id", 's'), ("issuer", 's'), ("desc", 's'), ("ready", 'b')],
        };
        list(&decode(&self.get("oidcp"))?, "openid_provider_list", fields)
    }

    fn services(&self) -> Outcome<Vec<Value>> {
        let fields: &[_] = match self.protocol {
            Protocol::V1 => &[("id", 's'), ("type", 's'), ("host", 's'), ("port", 's')],
            Protocol::V2 => &[
                ("id", 's'),
                ("description", 's'),
                ("authz_tooltip", 's'),
                ("cred_count", 'i'),
                ("cred_limit", 'i'),
                ("limit_reached", 'b'),
                ("enabled", 'b'),
                ("authorized", 'b'),
                ("pass_access_token", 'b'),
                ("params", 'a'),
            ],
        };
        let services = list(&decode(&self.get("service"))?, "service_list", fields)?;
        for service in &services {
            for set in service["params"].as_array().into_iter().flatten() {
                for parameter in set.as_array().ok_or("params is no array of arrays")? {
                    let fields = [
                        ("key", 's'),
                        ("name", 's'),
                        ("description", 's'),
                        ("type", 's'),
                        ("mandatory", 'b'),
                    ];
                    typed(parameter, &fields)?;
                }
            }
        }
        Ok(services)
    }

    fn credentials(&self) -> Outcome<Vec<Value>> {
        let fields = [("cred_id", 's'), ("ctime", 's'), ("interface", 's'), ("service_id", 's')];
        let body = decode(&self.get("credential"))?;
        match self.protocol {
            Protocol::V2 => list(&body, "credential_list", &fields),
            Protocol::V1 => {
                let wrapped = list(&body, "credential_list", &[("id", 'o')])?;
                let fields = [&fields[..], &[("cred_state", 's')]].concat();
                wrapped.iter().map(|entry| typed(&entry["id"], &fields)).collect()
            }
        }
    }

    /// The values of the entries, as they are printed, with their names.
    fn request(&self, service: &str, parameters: Value) -> Outcome<Vec<(String, String)>> {
        let body = json!({ "service_id": service, "params": parameters }).to_string();
        let request = self.dress(Request::new("POST", format!("{}credential", self.base())));
        // sling ends the body with a line end.
        let request = request.header("Content-Type", "application/json").body(format!("{body}\n"));
        let body = decode(&self.follow(self.send(request)))?;
        let entries = match self.protocol {
            Protocol::V1 => &body,
            Protocol::V2 => &body["credential"]["entries"],
        };
        let entries = entries.as_array().ok_or("no entries")?;
        let pair = |entry: &Value| {
            typed(entry, &[("name", 's'), ("type", 's'), ("value", 's')])?;
            Ok((text(&entry["name"]), text(&entry["value"])))
        };
        entries.iter().map(pair).collect()
    }

    /// The status; the client itself prints success whatever it is.
    fn revoke(&self, id: &str) -> u16 {
        self.send(self.dress(Request::delete(format!("{}credential/{id}", self.base())))).status
    }
}

/// Success decodes the body; everything else has to be an error object, or the client shows a
/// failure of its own decoder.
fn decode(answer: &Answer) -> Outcome<Value> {
    assert_eq!(answer.header("content-encoding"), None);
    if (200..300).contains(&answer.status) {
        return Ok(answer.json());
    }
    let failure: Value =
        serde_json::from_slice(&answer.body).map_err(|error| format!("undecodable: {error}"))?;
    let failure = typed(&failure, &[("result", 's'), ("user_msg", 's')])?;
    assert_eq!(failure["result"], "error", "else the failure is taken for an empty success");
    Err(text(&failure["user_msg"]))
}

fn list(body: &Value, name: &str, fields: &[(&str, char)]) -> Outcome<Vec<Value>> {
    let entries = body[name].as_array().ok_or(format!("no {name}"))?;
    entries.iter().map(|entry| typed(entry, fields)).collect()
}

/// A field of another type fails the whole command in Go.
fn typed(object: &Value, fields: &[(&str, char)]) -> Outcome<Value> {
    for (name, kind) in fields {
        let value = &object[name];
        let fits = match kind {
            's' => value.is_string(),
            'b' => value.is_boolean(),
            'i' => value.is_i64(),
            'a' => value.is_array(),
            _ => value.is_object(),
        };
        if !fits {
            return Err(format!("{name} has the wrong type: {object}"));
        }
    }
    Ok(object.clone())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

struct World {
    op: Provider,
    _site: Site,
    daemon: Daemon,
}

static WORLD: Shared<World> = Shared::new();

impl World {
    fn start() -> Self {
        let op = Provider::start();
        let site = Site::new()
            .provider("op", &op)
            .service("py", "recorded", "display_priority = 1")
            .service("info", "unique", "display_priority = 2\ncredential_limit = 1");
        let daemon = site.serve();
        eventually("the provider", || {
            daemon.ask(&Request::get("/api/v1/oidcp")).json()["openid_provider_list"][0].is_object()
        });
        Self { op, _site: site, daemon }
    }

    fn client(&self, protocol: Protocol, user: &str) -> Wattson {
        let address = self.daemon.address();
        Wattson { address, protocol, issuer: Some("op"), token: Some(self.op.token(user)) }
    }
}

/// The sequence of the original's own test of its client.
fn sequence(protocol: Protocol, user: &str) {
    let world = WORLD.get(World::start);
    let client = world.client(protocol, user);
    assert_eq!(client.info().unwrap()["logged_in"], false);
    let providers = client.providers().unwrap();
    assert_eq!((providers.len(), &providers[0]["id"]), (1, &json!("op")));
    assert_eq!(providers[0]["issuer"], world.op.issuer());
    let ids: Vec<_> =
        client.services().unwrap().iter().map(|service| text(&service["id"])).collect();
    assert_eq!(ids, ["py", "info"]);
    assert_eq!(client.credentials().unwrap(), [] as [Value; 0]);

    let entries = client.request("py", json!({})).unwrap();
    let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
    let listed = client.credentials().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0]["service_id"], &listed[0]["interface"]),
        (&json!("py"), &json!("REST interface"))
    );
    let id = text(&listed[0]["cred_id"]);
    match protocol {
        Protocol::V2 => assert_eq!(names, ["Username", "Password", "input"]),
        Protocol::V1 => {
            assert_eq!(names, ["id", "Username", "Password", "input"]);
            assert_eq!(entries[0].1, id);
            assert_eq!(listed[0]["cred_state"], "hidden");
        }
    }
    assert_eq!(client.revoke(&id), 200);
    assert_eq!(client.credentials().unwrap(), [] as [Value; 0]);
    assert_eq!(client.revoke(&id), 404);
}

#[test]
fn the_sequence_in_protocol_2() {
    sequence(Protocol::V2, "user-2");
}

#[test]
fn the_sequence_in_protocol_1() {
    sequence(Protocol::V1, "user-1");
}

#[test]
fn refusals_are_read_as_refusals() {
    let world = WORLD.get(World::start);
    for (protocol, user) in [(Protocol::V2, "user-3"), (Protocol::V1, "user-4")] {
        let client = world.client(protocol, user);
        let behave = |how: &str| client.request("py", json!({ "behave": how })).unwrap_err();
        assert_eq!(behave("error"), "sorry, the plugin says no");
        assert_eq!(behave("oidc_login"), LOGIN_HINT);
        let message = client.request("nosuch", json!({})).unwrap_err();
        assert!(message.contains("disabled or does not exist"), "{message}");
        let message = client.request("py", json!({ "surprise": "x" })).unwrap_err();
        assert!(message.contains("parameter"), "{message}");
        client.request("info", json!({})).unwrap();
        let message = client.request("info", json!({})).unwrap_err();
        assert!(message.starts_with("You have as many credentials"), "{message}");
    }
}

#[test]
fn without_a_token_lists_of_users_are_refused_and_the_rest_works() {
    let world = WORLD.get(World::start);
    for protocol in [Protocol::V2, Protocol::V1] {
        let anonymous = Wattson { token: None, issuer: None, ..world.client(protocol, "user-5") };
        assert!(anonymous.info().is_ok());
        assert_eq!(anonymous.providers().unwrap().len(), 1);
        // Without an issuer the path is not complete.
        assert_eq!(anonymous.services().unwrap_err(), "Bad request, please check all parameter");

        let stranger =
            Wattson { token: Some("no-such-token".into()), ..world.client(protocol, "user-5") };
        let message = stranger.services().unwrap_err();
        assert_eq!(message, "Authorization failed, please check the access token");
    }
}
