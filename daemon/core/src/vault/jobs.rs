//! What is done though nobody asks: sealing what a change of a type left in the open, purging what
//! was deleted long enough ago.
//!
//! Every step is a batch of its own that does nothing twice. Whatever is cut short begins anew and
//! finds its earlier steps done.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::select;
use futures_util::{StreamExt as _, stream};
use tokio::sync::{Notify, watch};

use super::{ATTEMPTS, Vault};
use crate::error::Error;
use crate::ground::too_contended;
use crate::ids::{CredentialId, TypeId};
use crate::model::credential_type::{CredentialType, Deleted};
use crate::model::values::lagging;
use crate::ports::audit::{Action, Actor};
use crate::ports::store::Revision;
use crate::ports::store::Versioned;
use crate::records::credential_types::TypeChange;
use crate::records::credentials::CredentialChange;
use crate::records::{CommitError, Gone};

/// Credentials that are worked on at a time.
const AT_A_TIME: usize = 16;
/// Deleted things that are looked at together.
const PAGE: usize = 256;

/// Where the vault's own work stands.
#[derive(Debug)]
pub(super) struct Jobs {
    work: Notify,
    stopping: watch::Sender<bool>,
    /// What was wrong at the last look.
    trouble: std::sync::Mutex<Option<String>>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            work: Notify::new(),
            stopping: watch::Sender::new(false),
            trouble: std::sync::Mutex::default(),
        }
    }
}

