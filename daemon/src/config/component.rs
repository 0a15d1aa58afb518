//! A component and its settings: shared by services and the directory of companies.

use std::path::PathBuf;

use credsmith_core::secret::Secret;
use credsmith_host::Binding;
use serde_json::Value as Json;

use super::destinations::{self, Destination};
use super::read::Value;
use super::report::did_you_mean;
use super::secrets;
use super::source::{Kind, Node};

/// The source of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plugin {
    /// Built into the daemon.
    Bundled(String),
    /// A file.
    File(PathBuf),
}

/// The value of a setting of a plugin.
#[derive(Debug)]
pub(crate) enum Setting {
    /// A string.
    Text(String),
    /// Anything else.
    Json(Json),
    /// A secret, and what the plugin may do with it.
    Secret { value: Secret, reveal: bool, hmac: bool, destinations: Vec<Binding> },
}

/// Reads the source of a component: `bundled:NAME` or a path.
pub(super) fn plugin(value: &Value<'_>) -> Option<Plugin> {
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

/// Reads the SHA-256 that a component must have.
pub(super) fn digest(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let fits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !fits {
        value
            .fault("is not a SHA-256, expected 64 hexadecimal digits, as `credsmith plugin inspect` shows them");
    }
    fits.then(|| text.to_ascii_lowercase())
}

/// Reads the ids of the plain fields that a plugin for types of credentials may compute.
pub(super) fn computed_plain(value: &Value<'_>) -> Option<Vec<String>> {
    value.list(|item| {
        let id = item.line()?;
        let fits = id.starts_with(|c: char| c.is_ascii_alphabetic())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !fits {
            item.fault("is no id of a field, expected a letter, then letters, digits and _");
        }
        fits.then_some(id)
    })
}

/// Reads the settings of a plugin. A secret may be sent only to servers of `http`.
pub(super) fn settings(value: &Value<'_>, http: &[Destination]) -> Option<Vec<(String, Setting)>> {
    value.named(|key, value| setting(value, http).map(|setting| (key.to_owned(), setting)))
}

fn setting(value: &Value<'_>, http: &[Destination]) -> Option<Setting> {
    if secrets::is_reference(value) {
        let (fetched, (reveal, hmac, destinations)) = secrets::secret_with(value, |table| {
            let destinations = destinations::secret_destinations(table, http);
            (
                table.or("reveal", false, Value::flag),
                table.or("hmac", false, Value::flag),
                destinations,
            )
        })?;
        return Some(Setting::Secret { value: fetched.secret, reveal, hmac, destinations });
    }
    match value.kind() {
        Kind::Text(text) => Some(Setting::Text(text.clone())),
        kind => json(kind).map(Setting::Json).or_else(|| {
            value.fault(
                "has a number that JSON cannot have, or one too large, expected another value",
            );
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
