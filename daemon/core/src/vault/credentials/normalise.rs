//! Having a plugin check the values of one credential: what a request names is judged, joined with
//! what is stored, and handed over whole.
//!
//! What a plugin answers is foreign. It never says anything about a value that the request did not
//! name, never quotes a value, and what it returns goes into the fields of the definition alone: a
//! secure one is sealed, and nothing that was secure comes back in the open.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, FieldProblem, Kind, RequestField, Segment};
use crate::model::credential_type::CredentialType;
use crate::model::values::{Extent, MAX_VALUE_BYTES};
use crate::ports::plugins::{Broken, BrokenHow};
use crate::ports::types::{NormaliseFailure, TypeValue};
use crate::secret::Secret;
use crate::vault::Vault;
use crate::vault::draft::{Problems, ValueDraft, conflict};

/// What is said of a field that the request did not name: a more telling word would let an update
/// ask what is stored.
const ELSEWHERE: &str = "A value that was not part of the request does not fit.";
/// What is said instead of a message that quotes a value.
const QUOTED: &str = "This value does not fit.";
/// Longest message of a plugin, in characters.
const MAX_MESSAGE: usize = 500;
/// A secret that is shorter is looked for as a word: letters alone stand in every sentence.
const SHORT: usize = 4;
/// A plain value that contains a secret of this length was not made by chance.
const TELLING: usize = 8;

/// What a request says about values, as far as it makes sense.
#[derive(Debug, Default)]
pub(in crate::vault) struct Named {
    /// By field: where it stands in the request, and the value; `None` takes it away.
    values: BTreeMap<String, (usize, Option<Secret>)>,
    /// Fields about which something was said that made no sense.
    faulty: BTreeSet<String>,
    /// Whether anything at all made no sense.
    any_fault: bool,
}

impl Named {
    /// Reads the values of a request by the definition of `of`.
    pub(in crate::vault) fn read(
        problems: &mut Problems,
        of: &CredentialType,
        drafts: &[Option<ValueDraft>],
    ) -> Self {
        let mut named = Self::default();
        let mut seen = BTreeSet::new();
        for (index, draft) in drafts.iter().enumerate() {
            let Some((id, draft)) =
                draft.as_ref().and_then(|draft| Some((draft.field.as_ref()?, draft)))
            else {
                named.any_fault = true;
                continue;
            };
            let fault = match of.field(id) {
                None => Some((RequestField::Field, "The type has no such field.")),
                Some(_) if !seen.insert(id.as_str()) => {
                    Some((RequestField::Field, "This field is named twice."))
                }
                Some(field) => value_fault(field.computed, field.required, draft)
                    .map(|why| (RequestField::Value, why)),
            };
            match (fault, &draft.value) {
                (Some((part, why)), _) => {
                    problems.add([RequestField::Fields.into(), index.into(), part.into()], why);
                    named.fault(id);
                }
                (None, None) => named.fault(id),
                (None, Some(value)) => {
                    let value = value.clone().filter(|value| !value.is_empty());
                    named.values.insert(id.clone(), (index, value));
                }
            }
        }
        named
    }

    fn fault(&mut self, id: &str) {
        self.any_fault = true;
        self.faulty.insert(id.to_owned());
    }

    /// Whether the request says anything about the field.
    pub(in crate::vault) fn names(&self, field: &str) -> bool {
        self.values.contains_key(field) || self.faulty.contains(field)
    }

    /// The fields that it says something about that makes sense.
    pub(in crate::vault) fn fields(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    /// The whole credential as it would be: what is named, and of what is `stored` the rest.
    /// Records what is missing.
    pub(in crate::vault) fn join(
        &self,
        problems: &mut Problems,
        of: &CredentialType,
        stored: BTreeMap<String, Secret>,
    ) -> Vec<TypeValue> {
        let mut whole: BTreeMap<String, TypeValue> = BTreeMap::new();
        let kept = stored.into_iter().filter(|(field, _)| !self.names(field));
        whole.extend(
            kept.map(|(field, value)| (field.clone(), TypeValue { field, value, named: false })),
        );
        for (field, (_, value)) in &self.values {
            let value = value.as_ref().map(|value| TypeValue {
                field: field.clone(),
                value: value.clone(),
                named: true,
            });
            whole.extend(value.map(|value| (field.clone(), value)));
        }
        for field in of.fields.iter().filter(|field| field.required && !field.computed) {
            if !whole.contains_key(&field.id) && !self.faulty.contains(&field.id) {
                problems.add(at_field(&field.id), "This field is required.");
            }
        }
        // In the order of the definition.
        of.fields.iter().filter_map(|field| whole.remove(&field.id)).collect()
    }
}

fn value_fault(computed: bool, required: bool, draft: &ValueDraft) -> Option<&'static str> {
    match &draft.value {
        _ if computed => Some("This field is computed; no value is taken for it."),
        Some(None) if required => Some("This field is required."),
        Some(Some(value)) if value.len() > MAX_VALUE_BYTES => Some("Expected at most 16 KiB."),
        _ => None,
    }
}

