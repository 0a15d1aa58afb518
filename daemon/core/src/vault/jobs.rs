//! Background work of the vault: sealing values that a change of a type left unsealed, purging what
//! was deleted when its window is over.
//!
//! Every step is a batch of its own, and repeating one is harmless. Work that is cut short starts
//! over and finds its earlier steps done. Start with [`Vault::start`].

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::select;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::Vault;
use crate::error::Error;
use crate::ground::{retry, too_contended};
use crate::ids::{CredentialId, TypeId};
use crate::limits::COMMIT_ATTEMPTS;
use crate::model::credential::Credential;
use crate::model::credential_type::{CredentialType, Deleted, DeletedId};
use crate::model::values::{Plain, Sealed, unsealed};
use crate::ports::audit::{Action, Actor};
use crate::ports::store::{Revision, Versioned};

use crate::records::CommitError;
use crate::records::credential_types::TypeChange;
use crate::records::credentials::CredentialChange;

/// Credentials that are written at the same time.
const CONCURRENT_WRITES: usize = 16;
/// Deleted things that are looked up together.
const PAGE: usize = 256;

/// The state of the background work.
#[derive(Debug)]
pub(super) struct Jobs {
    work: Notify,
    stopping: watch::Sender<bool>,
    /// Why the last run failed, if it did.
    failure: Mutex<Option<String>>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { work: Notify::new(), stopping: watch::Sender::new(false), failure: Mutex::default() }
    }
}

impl Jobs {
    /// Has due work looked for at once.
    pub(super) fn wake(&self) {
        self.work.notify_one();
    }
}

impl Vault {
    /// Creates or updates the types that plugins declare, and does due work in the background from
    /// now on. What this reads does not grow with the number of credentials.
    ///
    /// # Errors
    /// `Invalid` when a plugin declares an invalid type; `Internal` when the store fails.
    pub async fn start(self: &Arc<Self>) -> Result<(), Error> {
        self.declare_types().await?;
        let vault = Arc::clone(self);
        self.ground
            .tasks
            .spawn("keep the vault", Box::pin(async move { vault.work_until_stopped().await }));
        Ok(())
    }

    /// Begins no more background work. What is under way is finished after the next start.
    pub fn stop(&self) {
        self.jobs.stopping.send_replace(true);
        self.jobs.wake();
    }

    /// Why the vault is not ready, as sentences for operators; empty when it is.
    pub fn readiness(&self) -> Vec<String> {
        self.jobs.failure.lock().clone().into_iter().collect()
    }

    async fn work_until_stopped(self: Arc<Self>) {
        while !*self.jobs.stopping.borrow() {
            let result = self.work_once().await;
            if let Err(error) = &result {
                tracing::error!(%error, cause = error.cause(), "background work of the vault failed");
            }
            let sentence = "work of the vault cannot be done: the log says why".to_owned();
            *self.jobs.failure.lock() = result.err().map(|_| sentence);
            let pause = self.ground.clock.sleep(self.options.sweep_every);
            select(pause, std::pin::pin!(self.jobs.work.notified())).await;
        }
    }

    /// Does what is due now.
    ///
    /// # Errors
    /// The first failure; the rest was done nevertheless.
    pub(super) async fn work_once(&self) -> Result<(), Error> {
        let resealed = self.reseal_all().await;
        let purged = self.purge_due().await;
        resealed.and(purged)
    }

    async fn reseal_all(&self) -> Result<(), Error> {
        let mut result = Ok(());
        for (id, pending) in self.records().to_reseal().await? {
            if *self.jobs.stopping.borrow() {
                break;
            }
            let done = match self.records().type_of_id(id).await? {
                Some(stored) => self.reseal_pending(&stored, pending).await,
                None => Ok(()),
            };
            match done {
                Ok(()) => {}
                // The type changed meanwhile: run again at once.
                Err(CommitError::Conflict) => self.jobs.wake(),
                Err(CommitError::Failed(error)) => result = Err(error),
            }
        }
        result
    }

