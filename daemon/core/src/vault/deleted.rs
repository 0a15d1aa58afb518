//! What was deleted and can still be restored: for operators.

use std::sync::Arc;

pub use crate::model::credential_type::DeletedId;

use super::Vault;
use crate::access::{Grant, Operate};
use crate::error::{Error, Kind};
use crate::ground::retry;
use crate::ids::{CompanyId, CredentialId, TypeId};
use crate::model::credential::Credential;
use crate::model::credential_type::{CredentialType, Deleted};
use crate::ports::audit::Action;
use crate::ports::store::Versioned;
use crate::records::CommitError;
use crate::records::credential_types::TypeChange;
use crate::records::credentials::CredentialChange;
use crate::time::Timestamp;

/// A type or credential that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedView {
    /// Its id.
    pub id: DeletedId,
    /// Its name.
    pub name: String,
    /// The company of a credential.
    pub company: Option<CompanyId>,
    /// How many credentials were deleted together with a type.
    pub credentials: u64,
    /// When it was deleted.
    pub since: Timestamp,
    /// Until when it can be restored; from then on it is removed.
    pub until: Timestamp,
}

impl Vault {
    /// Everything that was deleted and can be restored, in the order in which it will be removed.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn deleted(&self, _grant: Grant<Operate>) -> Result<Vec<DeletedView>, Error> {
        let types = self.types().await?;
        let mut views = Vec::new();
        for (_, id) in self.records().deleted().await? {
            match id {
                DeletedId::Type(id) => {
                    let stored = types.deleted().iter().find(|stored| stored.value.id == id);
                    let found = stored
                        .and_then(|stored| Some((stored, self.in_window(stored.value.deleted)?)));
                    if let Some((stored, deleted)) = found {
                        views.push(self.view_of_type(stored, deleted).await?);
                    }
                }
                DeletedId::Credential(id) => {
                    let stored = self.records().credential(id).await?;
                    let view = |stored: Versioned<Credential>| {
                        let deleted = self.in_window(stored.value.deleted)?;
                        Some(view_of_credential(&stored.value, deleted))
                    };
                    views.extend(stored.and_then(view));
                }
            }
        }
        Ok(views)
    }

    /// `deleted`, unless its window is over: then it counts as removed, even if the removal has not
    /// run yet.
    fn in_window(&self, deleted: Option<Deleted>) -> Option<Deleted> {
        deleted.filter(|deleted| self.ground.clock.now() < deleted.until)
    }

    async fn view_of_type(
        &self,
        stored: &Arc<Versioned<CredentialType>>,
        deleted: Deleted,
    ) -> Result<DeletedView, Error> {
        Ok(DeletedView {
            id: DeletedId::Type(stored.value.id),
            name: stored.value.name.clone(),
            company: None,
            credentials: self.counts.current(self.records(), stored.value.id).await?.total(),
            since: deleted.at,
            until: deleted.until,
        })
    }

    /// Restores what has the id `id`: a credential, or a type with the credentials that were
    /// deleted together with it.
    ///
    /// # Errors
    /// `NotFound` when nothing deleted has that id, or its window is over; `Conflict` when its
    /// removal has begun, its name is taken, or its type is deleted; `Internal` when the store
    /// fails.
    pub async fn restore(&self, grant: Grant<Operate>, id: &str) -> Result<DeletedId, Error> {
        let found = self.find_deleted(id).await?;
        match found {
            DeletedId::Type(id) => retry(|| self.try_restore_type(&grant, id)).await?,
            DeletedId::Credential(id) => {
                retry(|| self.try_restore_credential(&grant, id)).await?;
            }
        }
        Ok(found)
    }

    /// Removes what has the id `id` for good, before its window is over.
    ///
    /// # Errors
    /// `NotFound` when nothing deleted has that id; `Internal` when the store fails.
    pub async fn purge_now(&self, grant: Grant<Operate>, id: &str) -> Result<DeletedId, Error> {
        let found = self.find_deleted(id).await?;
        self.purge(found, Some(grant.actor())).await.map(|()| found)
    }

    async fn find_deleted(&self, id: &str) -> Result<DeletedId, Error> {
        if let Ok(id) = TypeId::parse(id) {
            let stored = self.records().type_of_id(id).await?;
            if stored.is_some_and(|stored| stored.value.deleted.is_some()) {
                return Ok(DeletedId::Type(id));
            }
        }
        if let Ok(id) = CredentialId::parse(id) {
            let stored = self.records().credential(id).await?;
            if stored.is_some_and(|stored| stored.value.deleted.is_some()) {
                return Ok(DeletedId::Credential(id));
            }
        }
        Err(nothing_deleted())
    }

    async fn try_restore_type(
        &self,
        grant: &Grant<Operate>,
        id: TypeId,
    ) -> Result<(), CommitError> {
        let stored = self.records().type_of_id(id).await?.ok_or_else(nothing_deleted)?;
        self.check_restorable(&stored.value).await?;
        let restored = CredentialType { deleted: None, ..stored.value.clone() };
        let event = self.type_event(Some(grant.actor()), Action::Restore, &restored, None);
        let change = TypeChange {
            before: Some(&stored),
            after: Some(&restored),
            event: Some(&event),
            ..TypeChange::default()
        };
        self.records().commit_type(&change).await.map(drop)
    }

    async fn check_restorable(&self, credential_type: &CredentialType) -> Result<(), Error> {
        let deleted = credential_type.deleted.ok_or_else(nothing_deleted)?;
        if deleted.purging {
            return Err(Error::new(Kind::Conflict, "It is being removed already."));
        }
        self.in_window(Some(deleted)).ok_or_else(nothing_deleted)?;
        match self.types().await?.by_name(&credential_type.name) {
            None => Ok(()),
            Some(_) => Err(Error::new(
                Kind::Conflict,
                "Another type has its name now: call that one something else first.",
            )),
        }
    }

    async fn try_restore_credential(
        &self,
        grant: &Grant<Operate>,
        id: CredentialId,
    ) -> Result<(), CommitError> {
        let stored = self.records().credential(id).await?;
        let is_deleted =
            |stored: &Versioned<Credential>| self.in_window(stored.value.deleted).is_some();
        let stored = stored.filter(is_deleted).ok_or_else(nothing_deleted)?;
        let types = self.types().await?;
        let credential_type = types.by_id(stored.value.type_id).ok_or_else(|| {
            Error::new(Kind::Conflict, "Its type is deleted: restore that first.")
        })?;
        let version = stored.value.visible_version(&credential_type.value) + 1;
        let restored = Credential { deleted: None, version, ..stored.value.clone() };
        let event =
            self.credential_event(Some(grant.actor()), Action::Restore, &restored, Vec::new());
        let change = CredentialChange {
            before: Some(&stored),
            after: Some(&restored),
            credential_type: Some(credential_type),
            events: &[event],
            ..CredentialChange::default()
        };
        self.records().commit_credential(&change).await?;
        // A job that went through the type's credentials at this moment may have missed this one in
        // both of its lists.
        self.seal_restored(id, credential_type).await.map_err(CommitError::Failed)
    }

    async fn seal_restored(
        &self,
        id: CredentialId,
        credential_type: &Versioned<CredentialType>,
    ) -> Result<(), Error> {
        match self.reseal_one(id, credential_type).await {
            // The type changed again: that change goes through its credentials again.
            Ok(()) | Err(CommitError::Conflict) => Ok(()),
            Err(CommitError::Failed(error)) => Err(error),
        }
    }
}

fn view_of_credential(credential: &Credential, deleted: Deleted) -> DeletedView {
    DeletedView {
        id: DeletedId::Credential(credential.id),
        name: credential.name.clone(),
        company: Some(credential.company),
        credentials: 0,
        since: deleted.at,
        until: deleted.until,
    }
}

fn nothing_deleted() -> Error {
    Error::new(Kind::NotFound, "Nothing deleted has that id.")
}
