//! `credsmith dev`: the daemon with a demo configuration and a demo provider, for one machine.
//!
//! It is the daemon of `serve`, built by the same code from a built-in configuration
//! (`config/demo/demo.toml`). The differences: it listens on loopback only and accepts loopback
//! names only, since every client gets tokens here; and its key may lie beside its data, so that
//! its data is marked and `serve` refuses it.

mod data;
mod demo;
mod environment;
mod welcome;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use credsmith_core::ports::Entropy as _;
use credsmith_core::secret::Secret;
use credsmith_dev_provider::{Client, DevProvider, Options};
use credsmith_http::{HostPolicy, Listener, Server, ServerOptions, Surfaces};
use tracing::level_filters::LevelFilter;

use crate::config::{self, Config, Log};
use crate::failure::Failure;
use crate::system::{System, SystemEntropy};
use crate::wire_up::{BoundListener, wire_up};
use crate::{console, run};
use data::DevData;
use environment::DevEnvironment;

const DEMO: &str = include_str!("../../../config/demo/demo.toml");
/// The name of the daemon at the demo provider, as the demo configuration has it.
const CLIENT_ID: &str = "credsmith-dev";

/// The log of a demo: without a line for each request, so that the welcome stays readable; with
/// `quiet`, without the events of the audit log, too.
pub(crate) fn log(quiet: bool) -> Log {
    let log = Log { requests: LevelFilter::WARN, ..Log::default() };
    if quiet { Log { level: LevelFilter::WARN, events: LevelFilter::OFF, ..log } } else { log }
}

/// Runs until a signal comes.
pub(crate) async fn run(
    listen: SocketAddr,
    provider_listen: SocketAddr,
    data: Option<&Path>,
) -> Result<(), Failure> {
    let mut signals = run::Signals::of_dev()?;
    let data = DevData::open(data).map_err(Failure::run)?;
    let system = System::new();
    let listener = bind(listen).await?;
    let provider_listener = bind(provider_listen).await?;
    let client_secret = random_text();
    let public = format!("http://{}", listener.address);
    let issuer = format!("http://{}", provider_listener.address);
    let config = configuration(&listener, &public, &issuer, &data, &client_secret)?;
    serve_provider(provider_listener, &issuer, &public, &client_secret, &system)?;
    let hosts = loopback_names(listener.address);
    console::say(format!(
        "Credsmith {} starts a demo in {}: it compiles its plugins first, which takes some seconds{}.",
        env!("CARGO_PKG_VERSION"),
        data.path().display(),
        if data.is_new() { "" } else { " unless an earlier start did" },
    ));
    let wired = wire_up(config, listener.into_bound(), hosts, system, signals.next()).await?;
    let Some(daemon) = wired else { return Ok(()) };
    if let Some(half) = daemon.vault().filter(|_| data.is_new()) {
        demo::fill(half).await.map_err(Failure::error)?;
    }
    let welcome = Some(welcome::text(&public, &issuer, &data));
    let ready = run::Ready { line: format!("ready {public}"), welcome };
    run::until_signal(daemon, signals, ready).await
}

/// A listener with its real address.
struct LocalListener {
    listener: Listener,
    address: SocketAddr,
}

impl LocalListener {
    fn into_bound(self) -> Vec<BoundListener> {
        vec![BoundListener { tls: false, listener: self.listener }]
    }
}

async fn bind(address: SocketAddr) -> Result<LocalListener, Failure> {
    let listener = Listener::tcp(address).await.map_err(Failure::error)?;
    let address = listener.local_addr().unwrap_or(address);
    Ok(LocalListener { listener, address })
}

/// The names in the header `host` of a browser or a tool on this machine that connects to
/// `address`. Any other name means that a web page has made its own name resolve to loopback.
fn loopback_names(address: SocketAddr) -> HostPolicy {
    let port = address.port();
    let mut names = vec![
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        address.to_string(),
    ];
    if port == 80 {
        names.extend([
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "[::1]".to_owned(),
            address.ip().to_string(),
        ]);
    }
    HostPolicy::only(names)
}

fn configuration(
    listener: &LocalListener,
    public: &str,
    issuer: &str,
    data: &DevData,
    client_secret: &Secret,
) -> Result<Config, Failure> {
    let directory = data.path().to_str().ok_or_else(|| {
        Failure::run(format!(
            "The path {} is not UTF-8, which a configuration has to be.",
            data.path().display()
        ))
    })?;
    let mut text = DEMO.to_owned();
    let address = listener.address.to_string();
    for (word, value) in
        [("public_url", public), ("address", &address), ("issuer", issuer), ("data", directory)]
    {
        // A JSON string is a basic string of TOML, whatever its content.
        text = text.replace(&format!("@{word}@"), &serde_json::Value::from(value).to_string());
    }
    let environment = DevEnvironment::new(data.path(), data.kek_text(), client_secret.clone());
    let path = data.path().join("demo.toml");
    let loaded = config::load_text(&path, text, Box::new(environment));
    let mut config = loaded.map_err(Failure::Configuration)?.config;
    // Only names of this machine are answered.
    config.server.as_asked = true;
    Ok(config)
}

fn serve_provider(
    listener: LocalListener,
    issuer: &str,
    public: &str,
    client_secret: &Secret,
    system: &System,
) -> Result<(), Failure> {
    let broken = |error: &dyn std::fmt::Display| {
        Failure::run(format!("The demo provider cannot be made: {error}."))
    };
    let (watts, vault) = (format!("{public}/oidc"), format!("{public}/v1/auth/redirect"));
    let client = Client::new(CLIENT_ID, client_secret.expose_str(), &[&watts, &vault])
        .map_err(|error| broken(&error))?;
    let provider =
        DevProvider::new(Options::new(issuer, vec![client])).map_err(|error| broken(&error))?;
    let options =
        ServerOptions { hosts: loopback_names(listener.address), ..ServerOptions::default() };
    Server::new(options, Surfaces::new(Arc::new(provider)), system.drain.clone())
        .serve(listener.listener);
    Ok(())
}

/// 32 random bytes as text.
fn random_text() -> Secret {
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes);
    Secret::new(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_answered() {
        let hosts = loopback_names("127.0.0.1:8080".parse().unwrap());
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080"] {
            assert!(hosts.admits(Some(host)), "{host}");
        }
        for host in
            ["evil.example:8080", "localhost:8081", "localhost", "127.0.0.1.evil.example:8080", ""]
        {
            assert!(!hosts.admits(Some(host)), "{host}");
        }
        assert!(!hosts.admits(None));
        assert!(loopback_names("127.0.0.1:80".parse().unwrap()).admits(Some("localhost")));
    }

    #[tokio::test]
    async fn the_demo_is_a_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let data = DevData::open(Some(&dir.path().join("quo\"te \\ ä"))).unwrap();
        let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let config = configuration(
            &bound,
            "http://127.0.0.1:1",
            "http://127.0.0.1:2",
            &data,
            &random_text(),
        )
        .unwrap();
        assert_eq!(config.data.directory, data.path());
        let ids: Vec<_> = config.services.iter().map(|service| service.id.as_str()).collect();
        assert_eq!(ids, ["info", "ssh", "admins"]);
    }
}
