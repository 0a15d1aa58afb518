//! `[vault]`: signing in, credentials and the plugins behind their types. Where it is missing,
//! `/v1` is not served.

use std::collections::BTreeSet;
use std::time::Duration;

use credsmith_core::ids::{PluginName, ProviderId};

use super::component::{self, Plugin};
use super::keys::{self, Key};
use super::providers::Provider;
use super::read::{Table, Value};
use super::report::{Position, did_you_mean};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
const QUARTER: Duration = Duration::from_secs(90 * 24 * 3600);
const DECADE: Duration = Duration::from_secs(3650 * 24 * 3600);

/// The vault.
#[derive(Debug)]
pub(crate) struct Vault {
    /// The provider for sign-ins that name none; `None`: the first one.
    provider: Option<(ProviderId, Position)>,
    pub(crate) same_address: bool,
    pub(crate) access_token_lifetime: Duration,
    pub(crate) session_idle: Duration,
    pub(crate) session_lifetime: Duration,
    pub(crate) sign_ins_per_minute: usize,
    pub(crate) undelete_window: Duration,
    /// Plugins for types of credentials besides `generic`, in the order of the file.
    pub(crate) types: Vec<TypePlugin>,
}

/// A plugin for a type of credential.
#[derive(Debug)]
pub(crate) struct TypePlugin {
    /// The name in the description of the plugin, by which types of credentials refer to it.
    pub(crate) name: PluginName,
    pub(crate) plugin: Plugin,
    pub(crate) sha256: Option<String>,
    /// The plain fields that it may compute, where it does not come with the daemon.
    pub(crate) computed_plain: Vec<String>,
}

impl Default for Vault {
    fn default() -> Self {
        Self {
            provider: None,
            same_address: true,
            access_token_lifetime: 15 * MINUTE,
            session_idle: 12 * HOUR,
            session_lifetime: 7 * DAY,
            sign_ins_per_minute: 60,
            undelete_window: 30 * DAY,
            types: Vec::new(),
        }
    }
}

/// The keys of the section that have a default.
pub(super) const KEYS: &[Key<Vault>] = &[
    Key::flag(
        "same_address",
        |vault| &mut vault.same_address,
        "Whether a sign-in is finished only from the address that began it. Otherwise an attacker who makes a user follow a sign-in link gets the tokens of that user. A client whose server asks for the link needs false.",
    ),
    Key::count(
        "sign_ins_per_minute",
        |vault| &mut vault.sign_ins_per_minute,
        0..=1_000_000,
        "Sign-ins that one address may begin in a minute; 0 for any number.",
    ),
    Key::duration(
        "access_token_lifetime",
        |vault| &mut vault.access_token_lifetime,
        MINUTE..=HOUR,
        "How long an access token is valid before it has to be renewed.",
    ),
    Key::duration(
        "session_idle",
        |vault| &mut vault.session_idle,
        FIVE_MINUTES..=MONTH,
        "How long a session lasts that is not used.",
    ),
    Key::duration(
        "session_lifetime",
        |vault| &mut vault.session_lifetime,
        FIVE_MINUTES..=QUARTER,
        "How long a session lasts at most.",
    ),
    Key::duration(
        "undelete_window",
        |vault| &mut vault.undelete_window,
        Duration::ZERO..=DECADE,
        "How long deleted credentials and types can be restored; \"0s\" for not at all.",
    ),
];

impl Vault {
    /// Reads the section.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let mut vault = Self::default();
        keys::read(KEYS, table, &mut vault);
        vault.provider = table.optional("provider", |value| {
            let id =
                ProviderId::parse(&value.line()?).map_err(|error| value.fault(error.to_string()));
            Some((id.ok()?, value.at()))
        });
        vault.types = table.or("types", Vec::new(), types);
        if vault.session_idle > vault.session_lifetime {
            table.value().fault(
                "session_idle is longer than session_lifetime, expected it to be at most as long",
            );
        }
        vault
    }

    /// The provider for sign-ins that name none.
    pub(crate) fn provider(&self, providers: &[Provider]) -> Option<ProviderId> {
        let first = || {
            providers
                .iter()
                .find(|provider| !provider.disable_login)
                .map(|provider| provider.id.clone())
        };
        self.provider.as_ref().map(|(id, _)| id.clone()).or_else(first)
    }

    /// Checks the provider against the configured providers.
    pub(crate) fn check_provider(&self, root: &Value<'_>, providers: &[Provider]) {
        let Some((id, at)) = &self.provider else { return };
        let report = &root.reading.report;
        match providers.iter().find(|provider| provider.id == *id) {
            Some(provider) if provider.disable_login => {
                report.fault(
                    Some(*at),
                    "vault.provider",
                    format!("is `{id}`, at which sign-ins are disabled (disable_login)"),
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
        value.fault("is the plugin that is always present, expected another name");
    }
    let plugin = table.required("plugin", "\"bundled:aws\"", component::plugin);
    let sha256 = table.optional("sha256", component::digest);
    let computed_plain = table.or("computed_plain", Vec::new(), component::computed_plain);
    Some(TypePlugin { name: parsed?, plugin: plugin?, sha256, computed_plain })
}