impl Jobs {
    /// There is something to do.
    pub(super) fn wake(&self) {
        self.work.notify_one();
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Vault {
    /// Makes sure of the types that plugins declare, and has due work looked for from now on. What
    /// it reads does not grow with the number of credentials.
    ///
    /// # Errors
    /// `Invalid` when a plugin declares a type that makes no sense; `Internal` when the store
    /// fails.
    pub async fn start(self: &Arc<Self>) -> Result<(), Error> {
        self.declare_types().await?;
        let vault = Arc::clone(self);
        self.ground
            .tasks
            .spawn("keep the vault", Box::pin(async move { vault.work_until_stopped().await }));
        Ok(())
    }

    /// Begins no more work of its own. What it was at goes on where it stands when the vault is
    /// started again.
    pub fn stop(&self) {
        self.jobs.stopping.send_replace(true);
        self.jobs.wake();
    }

    /// Why the vault is not in order, as sentences for operators. None: it is.
    pub fn readiness(&self) -> Vec<String> {
        self.jobs.trouble().clone().into_iter().collect()
    }

    async fn work_until_stopped(self: Arc<Self>) {
        while !*self.jobs.stopping.borrow() {
            let result = self.work_once().await;
            if let Err(error) = &result {
                tracing::error!(%error, cause = error.cause(), "the vault's own work cannot be done");
            }
            let told = "work of the vault cannot be done: the log says why".to_owned();
            *self.jobs.trouble() = result.err().map(|_| told);
            let pause = self.ground.clock.sleep(self.options.sweep_every);
            select(pause, std::pin::pin!(self.jobs.work.notified())).await;
        }
    }

    /// Does what is due now.
    ///
    /// # Errors
    /// The first thing that went wrong; the rest was done nevertheless.
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
                // Somebody changed the type meanwhile: it is looked at again, at once.
                Err(CommitError::Conflict) => self.jobs.wake(),
                Err(CommitError::Failed(error)) => result = Err(error),
            }
        }
        result
    }

    /// Seals what a former change of the type left in the open, if there is any: not before that
    /// may its fields change again.
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
            .buffer_unordered(AT_A_TIME);
        let mut result = Ok(());
        while let Some(done) = sealing.next().await {
            match done {
                // One that cannot be read leaves no other in the open.
                Err(CommitError::Failed(error)) => result = Err(error),
                done => done?,
            }
        }
        result?;
        let event =
            self.type_event(None, Action::Change, &stored.value, Some("values sealed".to_owned()));
        self.records().resealed(id, pending, &event).await
    }

    /// The credentials of a type, deleted ones too.
    pub(super) async fn all_of_type(&self, id: TypeId) -> Result<BTreeSet<CredentialId>, Error> {
        let listed = self.records().credentials_of_type(id).await?;
        let deleted = self.records().gone_of_type(id).await?;
        // Read twice: what is restored meanwhile stands in neither list before, or in both.
        let again = self.records().credentials_of_type(id).await?;
        Ok(listed.into_iter().chain(again).map(|(_, id)| id).chain(deleted).collect())
    }

    /// Seals the values of one credential that are still in the open.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when the type is not `of` any more.
    pub(super) async fn reseal_one(
        &self,
        id: CredentialId,
        of: &Versioned<CredentialType>,
    ) -> Result<(), CommitError> {
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.records().credential(id).await? else { return Ok(()) };
            let before = &stored.value;
            if before.of != of.value.id || !before.lags(&of.value) {
                return Ok(());
            }
            let Some(mut sealed) = self.records().sealed_values(&stored).await? else { continue };
            let mut plain = before.plain.clone();
            for (field, value) in lagging(&of.value.fields, &before.plain) {
                let value_id =
                    sealed.get(&field.id).map_or_else(|| self.new_value_id(), |old| old.id);
                let envelope = self.records().seal_value(id, &field.id, value_id, value).await?;
                sealed.insert(field.id.clone(), envelope);
                plain.remove(&field.id);
            }
            let after = before.with_values(before.version_seen(&of.value), plain, &sealed);
            let change = CredentialChange {
                before: Some(&stored),
                after: Some(&after),
                values: Some(&sealed),
                of: Some(of),
                ..CredentialChange::default()
            };
            match self.records().commit_credential(&change).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error),
            }
            let now = self.records().type_of_id(of.value.id).await?;
            if now.is_none_or(|now| now.revision != of.revision) {
                return Err(CommitError::Conflict);
            }
        }
        Err(too_contended().into())
    }

    /// Purges what was deleted long enough ago. Not while the clock is in doubt: what is purged is
    /// gone.
    async fn purge_due(&self) -> Result<(), Error> {
        let mut result = Ok(());
        loop {
            if self.ground.is_clock_off() || *self.jobs.stopping.borrow() {
                return result;
            }
            let due = self.records().gone_by(self.ground.clock.now(), PAGE).await?;
            let found = due.len();
            let mut purged = 0;
            for what in due {
                match self.purge(what, None).await {
                    Ok(()) => purged += 1,
                    // One that cannot be read keeps no other waiting.
                    Err(error) => result = Err(error),
                }
            }
            if found < PAGE || purged == 0 {
                return result;
            }
        }
    }

    /// Removes what is deleted, for good.
    pub(super) async fn purge(&self, what: Gone, actor: Option<Actor>) -> Result<(), Error> {
        match what {
            Gone::Credential(id) => self.purge_credential(id, actor).await,
            Gone::Type(id) => self.purge_type(id, actor).await,
        }
    }

    async fn purge_credential(&self, id: CredentialId, actor: Option<Actor>) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let found = self.records().credential(id).await?;
            let Some(stored) = found.filter(|stored| stored.value.deleted.is_some()) else {
                return Ok(());
            };
            let event =
                self.credential_event(actor.clone(), Action::Purge, &stored.value, Vec::new());
            let change = CredentialChange {
                before: Some(&stored),
                events: std::slice::from_ref(&event),
                ..CredentialChange::default()
            };
            match self.records().commit_credential(&change).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    /// A type goes last: until then it says that its credentials are to go.
    async fn purge_type(&self, id: TypeId, actor: Option<Actor>) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.records().type_of_id(id).await? else { return Ok(()) };
            let Some(deleted) = stored.value.deleted else { return Ok(()) };
            if !deleted.purging {
                // From here on nobody restores it; and as its time is over, whoever starts after a
                // crash goes on.
                let purging = Deleted { purging: true, until: deleted.at, ..deleted };
                let of = CredentialType { deleted: Some(purging), ..stored.value.clone() };
                let change =
                    TypeChange { before: Some(&stored), after: Some(&of), ..TypeChange::default() };
                match self.records().commit_type(&change).await {
                    Ok(_) | Err(CommitError::Conflict) => continue,
                    Err(CommitError::Failed(error)) => return Err(error),
                }
            }
            self.purge_credentials_of(id).await?;
            let event = self.type_event(actor.clone(), Action::Purge, &stored.value, None);
            let change =
                TypeChange { before: Some(&stored), event: Some(&event), ..TypeChange::default() };
            match self.records().commit_type(&change).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    async fn purge_credentials_of(&self, id: TypeId) -> Result<(), Error> {
        let listed = self.records().credentials_of_type(id).await?.into_iter().map(|(_, id)| id);
        let deleted = self.records().gone_of_type(id).await?;
        let mut removing = stream::iter(listed.chain(deleted))
            .map(|credential| self.remove_with_type(credential))
            .buffer_unordered(AT_A_TIME);
        let mut result = Ok(());
        while let Some(removed) = removing.next().await {
            // One that cannot be read keeps no other.
            result = removed.and(result);
        }
        result
    }

    async fn remove_with_type(&self, id: CredentialId) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.records().credential(id).await? else { return Ok(()) };
            let change = CredentialChange { before: Some(&stored), ..CredentialChange::default() };
            match self.records().commit_credential(&change).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }
}
