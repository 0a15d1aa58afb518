//! What a client wants to make or change, as far as its words could be read. What could not be read
//! is `None` here, and whoever read it hands over the problems that it met; what is wrong beyond
//! that is found where the draft is used, and told together with them.

use crate::error::{Error, FieldProblem, Kind, Segment};
use crate::ids::{CompanyId, TypeId};
use crate::secret::Secret;

/// A type of credential to be made, or what is to be changed about one: what is `None` stays as it
/// is.
#[derive(Debug, Clone, Default)]
pub struct TypeDraft {
    /// What people call it.
    pub name: Option<String>,
    /// The permission that its credentials need.
    pub permission_scope: Option<String>,
    /// URL of its picture; `Some(None)` takes it away.
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
    /// What people call it.
    pub name: Option<String>,
    /// Whether a credential has to have it.
    pub required: Option<bool>,
    /// Whether it is kept sealed.
    pub secure: Option<bool>,
    /// What its values look like, in the words of the API.
    pub value_type: Option<String>,
    /// The values allowed.
    pub choices: Option<Vec<Option<String>>>,
    /// Whether the plugin fills it in.
    pub computed: Option<bool>,
}

/// A credential to be made.
#[derive(Debug, Clone, Default)]
pub struct CredentialDraft {
    /// What people call it.
    pub name: Option<String>,
    /// Its type: an id, not looked at yet.
    pub of: Option<String>,
    /// Its company: an id, not looked at yet.
    pub company: Option<String>,
    /// Its values.
    pub values: Option<Vec<Option<ValueDraft>>>,
}

/// A value for one field.
#[derive(Debug, Clone, Default)]
pub struct ValueDraft {
    /// The field's id.
    pub field: Option<String>,
    /// The value; `Some(None)` takes it away.
    pub value: Option<Option<Secret>>,
}

impl CredentialDraft {
    /// The type, if its id is one.
    pub(crate) fn type_id(&self) -> Option<TypeId> {
        self.of.as_deref().and_then(|id| TypeId::parse(id).ok())
    }

    /// The company, if its id is one.
    pub(crate) fn company_id(&self) -> Option<CompanyId> {
        self.company.as_deref().and_then(|id| CompanyId::parse(id).ok())
    }
}

/// Everything that is wrong with one request.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<FieldProblem>);

impl Problems {
    /// Those that were met while reading.
    pub(crate) fn met(before: Vec<FieldProblem>) -> Self {
        Self(before)
    }

    pub(crate) fn add(
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
    pub(crate) fn has(&self, path: &[Segment]) -> bool {
        self.0.iter().any(|problem| problem.path == path)
    }

    /// Nothing, if there are none.
    pub(crate) fn none_or_invalid(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(invalid(self.0)) }
    }

    /// The refusal that tells of all of them.
    pub(crate) fn into_error(self) -> Error {
        invalid(self.0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A request that has these problems.
pub(crate) fn invalid(problems: Vec<FieldProblem>) -> Error {
    Error::new(Kind::Invalid, "The request does not fit.").with_fields(problems)
}

/// What contradicts what is there, at `path`.
pub(crate) fn conflict(
    path: impl IntoIterator<Item = Segment>,
    message: impl Into<String>,
) -> Error {
    let problem = FieldProblem::new(path, message);
    Error::new(Kind::Conflict, problem.message.clone()).with_fields(vec![problem])
}
