//! Checks descriptions, fields and parameter sets of plugins. All faults are collected.
//!
//! Never here: values; those are checked in [`crate::load::settings`] (what admins set) and in core
//! (what users send).

use std::collections::BTreeSet;

use credsmith_contract::limits::{
    MAX_CHOICES, MAX_CONTACT, MAX_DEFAULT, MAX_FIELDS, MAX_HELP, MAX_KEY, MAX_LABEL,
    MAX_PARAMETER_SETS, MAX_SETTINGS, MAX_VERSION,
};
use credsmith_core::error::FieldProblem;
use credsmith_core::ids::PluginName;
use credsmith_core::ports::plugins::{Offer, Parameter};

use crate::text;
use crate::v0;

/// One value that an admin, a user or a technician fills in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub key: String,
    /// Its label, for people.
    pub label: String,
    /// A help text.
    pub help: String,
    /// As in the plugin contract: text, secret, integer, ...
    pub kind: String,
    /// The values allowed when the kind is choice.
    pub choices: Vec<String>,
    /// Whether it has to be there.
    pub required: bool,
    /// Whether it is kept sealed.
    pub secure: bool,
    /// Whether the plugin fills it in.
    pub computed: bool,
    /// The value that applies when none is given.
    pub default: Option<String>,
}

/// The description of a service or directory plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: PluginName,
    /// Its version.
    pub version: String,
    /// Where its authors are reached.
    pub contact: Option<String>,
    /// The settings it takes.
    pub settings: Vec<Field>,
    /// Whether it takes settings beyond those.
    pub open_settings: bool,
}

/// How the keys of a list of fields are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyStyle {
    /// `[a-z][a-z0-9_]*`: settings and parameters.
    Lower,
    /// `[A-Za-z][A-Za-z0-9_]*`: fields of a credential.
    Mixed,
}

