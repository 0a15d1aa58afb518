//! The life of the daemon: start, readiness, signals, drain.
//!
//! The order of the start is that of `wire_up`; the listeners are bound before, and accept last. At
//! TERM or INT it stops accepting, finishes the requests in work and the effects that they began,
//! and ends; a second signal ends it at once.

use std::error::Error;
use std::path::Path;

use credsmith_http::{HostPolicy, Listener};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, Config, Loaded};
use crate::console;
use crate::end::Failure;
use crate::system::System;
use crate::wire_up::{self, Daemon, Entrance};

/// `credsmith serve`: runs `loaded` until a signal comes.
pub(crate) async fn serve(loaded: Loaded) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    for warning in &loaded.warnings {
        tracing::warn!(warning, "the configuration has something to look at");
    }
    let config = loaded.config;
    let entrances = bind(&config).await?;
    let hosts = config.server.hosts.as_ref().map_or(HostPolicy::Any, HostPolicy::only);
    let line = format!("ready {}", entrances.first().map(Entrance::url).unwrap_or_default());
    let daemon = tokio::select! {
        daemon = wire_up::wire_up(config, entrances, hosts, System::new()) => daemon?,
        // Nothing serves yet, and what a start does can be done again.
        () = signals.next() => return Ok(()),
    };
    until_signal(daemon, signals, Ready { line, welcome: None }).await
}

/// What is said once the daemon serves.
pub(crate) struct Ready {
    /// The one line on standard output.
    pub(crate) line: String,
    /// For people, on standard error.
    pub(crate) welcome: Option<String>,
}

/// Says that it serves, and drains at a signal.
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
    tracing::info!("a signal came: finishing what is in work; another one ends it at once");
    tokio::select! {
        () = daemon.drain() => {}
        () = signals.next() => {
            tracing::warn!("a second signal came: ending with work undone");
            daemon.stop();
            return Err(Failure::Forced);
        }
    }
    daemon.close().await;
    tracing::info!("ended; nothing was left in work");
    Ok(())
}

async fn bind(config: &Config) -> Result<Vec<Entrance>, Failure> {
    let mut entrances = Vec::with_capacity(config.server.listen.len());
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
        let listener = listener.map_err(|error| Failure::run(sentence(&error)))?;
        entrances.push(Entrance { tls: listen.tls.is_some(), listener });
    }
    Ok(entrances)
}

/// TERM and INT, whichever comes. Installed before anything is done that a signal would have to
/// undo.
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub(crate) fn install() -> Result<Self, Failure> {
        let install = |kind| {
            signal(kind).map_err(|error| Failure::run(format!("Signals cannot be heard: {error}.")))
        };
        Ok(Self { term: install(SignalKind::terminate())?, int: install(SignalKind::interrupt())? })
    }

    /// The next one of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Reads the configuration of `serve` and its like.
pub(crate) fn load(path: &Path) -> Result<Loaded, Failure> {
    config::load(path).map_err(Failure::Configuration)
}

/// An error with its causes, as a sentence for standard error: a capital first, a full stop last.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(deeper) = next {
        let more = deeper.to_string();
        // Some errors name their cause in their own text.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = deeper.source();
    }
    as_sentence(&text)
}

/// The same for what is text already.
pub(crate) fn as_sentence(text: &impl ToString) -> String {
    let text = text.to_string();
    let mut letters = text.chars();
    let mut sentence: String =
        letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '!', '?', ':']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_sentences_with_their_causes() {
        let error = std::io::Error::other("disk is full");
        assert_eq!(sentence(&error), "Disk is full.");
        let error =
            credsmith_core::Error::new(credsmith_core::Kind::Internal, "no luck").because(error);
        assert_eq!(sentence(&error), "Internal: no luck: disk is full.");
        assert_eq!(as_sentence(&"Done."), "Done.");
        assert_eq!(as_sentence(&""), ".");
    }
}