    /// Seals what an earlier change of the type left unsealed, if there is any. The fields of the
    /// type may not change again before that.
    pub(super) async fn reseal_type(
        &self,
        stored: &Versioned<CredentialType>,
    ) -> Result<(), CommitError> {
        match self.records().reseal_pending(stored.value.id).await? {
            Some(pending) => self.reseal_pending(stored, pending).await,
            None => Ok(()),
        }
    }

    async fn reseal_pending(
        &self,
        stored: &Versioned<CredentialType>,
        pending: Revision,
    ) -> Result<(), CommitError> {
        let id = stored.value.id;
        let mut sealing = stream::iter(self.all_of_type(id).await?)
            .map(|credential| self.reseal_one(credential, stored))
            .buffer_unordered(CONCURRENT_WRITES);
        let mut result = Ok(());
        while let Some(done) = sealing.next().await {
            match done {
                // A credential that cannot be read does not keep the others unsealed.
                Err(CommitError::Failed(error)) => result = Err(error),
                done => done?,
            }
        }
        result?;
        let event =
            self.type_event(None, Action::Change, &stored.value, Some("values sealed".to_owned()));
        self.records().resealed(id, pending, &event).await
    }

    /// The credentials of a type, deleted ones included.
    pub(super) async fn all_of_type(&self, id: TypeId) -> Result<BTreeSet<CredentialId>, Error> {
        let listed = self.records().credentials_of_type(id).await?;
        let deleted = self.records().deleted_of_type(id).await?;
        // Read twice: a credential that is restored between the two reads above is in neither list.
        let again = self.records().credentials_of_type(id).await?;
        Ok(listed.into_iter().chain(again).map(|(_, id)| id).chain(deleted).collect())
    }

    /// Seals the values of one credential that are still unsealed.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when the type is no longer as it was read.
    pub(super) async fn reseal_one(
        &self,
        id: CredentialId,
        credential_type: &Versioned<CredentialType>,
    ) -> Result<(), CommitError> {
        // Not `retry`: a conflict is repeated only while the type is as it was read.
        for _ in 0..COMMIT_ATTEMPTS {
            match self.try_reseal(id, credential_type).await {
                Err(CommitError::Conflict) => {}
                done => return done,
            }
            let now = self.records().type_of_id(credential_type.value.id).await?;
            if now.is_none_or(|now| now.revision != credential_type.revision) {
                return Err(CommitError::Conflict);
            }
        }
        Err(too_contended().into())
    }

    async fn try_reseal(
        &self,
        id: CredentialId,
        credential_type: &Versioned<CredentialType>,
    ) -> Result<(), CommitError> {
        let Some(stored) = self.records().credential(id).await? else { return Ok(()) };
        let (before, definition) = (&stored.value, &credential_type.value);
        if before.type_id != definition.id || !before.has_unsealed(definition) {
            return Ok(());
        }
        let sealed = self.records().sealed_values(&stored).await?.ok_or(CommitError::Conflict)?;
        let (plain, sealed) = self.seal_unsealed(before, definition, sealed).await?;
        let after = before.with_values(before.visible_version(definition), plain, &sealed);
        let change = CredentialChange {
            before: Some(&stored),
            after: Some(&after),
            values: Some(&sealed),
            credential_type: Some(credential_type),
            ..CredentialChange::default()
        };
        self.records().commit_credential(&change).await.map(drop)
    }

    /// The values of `credential`, with those sealed that `definition` calls secure.
    async fn seal_unsealed(
        &self,
        credential: &Credential,
        definition: &CredentialType,
        mut sealed: Sealed,
    ) -> Result<(Plain, Sealed), Error> {
        let mut plain = credential.plain.clone();
        for (field, value) in unsealed(&definition.fields, &credential.plain) {
            let value_id = sealed.get(&field.id).map_or_else(|| self.new_value_id(), |old| old.id);
            let envelope =
                self.records().seal_value(credential.id, &field.id, value_id, value).await?;
            sealed.insert(field.id.clone(), envelope);
            plain.remove(&field.id);
        }
        Ok((plain, sealed))
    }

