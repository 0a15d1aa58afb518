//! A daemon as it is measured: the program as it ships, with its defaults, a durable store, its log
//! in a file, and a provider that vouches for as many users as are wanted.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use credsmith_tests::{Provider, Site};

use crate::load::Failure;
use crate::process::{Served, beside};

/// Of the plugin that is measured: calls at a time.
const RUNNERS: usize = 32;

/// What a daemon is started with; its data stay from one start to the next.
pub(crate) struct Place {
    site: Site,
    provider: Provider,
}

impl Place {
    /// Two services: `unique`, of the test plugin, and `info`, which comes with the daemon.
    pub(crate) fn new() -> Self {
        let provider = Provider::start();
        let site = Site::new()
            .provider("dev", &provider)
            .service("unique", "unique", &format!("parallel_runner = {RUNNERS}\n"))
            .service_of("info", "bundled:info", "");
        Self { site, provider }
    }

    /// A vault whose every user may do everything, with so many companies, and room for so many
    /// connections at a time.
    pub(crate) fn vault(companies: usize, connections: usize) -> Self {
        let provider = Provider::start();
        let site = Site::new()
            .provider("dev", &provider)
            .server(&format!("connections = {connections}"))
            .section("vault", "sign_ins_per_minute = 0")
            .section(
                "roles.admin",
                "permissions = [\"*\"]\nassign = [{ provider = \"dev\", claim = \"groups\", has = \"users\" }]",
            )
            .section("companies", &listed(companies));
        Self { site, provider }
    }

    /// Starts the daemon and waits until it serves.
    pub(crate) fn serve(&self) -> Result<Served, Failure> {
        let mut command = Command::new(beside("credsmith")?);
        command.arg("serve").arg("--config").arg(self.site.configuration());
        Served::start(command, &self.log())
    }

    /// Where it keeps its state.
    pub(crate) fn data(&self) -> PathBuf {
        self.site.data()
    }

    /// Where it says who did what.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.data().join("audit.jsonl")
    }

    fn log(&self) -> PathBuf {
        self.site.path().join("log")
    }

    /// What users `from` to `from + count` present, one each.
    pub(crate) fn users(&self, from: usize, count: usize, at: SocketAddr) -> Vec<User> {
        let user = |number| User { token: self.provider.token(&format!("user-{number}")), at };
        (from..from + count).map(user).collect()
    }
}

/// The section of so many companies. It is terse: a configuration has an end.
fn listed(companies: usize) -> String {
    let company = |n| format!("{{id={n},identifier=\"c{n}\",name=\"Company {n}\"}},");
    format!("list = [{}]", (1..=companies).map(company).collect::<String>())
}

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct User {
    token: String,
    pub(crate) at: SocketAddr,
}

impl User {
    pub(crate) fn new(token: &str, at: SocketAddr) -> Self {
        Self { token: token.to_owned(), at }
    }

    /// The bytes of a request without a body.
    pub(crate) fn plain(&self, method: &str, path: &str) -> Vec<u8> {
        let Self { token, at } = self;
        format!("{method} {path} HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {token}\r\n\r\n")
            .into_bytes()
    }

    /// The bytes of a request with JSON.
    pub(crate) fn with_json(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let Self { token, at } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}
