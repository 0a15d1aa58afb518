//! Credentials as they are kept, and as people get to see them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::field::Field;
use super::types::{CredentialType, Deleted, StoredType};
use super::values::{self, Plain, Sealed};
use crate::company::Company;
use crate::ids::{CompanyId, CredentialId, TypeId};
use crate::ports::store::Revision;
use crate::time::Timestamp;

/// A credential with its plain values. Which fields have values in envelopes is known; the
/// envelopes are elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) id: CredentialId,
    pub(crate) name: String,
    pub(crate) of: TypeId,
    pub(crate) company: CompanyId,
    /// Grows with every write.
    pub(crate) version: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) deleted: Option<Deleted>,
    pub(crate) plain: Plain,
    pub(crate) sealed_fields: BTreeSet<String>,
}

/// Where the values are that do not stand in the record.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts {
    /// The version that wrote them.
    pub(crate) written: u64,
    pub(crate) plain: u8,
    pub(crate) sealed: u8,
}

/// A credential as it was read, and when it was written.
#[derive(Debug, Clone)]
pub(crate) struct StoredCredential {
    pub(crate) credential: Credential,
    pub(crate) revision: Revision,
    pub(crate) parts: Parts,
}

impl Credential {
    /// Whether it has plain values of fields that `of` calls secure.
    pub(crate) fn lags(&self, of: &CredentialType) -> bool {
        values::lagging(&of.fields, &self.plain).next().is_some()
    }

    /// The version that readers see. A value that is to be sealed looks sealed already, so the
    /// credential looks like what it will be then.
    pub(crate) fn version_seen(&self, of: &CredentialType) -> u64 {
        self.version + u64::from(self.lags(of))
    }

    /// The fields of `of` that it has secure values of, sealed already or not, in the order of the
    /// definition.
    pub(crate) fn secure_fields(&self, of: &CredentialType) -> Vec<String> {
        let is_there = |id: &String| self.sealed_fields.contains(id) || self.plain.contains_key(id);
        let secure = of.fields.iter().filter(|field| field.secure);
        secure.map(|field| field.id.clone()).filter(is_there).collect()
    }

    /// What becomes of it when these are its values from `version` on.
    pub(crate) fn with_values(&self, version: u64, plain: Plain, sealed: &Sealed) -> Self {
        let sealed_fields = sealed.keys().cloned().collect();
        Self { version, plain, sealed_fields, ..self.clone() }
    }
}

/// A credential, its type and its company at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) stored: StoredCredential,
    pub(crate) of: Arc<StoredType>,
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
        of: &Arc<StoredType>,
        company: &Arc<Company>,
    ) -> Self {
        let stored =
            StoredCredential { credential, revision: Revision(0), parts: Parts::default() };
        Self { stored, of: Arc::clone(of), company: Arc::clone(company) }
    }

    /// The same after a change: to be looked at, not to be written by.
    pub(crate) fn with(&self, credential: Credential) -> Self {
        Self::fresh(credential, &self.of, &self.company)
    }

    pub(crate) fn view(&self) -> CredentialView {
        let (credential, of) = (&self.stored.credential, &self.of.of);
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
