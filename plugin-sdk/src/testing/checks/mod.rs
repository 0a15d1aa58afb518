//! The daemon's checks of a plugin's answers. Each function returns the complaints.

pub(super) mod types;

use std::collections::BTreeSet;

use credsmith_contract::limits::{
    KINDS_OF_SETTINGS, LAST_SECOND, MAX_COMPANIES, MAX_COMPANY_ID, MAX_COMPANY_IDENTIFIER,
    MAX_COMPANY_NAME, MAX_CONFIGURATIONS, MAX_CURSOR, MAX_DEFAULT, MAX_ENTRIES, MAX_ENTRIES_TOTAL,
    MAX_ENTRY_NAME, MAX_EXTENT, MAX_FILE_NAME, MAX_HELP, MAX_KEY, MAX_LABEL, MAX_PLUGIN_NAME,
    MAX_REVOKE_WITH, MAX_STATE, MAX_USER_TEXT, MAX_VERSION, SHORTEST_SEARCHED,
};

use credsmith_contract::text::{is_file_name, is_lines, is_one_line};

use crate::description::Description;
use crate::directory::{Company, Page};
use crate::field::Field;
use crate::refusal::Refusal;
use crate::service::{Entry, Issued, Offer};

/// Collects complaints.
#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    fn unless(&mut self, fine: bool, complaint: impl FnOnce() -> String) {
        if !fine {
            self.0.push(complaint());
        }
    }

    fn secrets(&mut self, place: &str, text: &str, secrets: &[(String, String)]) {
        for (name, value) in secrets {
            let found = value.len() >= SHORTEST_SEARCHED && text.contains(value.as_str());
            self.unless(!found, || format!("{place} contains the secret `{name}`"));
        }
    }
}

pub(super) fn description(description: &Description) -> Vec<String> {
    let mut complaints = Complaints::default();
    identity(&mut complaints, &description.name, &description.version);
    fields(&mut complaints, "setting", &description.settings, KeyStyle::Lower);
    complaints.0
}

fn identity(complaints: &mut Complaints, name: &str, version: &str) {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let named = (1..=MAX_PLUGIN_NAME).contains(&name.len()) && name.bytes().all(word);
    complaints.unless(named, || {
        format!("the plugin's name is not 1 to {MAX_PLUGIN_NAME} letters, digits, `-` or `_`")
    });
    let versioned = (1..=MAX_VERSION).contains(&version.len()) && is_one_line(version);
    complaints
        .unless(versioned, || format!("the version is not one line of 1 to {MAX_VERSION} bytes"));
}

pub(super) fn offer(offer: &Offer) -> Vec<String> {
    let mut complaints = Complaints::default();
    for set in &offer.parameter_sets {
        fields(&mut complaints, "parameter", set, KeyStyle::Lower);
        not_for_settings(&mut complaints, "parameter", set);
    }
    complaints.0
}

fn not_for_settings(complaints: &mut Complaints, what: &str, fields: &[Field]) {
    for Field { key, kind, .. } in fields {
        let for_settings = KINDS_OF_SETTINGS.contains(&kind.as_str());
        complaints.unless(!for_settings, || {
            format!("the {what} `{key}` is of kind {kind}, which is for settings")
        });
    }
}

/// How keys are spelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyStyle {
    /// Of settings and parameters.
    Lower,
    /// Of fields of a credential.
    Mixed,
}

impl KeyStyle {
    fn fits(self, key: &str) -> bool {
        let letter =
            |b: u8| b.is_ascii_lowercase() || (self == Self::Mixed && b.is_ascii_uppercase());
        key.len() <= MAX_KEY
            && key.bytes().next().is_some_and(letter)
            && key.bytes().all(|b| letter(b) || b.is_ascii_digit() || b == b'_')
    }

    fn pattern(self) -> &'static str {
        if self == Self::Lower { "[a-z][a-z0-9_]*" } else { "[A-Za-z][A-Za-z0-9_]*" }
    }
}

