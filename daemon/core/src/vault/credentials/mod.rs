//! Credentials as they are kept, and as people get to see them.

mod lists;
mod normalise;
mod reveal;
mod writes;

use std::sync::Arc;

pub use reveal::{Shown, ShownValue};

use crate::field::Field;
use crate::ids::{CredentialId, TypeId};
use crate::model::company::Company;
use crate::model::credential::Credential;
use crate::model::credential_type::CredentialType;
use crate::model::values;
use crate::ports::store::Revision;
use crate::ports::store::Versioned;
use crate::time::Timestamp;

/// A credential, its type and its company at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) stored: Versioned<Credential>,
    pub(crate) of: Arc<Versioned<CredentialType>>,
    pub(crate) company: Arc<Company>,
}

/// A credential as people get to see it: without a secure value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialView {
    /// Its id.
    pub id: CredentialId,
    /// What people call it.
    pub name: String,
    /// Its type.
    pub of: TypeOfCredential,
    /// Its company.
    pub company: Arc<Company>,
    /// Plain values by field, in the order of the definition.
    pub values: Vec<(String, String)>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Grows with every change; the same for all views of one state.
    pub version: u64,
}

/// What a credential tells of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeOfCredential {
    /// Its id.
    pub id: TypeId,
    /// What people call it.
    pub name: String,
    /// Its fields, in the order of the definition.
    pub fields: Vec<Field>,
    /// The permission that its credentials need beyond the usual ones.
    pub permission_scope: Option<String>,
}

impl Loaded {
    /// A credential that was just made.
    pub(crate) fn fresh(
        credential: Credential,
        of: &Arc<Versioned<CredentialType>>,
        company: &Arc<Company>,
    ) -> Self {
        let stored = Versioned { value: credential, revision: Revision(0) };
        Self { stored, of: Arc::clone(of), company: Arc::clone(company) }
    }

    /// The same after a change: to be looked at, not to be written by.
    pub(crate) fn with(&self, credential: Credential) -> Self {
        Self::fresh(credential, &self.of, &self.company)
    }

    pub(crate) fn view(&self) -> CredentialView {
        let (credential, of) = (&self.stored.value, &self.of.value);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let shown = values::shown(&of.fields, &credential.plain);
        CredentialView {
            id: credential.id,
            name: credential.name.clone(),
            of: TypeOfCredential {
                id: of.id,
                name: of.name.clone(),
                fields: of.fields.clone(),
                permission_scope: of.permission_scope.clone(),
            },
            company: Arc::clone(&self.company),
            values: shown.map(|(field, value)| (field.id.clone(), text(value.expose()))).collect(),
            created: credential.created,
            updated: credential.updated,
            version: credential.version_seen(of),
        }
    }
}
