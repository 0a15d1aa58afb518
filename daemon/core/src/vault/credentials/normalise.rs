//! Has the plugin of a type check the values of one credential: the values of a request are
//! checked, merged with what is stored, and passed to the plugin together.
//!
//! The plugin's answer is hostile input. A problem that it reports never says anything about a
//! value that the request did not name, and never quotes a value. What it returns goes into the
//! fields of the definition alone: values of secure fields are sealed, and a value that was secure
//! never comes back in a plain field.
//!
//! Never here: a read or a write of the store.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, FieldProblem, Kind, RequestField, Segment};
use crate::field::Field;
use crate::model::credential_type::CredentialType;
use crate::model::values::{Extent, MAX_VALUE_BYTES};
use crate::ports::plugins::{Broken, BrokenHow};
use crate::ports::types::{NormaliseFailure, TypeValue};
use crate::secret::Secret;
use crate::vault::Vault;
use crate::vault::draft::{Problems, ValueDraft, conflict, invalid};

/// The message for a field that the request did not name. A more specific one would let an update
/// find out what is stored.
const ELSEWHERE: &str = "A value that was not part of the request does not fit.";
/// The message in place of one that quotes a value.
const QUOTED: &str = "This value does not fit.";
/// The message when all values together are too many or too long.
const TOO_MUCH: &str = "All values of a credential, those of former fields included, are at most 256 and have at most 128 KiB.";
/// Longest message of a plugin, in characters.
const MAX_MESSAGE: usize = 500;
/// A value that is shorter counts as quoted only where it is a whole word: single letters occur in
/// every sentence.
const MIN_QUOTED_PART: usize = 4;
/// A plain value discloses a secret of at least this length by containing it: a shorter one may
/// occur in it by chance.
const MIN_DISCLOSED_PART: usize = 8;

/// The values of a request, as far as they are valid for the type.
#[derive(Debug, Default)]
pub(super) struct RequestedValues {
    /// By field: its index in the request, and the value; `None` removes it.
    values: BTreeMap<String, (usize, Option<Secret>)>,
    /// Fields that the request names with an invalid value, or twice.
    invalid: BTreeSet<String>,
    /// Whether anything in the request is invalid.
    any_invalid: bool,
}

impl RequestedValues {
    /// Reads the values of a request by the definition of its type.
    pub(super) fn parse(
        problems: &mut Problems,
        credential_type: &CredentialType,
        drafts: &[Option<ValueDraft>],
    ) -> Self {
        let mut requested = Self::default();
        let mut seen = BTreeSet::new();
        for (index, draft) in drafts.iter().enumerate() {
            let Some((id, draft)) =
                draft.as_ref().and_then(|draft| Some((draft.field.as_ref()?, draft)))
            else {
                requested.any_invalid = true;
                continue;
            };
            let fault = match credential_type.field(id) {
                None => Some((RequestField::Field, "The type has no such field.")),
                Some(_) if !seen.insert(id.as_str()) => {
                    Some((RequestField::Field, "This field is named twice."))
                }
                Some(field) => value_fault(field, draft).map(|why| (RequestField::Value, why)),
            };
            match (fault, &draft.value) {
                (Some((part, why)), _) => {
                    problems.add([RequestField::Fields.into(), index.into(), part.into()], why);
                    requested.reject(id);
                }
                (None, None) => requested.reject(id),
                (None, Some(value)) => {
                    let value = value.clone().filter(|value| !value.is_empty());
                    requested.values.insert(id.clone(), (index, value));
                }
            }
        }
        requested
    }

    fn reject(&mut self, id: &str) {
        self.any_invalid = true;
        self.invalid.insert(id.to_owned());
    }

    /// Whether the request names the field.
    pub(super) fn contains(&self, field: &str) -> bool {
        self.values.contains_key(field) || self.invalid.contains(field)
    }

    /// The fields that the request names with a valid value.
    pub(super) fn field_ids(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    /// All values of the credential as it would be, in the order of the definition: the values of
    /// the request, and those of `stored` that the request does not name. Adds a problem for each
    /// required value that is missing.
    pub(super) fn merge(
        &self,
        problems: &mut Problems,
        credential_type: &CredentialType,
        stored: BTreeMap<String, Secret>,
    ) -> Vec<TypeValue> {
        let kept = stored.into_iter().filter(|(field, _)| !self.contains(field));
        let mut merged: BTreeMap<String, TypeValue> = kept
            .map(|(field, value)| (field.clone(), TypeValue { field, value, named: false }))
            .collect();
        for (field, (_, value)) in &self.values {
            let value = value.as_ref().map(|value| TypeValue {
                field: field.clone(),
                value: value.clone(),
                named: true,
            });
            merged.extend(value.map(|value| (field.clone(), value)));
        }
        let fields = &credential_type.fields;
        for field in fields.iter().filter(|field| field.required && !field.computed) {
            if !merged.contains_key(&field.id) && !self.invalid.contains(&field.id) {
                problems.add(path_of_field(&field.id), "This field is required.");
            }
        }
        fields.iter().filter_map(|field| merged.remove(&field.id)).collect()
    }
}

fn value_fault(field: &Field, draft: &ValueDraft) -> Option<&'static str> {
    match &draft.value {
        _ if field.computed => Some("This field is computed; no value is taken for it."),
        Some(None) if field.required => Some("This field is required."),
        Some(Some(value)) if value.len() > MAX_VALUE_BYTES => Some("Expected at most 16 KiB."),
        _ => None,
    }
}