impl Vault {
    /// Has the plugin of `of` check `whole`. `hidden`: the extent of values that are out of sight
    /// and stay.
    ///
    /// # Errors
    /// `Invalid` with `problems` and what the plugin adds; `Conflict` when the plugin is not
    /// configured any more; `Busy`; `PluginFailed` and `PluginTimeout` when it broke.
    pub(in crate::vault) async fn normalise(
        &self,
        of: &CredentialType,
        named: &Named,
        (whole, hidden): (&[TypeValue], Extent),
        mut problems: Problems,
    ) -> Result<Vec<(String, Secret)>, Error> {
        if !hidden.and(whole.iter().map(|value| value.value.len())).fits() {
            problems.add([RequestField::Fields.into()], TOO_MUCH);
            return Err(problems.into_error());
        }
        let answer = self.plugins.normalise(&of.plugin, &of.fields, whole).await;
        let returned = match answer {
            Ok(returned) => returned,
            Err(NormaliseFailure::Invalid(found)) => {
                // A plugin says once more that a required value is missing, and does not know
                // whether the request named it.
                let is_new = |problem: &FieldProblem| !problems.has(&at_field(&field_of(problem)));
                let found: Vec<_> = found.into_iter().filter(is_new).collect();
                for problem in found {
                    tell(&mut problems, of, (named, whole), &problem);
                }
                // Words that there was nothing to hang on: it did not fit all the same.
                if problems.is_empty() {
                    problems.add([RequestField::Fields.into()], QUOTED);
                }
                return Err(problems.into_error());
            }
            // What is wrong with the request is wrong with any plugin.
            Err(_) if !problems.is_empty() => return Err(problems.into_error()),
            Err(failure) => return Err(failed(of, failure)),
        };
        problems.none_or_invalid()?;
        check_returned(of, whole, &returned).map_err(|why| broke(of, why))?;
        let kept: Vec<_> = returned.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        if !hidden.and(kept.iter().map(|(_, value)| value.len())).fits() {
            return Err(crate::vault::draft::invalid(vec![FieldProblem::new(
                [RequestField::Fields.into()],
                TOO_MUCH,
            )]));
        }
        Ok(kept)
    }
}

const TOO_MUCH: &str = "All values of a credential, those of former fields included, are at most 256 and have at most 128 KiB.";

/// Which field a plugin speaks of; empty where it speaks of none.
fn field_of(problem: &FieldProblem) -> String {
    problem.path.first().map(ToString::to_string).unwrap_or_default()
}

/// Where problems of a field go that the request did not name, or named without a value.
fn at_field(field: &str) -> [Segment; 2] {
    [RequestField::Fields.into(), field.to_owned().into()]
}

/// Takes over what a plugin has against the values, at the place that the request knows it by.
fn tell(
    problems: &mut Problems,
    of: &CredentialType,
    (named, whole): (&Named, &[TypeValue]),
    problem: &FieldProblem,
) {
    let field = field_of(problem);
    let quotes = whole.iter().any(|value| contains(&problem.message, &value.value));
    let message = if quotes { QUOTED.to_owned() } else { cleaned(&problem.message) };
    match named.values.get(&field) {
        Some((index, _)) => problems.add(
            [RequestField::Fields.into(), (*index).into(), RequestField::Value.into()],
            message,
        ),
        // It saw less than there is to be, and may complain of that.
        None if named.any_fault => {}
        None => {
            // Of what is not stored there is nothing to tell.
            let saw_stored = whole.iter().any(|value| !value.named);
            let message = if saw_stored { ELSEWHERE.to_owned() } else { message };
            let place = of.field(&field).map(|field| field.id.clone().into());
            problems.add(std::iter::once(RequestField::Fields.into()).chain(place), message);
        }
    }
}