fn fields(complaints: &mut Complaints, what: &str, fields: &[Field], style: KeyStyle) {
    let mut seen = BTreeSet::new();
    for field in fields {
        let Field { key, kind, .. } = field;
        complaints
            .unless(seen.insert(key.as_str()), || format!("the {what} `{key}` is there twice"));
        complaints.unless(style.fits(key), || {
            format!("the key `{key}` of a {what} does not match {}", style.pattern())
        });
        let known = Field::KINDS.contains(&kind.as_str());
        complaints.unless(known, || format!("the {what} `{key}` is of the unknown kind {kind}"));
        let choosable = kind != "choice" || !field.choices.is_empty();
        complaints.unless(choosable, || format!("the {what} `{key}` offers no choice"));
        let sure = !(field.required && field.default.is_some());
        complaints.unless(sure, || format!("the {what} `{key}` is required and has a default"));
        let texts = field.label.len() <= MAX_LABEL
            && is_one_line(&field.label)
            && field.help.len() <= MAX_HELP
            && is_lines(&field.help)
            && field
                .default
                .as_ref()
                .is_none_or(|default| default.len() <= MAX_DEFAULT && is_lines(default));
        complaints.unless(texts, || {
            format!("a text of the {what} `{key}` is too long or has control characters")
        });
    }
}

/// `secrets`: the values that were handed out in this call, by name.
pub(super) fn issued(issued: &Issued, secrets: &[(String, String)]) -> Vec<String> {
    let mut complaints = Complaints::default();
    let Issued { state, revoke_with, expires_at, .. } = issued;
    complaints.unless(!state.is_empty(), || {
        "the state is empty: that means an issue that was cut short".into()
    });
    complaints
        .unless(state.len() <= MAX_STATE, || format!("the state is longer than {MAX_STATE} bytes"));
    complaints.unless(is_lines(state), || "the state has control characters".into());
    complaints.secrets("the state", state, secrets);
    let short = revoke_with.as_ref().is_none_or(|secret| secret.len() <= MAX_REVOKE_WITH);
    complaints.unless(short, || format!("revoke_with is longer than {MAX_REVOKE_WITH} bytes"));
    let ends = expires_at.is_none_or(|second| (1..=LAST_SECOND).contains(&second));
    complaints.unless(ends, || "expires_at is no point in time, in Unix seconds".into());
    entries(&mut complaints, &issued.entries);
    complaints.0
}

fn entries(complaints: &mut Complaints, entries: &[Entry]) {
    complaints.unless(entries.len() <= MAX_ENTRIES, || {
        format!("there are more than {MAX_ENTRIES} entries")
    });
    let bytes: usize = entries.iter().map(|entry| entry.name.len() + entry.value.len()).sum();
    complaints.unless(bytes <= MAX_ENTRIES_TOTAL, || {
        format!("the entries are longer than {MAX_ENTRIES_TOTAL} bytes")
    });
    let mut seen = BTreeSet::new();
    for entry in entries {
        let Entry { name, kind, .. } = entry;
        complaints
            .unless(seen.insert(name.as_str()), || format!("the entry `{name}` is there twice"));
        let named =
            !name.trim().is_empty() && name.chars().count() <= MAX_ENTRY_NAME && is_one_line(name);
        complaints.unless(named, || {
            format!("the name {name:?} is empty, too long, or has control characters")
        });
        let known = ["text", "textarea", "textfile"].contains(&kind.as_str());
        complaints.unless(known, || format!("the entry `{name}` is of the unknown kind {kind}"));
        let fits = if kind == "text" { is_one_line } else { is_lines };
        complaints.unless(fits(&entry.value), || {
            format!("the value of `{name}` has control characters (a text is one line)")
        });
        let sized = entry.rows.into_iter().chain(entry.cols).all(|extent| extent <= MAX_EXTENT);
        complaints.unless(sized, || format!("the entry `{name}` has an absurd size"));
        let file = entry
            .save_as
            .as_deref()
            .is_none_or(|name| is_file_name(name) && name.chars().count() <= MAX_FILE_NAME);
        complaints.unless(file, || {
            format!("the entry `{name}` is to be saved under what is no plain file name")
        });
    }
}

