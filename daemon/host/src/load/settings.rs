//! Checks the settings of an admin against the description of the plugin, and puts them into the
//! form in which plugins get them.
//!
//! All faults are collected; none of them quotes a value, since it may be a secret in the wrong
//! place.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use credsmith_contract::duration::{self, in_seconds};
use credsmith_core::error::FieldProblem;
use serde_json::Value;

use crate::call::grants::PreparedSetting;
use crate::capability::keys::SigningKey;
use crate::load::fields::{Description, Field, KeyStyle, Problems};
use crate::options::Setting;
use crate::secrets::GuardedSecret;

/// Checks `given` and prepares it. Defaults of the plugin are filled in.
pub(crate) fn prepare(
    description: &Description,
    given: &BTreeMap<String, Setting>,
) -> Result<BTreeMap<String, PreparedSetting>, Vec<FieldProblem>> {
    let mut problems = Problems::default();
    let mut prepared = BTreeMap::new();
    for field in &description.settings {
        let value = match given.get(&field.key) {
            Some(setting) => one(field, setting),
            None => absent(field),
        };
        match value {
            Ok(Some(value)) => drop(prepared.insert(field.key.clone(), value)),
            Ok(None) => {}
            Err(why) => problems.add(&["settings", &field.key], why),
        }
    }
    for (key, setting) in given {
        if description.settings.iter().any(|field| field.key == *key) {
            continue;
        }
        match beyond(description, key, setting) {
            Ok(value) => drop(prepared.insert(key.clone(), value)),
            Err(why) => problems.add(&["settings", key], why),
        }
    }
    problems.or(prepared)
}

fn absent(field: &Field) -> Result<Option<PreparedSetting>, String> {
    match &field.default {
        Some(default) => Ok(Some(PreparedSetting::Text(default.clone()))),
        None if field.required => Err(format!("missing; expected {}", expected(field))),
        None => Ok(None),
    }
}

fn beyond(
    description: &Description,
    key: &str,
    setting: &Setting,
) -> Result<PreparedSetting, String> {
    if !description.open_settings {
        let known: Vec<&str> =
            description.settings.iter().map(|field| field.key.as_str()).collect();
        let list = if known.is_empty() { "no settings".to_owned() } else { known.join(", ") };
        return Err(format!("the plugin knows no such setting; it takes {list}"));
    }
    if !KeyStyle::Lower.fits(key) {
        return Err("expected a key like [a-z][a-z0-9_]*".to_owned());
    }
    match setting {
        Setting::Text(text) => Ok(PreparedSetting::Text(text.clone())),
        Setting::Json(value) => Ok(PreparedSetting::Text(value.to_string())),
        Setting::Secret { .. } | Setting::SigningKey { .. } => handle(key, setting),
    }
}

/// Whether values of this field are secrets.
fn is_secret(field: &Field) -> bool {
    matches!(field.kind.as_str(), "secret" | "password" | "totp-secret") || field.secure
}

fn one(field: &Field, setting: &Setting) -> Result<Option<PreparedSetting>, String> {
    let fits = match setting {
        Setting::SigningKey { .. } => field.kind == "signing-key",
        Setting::Secret { .. } => is_secret(field) && field.kind != "signing-key",
        Setting::Text(_) | Setting::Json(_) => !is_secret(field) && field.kind != "signing-key",
    };
    let wrong = || format!("expected {}", expected(field));
    if !fits {
        return Err(wrong());
    }
    match setting {
        Setting::Text(text) => from_text(field, text).map(Some).ok_or_else(wrong),
        Setting::Json(value) => from_json(field, value).map(Some).ok_or_else(wrong),
        Setting::Secret { .. } | Setting::SigningKey { .. } => {
            handle(&field.key, setting).map(Some)
        }
    }
}

fn handle(key: &str, setting: &Setting) -> Result<PreparedSetting, String> {
    match setting {
        Setting::Secret { value, .. } if value.is_empty() => Err("the secret is empty".to_owned()),
        Setting::Secret { value, destinations, reveal, hmac } => {
            Ok(PreparedSetting::Secret(Arc::new(GuardedSecret {
                name: key.to_owned(),
                value: Arc::new(value.clone()),
                bindings: destinations.clone(),
                reveal: *reveal,
                hmac: *hmac,
            })))
        }
        Setting::SigningKey { pem } => {
            Ok(PreparedSetting::Key(Arc::new(SigningKey::from_pem(pem)?)))
        }
        Setting::Text(_) | Setting::Json(_) => Err("expected a secret or a signing key".to_owned()),
    }
}

