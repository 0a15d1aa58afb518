//! `[services.<id>]`: what users can request, and what the plugin behind it is given.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use credsmith_core::ids::ServiceId;
use credsmith_core::secret::Secret;
use ipnet::IpNet;
use serde_json::Value as Json;

use super::grants::{self, Origin, TokenGrant};
use super::read::{Table, Value};
use super::report::did_you_mean;
use super::rules::{self, RuleLine};
use super::secrets;
use super::source::{Kind, Node};

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

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plugin {
    /// Built into the daemon.
    Bundled(String),
    /// A file.
    File(PathBuf),
}

/// A value that a plugin is given.
#[derive(Debug)]
pub(crate) enum Setting {
    /// A string.
    Text(String),
    /// Anything else.
    Json(Json),
    /// A secret, and what the plugin may do with it.
    Secret { value: Secret, reveal: bool, hmac: bool, destinations: Vec<Origin> },
}

/// A server that a plugin may send requests to.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) origin: Origin,
    /// Addresses that are not public and may be dialled all the same.
    pub(crate) addresses: Vec<IpNet>,
    /// Further roots of trust, PEM.
    pub(crate) roots: Option<Vec<u8>>,
    /// What the daemon proves itself with: certificates (PEM) and key (PEM).
    pub(crate) identity: Option<(Vec<u8>, Secret)>,
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
        let plugin = table.required("plugin", "\"bundled:info\"", plugin);
        let http = table.or("http", Vec::new(), grants::destinations);
        let settings = table.or("settings", Vec::new(), |value| settings(value, &http));
        let allow = table.or("allow", Vec::new(), rules::read);
        let service = Self {
            sha256: table.optional("sha256", digest),
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
            display_priority: table.optional("display_priority", |value| value.integer(i64::MIN..=i64::MAX)),
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

fn plugin(value: &Value<'_>) -> Option<Plugin> {
    let text = value.line()?;
    match text.strip_prefix("bundled:") {
        Some(name) => bundled(value, name),
        None => value.path().map(Plugin::File),
    }
}

fn bundled(value: &Value<'_>, name: &str) -> Option<Plugin> {
    if credsmith_bundle::find(name).is_some() {
        return Some(Plugin::Bundled(name.to_owned()));
    }
    let known = || credsmith_bundle::bundled().iter().map(|plugin| plugin.name);
    let all: Vec<_> = known().map(|name| format!("bundled:{name}")).collect();
    let hint = did_you_mean(name, known());
    value.fault(format!(
        "names a plugin that is not built in, expected one of {}, or a path{hint}",
        all.join(", ")
    ));
    None
}

fn digest(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let fits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !fits {
        value
            .fault("is no SHA-256, expected 64 hexadecimal digits, as `credsmith plugin inspect` shows them");
    }
    fits.then(|| text.to_ascii_lowercase())
}

fn parallel_runner(value: &Value<'_>) -> Option<Option<NonZeroUsize>> {
    match value.kind() {
        Kind::Text(text) if text == "unlimited" => Some(None),
        Kind::Text(_) => {
            value.fault("is a string, expected an integer from 1 to 4096, or \"unlimited\"");
            None
        }
        _ => value.count(1..=4096).map(|count| NonZeroUsize::new(usize::try_from(count).unwrap_or(1))),
    }
}

fn settings(value: &Value<'_>, http: &[Destination]) -> Option<Vec<(String, Setting)>> {
    value.named(|key, value| setting(value, http).map(|setting| (key.to_owned(), setting)))
}

fn setting(value: &Value<'_>, http: &[Destination]) -> Option<Setting> {
    if secrets::is_reference(value) {
        let (fetched, (reveal, hmac, destinations)) = secrets::secret_with(value, |table| {
            let destinations = grants::secret_destinations(table, http);
            (table.or("reveal", false, Value::flag), table.or("hmac", false, Value::flag), destinations)
        })?;
        return Some(Setting::Secret { value: fetched.secret, reveal, hmac, destinations });
    }
    match value.kind() {
        Kind::Text(text) => Some(Setting::Text(text.clone())),
        kind => json(kind).map(Setting::Json).or_else(|| {
            value.fault("has a number that JSON cannot have, or one too large, expected another value");
            None
        }),
    }
}

fn json(kind: &Kind) -> Option<Json> {
    let of = |node: &Node| json(&node.kind);
    match kind {
        Kind::Text(text) | Kind::Date(text) => Some(Json::String(text.clone())),
        Kind::Integer(number) => Some(Json::from(*number)),
        Kind::Float(number) => serde_json::Number::from_f64(*number).map(Json::Number),
        Kind::Flag(flag) => Some(Json::Bool(*flag)),
        Kind::List(items) => items.iter().map(of).collect::<Option<Vec<_>>>().map(Json::Array),
        Kind::Table(entries) => {
            let members = entries.iter().map(|entry| Some((entry.key.clone(), of(&entry.value)?)));
            members.collect::<Option<serde_json::Map<_, _>>>().map(Json::Object)
        }
    }
}
