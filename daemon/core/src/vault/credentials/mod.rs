//! Credentials: their plain values, and their secure values, each sealed on its own.
//!
//! Start with `writes` (create, change, delete). `normalise` has the plugin of the type check the
//! values of one credential, `reveal` opens secure values, `lists` lists what a caller may see,
//! page by page, by the order that `names` keeps.
//!
//! Never here: a secure value in a [`CredentialView`] or a list; a write that does not expect the
//! credential and its type as they were read.

mod lists;
pub(super) mod names;
mod normalise;
mod reveal;
mod writes;

use std::sync::Arc;

pub use reveal::{StoredForm, StoredValue};

use crate::access::vault::AtOne;
use crate::error::{Error, Kind};
use crate::field::Field;
use crate::ground::too_contended;
use crate::ids::{CredentialId, TypeId};
use crate::limits::COMMIT_ATTEMPTS;
use crate::model::company::Company;
use crate::model::credential::Credential;
use crate::model::credential_type::CredentialType;
use crate::model::values;
use crate::ports::store::{Revision, Versioned};
use crate::records::CommitError;
use crate::time::Timestamp;
use crate::vault::{AuthorizedCredential, Vault};

/// A credential, its type and its company at one moment.
#[derive(Debug, Clone)]
pub(super) struct CredentialSnapshot {
    pub(super) stored: Versioned<Credential>,
    pub(super) credential_type: Arc<Versioned<CredentialType>>,
    pub(super) company: Arc<Company>,
}

/// A credential as clients see it: without a secure value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialView {
    /// Its id.
    pub id: CredentialId,
    /// Its name.
    pub name: String,
    /// Its type.
    pub credential_type: TypeOfCredential,
    /// Its company.
    pub company: Arc<Company>,
    /// Plain values by field, in the order of the definition.
    pub values: Vec<(String, String)>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Grows with every change; the same for all views of one state.
    pub version: u64,
}

/// The type of a credential, as far as the credential's views show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeOfCredential {
    /// Its id.
    pub id: TypeId,
    /// Its name.
    pub name: String,
    /// Its fields, in the order of the definition.
    pub fields: Vec<Field>,
    /// The permission that its credentials need beyond the usual ones.
    pub permission_scope: Option<String>,
}

impl CredentialSnapshot {
    /// A credential that was just written: to be viewed, not to be written again.
    fn written(
        credential: Credential,
        credential_type: &Arc<Versioned<CredentialType>>,
        company: &Arc<Company>,
    ) -> Self {
        let stored = Versioned { value: credential, revision: Revision(0) };
        Self { stored, credential_type: Arc::clone(credential_type), company: Arc::clone(company) }
    }

    /// The view after a change to `credential`.
    fn view_after(&self, credential: Credential) -> CredentialView {
        Self::written(credential, &self.credential_type, &self.company).view()
    }

    pub(super) fn view(&self) -> CredentialView {
        let (credential, definition) = (&self.stored.value, &self.credential_type.value);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let shown = values::shown(&definition.fields, &credential.plain);
        CredentialView {
            id: credential.id,
            name: credential.name.clone(),
            credential_type: TypeOfCredential {
                id: definition.id,
                name: definition.name.clone(),
                fields: definition.fields.clone(),
                permission_scope: definition.permission_scope.clone(),
            },
            company: Arc::clone(&self.company),
            values: shown.map(|(field, value)| (field.id.clone(), text(value.expose()))).collect(),
            created: credential.created,
            updated: credential.updated,
            version: credential.visible_version(definition),
        }
    }

    /// Fails unless the credential is at one of the `expected` versions, if any are expected.
    fn check_version(&self, expected: Option<&[u64]>) -> Result<(), Error> {
        let version = self.stored.value.visible_version(&self.credential_type.value);
        match expected {
            Some(versions) if !versions.contains(&version) => {
                Err(Error::new(Kind::Stale, "The credential was changed meanwhile."))
            }
            _ => Ok(()),
        }
    }
}

impl Vault {
    /// Runs `attempt` until it does not lose against a concurrent change. After each loss the
    /// credential is read, and the caller is judged, again.
    ///
    /// # Errors
    /// Those of [`Vault::authorize`] and of `attempt`; `Busy` when it lost [`COMMIT_ATTEMPTS`]
    /// times.
    async fn retry_authorized<K: AtOne, T, F: Future<Output = Result<T, CommitError>>>(
        &self,
        authorized: AuthorizedCredential<K>,
        attempt: impl Fn(Arc<AuthorizedCredential<K>>) -> F,
    ) -> Result<T, Error> {
        let mut authorized = Arc::new(authorized);
        for _ in 0..COMMIT_ATTEMPTS {
            match attempt(Arc::clone(&authorized)).await {
                Ok(done) => return Ok(done),
                Err(CommitError::Conflict) => {
                    authorized = Arc::new(self.reauthorize(&authorized).await?);
                }
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    /// The same authorization, by how everything is now.
    async fn reauthorize<K: AtOne>(
        &self,
        authorized: &AuthorizedCredential<K>,
    ) -> Result<AuthorizedCredential<K>, Error> {
        let grant = &authorized.grant;
        self.authorize(grant.member(), grant.credential()).await
    }
}
