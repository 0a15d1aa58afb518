//! A daemon as it is measured: the program as it ships, with its defaults, a durable store, its log in a file, and a provider that
//! vouches for as many users as are wanted.

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

    fn log(&self) -> PathBuf {
        self.site.path().join("log")
    }

    /// What users `from` to `from + count` present, one each.
    pub(crate) fn users(&self, from: usize, count: usize, at: SocketAddr) -> Vec<User> {
        let user = |number| User { token: self.provider.token(&format!("user-{number}")), at };
        (from..from + count).map(user).collect()
    }
}

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct User {
    token: String,
    pub(crate) at: SocketAddr,
}

impl User {
    /// The bytes of a request without a body.
    pub(crate) fn plain(&self, method: &str, path: &str) -> Vec<u8> {
        let Self { token, at } = self;
        format!("{method} {path} HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {token}\r\n\r\n")
            .into_bytes()
    }

    /// The bytes of a request with JSON.
    pub(crate) fn post(&self, path: &str, body: &str) -> Vec<u8> {
        let Self { token, at } = self;
        format!(
            "POST {path} HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}
