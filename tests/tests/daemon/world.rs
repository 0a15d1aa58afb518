//! A daemon for tests that do not need one of their own: two providers, and services of every
//! temper.

use std::sync::{Arc, Condvar, Mutex};

use credsmith_tests::{
    Answer, Daemon, PATIENCE, Provider, Request, Shared, Site, Target, eventually,
};
use serde_json::{Value, json};

/// What the demo's `bob` may do, in the order in which it is shown.
pub(crate) const TECHNICIAN: [&str; 8] = [
    "company.*",
    "credential.fetch",
    "credential.fetch.many",
    "credential.fields.fetch",
    "credential.secure_values.read",
    "credential_type.fetch",
    "credential_type.fetch.many",
    "demo.*",
];

static WORLD: Shared<World> = Shared::new();

/// The daemon and what it speaks to. Each test takes users of its own.
pub(crate) struct World {
    /// Accepts tokens made for the daemon.
    pub(crate) op: Provider,
    /// Accepts any token.
    pub(crate) lax: Provider,
    /// What the service `remote` speaks to.
    pub(crate) target: Target,
    pub(crate) gate: Gate,
    pub(crate) daemon: Daemon,
    _site: Site,
}

impl World {
    pub(crate) fn get() -> Arc<Self> {
        WORLD.get(Self::start)
    }

    fn start() -> Self {
        let (op, lax) = (Provider::start(), Provider::start());
        let gate = Gate::default();
        let target = gated(&gate);
        let admins = "allow = [{ provider = \"any\", claim = \"groups\", has = \"admins\" }]";
        let narrow = "plugin_timeout = \"60s\"\nqueue_wait = \"60s\"\nqueue_length = 1\n";
        let site = Site::new()
            .section("plugins", "tolerate_broken_services = true")
            .provider("op", &op)
            .provider_at("lax", &lax.issuer(), "any_audience = true")
            .service("py", "recorded", "display_priority = 1\nparallel_runner = 4")
            .service(
                "three",
                "unique",
                "credential_limit = 3\nparallel_runner = 8\nqueue_length = 400\nqueue_wait = \"60s\"",
            )
            .service("hostile", "hostile", "plugin_timeout = \"500ms\"")
            .service("admins", "unique", admins)
            .service("hidden", "unique", &format!("{admins}\nhide = true"))
            .service_of("broken", "missing.wasm", "")
            .service("remote", "remote", &format!("{narrow}{}", target.granted_to("remote")));
        let daemon = site.serve();
        ready(&daemon);
        Self { op, lax, target, gate, daemon, _site: site }
    }

    pub(crate) fn user(&self, name: &str) -> User<'_> {
        User { daemon: &self.daemon, token: self.op.token(name) }
    }

    pub(crate) fn ask(&self, request: &Request) -> Answer {
        self.daemon.ask(request)
    }
}

/// Waits until every provider has been discovered.
pub(crate) fn ready(daemon: &Daemon) {
    eventually("the providers", || {
        let list =
            daemon.ask(&Request::get("/api/v2/oidcp")).json()["openid_provider_list"].clone();
        list.as_array().unwrap().iter().all(|provider| provider["ready"] == true)
    });
}

/// Holds answers back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn close(&self) {
        self.set(true);
    }

    pub(crate) fn open(&self) {
        self.set(false);
    }

    fn set(&self, closed: bool) {
        *self.0.0.lock().unwrap() = closed;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let closed = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(closed, PATIENCE, |closed| *closed).unwrap());
    }
}

/// A server that makes and deletes objects, when the gate lets it.
pub(crate) fn gated(gate: &Gate) -> Target {
    let gate = gate.clone();
    Target::start(move |request| {
        gate.pass();
        match request.target.as_str() {
            "/create" => (200, json!({ "id": request.json()["credential_id"] }).to_string()),
            _ => (204, String::new()),
        }
    })
}

/// A user with a token of the provider `op`.
pub(crate) struct User<'w> {
    pub(crate) daemon: &'w Daemon,
    pub(crate) token: String,
}

impl User<'_> {
    pub(crate) fn ask(&self, request: Request) -> Answer {
        self.daemon.ask(&request.bearer(&self.token))
    }

    pub(crate) fn post(&self, service: &str, parameters: Value) -> Answer {
        let body = json!({ "service_id": service, "params": parameters });
        self.ask(Request::post("/api/v2/op/credential", &body))
    }

    /// Requests a credential and returns the path of its data.
    pub(crate) fn issue(&self, service: &str, parameters: Value) -> String {
        path_of(&self.post(service, parameters).expect(303))
    }

    /// Fetches a credential: its id and its entries.
    pub(crate) fn fetch(&self, path: &str) -> (String, Value) {
        let body = self.ask(Request::get(path)).expect(200).json();
        (
            body["credential"]["id"].as_str().unwrap().to_owned(),
            body["credential"]["entries"].clone(),
        )
    }

    pub(crate) fn revoke(&self, id: &str) -> Answer {
        self.ask(Request::delete(format!("/api/v2/op/credential/{id}")))
    }

    /// The ids of the credentials in the list.
    pub(crate) fn credentials(&self) -> Vec<String> {
        let body = self.ask(Request::get("/api/v2/op/credential")).expect(200).json();
        let list = body["credential_list"].as_array().unwrap();
        list.iter().map(|entry| entry["cred_id"].as_str().unwrap().to_owned()).collect()
    }

    /// A service as the list shows it.
    pub(crate) fn service(&self, id: &str) -> Option<Value> {
        let body = self.ask(Request::get("/api/v2/op/service")).expect(200).json();
        body["service_list"].as_array().unwrap().iter().find(|service| service["id"] == id).cloned()
    }
}

/// The path of a `Location`.
pub(crate) fn path_of(answer: &Answer) -> String {
    let location = answer.header("location").unwrap_or_else(|| panic!("{answer:?}"));
    location.strip_prefix("http://localhost:7080").unwrap().to_owned()
}
