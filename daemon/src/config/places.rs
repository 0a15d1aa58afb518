//! The places of keys in a configuration that was read, for faults that only show when it is used:
//! a plugin that cannot be loaded, a setting that the plugin refuses.

use super::report::Report;
use super::source::{Kind, Node};

/// The files of a configuration, and where each key stands in them.
#[derive(Debug)]
pub(crate) struct Places {
    report: Report,
    root: Node,
}

impl Places {
    pub(super) fn new(report: Report, root: Node) -> Self {
        Self { report, root }
    }

    /// The line `file:line:column: key: message` for a fault at `key`. Where the key is not written
    /// down, the place is that of the table that it would be in.
    pub(crate) fn fault(&self, key: &[&str], message: &str) -> String {
        let mut node = &self.root;
        for name in key {
            let Kind::Table(entries) = &node.kind else { break };
            let Some(entry) = entries.iter().find(|entry| entry.key == *name) else { break };
            node = &entry.value;
        }
        self.report.late_line(node.at, &key.join("."), message)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::source;

    #[test]
    fn a_late_fault_has_the_place_of_its_key() {
        let mut report = Report::default();
        let text = "[services.ssh]\nplugin = \"x\"\nsettings = { key = 1 }\n";
        let root = source::read_text(Path::new("c.toml"), text.to_owned(), &mut report);
        let places = Places::new(report, root);
        for (key, line) in [
            (["services", "ssh", "plugin"].as_slice(), "c.toml:2:10: services.ssh.plugin: no"),
            (&["services", "ssh", "settings", "key"], "c.toml:3:20: services.ssh.settings.key: no"),
            (
                &["services", "ssh", "settings", "absent"],
                "c.toml:3:12: services.ssh.settings.absent: no",
            ),
        ] {
            assert_eq!(places.fault(key, "no"), line);
        }
    }
}
