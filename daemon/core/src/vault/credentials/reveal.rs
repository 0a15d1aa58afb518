//! The values of a credential: in the form in which they are stored, and the secure ones opened.
//!
//! A reveal is audited before its values leave: the event is durable before they are returned.

use std::sync::Arc;

use bytes::Bytes;

use crate::access::vault::{FetchValues, Reveal};
use crate::error::Error;
use crate::field::Field;
use crate::ground::outcome_of;
use crate::model::credential::Credential;
use crate::model::values::{Sealed, revealable, shown, unsealed};
use crate::ports::audit::{Action, Event, Outcome};
use crate::records::CommitError;
use crate::secret::Secret;
use crate::vault::credentials::CredentialSnapshot;
use crate::vault::{AuthorizedCredential, Vault};

/// One value of a credential as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredValue {
    /// For a secure value its own id; for a plain one the ids of the credential and the field.
    pub id: String,
    /// The field's id.
    pub field: String,
    /// The value in the form in which it is stored.
    pub form: StoredForm,
}

/// The form in which a value is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredForm {
    /// The plain value.
    Plain(String),
    /// The envelope of a secure value.
    Sealed(Bytes),
}

impl Vault {
    /// All values in the order of the definition, secure ones in their envelopes, and the version
    /// of the credential that they belong to. Absent and hidden values are left out.
    ///
    /// # Errors
    /// Those of [`Vault::authorize`], since a change may come in between; `Internal` when the store
    /// fails.
    pub async fn fetch_values(
        &self,
        authorized: AuthorizedCredential<FetchValues>,
    ) -> Result<(u64, Vec<StoredValue>), Error> {
        let attempt = |authorized: Arc<AuthorizedCredential<FetchValues>>| async move {
            let (version, values) = self.try_fetch_values(&authorized.snapshot).await?;
            let fields = values.iter().map(|value| value.field.clone()).collect();
            self.record_read(authorized.grant.member(), &authorized.snapshot, fields).await?;
            Ok((version, values))
        };
        self.retry_authorized(authorized, attempt).await
    }

    async fn try_fetch_values(
        &self,
        snapshot: &CredentialSnapshot,
    ) -> Result<(u64, Vec<StoredValue>), CommitError> {
        let CredentialSnapshot { stored, credential_type, .. } = snapshot;
        let (credential, definition) = (&stored.value, &credential_type.value);
        if credential.has_unsealed(definition) {
            // A value that a change of the type left unsealed has no stored form to show yet. It is
            // sealed now, and the credential is read again.
            self.reseal_one(credential.id, credential_type).await?;
            return Err(CommitError::Conflict);
        }
        let sealed = self.records().sealed_values(stored).await?.ok_or(CommitError::Conflict)?;
        let version = credential.visible_version(definition);
        Ok((version, stored_values(credential, &definition.fields, &sealed)))
    }

    /// All secure values, opened, by field in the order of the definition. The reveal is audited
    /// before this returns, also when there are no values.
    ///
    /// # Errors
    /// `Internal` when a value was changed or moved in the store, or the store fails: then no value
    /// is returned, and the attempt is audited as well. Those of [`Vault::authorize`], since a
    /// change may come in between.
    pub async fn reveal(
        &self,
        authorized: AuthorizedCredential<Reveal>,
    ) -> Result<Vec<(String, Secret)>, Error> {
        let attempt = |authorized: Arc<AuthorizedCredential<Reveal>>| async move {
            self.try_reveal(&authorized).await
        };
        self.retry_authorized(authorized, attempt).await
    }

    async fn try_reveal(
        &self,
        authorized: &AuthorizedCredential<Reveal>,
    ) -> Result<Vec<(String, Secret)>, CommitError> {
        let CredentialSnapshot { stored, credential_type, .. } = &authorized.snapshot;
        let opened = self.open_all(&authorized.snapshot).await.transpose();
        let opened = opened.ok_or(CommitError::Conflict)?;
        let event = self.credential_event(
            Some(authorized.grant.member().into()),
            Action::Reveal,
            &stored.value,
            stored.value.secure_fields(&credential_type.value),
        );
        let outcome = opened.as_ref().map_or_else(outcome_of, |_| Outcome::Done);
        self.ground.record(&Event { outcome, ..event }).await?;
        Ok(opened?)
    }

    /// All secure values; `None` when the credential changed since it was read.
    async fn open_all(
        &self,
        snapshot: &CredentialSnapshot,
    ) -> Result<Option<Vec<(String, Secret)>>, Error> {
        let CredentialSnapshot { stored, credential_type, .. } = snapshot;
        let Some(sealed) = self.records().sealed_values(stored).await? else { return Ok(None) };
        let (fields, credential) = (&credential_type.value.fields, &stored.value);
        let mut values = Vec::new();
        for field in fields.iter().filter(|field| field.secure) {
            let plain = unsealed(std::slice::from_ref(field), &credential.plain).next();
            let value = match (plain, sealed.get(&field.id)) {
                (Some((_, value)), _) => value.clone(),
                (None, Some(value)) => {
                    self.records().open_value(credential.id, &field.id, value)?
                }
                (None, None) => continue,
            };
            values.push((field.id.clone(), value));
        }
        Ok(Some(values))
    }
}

/// The values that a definition shows, in its order.
fn stored_values(credential: &Credential, fields: &[Field], sealed: &Sealed) -> Vec<StoredValue> {
    let plain = shown(fields, &credential.plain).map(|(field, value)| {
        let text = String::from_utf8_lossy(value.expose()).into_owned();
        (field, format!("{}-{}", credential.id, field.id), StoredForm::Plain(text))
    });
    let secure = revealable(fields, sealed).map(|(field, value)| {
        (field, value.id.to_string(), StoredForm::Sealed(value.envelope.clone()))
    });
    let mut values: Vec<_> = plain.chain(secure).collect();
    values.sort_by_key(|(field, ..)| fields.iter().position(|other| other.id == field.id));
    let value = |(field, id, form): (&Field, String, StoredForm)| StoredValue {
        id,
        field: field.id.clone(),
        form,
    };
    values.into_iter().map(value).collect()
}
