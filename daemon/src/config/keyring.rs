//! `[keyring]`: the key that wraps all other keys.

use std::path::PathBuf;

use credsmith_core::secret::Secret;

use super::read::{Table, Value};
use super::secrets;
use super::source::Kind;

/// The key-encryption key.
#[derive(Debug)]
pub(crate) struct Keyring {
    /// The text of the key file.
    pub(crate) key: Secret,
    /// The file that it was read from.
    pub(crate) file: Option<PathBuf>,
}

impl Keyring {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Option<Self> {
        table.required("key", "{ file = \"/etc/credsmith/kek\" }", key)
    }
}

fn key(value: &Value<'_>) -> Option<Keyring> {
    if let Kind::Table(entries) = value.kind()
        && entries.iter().any(|entry| entry.key == "env")
    {
        // The environment of a process is visible to its children and often ends up in crash
        // reports.
        value.fault(
            "is a variable of the environment, expected `{ file = \"...\" }` or `{ credential = \"...\" }`",
        );
        return None;
    }
    let (fetched, ()) = secrets::secret_with(value, |_| ())?;
    if let Err(error) = credsmith_core::keyring::Kek::parse(fetched.secret.expose()) {
        value.fault(format!("{error}, expected a file made by `credsmith key init FILE`"));
        return None;
    }
    Some(Keyring { key: fetched.secret, file: fetched.file })
}