/// A string of the configuration, where the kind of the field takes one.
fn from_text(field: &Field, text: &str) -> Option<PreparedSetting> {
    let fits = match field.kind.as_str() {
        "duration" => {
            return duration::parse(text).ok().map(|read| PreparedSetting::Text(in_seconds(read)));
        }
        "integer" | "number" | "boolean" | "list" | "map" => false,
        "choice" => field.choices.iter().any(|choice| choice == text),
        "url" => url::Url::parse(text).is_ok(),
        "email" => {
            text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        }
        "ip-address" => text.parse::<IpAddr>().is_ok(),
        "date" => is_date(text),
        _ => true,
    };
    (fits && !(field.required && text.is_empty())).then(|| PreparedSetting::Text(text.to_owned()))
}

/// Any other value of the configuration, where the kind of the field takes it.
fn from_json(field: &Field, value: &Value) -> Option<PreparedSetting> {
    let fits = match field.kind.as_str() {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "list" => value.is_array(),
        "map" => value.is_object(),
        "date" => return value.as_str().and_then(|text| from_text(field, text)),
        _ => false,
    };
    fits.then(|| PreparedSetting::Text(value.to_string()))
}

/// `2026-01-31`, without a calendar's finer points.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    let number = |part: &str, length: usize| {
        (part.len() == length && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<u32>().ok())
            .flatten()
    };
    number(year, 4).is_some()
        && number(month, 2).is_some_and(|month| (1..=12).contains(&month))
        && number(day, 2).is_some_and(|day| (1..=31).contains(&day))
}

