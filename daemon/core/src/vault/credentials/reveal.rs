//! The values of a credential: as they are stored, and the secure ones opened.
//!
//! A reveal is told before it happens to anybody's eyes: the event is durable before the values are
//! handed out.

use bytes::Bytes;

use crate::access::vault::{FetchValues, Reveal};
use crate::error::Error;
use crate::ground::outcome_of;
use crate::ground::too_contended;
use crate::model::values::{lagging, revealable, shown};
use crate::ports::audit::{Action, Event, Outcome};
use crate::records::CommitError;
use crate::secret::Secret;
use crate::vault::credentials::Loaded;
use crate::vault::{ATTEMPTS, Admitted, Vault};

/// One value of a credential as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownValue {
    /// For a secure value its own id; for a plain one the credential's and the field's.
    pub id: String,
    /// The field's id.
    pub field: String,
    /// What is stored.
    pub value: Shown,
}

/// What is stored of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The plain value.
    Plain(String),
    /// The envelope that a secure value is in.
    Sealed(Bytes),
}

impl Vault {
    /// All values in the order of the definition, secure ones in their envelopes, and the version
    /// that they are of. Absent and hidden ones are left out.
    ///
    /// # Errors
    /// What [`Vault::authorize`] says, since a change may come between; `Internal` when the store
    /// fails.
    pub async fn fetch_values(
        &self,
        mut at: Admitted<FetchValues>,
    ) -> Result<(u64, Vec<ShownValue>), Error> {
        for _ in 0..ATTEMPTS {
            let Loaded { stored, of, .. } = &at.loaded;
            if stored.value.lags(&of.value) {
                // What the field's change left to seal is sealed now: there is nothing else to show
                // of it.
                if let Err(CommitError::Failed(error)) = self.reseal_one(stored.value.id, of).await
                {
                    return Err(error);
                }
                at = self.again(at).await?;
                continue;
            }
            let Some(sealed) = self.records().sealed_values(stored).await? else {
                at = self.again(at).await?;
                continue;
            };
            let (fields, credential) = (&of.value.fields, &stored.value);
            let plain = shown(fields, &credential.plain).map(|(field, value)| {
                let text = String::from_utf8_lossy(value.expose()).into_owned();
                (field, format!("{}-{}", credential.id, field.id), Shown::Plain(text))
            });
            let secure = revealable(fields, &sealed).map(|(field, value)| {
                (field, value.id.to_string(), Shown::Sealed(value.envelope.clone()))
            });
            let mut all: Vec<_> = plain.chain(secure).collect();
            all.sort_by_key(|(field, ..)| fields.iter().position(|other| other.id == field.id));
            let values = all.into_iter().map(|(field, id, value)| ShownValue {
                id,
                field: field.id.clone(),
                value,
            });
            return Ok((credential.version_seen(&of.value), values.collect()));
        }
        Err(too_contended())
    }

    /// All secure values, opened, by field in the order of the definition. Told before it answers,
    /// also when there are none.
    ///
    /// # Errors
    /// `Internal` when a value was changed or moved in the store, or the store fails: nothing is
    /// handed out then, and that is told as well. What [`Vault::authorize`] says, since a change
    /// may come between.
    pub async fn reveal(&self, mut at: Admitted<Reveal>) -> Result<Vec<(String, Secret)>, Error> {
        for _ in 0..ATTEMPTS {
            let opened = self.open_all(&at.loaded).await.transpose();
            let Some(opened) = opened else {
                at = self.again(at).await?;
                continue;
            };
            let (actor, of) = (Some(at.grant.member().into()), &at.loaded.of.value);
            let credential = &at.loaded.stored.value;
            let event = self.credential_event(
                actor,
                Action::Reveal,
                credential,
                credential.secure_fields(of),
            );
            let outcome = opened.as_ref().map_or_else(outcome_of, |_| Outcome::Done);
            self.ground.record(&Event { outcome, ..event }).await?;
            return opened;
        }
        Err(too_contended())
    }

    async fn open_all(&self, loaded: &Loaded) -> Result<Option<Vec<(String, Secret)>>, Error> {
        let Loaded { stored, of, .. } = loaded;
        let Some(sealed) = self.records().sealed_values(stored).await? else { return Ok(None) };
        let (fields, credential) = (&of.value.fields, &stored.value);
        let mut values = Vec::new();
        for field in fields.iter().filter(|field| field.secure) {
            let late = lagging(std::slice::from_ref(field), &credential.plain).next();
            let value = match (late, sealed.get(&field.id)) {
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
