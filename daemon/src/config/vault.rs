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
    /// The provider for sign-ins that name none; `None`: the first one of those below, else the
    /// first of all.
    provider: Option<(ProviderId, Position)>,
    /// The providers at which users may sign in; empty: the one above alone.
    providers: Vec<(ProviderId, Position)>,
    /// Whether users are asked before a client that waits gets their tokens.
    pub(crate) confirm: bool,
    pub(crate) same_address: bool,
    pub(crate) access_token_lifetime: Duration,
    pub(crate) session_idle: Duration,
    pub(crate) session_lifetime: Duration,
    pub(crate) refresh_grace: Duration,
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
            providers: Vec::new(),
            confirm: true,
            same_address: true,
            access_token_lifetime: 15 * MINUTE,
            session_idle: 12 * HOUR,
            session_lifetime: 7 * DAY,
            refresh_grace: Duration::from_secs(10),
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
        "Whether a sign-in is finished only from the address that began it: the browser, its answer, and the client that waits. A client whose server asks for the link needs false.",
    ),
    Key::count(
        "sign_ins_per_minute",
        |vault| &mut vault.sign_ins_per_minute,
        0..=1_000_000,
        "Sign-ins that one address may begin in a minute, and has 100 under way at most; 0 for any number of both.",
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
        "refresh_grace",
        |vault| &mut vault.refresh_grace,
        Duration::ZERO..=MINUTE,
        "How long after its use a refresh token still gets new tokens, since answers get lost and two tabs may ask at once; after that it ends the session, since it may be stolen. \"0s\" for not at all.",
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
        vault.provider = table.optional("provider", provider);
        vault.providers = table.or("providers", Vec::new(), providers);
        vault.confirm = table.or("confirm", true, confirm);
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
        let listed = || self.providers.first().map(|(id, _)| id.clone());
        let first = || {
            providers
                .iter()
                .find(|provider| !provider.disable_login)
                .map(|provider| provider.id.clone())
        };
        self.provider.as_ref().map(|(id, _)| id.clone()).or_else(listed).or_else(first)
    }

    /// The providers at which users may sign in. The redirect URI of the first one names no
    /// provider.
    pub(crate) fn sign_in_providers(&self, providers: &[Provider]) -> Vec<ProviderId> {
        if self.providers.is_empty() {
            return self.provider(providers).into_iter().collect();
        }
        self.providers.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Checks the providers of sign-ins against the configured providers.
    pub(crate) fn check_providers(&self, root: &Value<'_>, providers: &[Provider]) {
        let report = &root.reading.report;
        if let Some((id, at)) = &self.provider {
            check_provider(root, "vault.provider", id, *at, providers);
            let is_listed = self.providers.iter().any(|(listed, _)| listed == id);
            if !is_listed && !self.providers.is_empty() {
                let message = format!(
                    "is `{id}`, which is not among vault.providers, so that no sign-in could begin there; expected one of them"
                );
                report.fault(Some(*at), "vault.provider", message);
            }
        }
        for (place, (id, at)) in self.providers.iter().enumerate() {
            let key = format!("vault.providers[{place}]");
            check_provider(root, &key, id, *at, providers);
            if self.providers.iter().take(place).any(|(earlier, _)| earlier == id) {
                let message = format!(
                    "is `{id}` a second time: two entries at one redirect URI could not be told apart, expected each provider once"
                );
                report.fault(Some(*at), &key, message);
            }
        }
    }
}

/// Checks that users can sign in at the provider that `key` names.
fn check_provider(
    root: &Value<'_>,
    key: &str,
    id: &ProviderId,
    at: Position,
    providers: &[Provider],
) {
    let message = match providers.iter().find(|provider| provider.id == *id) {
        Some(provider) if provider.disable_login => {
            format!("is `{id}`, at which sign-ins are disabled (disable_login)")
        }
        Some(_) => return,
        None => {
            let known = providers.iter().map(|provider| provider.id.as_str());
            let hint = did_you_mean(id.as_str(), known);
            format!("is `{id}`, which is not among the providers{hint}")
        }
    };
    root.reading.report.fault(Some(at), key, message);
}

fn provider(value: &Value<'_>) -> Option<(ProviderId, Position)> {
    let id = ProviderId::parse(&value.line()?).map_err(|error| value.fault(error.to_string()));
    Some((id.ok()?, value.at()))
}

fn providers(value: &Value<'_>) -> Option<Vec<(ProviderId, Position)>> {
    let providers = value.list(provider)?;
    if providers.is_empty() {
        value.fault("is empty, so that no user could sign in; expected at least one provider");
    }
    Some(providers)
}

/// `"always"` or `"never"`.
fn confirm(value: &Value<'_>) -> Option<bool> {
    let confirm = value.one_of(&[("always", true), ("never", false)])?;
    if !confirm {
        value.warning(
            "is \"never\": an attacker who makes a user follow a sign-in link gets the tokens of that user, where both have one \
             address (behind one router, proxy or NAT64); expected \"always\", which asks the user first",
        );
    }
    Some(confirm)
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
