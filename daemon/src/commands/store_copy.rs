//! `credsmith store copy`: copies the data of a daemon that does not run into a new data directory.
//!
//! What belongs to a data directory is copied, so that the daemon can use the copy at once: the
//! store, and the audit log where it lies beside it. Compiled plugins are not: they are made anew.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use credsmith_store::{Copied, Engine, OnDiskOptions, Stage};

use crate::config::{Config, Loaded, store_in};
use crate::failure::Failure;
use crate::sentence::sentence;
use crate::wire_up::{Losses, open_store};
use crate::{console, files};

/// How often a long copy says how far it is.
const EVERY: Duration = Duration::from_secs(2);

/// Copies the data of the configuration in `loaded` into the directory `to`, the store with that
/// `engine`.
pub(crate) async fn copy(
    loaded: Loaded,
    to: PathBuf,
    engine: Option<Engine>,
) -> Result<(), Failure> {
    let config = loaded.config;
    let engine = engine.unwrap_or(config.data.engine);
    let from = config.data.store();
    if !from.exists() {
        return Err(Failure::run(format!("There is no daemon's store at {}.", from.display())));
    }
    check_target(&to)?;
    let source = open_store(&config, Losses::Refused).await?;

    let copied = async {
        files::private_directory(&to).map_err(Failure::Run)?;
        let target = OnDiskOptions::new(engine, store_in(&to), config.data.cache);
        credsmith_store::copy(&source, target, progress()).await.map_err(Failure::error)
    };
    let copied = copied.await;
    // After a failure too: this puts the files back as they were.
    if let Err(error) = source.inner().close().await {
        console::say(sentence(&error));
    }
    let copied = copied?;
    let log = copy_log(&config, &to)?;
    say(&copied, &to, engine, log, &config);
    Ok(())
}

/// A copy into a directory that has something would mix two states.
fn check_target(to: &Path) -> Result<(), Failure> {
    let place = to.display();
    match fs::read_dir(to).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::run(format!(
            "The directory {place} is not empty: a copy is made in a new or an empty one."
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::run(format!("The directory {place} cannot be read: {error}."))),
    }
}

/// Copies the audit log, where it lies in the data directory; returns whether it did.
fn copy_log(config: &Config, to: &Path) -> Result<bool, Failure> {
    let log = config.audit.file(&config.data);
    let name = log.strip_prefix(&config.data.directory).ok().map(Path::to_owned);
    let Some(name) = name.filter(|name| log.exists() && name.components().count() == 1) else {
        return Ok(false);
    };
    copy_file(&log, &to.join(name))
        .map_err(|error| Failure::run(format!("The audit log cannot be copied: {error}.")))?;
    Ok(true)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut File::open(from)?, &mut target)?;
    target.sync_all()?;
    to.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Says how far a copy is, if it takes long.
fn progress() -> impl FnMut(Stage, u64) {
    let mut said = Instant::now();
    move |stage, entries| {
        if said.elapsed() >= EVERY {
            said = Instant::now();
            console::say(match stage {
                Stage::Writing => format!("{entries} entries are copied ..."),
                Stage::Verifying => format!("{entries} entries of the copy are read back ..."),
            });
        }
    }
}

fn say(copied: &Copied, to: &Path, engine: Engine, log: bool, config: &Config) {
    let Copied { entries, bytes, digest } = copied;
    let place = to.display();
    console::say(format!(
        "Copied {entries} entries, {bytes} bytes of keys and values, and read them back: SHA-256 {}.",
        hex::encode(digest)
    ));
    let beside = if log { ", with the audit log beside it" } else { "" };
    console::say(format!(
        "{place} is a data directory with a store of {engine}{beside}. To use it, set `directory = \
         \"{place}\"` and `store = \"{engine}\"` in the section [data], or give it the name of the \
         old one, {}. From then on the old one is out of date.",
        config.data.directory.display()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        check_target(directory.path()).unwrap();
        check_target(&directory.path().join("new")).unwrap();
        fs::write(directory.path().join("theirs"), "").unwrap();
        let refused = check_target(directory.path()).unwrap_err();
        assert!(refused.to_string().contains("is not empty"), "{refused}");
    }

    #[test]
    fn a_copied_file_is_private_and_replaces_none() {
        use std::os::unix::fs::MetadataExt as _;
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::write(&from, "line\n").unwrap();
        copy_file(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"line\n");
        assert_eq!(fs::metadata(&to).unwrap().mode() & 0o777, 0o600);
        assert_eq!(copy_file(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
