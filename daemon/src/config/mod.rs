//! The configuration: one TOML file and what it includes, read strictly, with every fault reported
//! at once.
//!
//! Start at [`load`]. Each topic has a file with its struct, its reader and its checks; a key with
//! a default and bounds is a row (`keys`); `read` has the strict readers, `source` the parsing,
//! `report` the faults. This module alone knows TOML: the result is plain structs with the secrets
//! read, which `wire_up` turns into the options of the crates.
//!
//! Never here: a default that is unsafe, a value that is silently corrected, a literal secret.

mod admin;
mod audit;
mod companies;
mod component;
mod cors;
mod data;
mod destinations;
mod environment;
#[cfg(test)]
pub(crate) mod fake;
mod keyring;
mod keys;
mod leases;
pub(crate) mod log;
mod networks;
mod origin;
mod pem;
mod places;
mod plugins;
mod providers;
mod read;
mod report;
mod roles;
mod rules;
mod secrets;
mod server;
mod services;
mod source;
#[cfg(test)]
mod tests;
mod units;
mod vault;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use credsmith_core::ids::ProviderId;
use credsmith_core::rules::{Configured, ProviderMatch, Rule, Rules};

pub(crate) use admin::Admin;
pub(crate) use audit::Audit;
pub(crate) use companies::{Companies, Directory};
pub(crate) use component::{Plugin, Setting};
pub(crate) use data::{Data, store_in};
pub(crate) use destinations::Destination;
pub(crate) use environment::{DEV_MARKER, Environment, SystemEnvironment};
pub(crate) use keyring::Keyring;
pub(crate) use log::Log;
pub(crate) use origin::Origin;
pub(crate) use pem::tls_identity;
pub(crate) use places::Places;
pub(crate) use plugins::Plugins;
pub(crate) use providers::{Audiences, Provider};
pub(crate) use roles::ConfiguredRole;
pub(crate) use rules::RuleLine;
pub(crate) use server::Server;
pub(crate) use services::Service;

pub(crate) use vault::Vault;

use read::{ReadContext, Table, Value};
use report::did_you_mean;

/// Everything that can be configured.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) admin: Admin,
    pub(crate) data: Data,
    pub(crate) keyring: Keyring,
    pub(crate) audit: Audit,
    pub(crate) log: Log,
    pub(crate) leases: credsmith_core::leases::Options,
    pub(crate) plugins: Plugins,
    /// In the order of the file: clients use the first one by default.
    pub(crate) providers: Vec<Provider>,
    pub(crate) services: Vec<Service>,
    /// `None`: the vault is not served.
    pub(crate) vault: Option<Vault>,
    pub(crate) roles: Vec<ConfiguredRole>,
    pub(crate) companies: Companies,
    /// Web pages that may call the vault.
    pub(crate) origins: Vec<String>,
}

/// A valid configuration, and warnings about it, a line each.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) warnings: Vec<String>,
    /// For what turns out only when it is used.
    pub(crate) places: Places,
}

/// Everything that is wrong with a configuration, a line each; never empty.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) faults: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        let count = self.faults.len();
        let noun = if count == 1 { "fault" } else { "faults" };
        write!(f, "The configuration has {count} {noun}.")
    }
}

/// Reads and checks the configuration at `path`.
///
/// # Errors
/// [`Faults`] has all of them.
pub(crate) fn load(path: &Path) -> Result<Loaded, Faults> {
    let mut reading = ReadContext::new(Box::new(SystemEnvironment));
    let node = source::read(path, &mut reading.report);
    if reading.report.path_of(0).is_none() {
        // The file could not be read: reports of missing keys would only repeat that.
        return Err(Faults { faults: reading.report.faults(), warnings: Vec::new() });
    }
    located(reading, node)
}

/// Reads and checks a configuration that is built in. Its relative paths start at the directory of
/// `path`.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_text(
    path: &Path,
    text: String,
    environment: Box<dyn Environment>,
) -> Result<Loaded, Faults> {
    let mut reading = ReadContext::new(environment);
    let node = source::read_text(path, text, &mut reading.report);
    located(reading, node)
}

fn located(reading: ReadContext, node: source::Node) -> Result<Loaded, Faults> {
    let (config, warnings) = judge(&reading, &node)?;
    Ok(Loaded { config, warnings, places: Places::new(reading.report, node) })
}

/// The configuration, and warnings about it.
fn judge(reading: &ReadContext, node: &source::Node) -> Result<(Config, Vec<String>), Faults> {
    let config = Value::root(reading, node).table(Config::read).flatten();
    let warnings = reading.report.warnings();
    match config {
        Some(config) if !reading.report.has_faults() => Ok((config, warnings)),
        _ => Err(Faults { faults: reading.report.faults(), warnings }),
    }
}

