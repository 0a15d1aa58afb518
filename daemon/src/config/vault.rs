//! `[vault]`: signing in, credentials and the plugins behind their types. Where it is missing,
//! `/v1` is not served.

use std::collections::BTreeSet;
use std::time::Duration;

use credsmith_core::ids::{PluginName, ProviderId};

use super::component::{self, Plugin};
use super::providers::Provider;
use super::read::{Table, Value};
use super::report::{At, did_you_mean};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The vault.
#[derive(Debug)]
pub(crate) struct Vault {
    /// Where users sign in who name no provider; `None`: at the first one.
    provider: Option<(ProviderId, At)>,
    /// Whether the browser and the socket have to come from the address that asked for the URI.
    pub(crate) same_address: bool,
    pub(crate) access_token_lifetime: Duration,
    pub(crate) session_idle: Duration,
    pub(crate) session_lifetime: Duration,
    /// Sign-ins that one address may begin in a minute; 0: any number.
    pub(crate) sign_ins_per_minute: u32,
    /// How long what was deleted can be restored; zero: not at all.
    pub(crate) undelete_window: Duration,
    /// Plugins for types of credentials besides `generic`, in the order of the file.
    pub(crate) types: Vec<TypePlugin>,
}

/// A plugin for a type of credential.
#[derive(Debug)]
pub(crate) struct TypePlugin {
    /// What types of credentials call it; the name that it gives itself.
    pub(crate) name: PluginName,
    pub(crate) plugin: Plugin,
    pub(crate) sha256: Option<String>,
}

impl Vault {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let span = |key, default, least, most| {
            table.or(key, default, |value| value.duration(least..=most))
        };
        let vault = Self {
            provider: table.optional("provider", |value| {
                let id = ProviderId::parse(&value.line()?)
                    .map_err(|error| value.fault(error.to_string()));
                Some((id.ok()?, value.at()))
            }),
            same_address: table.or("same_address", true, Value::flag),
            access_token_lifetime: span("access_token_lifetime", 15 * MINUTE, MINUTE, HOUR),
            session_idle: span("session_idle", 12 * HOUR, 5 * MINUTE, 30 * DAY),
            session_lifetime: span("session_lifetime", 7 * DAY, 5 * MINUTE, 90 * DAY),
            sign_ins_per_minute: table
                .or("sign_ins_per_minute", 60, |value| value.count(0..=1_000_000)),
            undelete_window: span("undelete_window", 30 * DAY, Duration::ZERO, 3650 * DAY),
            types: table.or("types", Vec::new(), types),
        };
        if vault.session_idle > vault.session_lifetime {
            table.value().fault(
                "session_idle is longer than session_lifetime, expected it to be at most as long",
            );
        }
        vault
    }

    /// Where users sign in who name no provider.
    pub(crate) fn provider(&self, providers: &[Provider]) -> Option<ProviderId> {
        let first = || {
            providers
                .iter()
                .find(|provider| !provider.disable_login)
                .map(|provider| provider.id.clone())
        };
        self.provider.as_ref().map(|(id, _)| id.clone()).or_else(first)
    }

    /// Reports what can be said only once the providers are known.
    pub(crate) fn check_provider(&self, root: &Value<'_>, providers: &[Provider]) {
        let Some((id, at)) = &self.provider else { return };
        let report = &root.reading.report;
        match providers.iter().find(|provider| provider.id == *id) {
            Some(provider) if provider.disable_login => {
                report.fault(
                    Some(*at),
                    "vault.provider",
                    format!("is `{id}`, at which nobody may sign in (disable_login)"),
                );
            }
            Some(_) => {}
            None => {
                let hint = did_you_mean(
                    id.as_str(),
                    providers.iter().map(|provider| provider.id.as_str()),
                );
                report.fault(
                    Some(*at),
                    "vault.provider",
                    format!("is `{id}`, which is not among the providers{hint}"),
                );
            }
        }
    }
}

fn types(value: &Value<'_>) -> Option<Vec<TypePlugin>> {
    let types =
        value.named(|name, value| value.table(|table| type_plugin(name, table)).flatten())?;
    let mut seen = BTreeSet::new();
    types.iter().all(|plugin| seen.insert(&plugin.name)).then_some(())?;
    Some(types)
}

fn type_plugin(name: &str, table: &Table<'_>) -> Option<TypePlugin> {
    let value = table.value();
    let parsed = PluginName::parse(name).map_err(|error| value.fault(error.to_string())).ok();
    if name == "generic" {
        value.fault("is the plugin that is always there, expected another name");
    }
    let plugin = table.required("plugin", "\"bundled:aws\"", component::plugin);
    let sha256 = table.optional("sha256", component::digest);
    Some(TypePlugin { name: parsed?, plugin: plugin?, sha256 })
}
