//! What the daemon would check in a plugin's answers. Each function returns the complaints.

use std::collections::BTreeSet;

use crate::field::Field;
use crate::service::refusal::Refusal;
use crate::service::{Description, Entry, Issued, Offer};

/// Longest `state` and `revoke_with`, in bytes.
const MAX_STATE: usize = 4 * 1024;
/// Longest text that a refusal shows, in characters.
const MAX_USER_TEXT: usize = 500;
/// Most entries.
const MAX_ENTRIES: usize = 64;
/// Longest name of an entry, in characters.
const MAX_NAME: usize = 200;
/// All values of an answer together, in bytes.
const MAX_VALUES: usize = 1024 * 1024;

pub(super) fn description(description: &Description) -> Vec<String> {
    let mut complaints = fields("setting", &description.settings);
    let named = (1..=64).contains(&description.name.len())
        && description.name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !named {
        complaints.push("the plugin's name is not 1 to 64 letters, digits, `-` or `_`".into());
    }
    if description.version.is_empty() {
        complaints.push("the version is empty".into());
    }
    complaints
}

pub(super) fn offer(offer: &Offer) -> Vec<String> {
    let settings_only = ["secret", "signing-key", "duration", "list", "map"];
    let mut complaints: Vec<_> =
        offer.parameter_sets.iter().flat_map(|set| fields("parameter", set)).collect();
    for field in
        offer.parameter_sets.iter().flatten().filter(|field| settings_only.contains(&field.kind.as_str()))
    {
        complaints
            .push(format!("the parameter `{}` is of kind {}, which is for settings", field.key, field.kind));
    }
    complaints
}

fn fields(what: &str, fields: &[Field]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let complaints = fields.iter().flat_map(|field| {
        let repeated = !seen.insert(field.key.as_str());
        let key = &field.key;
        [
            (repeated, format!("the {what} `{key}` is there twice")),
            (!is_key(key), format!("the key `{key}` of a {what} does not match [a-z][a-z0-9_]*")),
            (
                !Field::KINDS.contains(&field.kind.as_str()),
                format!("the {what} `{key}` is of the unknown kind {}", field.kind),
            ),
            (
                field.kind == "choice" && field.choices.is_empty(),
                format!("the {what} `{key}` offers no choice"),
            ),
            (
                field.required && field.default.is_some(),
                format!("the {what} `{key}` is required and has a default"),
            ),
        ]
    });
    complaints.filter_map(|(wrong, text)| wrong.then_some(text)).collect()
}

fn is_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// `secrets`: the values that were handed out in this call, by name.
pub(super) fn issued(issued: &Issued, secrets: &[(String, String)]) -> Vec<String> {
    let values: usize = issued.entries.iter().map(|entry| entry.value.len()).sum();
    let mut complaints: Vec<_> = [
        (issued.state.is_empty(), "the state is empty: that means an issue that was cut short".to_owned()),
        (issued.state.len() > MAX_STATE, format!("the state is longer than {MAX_STATE} bytes")),
        (issued.state.chars().any(char::is_control), "the state contains control characters".to_owned()),
        (
            issued.revoke_with.as_ref().is_some_and(|s| s.len() > MAX_STATE),
            format!("revoke_with is longer than {MAX_STATE} bytes"),
        ),
        (issued.entries.len() > MAX_ENTRIES, format!("there are more than {MAX_ENTRIES} entries")),
        (values > MAX_VALUES, format!("the entries are longer than {MAX_VALUES} bytes")),
    ]
    .into_iter()
    .filter_map(|(wrong, text)| wrong.then_some(text))
    .collect();
    complaints.extend(entries(&issued.entries));
    complaints.extend(leaks("the state", &issued.state, secrets));
    complaints
}

fn entries(entries: &[Entry]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let complaints = entries.iter().flat_map(|entry| {
        let name = &entry.name;
        let bad_file = entry.save_as.as_ref().is_some_and(|file| !is_file_name(file));
        [
            (!seen.insert(name.as_str()), format!("the entry `{name}` is there twice")),
            (
                name.is_empty() || name.chars().count() > MAX_NAME,
                format!("the name `{name}` is empty or too long"),
            ),
            (
                name.chars().any(char::is_control),
                format!("the name `{}` has control characters", name.escape_debug()),
            ),
            (
                !["text", "textarea", "textfile"].contains(&entry.kind.as_str()),
                format!("the entry `{name}` is of the unknown kind {}", entry.kind),
            ),
            (bad_file, format!("the entry `{name}` is to be saved under a name with a path in it")),
        ]
    });
    complaints.filter_map(|(wrong, text)| wrong.then_some(text)).collect()
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control)
}

/// `secrets`: the values that were handed out in this call, by name.
pub(super) fn refusal(refusal: &Refusal, secrets: &[(String, String)]) -> Vec<String> {
    let mut complaints = leaks("the refusal", &refusal.user, secrets);
    if refusal.user.is_empty() {
        complaints.push("the refusal says nothing to the user".into());
    }
    if refusal.user.chars().count() > MAX_USER_TEXT {
        complaints.push(format!("the refusal is longer than {MAX_USER_TEXT} characters"));
    }
    if refusal.user.chars().any(char::is_control) {
        complaints.push("the refusal contains control characters".into());
    }
    complaints
}

fn leaks(place: &str, text: &str, secrets: &[(String, String)]) -> Vec<String> {
    let inside = secrets.iter().filter(|(_, value)| !value.is_empty() && text.contains(value.as_str()));
    inside.map(|(name, _)| format!("{place} contains the secret `{name}`")).collect()
}

/// Whether parameters with these keys fit a set of the offer, as the daemon decides it before the plugin runs.
pub(super) fn fit(offer: &Offer, keys: &[&str]) -> bool {
    let fits = |set: &Vec<Field>| {
        keys.iter().all(|key| set.iter().any(|field| field.key == *key))
            && set.iter().all(|field| !field.required || keys.contains(&field.key.as_str()))
    };
    if offer.parameter_sets.is_empty() { keys.is_empty() } else { offer.parameter_sets.iter().any(fits) }
}