/// `secrets`: the values that were handed out in this call, by name.
pub(super) fn refusal(refusal: &Refusal, secrets: &[(String, String)]) -> Vec<String> {
    let mut complaints = Complaints::default();
    let user = &refusal.user;
    complaints.secrets("the refusal", user, secrets);
    complaints.unless(!user.is_empty(), || "the refusal has no text for the user".into());
    let short = user.chars().count() <= MAX_USER_TEXT;
    complaints.unless(short, || format!("the refusal is longer than {MAX_USER_TEXT} characters"));
    complaints.unless(is_one_line(user), || "the refusal has control characters".into());
    complaints.0
}

/// `cursor`: where the page was asked to begin.
pub(super) fn page(page: &Page, cursor: Option<&str>, secrets: &[(String, String)]) -> Vec<String> {
    let mut complaints = Complaints::default();
    let few = page.companies.len() <= MAX_COMPANIES;
    complaints.unless(few, || format!("the page has more than {MAX_COMPANIES} companies"));
    let mut seen = BTreeSet::new();
    for Company { id, identifier, name, .. } in &page.companies {
        complaints
            .unless(seen.insert(id.as_str()), || format!("the company `{id}` is there twice"));
        let texts = [
            (id, MAX_COMPANY_ID, "id"),
            (identifier, MAX_COMPANY_IDENTIFIER, "identifier"),
            (name, MAX_COMPANY_NAME, "name"),
        ];
        let is_nameless = identifier.is_empty() && name.is_empty();
        for (text, most, what) in texts {
            let fits = (is_nameless && what != "id")
                || (1..=most).contains(&text.len())
                    && !text.trim().is_empty()
                    && !text.contains(char::is_control);
            complaints.unless(fits, || {
                format!(
                    "the {what} of the company {id:?} is empty, too long, or has control characters"
                )
            });
            complaints.secrets("a company", text, secrets);
        }
    }
    if let Some(next) = &page.next {
        let fits = (1..=MAX_CURSOR).contains(&next.len()) && !next.contains(char::is_control);
        complaints
            .unless(fits, || "the cursor is empty, too long, or has control characters".into());
        let moves = Some(next.as_str()) != cursor;
        complaints.unless(moves, || {
            "the next page begins where this one began: such a walk never ends".into()
        });
        complaints.secrets("the cursor", next, secrets);
    }
    complaints.0
}

pub(super) fn configurations(json: &str, secrets: &[(String, String)]) -> Vec<String> {
    let mut complaints = Complaints::default();
    let short = json.len() <= MAX_CONFIGURATIONS;
    complaints
        .unless(short, || format!("the configurations are longer than {MAX_CONFIGURATIONS} bytes"));
    let parsed = serde_json::from_str::<serde::de::IgnoredAny>(json);
    complaints.unless(parsed.is_ok(), || "the configurations are no JSON".into());
    complaints.secrets("the configurations", json, secrets);
    complaints.0
}

/// Whether parameters with these keys fit a set of the offer, as the daemon decides it before the
/// plugin runs.
pub(super) fn fit(offer: &Offer, keys: &[&str]) -> bool {
    let fits = |set: &Vec<Field>| {
        keys.iter().all(|key| set.iter().any(|field| field.key == *key))
            && set.iter().all(|field| !field.required || keys.contains(&field.key.as_str()))
    };
    if offer.parameter_sets.is_empty() {
        keys.is_empty()
    } else {
        offer.parameter_sets.iter().any(fits)
    }
}