impl Vault {
    /// Has the plugin of the type check `values`, and returns what it makes of them. `hidden` is
    /// the extent of the credential's values that are hidden and stay.
    ///
    /// # Errors
    /// `Invalid` with `problems` and those that the plugin adds; `Conflict` when the plugin is no
    /// longer configured; `Busy`; `PluginFailed` and `PluginTimeout` when it broke.
    pub(super) async fn normalise(
        &self,
        credential_type: &CredentialType,
        requested: &RequestedValues,
        (values, hidden): (&[TypeValue], Extent),
        mut problems: Problems,
    ) -> Result<Vec<(String, Secret)>, Error> {
        if !hidden.and(values.iter().map(|value| value.value.len())).fits() {
            problems.add([RequestField::Fields.into()], TOO_MUCH);
            return Err(problems.into_error());
        }
        let fields = &credential_type.fields;
        let answer = self.plugins.normalise(&credential_type.plugin, fields, values).await;
        let returned = match answer {
            Ok(returned) => returned,
            Err(NormaliseFailure::Invalid(found)) => {
                let request = (requested, values);
                return Err(with_plugin_problems(problems, credential_type, request, &found));
            }
            // The problems of the request come first: they do not depend on the plugin.
            Err(_) if !problems.is_empty() => return Err(problems.into_error()),
            Err(failure) => return Err(failure_error(credential_type, failure)),
        };
        problems.into_result()?;
        check_returned(credential_type, values, &returned)
            .map_err(|why| plugin_failed(credential_type, why))?;
        // What the plugin must not show is dropped: a definition may be older than this rule.
        let refused: BTreeSet<_> =
            self.options.computed_plain.refused(credential_type).map(|(_, id)| id).collect();
        let kept: Vec<_> = returned
            .into_iter()
            .filter(|(field, value)| !value.is_empty() && !refused.contains(field.as_str()))
            .collect();
        if !hidden.and(kept.iter().map(|(_, value)| value.len())).fits() {
            return Err(invalid(vec![FieldProblem::new([RequestField::Fields.into()], TOO_MUCH)]));
        }
        Ok(kept)
    }
}

/// The refusal with `problems` and those that the plugin found.
fn with_plugin_problems(
    mut problems: Problems,
    credential_type: &CredentialType,
    request: (&RequestedValues, &[TypeValue]),
    found: &[FieldProblem],
) -> Error {
    // The plugin may repeat that a required value is missing: it does not know whether the request
    // named the field.
    let is_new = |problem: &&FieldProblem| !problems.has(&path_of_field(&field_of(problem)));
    let found: Vec<_> = found.iter().filter(is_new).collect();
    for problem in found {
        add_plugin_problem(&mut problems, credential_type, request, problem);
    }
    // The plugin refused the values, and none of its problems can be shown.
    if problems.is_empty() {
        problems.add([RequestField::Fields.into()], QUOTED);
    }
    problems.into_error()
}

/// The field that a plugin's problem is about; empty when it is about none.
fn field_of(problem: &FieldProblem) -> String {
    problem.path.first().map(ToString::to_string).unwrap_or_default()
}

/// The path of problems of a field that the request does not name, or names without a value.
fn path_of_field(field: &str) -> [Segment; 2] {
    [RequestField::Fields.into(), field.to_owned().into()]
}

/// Adds a problem that the plugin found, with the path by which the request knows the field.
fn add_plugin_problem(
    problems: &mut Problems,
    credential_type: &CredentialType,
    (requested, values): (&RequestedValues, &[TypeValue]),
    problem: &FieldProblem,
) {
    let field = field_of(problem);
    let is_quoting = values.iter().any(|value| quotes(&problem.message, &value.value));
    let message = if is_quoting { QUOTED.to_owned() } else { on_one_line(&problem.message) };
    match requested.values.get(&field) {
        Some((index, _)) => problems.add(
            [RequestField::Fields.into(), (*index).into(), RequestField::Value.into()],
            message,
        ),
        // The plugin did not get the invalid values, and may complain that they are missing.
        None if requested.any_invalid => {}
        None => {
            // Without a stored value among them, the message cannot disclose one.
            let saw_stored = values.iter().any(|value| !value.named);
            let message = if saw_stored { ELSEWHERE.to_owned() } else { message };
            let place = credential_type.field(&field).map(|field| field.id.clone().into());
            problems.add(std::iter::once(RequestField::Fields.into()).chain(place), message);
        }
    }
}