/// Whether `message` quotes `value`.
fn contains(message: &str, value: &Secret) -> bool {
    let (message, value) = (message.as_bytes(), value.expose());
    let is_border = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let found = |at: usize| {
        message.get(at..).is_some_and(|rest| rest.starts_with(value))
            && (value.len() >= SHORT
                || is_border(at.checked_sub(1).and_then(|before| message.get(before)))
                    && is_border(message.get(at + value.len())))
    };
    !value.is_empty() && (0..message.len()).any(found)
}

/// On one line and not too long.
fn cleaned(message: &str) -> String {
    let plain = message.chars().map(|c| if crate::text::is_unfit_for_names(c) { ' ' } else { c });
    plain.take(MAX_MESSAGE).collect()
}

fn failed(of: &CredentialType, failure: NormaliseFailure) -> Error {
    match failure {
        NormaliseFailure::Invalid(_) => broke(of, "it was asked no more"),
        NormaliseFailure::Busy => Error::new(
            Kind::Busy,
            "Too many credentials are being checked; please try again later.",
        ),
        NormaliseFailure::NotLoaded => conflict(
            [],
            format!(
                "The plugin {} that checks credentials of this type is not configured any more.",
                of.plugin
            ),
        ),
        NormaliseFailure::Broken(Broken { how: BrokenHow::Timeout, cause }) => {
            Error::new(Kind::PluginTimeout, "The plugin of this type did not answer in time.")
                .because(cause)
        }
        NormaliseFailure::Broken(Broken { how: BrokenHow::Trap | BrokenHow::BadOutput, cause }) => {
            Error::new(Kind::PluginFailed, "The plugin of this type failed.").because(cause)
        }
    }
}

fn broke(of: &CredentialType, why: &'static str) -> Error {
    Error::new(Kind::PluginFailed, "The plugin of this type failed.")
        .because(format!("plugin {} of type {}: {why}", of.plugin, of.id))
}

/// Whether what a plugin returned is a credential of the type: fields of the definition, each once,
/// none too long, none missing, and no secret in the open that was not there before.
fn check_returned(
    of: &CredentialType,
    given: &[TypeValue],
    returned: &[(String, Secret)],
) -> Result<(), &'static str> {
    let is_secure = |id: &str| of.field(id).is_some_and(|field| field.secure);
    let secrets = given.iter().map(|value| (value.field.as_str(), &value.value));
    let secrets = secrets.chain(returned.iter().map(|(field, value)| (field.as_str(), value)));
    let secrets: Vec<&Secret> =
        secrets.filter(|(field, _)| is_secure(field)).map(|(_, value)| value).collect();
    let mut seen = BTreeSet::new();
    for (id, value) in returned {
        let field = of.field(id).ok_or("it answered a field that the type does not have")?;
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
        if !field.secure && !as_given && secrets.iter().any(|secret| tells(value, secret)) {
            return Err("it answered a secure value in a plain field");
        }
    }
    let is_there =
        |id: &str| returned.iter().any(|(field, value)| field == id && !value.is_empty());
    match of.fields.iter().find(|field| field.required && !is_there(&field.id)) {
        Some(_) => Err("it left out a required value"),
        None => Ok(()),
    }
}

fn tells(value: &Secret, secret: &Secret) -> bool {
    let found = |part: &[u8]| part == secret.expose();
    !secret.is_empty()
        && (value.verify(secret.expose())
            || (secret.len() >= TELLING && value.expose().windows(secret.len()).any(found)))
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
            assert_eq!(contains(message, &Secret::new(value)), found, "{message} {value}");
        }
    }

    #[test]
    fn a_secret_in_the_open_is_found() {
        for (value, secret, found) in [
            ("hunter22", "hunter22", true),
            ("user:hunter22", "hunter22", true),
            ("22", "22", true),
            ("2022", "22", false),
            ("x", "", false),
        ] {
            assert_eq!(tells(&Secret::new(value), &Secret::new(secret)), found, "{value} {secret}");
        }
    }
}
