//! Converts the types of every world, fields, problems and refusals, between the SDK and the
//! bindings.

#[cfg(feature = "credential-type")]
use super::credential_type::credsmith::plugin::types;
#[cfg(feature = "directory")]
use super::directory::credsmith::plugin::types;
#[cfg(feature = "service")]
use super::service::credsmith::plugin::types;
use crate::field::Field;
use crate::problem::FieldProblem;

impl From<FieldProblem> for types::FieldProblem {
    fn from(problem: FieldProblem) -> Self {
        Self { path: problem.path, message: problem.message }
    }
}

impl From<Field> for types::Field {
    fn from(field: Field) -> Self {
        Self {
            key: field.key,
            label: field.label,
            help: field.help,
            kind: field.kind,
            choices: field.choices,
            required: field.required,
            secure: field.secure,
            computed: field.computed,
            default: field.default,
            extra: pairs(field.extra),
        }
    }
}

#[cfg(feature = "credential-type")]
impl From<types::Field> for Field {
    fn from(field: types::Field) -> Self {
        Self {
            key: field.key,
            label: field.label,
            help: field.help,
            kind: field.kind,
            choices: field.choices,
            required: field.required,
            secure: field.secure,
            computed: field.computed,
            default: field.default,
            extra: field.extra.into_iter().map(|pair| (pair.key, pair.value)).collect(),
        }
    }
}

#[cfg(any(feature = "service", feature = "directory"))]
impl From<crate::Refusal> for types::Refusal {
    fn from(refusal: crate::Refusal) -> Self {
        Self { user: refusal.user, log: refusal.log, retry_after: refusal.retry_after }
    }
}

pub(super) fn pairs(pairs: Vec<(String, String)>) -> Vec<types::Pair> {
    pairs.into_iter().map(|(key, value)| types::Pair { key, value }).collect()
}