/// Whether `message` quotes `value`.
fn quotes(message: &str, value: &Secret) -> bool {
    let (message, value) = (message.as_bytes(), value.expose());
    let is_border = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let found = |at: usize| {
        message.get(at..).is_some_and(|rest| rest.starts_with(value))
            && (value.len() >= MIN_QUOTED_PART
                || is_border(at.checked_sub(1).and_then(|before| message.get(before)))
                    && is_border(message.get(at + value.len())))
    };
    !value.is_empty() && (0..message.len()).any(found)
}

/// On one line and not too long.
fn on_one_line(message: &str) -> String {
    let plain = message.chars().map(|c| if crate::text::is_unfit_for_names(c) { ' ' } else { c });
    plain.take(MAX_MESSAGE).collect()
}

fn failure_error(credential_type: &CredentialType, failure: NormaliseFailure) -> Error {
    match failure {
        NormaliseFailure::Invalid(_) => {
            plugin_failed(credential_type, "its problems were not expected here")
        }
        NormaliseFailure::Busy => Error::new(
            Kind::Busy,
            "Too many credentials are being checked; please try again later.",
        ),
        NormaliseFailure::NotLoaded => conflict(
            [],
            format!(
                "The plugin {} that checks credentials of this type is not configured any more.",
                credential_type.plugin
            ),
        ),
        NormaliseFailure::Broken(Broken { how: BrokenHow::Timeout, cause, .. }) => {
            Error::new(Kind::PluginTimeout, "The plugin of this type did not answer in time.")
                .because(cause)
        }
        NormaliseFailure::Broken(Broken {
            how: BrokenHow::Trap | BrokenHow::BadOutput,
            cause,
            ..
        }) => Error::new(Kind::PluginFailed, "The plugin of this type failed.").because(cause),
    }
}

fn plugin_failed(credential_type: &CredentialType, why: &'static str) -> Error {
    let CredentialType { id, plugin, .. } = credential_type;
    Error::new(Kind::PluginFailed, "The plugin of this type failed.")
        .because(format!("plugin {plugin} of type {id}: {why}"))
}

/// Whether what a plugin returned is a credential of the type: fields of the definition, each once,
/// none too long, none missing, and no secret in a plain field that was not in that field before.
fn check_returned(
    credential_type: &CredentialType,
    given: &[TypeValue],
    returned: &[(String, Secret)],
) -> Result<(), &'static str> {
    let secrets = secrets_of(credential_type, given, returned);
    let mut seen = BTreeSet::new();
    for (id, value) in returned {
        let field =
            credential_type.field(id).ok_or("it answered a field that the type does not have")?;
        if !seen.insert(id) {
            return Err("it answered a field twice");
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err("it answered a value that is too long");
        }
        if std::str::from_utf8(value.expose()).is_err() {
            return Err("it answered a value that is no text");
        }
        let as_given =
            given.iter().any(|given| given.field == *id && given.value.verify(value.expose()));
        if !field.secure && !as_given && secrets.iter().any(|secret| discloses(value, secret)) {
            return Err("it answered a secure value in a plain field");
        }
    }
    let is_there =
        |id: &str| returned.iter().any(|(field, value)| field == id && !value.is_empty());
    match credential_type.fields.iter().find(|field| field.required && !is_there(&field.id)) {
        Some(_) => Err("it left out a required value"),
        None => Ok(()),
    }
}

/// The values of secure fields that the plugin was given or returned.
fn secrets_of<'a>(
    credential_type: &CredentialType,
    given: &'a [TypeValue],
    returned: &'a [(String, Secret)],
) -> Vec<&'a Secret> {
    let is_secure = |id: &str| credential_type.field(id).is_some_and(|field| field.secure);
    let given = given.iter().map(|value| (value.field.as_str(), &value.value));
    let all = given.chain(returned.iter().map(|(field, value)| (field.as_str(), value)));
    all.filter(|(field, _)| is_secure(field)).map(|(_, value)| value).collect()
}

/// Whether a plain value equals or contains the secret.
fn discloses(value: &Secret, secret: &Secret) -> bool {
    let found = |part: &[u8]| part == secret.expose();
    !secret.is_empty()
        && (value.verify(secret.expose())
            || (secret.len() >= MIN_DISCLOSED_PART
                && value.expose().windows(secret.len()).any(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_value_is_found() {
        for (message, value, found) in [
            ("bad hunter22!", "hunter22", true),
            ("badhunter22x", "hunter22", true),
            ("expected a date", "e", false),
            ("e is no date", "e", true),
            ("not 'abc'", "abc", true),
            ("expected", "", false),
            ("ä", "ä", true),
        ] {
            assert_eq!(quotes(message, &Secret::new(value)), found, "{message} {value}");
        }
    }

    #[test]
    fn a_secret_in_a_plain_value_is_found() {
        for (value, secret, found) in [
            ("hunter22", "hunter22", true),
            ("user:hunter22", "hunter22", true),
            ("22", "22", true),
            ("2022", "22", false),
            ("x", "", false),
        ] {
            assert_eq!(
                discloses(&Secret::new(value), &Secret::new(secret)),
                found,
                "{value} {secret}"
            );
        }
    }
}
