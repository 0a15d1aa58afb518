//! `[plugins]`: what all plugins share.

use super::read::{Table, Value};

/// What all plugins share.
#[derive(Debug, Clone)]
pub(crate) struct Plugins {
    /// Whether the daemon starts although a service cannot be loaded; the service is then listed as
    /// disabled.
    pub(crate) tolerate_broken_services: bool,
    /// Most plugin instances at a time.
    pub(crate) instances: u32,
    /// Threads that plugins run on; `None`: one per core.
    pub(crate) threads: Option<u32>,
}

impl Plugins {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        Self {
            tolerate_broken_services: table.or("tolerate_broken_services", false, Value::flag),
            instances: table.or("instances", 128, |value| value.count(2..=4096)),
            threads: table.optional("threads", |value| value.count(1..=1024)),
        }
    }
}
