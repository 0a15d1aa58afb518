//! The life of the daemon: start, readiness, signals, drain.
//!
//! The order of the start is that of `wire_up`; the listeners are bound before, and accept last. At
//! TERM or INT it stops accepting, finishes the requests in work and the effects that they began,
//! and ends; a second signal ends it at once.

use std::path::Path;

use credsmith_http::{HostPolicy, Listener};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, Config, Loaded};
use crate::console;
use crate::failure::Failure;
use crate::system::System;
use crate::wire_up::{self, BoundListener, Daemon};

/// `credsmith serve`: runs `loaded` until a signal comes.
pub(crate) async fn serve(loaded: Loaded) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    for warning in &loaded.warnings {
        tracing::warn!(warning, "the configuration has a warning");
    }
    let config = loaded.config;
    let listeners = bind(&config).await?;
    let hosts = config.server.hosts.as_ref().map_or(HostPolicy::Any, HostPolicy::only);
    let line = format!("ready {}", listeners.first().map(BoundListener::url).unwrap_or_default());
    let daemon = tokio::select! {
        daemon = wire_up::wire_up(config, listeners, hosts, System::new()) => daemon?,
        // Nothing serves yet, and a start can be repeated.
        () = signals.next() => return Ok(()),
    };
    until_signal(daemon, signals, Ready { line, welcome: None }).await
}

/// The text that is printed once the daemon serves.
pub(crate) struct Ready {
    /// The one line on standard output.
    pub(crate) line: String,
    /// For people, on standard error.
    pub(crate) welcome: Option<String>,
}

/// Prints that the daemon serves, waits for a signal and drains.
pub(crate) async fn until_signal(
    daemon: Daemon,
    mut signals: Signals,
    ready: Ready,
) -> Result<(), Failure> {
    tracing::info!(
        milliseconds = u64::try_from(daemon.age().as_millis()).unwrap_or(u64::MAX),
        "ready"
    );
    if let Some(welcome) = ready.welcome {
        console::say(welcome);
    }
    console::print(ready.line);
    signals.next().await;
    drain(daemon, signals).await
}

async fn drain(daemon: Daemon, mut signals: Signals) -> Result<(), Failure> {
    tracing::info!(
        "a signal came: the daemon finishes the work under way; another signal ends it at once"
    );
    tokio::select! {
        () = daemon.drain() => {}
        () = signals.next() => {
            tracing::warn!("a second signal came: the daemon ends with work undone");
            daemon.stop();
            return Err(Failure::Forced);
        }
    }
    daemon.close().await;
    tracing::info!("ended; all work was finished");
    Ok(())
}

async fn bind(config: &Config) -> Result<Vec<BoundListener>, Failure> {
    let mut listeners = Vec::with_capacity(config.server.listen.len());
    for listen in &config.server.listen {
        let listener = match &listen.tls {
            None => Listener::tcp(listen.address).await,
            Some(tls) => {
                Listener::tls(
                    listen.address,
                    &config::tls_identity(&tls.certificate, &tls.private_key),
                )
                .await
            }
        };
        let listener = listener.map_err(Failure::error)?;
        listeners.push(BoundListener { tls: listen.tls.is_some(), listener });
    }
    Ok(listeners)
}

/// The signals TERM and INT. Installed before anything is done that a signal would have to undo.
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Installs handlers, so that the signals no longer end the process.
    pub(crate) fn install() -> Result<Self, Failure> {
        let install = |kind| {
            signal(kind).map_err(|error| {
                Failure::run(format!("Signal handlers cannot be installed: {error}."))
            })
        };
        Ok(Self { term: install(SignalKind::terminate())?, int: install(SignalKind::interrupt())? })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Reads and checks the configuration at `path`.
pub(crate) fn load(path: &Path) -> Result<Loaded, Failure> {
    config::load(path).map_err(Failure::Configuration)
}
