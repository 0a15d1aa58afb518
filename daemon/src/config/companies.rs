//! `[companies]`: the source of companies, a plugin that queries a directory or a list.

use std::collections::BTreeSet;
use std::time::Duration;

use credsmith_core::ports::directory::DirectoryCompany;
use credsmith_host::HttpLimits;

use super::component::{self, Plugin, Setting};
use super::destinations::{self, Destination, HttpOptions};
use super::keys::{self, Key};
use super::read::{Table, Value};
use super::source::Kind;

/// The source of companies.
#[derive(Debug)]
pub(crate) enum Companies {
    /// A list in the configuration.
    Listed(Vec<DirectoryCompany>),
    /// A plugin.
    Directory(Directory),
}

/// A plugin that queries a directory.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) plugin: Plugin,
    pub(crate) sha256: Option<String>,
    pub(crate) settings: Vec<(String, Setting)>,
    pub(crate) http: Vec<Destination>,
    pub(crate) options: DirectoryOptions,
}

/// Settings of a directory that have a default.
#[derive(Debug)]
pub(crate) struct DirectoryOptions {
    pub(crate) interval: Duration,
    pub(crate) plugin_timeout: Duration,
    /// In bytes.
    pub(crate) memory: u64,
    pub(crate) http: HttpOptions,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15 * 60),
            plugin_timeout: Duration::from_secs(60),
            memory: 64 << 20,
            http: HttpLimits::of_directories().into(),
        }
    }
}

/// The keys of [`DirectoryOptions`].
pub(super) const KEYS: &[Key<DirectoryOptions>] = &[
    Key::duration(
        "interval",
        |options| &mut options.interval,
        Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600),
        "How often the daemon asks the directory for all companies.",
    ),
    Key::duration(
        "plugin_timeout",
        |options| &mut options.plugin_timeout,
        Duration::from_secs(1)..=Duration::from_secs(600),
        "How long one answer may take.",
    ),
    Key::size(
        "memory",
        |options| &mut options.memory,
        1 << 20..=4 << 30,
        "Memory of one plugin instance.",
    ),
];

impl Companies {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Option<Self> {
        let plugin = table.get("plugin").map(|value| component::plugin(&value));
        let listed = table.get("list").map(|value| list(&value));
        let directory = directory(table);
        match (plugin, listed) {
            (Some(plugin), None) => {
                Some(Self::Directory(Directory { plugin: plugin?, ..directory }))
            }
            (None, Some(listed)) => listed.map(Self::Listed),
            (None, None) => Some(Self::Listed(Vec::new())),
            (Some(_), Some(_)) => {
                table.value().fault("has a plugin and a list, expected one of the two");
                None
            }
        }
    }
}

/// Reads the keys that belong to a plugin. The caller fills in the plugin itself.
fn directory(table: &Table<'_>) -> Directory {
    let mut options = DirectoryOptions::default();
    keys::read(KEYS, table, &mut options);
    keys::read(destinations::KEYS, table, &mut options.http);
    let http = table.or("http", Vec::new(), destinations::read);
    Directory {
        plugin: Plugin::Bundled(String::new()),
        sha256: table.optional("sha256", component::digest),
        settings: table.or("settings", Vec::new(), |value| component::settings(value, &http)),
        http,
        options,
    }
}

fn list(value: &Value<'_>) -> Option<Vec<DirectoryCompany>> {
    let companies = value.list(|item| item.table(company).flatten())?;
    let mut ids = BTreeSet::new();
    for company in &companies {
        if !ids.insert(&company.id) {
            value.fault(format!("has the company {:?} twice, expected each once", company.id));
        }
    }
    Some(companies)
}

fn company(table: &Table<'_>) -> Option<DirectoryCompany> {
    let identifier = table.required("identifier", "\"acme\"", Value::line);
    let name = table.required("name", "\"Acme Corp\"", Value::line);
    let id = table.get("id").map(|value| match value.kind() {
        Kind::Integer(_) => value.integer(0..=i64::MAX).map(|id| id.to_string()),
        _ => value.line(),
    });
    let identifier = identifier?;
    let id = id.unwrap_or_else(|| Some(identifier.clone()))?;
    Some(DirectoryCompany { id, identifier, name: name? })
}
