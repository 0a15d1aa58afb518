//! `[services.<id>]`: what users can request, with its plugin, settings and rules.

use std::num::NonZeroUsize;
use std::time::Duration;

use credsmith_core::ids::ServiceId;
use credsmith_host::{Binding, HttpLimits};

use super::component::{self, Plugin, Setting};
use super::destinations::{self, Destination, HttpOptions};
use super::keys::{self, Key};
use super::read::{Table, Value};
use super::rules::{self, RuleLine};
use super::source::Kind;

/// One service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) id: ServiceId,
    pub(crate) description: String,
    pub(crate) plugin: Plugin,
    /// SHA-256 that the component must have, in lower-case hex.
    pub(crate) sha256: Option<String>,
    /// By key, in the order of the file.
    pub(crate) settings: Vec<(String, Setting)>,
    /// The servers that the plugin may send requests to.
    pub(crate) http: Vec<Destination>,
    /// Calls at a time; `None`: as many as the pool of instances lets it have.
    pub(crate) parallel_runner: Option<NonZeroUsize>,
    pub(crate) options: ServiceOptions,
    pub(crate) credential_limit: Option<u32>,
    /// What the plugin may do with the user's access token; `None`: the plugin does not get it.
    pub(crate) access_token: Option<TokenGrant>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) display_priority: Option<i64>,
    pub(crate) tooltip: Option<String>,
    pub(crate) allow: Vec<RuleLine>,
    pub(crate) forbid: Vec<RuleLine>,
}

/// Settings of a service that have a default.
#[derive(Debug)]
pub(crate) struct ServiceOptions {
    pub(crate) hide: bool,
    pub(crate) allow_same_state: bool,
    pub(crate) queue_length: usize,
    pub(crate) queue_wait: Duration,
    pub(crate) plugin_timeout: Duration,
    /// In bytes.
    pub(crate) memory: u64,
    pub(crate) http: HttpOptions,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            hide: false,
            allow_same_state: false,
            queue_length: 64,
            queue_wait: Duration::from_secs(10),
            plugin_timeout: Duration::from_secs(30),
            memory: 64 << 20,
            http: HttpLimits::default().into(),
        }
    }
}

/// The keys of [`ServiceOptions`].
pub(super) const KEYS: &[Key<ServiceOptions>] = &[
    Key::flag(
        "hide",
        |options| &mut options.hide,
        "Whether lists leave it out for users who may not use it.",
    ),
    Key::flag(
        "allow_same_state",
        |options| &mut options.allow_same_state,
        "Whether a plugin that returns the state of an active credential of the same user means that very credential.",
    ),
    Key::count(
        "queue_length",
        |options| &mut options.queue_length,
        0..=65_536,
        "Calls that may wait for their turn; one more is answered 503.",
    ),
    Key::duration(
        "queue_wait",
        |options| &mut options.queue_wait,
        Duration::ZERO..=Duration::from_secs(600),
        "How long a call may wait for its turn; then 503.",
    ),
    Key::duration(
        "plugin_timeout",
        |options| &mut options.plugin_timeout,
        Duration::from_millis(10)..=Duration::from_secs(3600),
        "How long a call may take; then 504.",
    ),
    Key::size(
        "memory",
        |options| &mut options.memory,
        1 << 20..=4 << 30,
        "Memory of one plugin instance.",
    ),
];

/// What a plugin may do with the user's access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenGrant {
    /// Whether it may read the token itself.
    pub(crate) reveal: bool,
    /// The requests that the host may put it into.
    pub(crate) destinations: Vec<Binding>,
}

/// Reads all services.
pub(crate) fn read(value: &Value<'_>) -> Option<Vec<Service>> {
    value.named(|id, value| {
        let id = ServiceId::parse(id).map_err(|error| value.fault(error.to_string()));
        value.table(|table| Service::read(table, id.ok())).flatten()
    })
}

impl Service {
    fn read(table: &Table<'_>, id: Option<ServiceId>) -> Option<Self> {
        let description = table.required("description", "\"What users get\"", Value::line);
        let plugin = table.required("plugin", "\"bundled:info\"", component::plugin);
        let http = table.or("http", Vec::new(), destinations::read);
        let settings = table.or("settings", Vec::new(), |value| component::settings(value, &http));
        let allow = table.or("allow", Vec::new(), rules::read);
        let mut options = ServiceOptions::default();
        keys::read(KEYS, table, &mut options);
        keys::read(destinations::KEYS, table, &mut options.http);
        let service = Self {
            sha256: table.optional("sha256", component::digest),
            parallel_runner: table.or("parallel_runner", NonZeroUsize::new(1), parallel_runner),
            options,
            credential_limit: table.optional("credential_limit", |value| value.count(0..=u32::MAX)),
            access_token: access_token(table, &http),
            max_lifetime: table.optional("max_lifetime", |value| {
                value.duration(Duration::from_secs(1)..=Duration::from_secs(10 * 365 * 24 * 3600))
            }),
            display_priority: table
                .optional("display_priority", |value| value.integer(i64::MIN..=i64::MAX)),
            tooltip: table.optional("tooltip", Value::line),
            forbid: table.or("forbid", Vec::new(), rules::read),
            id: id?,
            description: description?,
            plugin: plugin?,
            settings,
            http,
            allow,
        };
        if service.allow.is_empty() {
            table.value().warning("has no allow rule, so that no user may use it");
        }
        Some(service)
    }
}

fn parallel_runner(value: &Value<'_>) -> Option<Option<NonZeroUsize>> {
    match value.kind() {
        Kind::Text(text) if text == "unlimited" => Some(None),
        Kind::Text(_) => {
            value.fault("is a string, expected an integer from 1 to 4096, or \"unlimited\"");
            None
        }
        _ => value
            .count(1..=4096)
            .map(|count| NonZeroUsize::new(usize::try_from(count).unwrap_or(1))),
    }
}

/// Reads `pass_access_token` and what goes with it. `None`: the plugin does not get the token.
fn access_token(table: &Table<'_>, http: &[Destination]) -> Option<TokenGrant> {
    let passed = table.or("pass_access_token", false, Value::flag);
    let read = |table: &Table<'_>| TokenGrant {
        reveal: table.or("reveal", false, Value::flag),
        destinations: destinations::secret_destinations(table, http),
    };
    let grant = table.section("access_token", read)?;
    if grant != (TokenGrant { reveal: false, destinations: Vec::new() }) && !passed {
        table.value().fault(
            "grants uses of the access token without pass_access_token = true, expected both",
        );
    }
    passed.then_some(grant)
}