impl KeyStyle {
    pub(crate) fn fits(self, key: &str) -> bool {
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

/// Collects faults with the path to each.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<FieldProblem>);

impl Problems {
    pub(crate) fn add(&mut self, path: &[&str], message: impl Into<String>) {
        let path = path
            .iter()
            .map(|part| text::escaped(&part.chars().take(MAX_KEY).collect::<String>()).into());
        self.0.push(FieldProblem::new(path, message));
    }

    pub(crate) fn require(&mut self, holds: bool, path: &[&str], message: impl Into<String>) {
        if !holds {
            self.add(path, message);
        }
    }

    /// `value` if there were none.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Vec<FieldProblem>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }

    pub(crate) fn into_vec(self) -> Vec<FieldProblem> {
        self.0
    }
}

/// Checks the description of a service or directory plugin.
pub(crate) fn description(
    given: v0::service::Description,
) -> Result<Description, Vec<FieldProblem>> {
    let mut problems = Problems::default();
    let name = identity(&mut problems, &given.name, &given.version);
    if let Some(contact) = &given.contact {
        let fits = contact.len() <= MAX_CONTACT && text::is_one_line(contact);
        problems.require(
            fits,
            &["contact"],
            format!("expected one line of at most {MAX_CONTACT} bytes"),
        );
    }
    let settings =
        fields(&mut problems, &["settings"], given.settings, KeyStyle::Lower, MAX_SETTINGS);
    let Some(name) = name else { return Err(problems.into_vec()) };
    problems.or(Description {
        name,
        version: given.version,
        contact: given.contact,
        settings,
        open_settings: given.open_settings,
    })
}

/// Checks name and version.
pub(crate) fn identity(problems: &mut Problems, name: &str, version: &str) -> Option<PluginName> {
    let fits = (1..=MAX_VERSION).contains(&version.len()) && text::is_one_line(version);
    problems.require(fits, &["version"], format!("expected one line of 1 to {MAX_VERSION} bytes"));
    PluginName::parse(name).map_err(|why| problems.add(&["name"], why.to_string())).ok()
}

/// Checks what a configured service offers.
pub(crate) fn offer(given: v0::service::Offer) -> Result<Offer, Vec<FieldProblem>> {
    let mut problems = Problems::default();
    problems.require(
        given.parameter_sets.len() <= MAX_PARAMETER_SETS,
        &["parameter-sets"],
        format!("expected at most {MAX_PARAMETER_SETS}"),
    );
    let parameter_sets =
        given.parameter_sets.into_iter().take(MAX_PARAMETER_SETS).enumerate().map(|(at, set)| {
            let set = fields(
                &mut problems,
                &["parameter-sets", &at.to_string()],
                set,
                KeyStyle::Lower,
                MAX_FIELDS,
            );
            set.into_iter().map(parameter).collect()
        });
    let offer = Offer { parameter_sets: parameter_sets.collect(), can_revoke: given.can_revoke };
    problems.or(offer)
}

fn parameter(field: Field) -> Parameter {
    Parameter {
        key: field.key,
        label: field.label,
        help: field.help,
        kind: field.kind,
        choices: field.choices,
        required: field.required,
        secure: field.secure,
        default: field.default,
    }
}

/// Checks each field of a list, and that no key repeats.
pub(crate) fn fields(
    problems: &mut Problems,
    path: &[&str],
    given: Vec<v0::types::Field>,
    style: KeyStyle,
    most: usize,
) -> Vec<Field> {
    problems.require(given.len() <= most, path, format!("expected at most {most} fields"));
    let mut seen = BTreeSet::new();
    let mut checked = Vec::new();
    for field in given.into_iter().take(most) {
        let at = [path, &[field.key.as_str()]].concat();
        problems.require(seen.insert(field.key.clone()), &at, "the key occurs twice");
        check_field(problems, &at, &field, style);
        checked.push(Field {
            key: field.key,
            label: field.label,
            help: field.help,
            kind: field.kind,
            choices: field.choices,
            required: field.required,
            secure: field.secure,
            computed: field.computed,
            default: field.default,
        });
    }
    checked
}

fn check_field(problems: &mut Problems, at: &[&str], field: &v0::types::Field, style: KeyStyle) {
    problems.require(
        style.fits(&field.key),
        at,
        format!("expected a key like {}", style.pattern()),
    );
    let label = field.label.len() <= MAX_LABEL && text::is_one_line(&field.label);
    problems.require(
        label,
        at,
        format!("expected a label of one line and at most {MAX_LABEL} bytes"),
    );
    let help = field.help.len() <= MAX_HELP && text::is_lines(&field.help);
    problems.require(help, at, format!("expected a help text of at most {MAX_HELP} bytes"));
    let kind = (1..=MAX_KEY).contains(&field.kind.len()) && text::is_one_line(&field.kind);
    problems.require(kind, at, "expected a kind of the contract");
    let choices = field.choices.len() <= MAX_CHOICES
        && field
            .choices
            .iter()
            .all(|choice| choice.len() <= MAX_LABEL && text::is_one_line(choice));
    problems.require(
        choices,
        at,
        format!("expected at most {MAX_CHOICES} choices of one short line"),
    );
    let choosable = field.kind != "choice" || !field.choices.is_empty();
    problems.require(choosable, at, "a choice needs something to choose from");
    let default = field
        .default
        .as_ref()
        .is_none_or(|default| default.len() <= MAX_DEFAULT && text::is_lines(default));
    problems.require(default, at, format!("expected a default of at most {MAX_DEFAULT} bytes"));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn field(key: &str, kind: &str) -> v0::types::Field {
        v0::types::Field {
            key: key.to_owned(),
            label: key.to_uppercase(),
            help: String::new(),
            kind: kind.to_owned(),
            choices: Vec::new(),
            required: false,
            secure: false,
            computed: false,
            default: None,
            extra: Vec::new(),
        }
    }

    pub(crate) fn described(settings: Vec<v0::types::Field>) -> v0::service::Description {
        v0::service::Description {
            name: "demo".to_owned(),
            version: "1.0.0".to_owned(),
            contact: None,
            settings,
            open_settings: false,
            extra: Vec::new(),
        }
    }

    fn messages(problems: &[FieldProblem]) -> Vec<String> {
        problems.iter().map(|problem| format!("{}: {}", problem.place(), problem.message)).collect()
    }

    #[test]
    fn a_good_description_passes() {
        let checked =
            description(described(vec![field("host", "text"), field("token", "secret")])).unwrap();
        assert_eq!(checked.name.as_str(), "demo");
        assert_eq!(checked.settings.len(), 2);
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let mut given =
            described(vec![field("Host", "text"), field("a", "choice"), field("a", "text")]);
        given.name = "two words".to_owned();
        given.version = String::new();
        given.contact = Some("a\nb".to_owned());
        let problems = messages(&description(given).unwrap_err());
        for expected in [
            "name:",
            "version:",
            "contact:",
            "settings.Host: expected a key",
            "settings.a: a choice",
            "settings.a: the key occurs twice",
        ] {
            assert!(
                problems.iter().any(|problem| problem.starts_with(expected)),
                "{expected} in {problems:?}"
            );
        }
    }

    #[test]
    fn hostile_sizes_are_refused() {
        let many = (0..=MAX_SETTINGS).map(|at| field(&format!("k{at}"), "text")).collect();
        assert!(description(described(many)).is_err());
        for spoil in [
            (|f: &mut v0::types::Field| f.key = "k".repeat(MAX_KEY + 1))
                as fn(&mut v0::types::Field),
            |f| f.label = "\u{1b}[2J".to_owned(),
            |f| f.help = "x".repeat(MAX_HELP + 1),
            |f| f.kind = String::new(),
            |f| f.choices = vec![String::new(); MAX_CHOICES + 1],
            |f| f.default = Some("x".repeat(MAX_DEFAULT + 1)),
        ] {
            let mut one = field("key", "text");
            spoil(&mut one);
            assert!(description(described(vec![one])).is_err());
        }
    }

    #[test]
    fn a_key_repeats_between_sets_but_not_within_one() {
        let offered =
            |sets| v0::service::Offer { parameter_sets: sets, can_revoke: true, extra: Vec::new() };
        let two = || vec![field("a", "text"), field("b", "text")];
        assert_eq!(offer(offered(vec![two(), two()])).unwrap().parameter_sets.len(), 2);
        let problems = messages(
            &offer(offered(vec![two(), vec![field("a", "text"), field("a", "text")]])).unwrap_err(),
        );
        assert_eq!(problems, ["parameter-sets.1.a: the key occurs twice"]);
    }
}
