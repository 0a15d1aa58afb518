//! What a request asks for, as far as it could be read. What could not be read is `None` here, and
//! the reader passes on the problems that it found. The use-case that takes the draft finds what
//! else is wrong, and reports all problems together.
//!
//! Never here: a rule about what a type or a credential may contain.

use crate::error::{Error, FieldProblem, Kind, Segment};
use crate::ids::{CompanyId, TypeId};
use crate::secret::Secret;

/// A type to create, or the changes to one: what is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct TypeDraft {
    /// Its name.
    pub name: Option<String>,
    /// The permission that its credentials need.
    pub permission_scope: Option<String>,
    /// URL of its picture; `Some(None)` removes it.
    pub icon: Option<Option<String>>,
    /// The name of the plugin that checks its credentials.
    pub plugin: Option<String>,
    /// Its fields, all of them.
    pub fields: Option<Vec<Option<FieldDraft>>>,
}

/// One field of a [`TypeDraft`].
#[derive(Debug, Clone, Default)]
pub struct FieldDraft {
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Whether a credential has to have it.
    pub required: Option<bool>,
    /// Whether it is kept sealed.
    pub secure: Option<bool>,
    /// What its values look like: a name of [`crate::field::ValueType`].
    pub value_type: Option<String>,
    /// The values allowed.
    pub choices: Option<Vec<Option<String>>>,
    /// Whether the plugin fills it in.
    pub computed: Option<bool>,
}

/// A credential to create.
#[derive(Debug, Clone, Default)]
pub struct CredentialDraft {
    /// Its name.
    pub name: Option<String>,
    /// The id of its type, not checked yet.
    pub type_id: Option<String>,
    /// The id of its company, not checked yet.
    pub company_id: Option<String>,
    /// Its values.
    pub values: Option<Vec<Option<ValueDraft>>>,
}

/// A value for one field.
#[derive(Debug, Clone, Default)]
pub struct ValueDraft {
    /// The field's id.
    pub field: Option<String>,
    /// The value; `Some(None)` removes it.
    pub value: Option<Option<Secret>>,
}

impl CredentialDraft {
    /// The id of the type, if it is well-formed.
    pub(super) fn parsed_type_id(&self) -> Option<TypeId> {
        self.type_id.as_deref().and_then(|id| TypeId::parse(id).ok())
    }

    /// The id of the company, if it is well-formed.
    pub(super) fn parsed_company_id(&self) -> Option<CompanyId> {
        self.company_id.as_deref().and_then(|id| CompanyId::parse(id).ok())
    }
}

/// Everything that is wrong with one request.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<FieldProblem>);

impl Problems {
    /// Begins with the problems that were found while the request was read.
    pub(super) fn from_reading(found: Vec<FieldProblem>) -> Self {
        Self(found)
    }

    pub(super) fn add(
        &mut self,
        path: impl IntoIterator<Item = Segment>,
        message: impl Into<String>,
    ) {
        let problem = FieldProblem::new(path, message);
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Whether there is one at `path`.
    pub(super) fn has(&self, path: &[Segment]) -> bool {
        self.0.iter().any(|problem| problem.path == path)
    }

    /// Fails with all of them, unless there are none.
    pub(super) fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(invalid(self.0)) }
    }

    /// The refusal that lists all of them.
    pub(super) fn into_error(self) -> Error {
        invalid(self.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The refusal of a request that has these problems.
pub(super) fn invalid(problems: Vec<FieldProblem>) -> Error {
    Error::new(Kind::Invalid, "The request does not fit.").with_fields(problems)
}

/// The refusal of a request that contradicts what is stored, with the reason at `path`.
pub(super) fn conflict(
    path: impl IntoIterator<Item = Segment>,
    message: impl Into<String>,
) -> Error {
    let problem = FieldProblem::new(path, message);
    Error::new(Kind::Conflict, problem.message.clone()).with_fields(vec![problem])
}
