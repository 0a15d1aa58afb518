//! `credsmith store`: looks after the store of a daemon that does not run.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use credsmith_core::access::operator;
use credsmith_core::audit::Forgotten;
use credsmith_core::ground::{DEFAULT_MAX_DRIFT, Ground, GroundDependencies};
use credsmith_core::leases;
use credsmith_core::ports::store::Store;
use credsmith_store::{OnDisk, WithReserve};

use crate::config::Config;
use crate::failure::Failure;
use crate::sentence::sentence;
use crate::system::System;
use crate::wire_up::{Losses, open_keyring, open_store};
use crate::{console, run};

/// Longest line of an audit log that is read.
const LONGEST_LINE: u64 = 1 << 20;

/// Accepts a store that has lost something, or is older than the audit log. `older` are files of
/// the log that were moved away, the oldest first.
pub(crate) async fn accept(config: &Path, older: &[PathBuf], yes: bool) -> Result<(), Failure> {
    let config = run::load(config)?.config;
    let place = config.data.store();
    if !place.exists() {
        return Err(Failure::run(format!("There is no daemon's store at {}.", place.display())));
    }
    let store = Arc::new(open_store(&config, Losses::Shown).await?);
    let accepted = look_and_accept(&config, &store, older, yes).await;
    // Unless it was accepted, this puts the files back as they were.
    if let Err(error) = store.inner().close().await {
        console::say(sentence(&error));
    }
    accepted
}

async fn look_and_accept(
    config: &Config,
    store: &Arc<WithReserve<OnDisk>>,
    older: &[PathBuf],
    yes: bool,
) -> Result<(), Failure> {
    let system = System::new();
    let shared = Arc::clone(store) as Arc<dyn Store>;
    let keyring = Arc::new(open_keyring(config, Arc::clone(&shared), &system).await?);
    let ground = Ground::new(GroundDependencies {
        clock: Arc::clone(&system.clock),
        tasks: Arc::clone(&system.tasks),
        entropy: Arc::clone(&system.entropy),
        store: shared,
        keyring,
        max_drift: DEFAULT_MAX_DRIFT,
        requests_per_user: 1,
    });
    let mut forgotten = Forgotten::since_end_of(&ground).await.map_err(Failure::error)?;
    for path in older {
        read(path, &mut forgotten)?;
    }
    let present = config.audit.file(&config.data);
    let end = if present.exists() { read(&present, &mut forgotten)? } else { 0 };

    let lines = missing(store.inner(), &forgotten);
    if lines.is_empty() {
        console::say("Nothing is missing: the store is as new as the audit log, and complete.");
        return Ok(());
    }
    lines.iter().for_each(console::say);
    console::say(format!(
        "Copy {} and the audit log to another place first. If a newer copy of the store exists, use that instead.",
        config.data.directory.display()
    ));
    if !yes && !is_confirmed().map_err(Failure::error)? {
        return Err(Failure::run("Nothing was accepted; the store is as it was."));
    }
    let note = lines.join(" ");
    leases::accept::accept(operator(), &ground, &config.leases, &forgotten, end, note)
        .await
        .map_err(Failure::error)?;
    if let Some(kept) = store.inner().settle().map_err(Failure::error)? {
        console::say(format!("The files are kept as they were in {}.", kept.display()));
    }
    console::say("The store is accepted; the daemon can be started.");
    Ok(())
}

/// What is missing, a sentence each.
fn missing(store: &OnDisk, forgotten: &Forgotten) -> Vec<String> {
    let mut lines: Vec<String> =
        store.loss().iter().map(|loss| format!("The store is not all there: {loss}.")).collect();
    if let Some(written) = forgotten.written() {
        let actions: Vec<_> =
            forgotten.actions.iter().map(|(action, count)| format!("{count} {action}")).collect();
        let (suspensions, revocations) = forgotten.to_apply();
        lines.push(format!(
            "The store knows the audit log up to line {}, and it goes on to line {written}: {}. \
             {suspensions} suspensions or their ends and {revocations} revocations are applied again; \
             the other changes are not.",
            forgotten.known,
            actions.join(", ")
        ));
    }
    if !lines.is_empty() && forgotten.missing > 0 {
        lines.push(format!(
            "{} lines between them are missing: name the files that they are in with --log.",
            forgotten.missing
        ));
    }
    if !lines.is_empty() && forgotten.foreign > 0 {
        lines.push(format!(
            "{} lines of these files were not written by this daemon, or were changed: they count for nothing.",
            forgotten.foreign
        ));
    }
    lines
}

/// Reads the lines of a file of the log, which is made durable. Returns where the last authentic
/// one ends.
fn read(path: &Path, forgotten: &mut Forgotten) -> Result<u64, Failure> {
    let mut read = || -> io::Result<u64> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        file.sync_all()?;
        let mut reader = BufReader::new(file);
        let (mut at, mut end, mut line) = (0, 0, Vec::new());
        loop {
            line.clear();
            let length = io::Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(end);
            }
            at += length as u64;
            // A line without an end was cut off while it was written.
            if let Some(line) = line.strip_suffix(b"\n")
                && forgotten.read(line)
            {
                end = at;
            }
        }
    };
    read().map_err(|error| Failure::run(format!("{} cannot be read: {error}.", path.display())))
}

fn is_confirmed() -> io::Result<bool> {
    console::say("Type `accept` to go on without what is missing:");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "accept")
}