/// Describes the values that this field takes, for messages.
fn expected(field: &Field) -> String {
    if field.kind == "signing-key" {
        return "a signing key, given by reference".to_owned();
    }
    if is_secret(field) {
        return "a secret, given by reference".to_owned();
    }
    match field.kind.as_str() {
        "integer" => "a whole number".to_owned(),
        "number" => "a number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "list" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        "duration" => duration::EXPECTED.to_owned(),
        "url" => "a URL".to_owned(),
        "email" => "an e-mail address".to_owned(),
        "ip-address" => "an IP address".to_owned(),
        "date" => "a date like 2026-01-31".to_owned(),
        "choice" => format!("one of {}", field.choices.join(", ")),
        _ if field.required => "a text that is not empty".to_owned(),
        _ => "a text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::fields;
    use crate::load::fields::tests::{described, field};
    use credsmith_core::secret::Secret;
    use serde_json::json;

    fn secret(value: &str) -> Setting {
        Setting::Secret {
            value: Secret::new(value),
            destinations: Vec::new(),
            reveal: false,
            hmac: false,
        }
    }

    fn text(value: &str) -> Setting {
        Setting::Text(value.to_owned())
    }

    fn check(kind: &str, setting: Setting) -> Result<Option<String>, String> {
        let mut one = field("key", kind);
        one.choices = vec!["red".to_owned(), "blue".to_owned()];
        let description = fields::description(described(vec![one])).unwrap();
        let given = BTreeMap::from([("key".to_owned(), setting)]);
        match prepare(&description, &given) {
            Ok(prepared) => Ok(match prepared.get("key") {
                Some(PreparedSetting::Text(text)) => Some(text.clone()),
                _ => None,
            }),
            Err(problems) => Err(problems.iter().map(|problem| problem.message.clone()).collect()),
        }
    }

    #[test]
    fn values_fit_their_kind() {
        for (kind, setting, expected) in [
            ("text", text("x"), Some("x")),
            ("from-the-future", text("x"), Some("x")),
            ("duration", text("15m"), Some("900")),
            ("duration", text("1h30m"), Some("5400")),
            ("duration", text("2w"), Some("1209600")),
            ("duration", text("500ms"), Some("0.5")),
            ("integer", Setting::Json(json!(-5)), Some("-5")),
            ("number", Setting::Json(json!(1.5)), Some("1.5")),
            ("boolean", Setting::Json(json!(true)), Some("true")),
            ("list", Setting::Json(json!(["a", 1])), Some(r#"["a",1]"#)),
            ("map", Setting::Json(json!({"a": {"b": 1}})), Some(r#"{"a":{"b":1}}"#)),
            ("choice", text("red"), Some("red")),
            ("url", text("https://a.example/x"), Some("https://a.example/x")),
            ("ip-address", text("::1"), Some("::1")),
            ("email", text("a@b"), Some("a@b")),
            ("date", text("2026-01-31"), Some("2026-01-31")),
            ("secret", secret("hunter2"), None),
            ("password", secret("hunter2"), None),
            (
                "signing-key",
                Setting::SigningKey {
                    pem: Secret::new(include_str!("../capability/keys/testdata/ed25519-pkcs8.pem")),
                },
                None,
            ),
        ] {
            assert_eq!(check(kind, setting), Ok(expected.map(str::to_owned)), "{kind}");
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused_without_being_quoted() {
        for (kind, setting, expected) in [
            ("text", Setting::Json(json!(5)), "a text"),
            ("text", secret("hunter2"), "a text"),
            ("secret", text("hunter2"), "a secret, given by reference"),
            ("signing-key", text("hunter2"), "a signing key"),
            ("signing-key", secret("hunter2"), "a signing key"),
            ("signing-key", Setting::SigningKey { pem: Secret::new("hunter2") }, "PEM"),
            ("secret", secret(""), "empty"),
            ("duration", text("hunter2"), "a duration like"),
            ("duration", text("90"), "a duration like"),
            ("duration", Setting::Json(json!(90)), "a duration like"),
            ("duration", text("30m1h"), "a duration like"),
            ("duration", text("99999999999999999999d"), "a duration like"),
            ("duration", text(""), "a duration like"),
            ("integer", Setting::Json(json!(1.5)), "a whole number"),
            ("integer", text("hunter2"), "a whole number"),
            ("choice", text("hunter2"), "one of red, blue"),
            ("url", text("hunter2"), "a URL"),
            ("ip-address", text("hunter2"), "an IP address"),
            ("date", text("2026-13-01"), "a date"),
        ] {
            let why = check(kind, setting).unwrap_err();
            assert!(why.contains(expected) && !why.contains("hunter2"), "{kind}: {why}");
        }
    }

    #[test]
    fn unknown_missing_and_wrong_are_reported_at_once() {
        let mut needed = field("needed", "text");
        needed.required = true;
        let mut usual = field("usual", "text");
        usual.default = Some("as ever".to_owned());
        let described =
            fields::description(described(vec![needed, usual, field("number", "integer")]))
                .unwrap();
        let given =
            BTreeMap::from([("number".to_owned(), text("x")), ("typo".to_owned(), text("x"))]);
        let problems = prepare(&described, &given).unwrap_err();
        let paths: Vec<String> = problems.iter().map(|problem| problem.place()).collect();
        assert_eq!(paths, ["settings.needed", "settings.number", "settings.typo"]);
        assert!(problems[2].message.contains("needed, usual, number"), "{}", problems[2].message);

        let given = BTreeMap::from([("needed".to_owned(), text("x"))]);
        let prepared = prepare(&described, &given).unwrap();
        assert!(
            matches!(prepared.get("usual"), Some(PreparedSetting::Text(text)) if text == "as ever")
        );
    }

    #[test]
    fn open_settings_take_what_is_not_listed() {
        let mut open = described(Vec::new());
        open.open_settings = true;
        let description = fields::description(open).unwrap();
        let given = BTreeMap::from([
            ("free".to_owned(), Setting::Json(json!([1]))),
            ("token".to_owned(), secret("hunter2")),
        ]);
        let prepared = prepare(&description, &given).unwrap();
        assert!(matches!(prepared.get("free"), Some(PreparedSetting::Text(text)) if text == "[1]"));
        assert!(matches!(prepared.get("token"), Some(PreparedSetting::Secret(_))));
        assert!(prepare(&description, &BTreeMap::from([("No".to_owned(), text("x"))])).is_err());
    }
}
