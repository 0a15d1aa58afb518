//! The life of the daemon: start, readiness, signals, drain.
//!
//! The order of the start is that of `wire_up`; the listeners are bound before, and accept last. At
//! TERM or INT it stops accepting, finishes the requests in work and the effects that they began,
//! and ends; a second signal ends it at once.

use std::future::poll_fn;
use std::path::Path;
use std::task::Poll;

use credsmith_http::{HostPolicy, Listener};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, Config, Loaded};
use crate::console;
use crate::failure::Failure;
use crate::system::System;
use crate::wire_up::{self, BoundListener, Daemon};

/// `credsmith serve`: runs `loaded`, which was read from `path`, until a signal comes.
pub(crate) async fn serve(path: &Path, loaded: Loaded) -> Result<(), Failure> {
    let mut signals = Signals::of_serve()?;
    for warning in &loaded.warnings {
        tracing::warn!(warning, "the configuration has a warning");
    }
    let config = loaded.config;
    let listeners = bind(&config).await?;
    let hosts = config.server.hosts.as_ref().map_or(HostPolicy::Any, HostPolicy::only);
    let urls: Vec<_> = listeners.iter().map(BoundListener::url).collect();
    let line = format!("ready {}", urls.join(" "));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        configuration = %path.display(),
        data = %config.data.directory.display(),
        admin = %config.admin.socket_path(&config.data).display(),
        listeners = urls.join(" "),
        "starting"
    );
    let system = System::new();
    let wired = wire_up::wire_up(config, listeners, hosts, system, signals.next()).await?;
    let Some(daemon) = wired else { return Ok(()) };
    until_signal(daemon, signals, Ready { line, welcome: None }).await
}

/// The text that is printed once the daemon serves.
pub(crate) struct Ready {
    /// The one line on standard output: `ready`, and the address of each listener.
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

/// The signals that end the daemon, and those that must not. Installed before anything is done that
/// a signal would have to undo.
pub(crate) struct Signals {
    ends: Vec<Signal>,
    /// By the name under which each is logged. Without a handler each of them would kill.
    ignored: Vec<(&'static str, Signal)>,
}

/// Signals whose default is to kill and that end a demo in order: it belongs to its terminal, and
/// its directory is to be gone with it.
const END_OF_A_DEMO: [rustix::process::Signal; 8] = [
    rustix::process::Signal::HUP,
    rustix::process::Signal::QUIT,
    rustix::process::Signal::ALARM,
    rustix::process::Signal::VTALARM,
    rustix::process::Signal::PROF,
    rustix::process::Signal::XCPU,
    rustix::process::Signal::XFSZ,
    rustix::process::Signal::IO,
];

impl Signals {
    /// Installs the handlers of `serve`: TERM and INT end it; HUP, USR1 and USR2 are logged.
    pub(crate) fn of_serve() -> Result<Self, Failure> {
        Ok(Self {
            ends: handlers([SignalKind::terminate(), SignalKind::interrupt()])?,
            ignored: vec![
                ("HUP", handler(SignalKind::hangup())?),
                ("USR1", handler(SignalKind::user_defined1())?),
                ("USR2", handler(SignalKind::user_defined2())?),
            ],
        })
    }

    /// Installs the handlers of `dev`: every signal that can be caught ends it, but USR1 and USR2.
    pub(crate) fn of_dev() -> Result<Self, Failure> {
        let others = END_OF_A_DEMO.map(|signal| SignalKind::from_raw(signal.as_raw()));
        let kinds = [SignalKind::terminate(), SignalKind::interrupt()].into_iter().chain(others);
        Ok(Self {
            ends: handlers(kinds)?,
            ignored: vec![
                ("USR1", handler(SignalKind::user_defined1())?),
                ("USR2", handler(SignalKind::user_defined2())?),
            ],
        })
    }

    /// Waits for the next signal that ends the daemon.
    pub(crate) async fn next(&mut self) {
        poll_fn(|context| {
            for (signal, handler) in &mut self.ignored {
                while let Poll::Ready(Some(())) = handler.poll_recv(context) {
                    tracing::warn!(
                        signal,
                        "a signal came that changes nothing; a new configuration takes a restart"
                    );
                }
            }
            let ended = self.ends.iter_mut().any(|end| end.poll_recv(context).is_ready());
            if ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn handlers(kinds: impl IntoIterator<Item = SignalKind>) -> Result<Vec<Signal>, Failure> {
    kinds.into_iter().map(handler).collect()
}

fn handler(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind)
        .map_err(|error| Failure::run(format!("Signal handlers cannot be installed: {error}.")))
}

/// Reads and checks the configuration at `path`.
pub(crate) fn load(path: &Path) -> Result<Loaded, Failure> {
    config::load(path).map_err(Failure::Configuration)
}
