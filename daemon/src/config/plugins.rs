//! `[plugins]`: settings of all plugins together.

use std::time::Duration;

use credsmith_core::secret::Secret;
use credsmith_host::HostOptions;

use super::keys::{self, Key};
use super::read::Table;

/// Settings of all plugins together.
#[derive(Debug, Clone)]
pub(crate) struct Plugins {
    pub(crate) tolerate_broken_services: bool,
    pub(crate) instances: usize,
    /// Threads that plugins run on; `None`: the host decides.
    pub(crate) threads: Option<u32>,
    pub(crate) compile_timeout: Duration,
    /// In bytes.
    pub(crate) compile_memory: u64,
}

impl Default for Plugins {
    fn default() -> Self {
        let host = HostOptions::new(Secret::new(""));
        Self {
            tolerate_broken_services: false,
            instances: usize::try_from(host.pool_size).unwrap_or(usize::MAX),
            threads: None,
            compile_timeout: Duration::from_secs(120),
            compile_memory: 2 << 30,
        }
    }
}

/// The keys of the section that have a default.
pub(super) const KEYS: &[Key<Plugins>] = &[
    Key::flag(
        "tolerate_broken_services",
        |plugins| &mut plugins.tolerate_broken_services,
        "Whether the daemon starts although a service cannot be loaded. The service is then listed as disabled.",
    ),
    Key::count(
        "instances",
        |plugins| &mut plugins.instances,
        2..=4096,
        "Plugin instances at a time, of all services; one service has at most half of them.",
    ),
    Key::duration(
        "compile_timeout",
        |plugins| &mut plugins.compile_timeout,
        Duration::from_secs(1)..=Duration::from_secs(3600),
        "How long compiling a component may take, at its first load.",
    ),
    Key::size(
        "compile_memory",
        |plugins| &mut plugins.compile_memory,
        64 << 20..=64 << 30,
        "Most memory that compiling a component may take.",
    ),
];

impl Plugins {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let mut plugins = Self::default();
        keys::read(KEYS, table, &mut plugins);
        plugins.threads = table.optional("threads", |value| value.count(1..=1024));
        plugins
    }
}
