//! The daemon's checks of the answers of a credential type.

use std::collections::BTreeSet;

use credsmith_contract::limits::{MAX_FIELDS, MAX_LABEL, MAX_PROBLEM, MAX_VALUES_TOTAL};
use credsmith_contract::text::is_one_line;

use super::{Complaints, KeyStyle, fields, identity, not_for_settings};
use crate::credential_type::Description;
use crate::field::Field;
use crate::problem::FieldProblem;

pub(in crate::testing) fn description(description: &Description) -> Vec<String> {
    let mut complaints = Complaints::default();
    identity(&mut complaints, &description.name, &description.version);
    let Some(declared) = &description.declares else { return complaints.0 };
    let texts = [Some(&declared.label), declared.permission_scope.as_ref()];
    let fits = texts.into_iter().flatten().all(|text| text.len() <= MAX_LABEL && is_one_line(text));
    complaints.unless(fits, || {
        "a text of the declared type is too long or has control characters".into()
    });
    complaints
        .unless(!declared.label.trim().is_empty(), || "the declared type has no label".into());
    let icon = declared.icon.as_str();
    let pictured = icon.is_empty() || icon.starts_with("https://") || icon.starts_with("http://");
    complaints.unless(pictured, || "the icon is neither the URL of a picture nor empty".into());
    let scope = declared.permission_scope.as_deref().is_none_or(is_scope);
    complaints.unless(scope, || {
        "the permission scope is not words of [a-z0-9_] with dots between".into()
    });
    complaints.unless(declared.fields.len() <= MAX_FIELDS, || {
        format!("the declared type has more than {MAX_FIELDS} fields")
    });
    fields(&mut complaints, "field", &declared.fields, KeyStyle::Mixed);
    not_for_settings(&mut complaints, "field", &declared.fields);
    for Field { key, required, computed, default, .. } in &declared.fields {
        complaints.unless(!(*required && *computed), || {
            format!("the field `{key}` is required and computed")
        });
        complaints.unless(default.is_none(), || format!("the field `{key}` has a default"));
    }
    complaints.0
}

/// Two words at least, and not among the permissions that the daemon has itself.
fn is_scope(scope: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(word);
    let first = scope.split('.').next().unwrap_or_default();
    let taken = ["user", "company", "credential", "credential_type"].contains(&first);
    scope.contains('.') && scope.split('.').all(is_word) && !taken
}

/// `normal`: the normalised values of `definition`.
pub(in crate::testing) fn normalised(
    definition: &[Field],
    normal: &[(String, String)],
) -> Vec<String> {
    let mut complaints = Complaints::default();
    let mut seen = BTreeSet::new();
    for (key, _) in normal {
        let known = definition.iter().any(|field| field.key == *key);
        complaints.unless(known, || format!("it answered `{key}`, which the type does not have"));
        complaints.unless(seen.insert(key.as_str()), || format!("it answered `{key}` twice"));
    }
    let missing =
        definition.iter().filter(|field| field.required && !seen.contains(field.key.as_str()));
    for Field { key, .. } in missing {
        complaints.unless(false, || format!("it answered without `{key}`, which is required"));
    }
    let bytes: usize = normal.iter().map(|(_, value)| value.len()).sum();
    complaints.unless(bytes <= MAX_VALUES_TOTAL, || {
        format!("the values are longer than {MAX_VALUES_TOTAL} bytes")
    });
    complaints.0
}

/// `problems`: those that a plugin has with `given`.
pub(in crate::testing) fn problems(
    given: &[(String, String)],
    problems: &[FieldProblem],
) -> Vec<String> {
    let mut complaints = Complaints::default();
    complaints.unless(!problems.is_empty(), || "it failed without a problem".into());
    for FieldProblem { path, message } in problems {
        let place = format!("the problem at {path:?}");
        complaints.unless(path.len() == 1, || format!("{place} is not at a field"));
        let fits =
            !message.is_empty() && message.chars().count() <= MAX_PROBLEM && is_one_line(message);
        complaints.unless(fits, || format!("{place} is not one line of {MAX_PROBLEM} characters"));
        complaints.secrets(&place, message, given);
    }
    complaints.0
}
