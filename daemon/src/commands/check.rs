//! `credsmith check`: whether `serve` would start with a configuration, as far as that can be known
//! without changing anything.
//!
//! Reading finds what is wrong in the file; here the plugins are loaded with their settings, and
//! the directories of the state are looked at. Never here: a write, or a connection.

use std::path::Path;

use credsmith_host::Host;

use super::plugin;
use crate::config::{Companies, Config, Faults, Loaded, Places};
use crate::failure::Failure;
use crate::{console, descriptors, files, run, wire_up};

/// Checks the configuration at `path`.
///
/// # Errors
/// Every fault, with its place.
pub(crate) async fn check(path: &Path) -> Result<(), Failure> {
    let Loaded { config, mut warnings, places } = run::load(path)?;
    warnings.extend(descriptors::complaint(&config, descriptors::hard_limit()));
    let mut faults = Trial { places: &places, faults: Vec::new() };
    faults.directories(&config);
    let host = plugin::host(&config)?;
    faults.services(&host, &config, &mut warnings).await;
    faults.vault(&host, &config).await;
    let faults = faults.faults;
    if !faults.is_empty() {
        return Err(Failure::Configuration(Faults { faults, warnings }));
    }
    for warning in &warnings {
        console::say(format!("warning: {warning}"));
    }
    console::say("The configuration is in order.");
    Ok(())
}

/// What is tried, and what was wrong.
struct Trial<'a> {
    places: &'a Places,
    faults: Vec<String>,
}

impl Trial<'_> {
    fn fault(&mut self, key: &[&str], message: &str) {
        self.faults.push(self.places.fault(key, message));
    }

    /// The data directory and that of the audit log.
    fn directories(&mut self, config: &Config) {
        if let Err(why) = files::would_be_private(&config.data.directory) {
            self.fault(&["data", "directory"], &why);
        }
        let log = config.audit.file(&config.data);
        let beside = log.parent().filter(|parent| *parent != config.data.directory);
        if let Some(why) = beside.and_then(|parent| files::is_writable(parent).err()) {
            self.fault(&["audit", "file"], &why);
        }
    }

    async fn services(&mut self, host: &Host, config: &Config, warnings: &mut Vec<String>) {
        for (id, outcome) in wire_up::load_each(host, config).await {
            let Err(why) = outcome else { continue };
            for (path, message) in why.faults() {
                let mut key = vec!["services", id.as_str()];
                key.extend(path.iter().map(String::as_str));
                let line = self.places.fault(&key, &message);
                if config.plugins.tolerate_broken_services {
                    warnings.push(line);
                } else {
                    self.faults.push(line);
                }
            }
        }
    }

    async fn vault(&mut self, host: &Host, config: &Config) {
        let Some(options) = &config.vault else { return };
        if let Err(faults) = wire_up::type_plugins(host, options).await {
            for (name, why) in faults {
                match &name {
                    Some(name) => self.fault(&["vault", "types", name.as_str(), "plugin"], &why),
                    None => self.fault(&["vault", "types"], &why),
                }
            }
        }
        if let Companies::Directory(configured) = &config.companies
            && let Err(why) = wire_up::directory(host, configured).await
        {
            for (path, message) in why.faults() {
                let mut key = vec!["companies"];
                key.extend(path.iter().map(String::as_str));
                self.fault(&key, &message);
            }
        }
    }
}