    /// Purges what was deleted long enough ago. Not while the clock cannot be trusted: a purge
    /// cannot be undone.
    async fn purge_due(&self) -> Result<(), Error> {
        let mut result = Ok(());
        loop {
            if self.ground.is_clock_off() || *self.jobs.stopping.borrow() {
                return result;
            }
            let due = self.records().due_for_purge(self.ground.clock.now(), PAGE).await?;
            let found = due.len();
            let mut purged = 0;
            for deleted in due {
                match self.purge(deleted, None).await {
                    Ok(()) => purged += 1,
                    // One that cannot be read does not keep the others.
                    Err(error) => result = Err(error),
                }
            }
            if found < PAGE || purged == 0 {
                return result;
            }
        }
    }

    /// Removes a deleted credential or type for good.
    pub(super) async fn purge(&self, id: DeletedId, actor: Option<Actor>) -> Result<(), Error> {
        match id {
            DeletedId::Credential(id) => {
                retry(|| self.try_purge_credential(id, actor.as_ref())).await
            }
            DeletedId::Type(id) => retry(|| self.try_purge_type(id, actor.as_ref())).await,
        }
    }

    async fn try_purge_credential(
        &self,
        id: CredentialId,
        actor: Option<&Actor>,
    ) -> Result<(), CommitError> {
        let found = self.records().credential(id).await?;
        let Some(stored) = found.filter(|stored| stored.value.deleted.is_some()) else {
            return Ok(());
        };
        let event = self.credential_event(actor.cloned(), Action::Purge, &stored.value, Vec::new());
        let change = CredentialChange {
            before: Some(&stored),
            events: std::slice::from_ref(&event),
            ..CredentialChange::default()
        };
        self.records().commit_credential(&change).await.map(drop)
    }

    /// The type is removed last: until then its record says that its credentials are to be removed.
    async fn try_purge_type(&self, id: TypeId, actor: Option<&Actor>) -> Result<(), CommitError> {
        let Some(stored) = self.records().type_of_id(id).await? else { return Ok(()) };
        let Some(deleted) = stored.value.deleted else { return Ok(()) };
        let stored =
            if deleted.purging { stored } else { self.begin_purge(stored, deleted).await? };
        self.purge_credentials_of(id).await?;
        let event = self.type_event(actor.cloned(), Action::Purge, &stored.value, None);
        let change =
            TypeChange { before: Some(&stored), event: Some(&event), ..TypeChange::default() };
        self.records().commit_type(&change).await.map(drop)
    }

    /// Marks a type so that it cannot be restored any more. Its window is over from then on, so
    /// that a purge that is cut short is due at the next start.
    async fn begin_purge(
        &self,
        stored: Versioned<CredentialType>,
        deleted: Deleted,
    ) -> Result<Versioned<CredentialType>, CommitError> {
        let purging = Deleted { purging: true, until: deleted.at, ..deleted };
        let marked = CredentialType { deleted: Some(purging), ..stored.value.clone() };
        let change =
            TypeChange { before: Some(&stored), after: Some(&marked), ..TypeChange::default() };
        let revision = self.records().commit_type(&change).await?;
        Ok(Versioned { value: marked, revision })
    }

    async fn purge_credentials_of(&self, id: TypeId) -> Result<(), Error> {
        let listed = self.records().credentials_of_type(id).await?.into_iter().map(|(_, id)| id);
        let deleted = self.records().deleted_of_type(id).await?;
        let mut removing = stream::iter(listed.chain(deleted))
            .map(|credential| retry(move || self.try_remove_with_type(credential)))
            .buffer_unordered(CONCURRENT_WRITES);
        let mut result = Ok(());
        while let Some(removed) = removing.next().await {
            // One that cannot be read does not keep the others.
            result = removed.and(result);
        }
        result
    }

    async fn try_remove_with_type(&self, id: CredentialId) -> Result<(), CommitError> {
        let Some(stored) = self.records().credential(id).await? else { return Ok(()) };
        let change = CredentialChange { before: Some(&stored), ..CredentialChange::default() };
        self.records().commit_credential(&change).await.map(drop)
    }
}