impl Config {
    fn read(table: &Table<'_>) -> Option<Self> {
        let server = table.section("server", Server::read).flatten();
        let admin = table.section("admin", Admin::read);
        let data = table.section("data", Data::read).flatten();
        let keyring = table.section("keyring", Keyring::read).flatten();
        let audit = table.section("audit", Audit::read);
        let log = table.section("log", Log::read);
        let leases = table.section("leases", leases::read);
        let plugins = table.section("plugins", Plugins::read);
        let providers = table.required("providers", "{ my-login = { ... } }", providers::read);
        let services = table.or("services", Vec::new(), services::read);
        let vault = table.optional("vault", |value| value.table(Vault::read));
        let roles = table.or("roles", Vec::new(), roles::read);
        let companies = table.section("companies", Companies::read).flatten();
        let origins = table.section("cors", cors::read);
        if let (Some(vault), Some(providers)) = (&vault, &providers) {
            vault.check_providers(table.value(), providers);
        }
        if let (Some(vault), Some(server)) = (&vault, &server) {
            warn_of_one_address(table, vault, server);
        }
        if let Some(Companies::Listed(listed)) = &companies {
            roles::warn_of_unknown_companies(table.value(), &roles, listed);
        }
        if let (Some(data), Some(admin)) = (&data, &admin) {
            refuse_long_socket(table, data, admin);
        }
        if let (Some(data), Some(keyring)) = (&data, &keyring) {
            refuse_key_beside_data(table, data, keyring);
        }
        if let Some(providers) = &providers {
            warn_of_unknown_providers(table, providers, &services, &roles);
        }
        if vault.is_some() {
            warn_of_no_admin(table, &roles);
        }
        Some(Self {
            server: server?,
            admin: admin?,
            data: data?,
            keyring: keyring?,
            audit: audit?,
            log: log?,
            leases: leases?,
            plugins: plugins?,
            providers: providers?,
            services,
            vault,
            roles,
            companies: companies?,
            origins: origins?,
        })
    }

    /// The rules of a service, over the configured providers.
    pub(crate) fn rules(&self, service: &Service) -> Rules {
        let configured = Configured {
            providers: self.providers.iter().map(|provider| provider.id.clone()).collect(),
            rsps: BTreeSet::new(),
        };
        let rules =
            |lines: &[RuleLine]| lines.iter().map(|line| line.rule.clone()).collect::<Vec<Rule>>();
        Rules::new(rules(&service.allow), rules(&service.forbid), &configured)
    }
}

/// Refuses a path that the system cannot bind a socket to: the error would come only at the start.
fn refuse_long_socket(table: &Table<'_>, data: &Data, admin: &Admin) {
    let length = admin.socket_path(data).as_os_str().len();
    if length > admin::MAX_SOCKET_PATH {
        let key = if admin.socket.is_some() { "admin.socket" } else { "data.directory" };
        let at = table
            .get(if admin.socket.is_some() { "admin" } else { "data" })
            .map(|value| value.at());
        let message = format!(
            "makes the path of the admin socket {length} bytes long, expected {} at most: set admin.socket to a shorter one",
            admin::MAX_SOCKET_PATH
        );
        table.value().reading.report.fault(at, key, message);
    }
}

/// Warns if all clients seem to have one address: `same_address` then cannot detect a stolen
/// sign-in.
fn warn_of_one_address(table: &Table<'_>, vault: &Vault, server: &Server) {
    if vault.same_address && server.takes_clients_for_its_proxy() {
        let message = "has no effect: the listeners are on loopback and public_url is not, so that every client seems to come from \
             the proxy in front; set server.trusted_proxies to its address";
        let at = table.get("vault").map(|value| value.at());
        table.value().reading.report.warning(at, "vault.same_address", message);
    }
}

/// Refuses a key file in the data directory: a copy of the data would include the key.
fn refuse_key_beside_data(table: &Table<'_>, data: &Data, keyring: &Keyring) {
    let Some(file) = &keyring.file else { return };
    let reading = table.value().reading;
    if reading.environment().lies_in(file, &data.directory) {
        let at = table.get("keyring").map(|value| value.at());
        let message = format!(
            "lies beside the data that it protects, in {}; expected another place",
            data.directory.display()
        );
        reading.report.fault(at, "keyring.key", message);
    }
}

/// Warns if no user can have every permission. Only a user who holds all permissions of a role may
/// assign it, so that the first administrator has to come from a rule.
fn warn_of_no_admin(table: &Table<'_>, roles: &[ConfiguredRole]) {
    if roles.iter().any(ConfiguredRole::makes_an_admin) {
        return;
    }
    let at = table.get("roles").map(|value| value.at());
    let message = "has no role with the permission `*` for all companies and a rule that assigns it, so that no user can assign roles";
    table.value().reading.report.warning(at, "roles", message);
}

/// Warns about rules for providers that are not configured. Such a rule is kept and fails closed
/// (an allow rule never matches, a forbid rule always does), so that removing a provider for a
/// while opens no service.
fn warn_of_unknown_providers(
    table: &Table<'_>,
    providers: &[Provider],
    services: &[Service],
    roles: &[ConfiguredRole],
) {
    let known: BTreeSet<&ProviderId> = providers.iter().map(|provider| &provider.id).collect();
    let lines = |service: &'_ Service| -> Vec<(RuleLine, &'static str)> {
        let allow = service.allow.iter().map(|line| (line.clone(), "never matches"));
        let forbid = service.forbid.iter().map(|line| (line.clone(), "forbids every user"));
        allow.chain(forbid).collect()
    };
    let assignments = roles.iter().flat_map(|role| role.assign.iter().cloned());
    let assignments = assignments.map(|line| (line, "never matches"));
    for (line, effect) in services.iter().flat_map(lines).chain(assignments) {
        let name = match line.rule.provider() {
            ProviderMatch::Id(id) if !known.contains(id) => id.to_string(),
            ProviderMatch::Rsp(_) => line.rule.provider().to_string(),
            ProviderMatch::Id(_) | ProviderMatch::Any => continue,
        };
        let hint = did_you_mean(&name, known.iter().map(|id| id.as_str()));
        let message = format!(
            "names the provider `{name}`, which is not configured, so that it {effect}{hint}"
        );
        table.value().reading.report.warning(Some(line.at), &line.key, message);
    }
}
