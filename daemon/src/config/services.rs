//! `[services.<id>]`: what users can request, and what the plugin behind it is given.

use std::num::NonZeroUsize;
use std::time::Duration;

use credsmith_core::ids::ServiceId;

use super::component::{self, Destination, Plugin, Setting};
use super::grants::{self, TokenGrant};
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
    /// Where the plugin may send requests.
    pub(crate) http: Vec<Destination>,
    /// Calls at a time; `None`: as many as the pool of instances lets it have.
    pub(crate) parallel_runner: Option<NonZeroUsize>,
    pub(crate) queue_length: u32,
    pub(crate) queue_wait: Duration,
    pub(crate) plugin_timeout: Duration,
    /// In bytes.
    pub(crate) memory: u64,
    pub(crate) credential_limit: Option<u32>,
    pub(crate) allow_same_state: bool,
    /// What the plugin may do with the user's access token, where it gets it at all.
    pub(crate) access_token: Option<TokenGrant>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) display_priority: Option<i64>,
    pub(crate) hide: bool,
    pub(crate) tooltip: Option<String>,
    pub(crate) allow: Vec<RuleLine>,
    pub(crate) forbid: Vec<RuleLine>,
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
        let http = table.or("http", Vec::new(), grants::destinations);
        let settings = table.or("settings", Vec::new(), |value| component::settings(value, &http));
        let allow = table.or("allow", Vec::new(), rules::read);
        let service = Self {
            sha256: table.optional("sha256", component::digest),
            parallel_runner: table.or("parallel_runner", NonZeroUsize::new(1), parallel_runner),
            queue_length: table.or("queue_length", 64, |value| value.count(0..=65_536)),
            queue_wait: table.or("queue_wait", Duration::from_secs(10), |value| {
                value.duration(Duration::ZERO..=Duration::from_secs(600))
            }),
            plugin_timeout: table.or("plugin_timeout", Duration::from_secs(30), |value| {
                value.duration(Duration::from_millis(10)..=Duration::from_secs(3600))
            }),
            memory: table.or("memory", 64 << 20, |value| value.size(1 << 20..=4 << 30)),
            credential_limit: table.optional("credential_limit", |value| value.count(0..=u32::MAX)),
            allow_same_state: table.or("allow_same_state", false, Value::flag),
            access_token: grants::access_token(table, &http),
            max_lifetime: table.optional("max_lifetime", |value| {
                value.duration(Duration::from_secs(1)..=Duration::from_secs(10 * 365 * 24 * 3600))
            }),
            display_priority: table
                .optional("display_priority", |value| value.integer(i64::MIN..=i64::MAX)),
            hide: table.or("hide", false, Value::flag),
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
            table.value().warning("has no allow rule, so that nobody may use it");
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
