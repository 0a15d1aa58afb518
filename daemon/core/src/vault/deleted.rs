//! What was deleted and can still be brought back: for operators.

use std::sync::Arc;

use super::{ATTEMPTS, Vault};
use crate::access::{Grant, Operate};
use crate::error::{Error, Kind};
use crate::ground::too_contended;
use crate::ids::{CompanyId, CredentialId, TypeId};
use crate::model::credential::Credential;
use crate::model::credential_type::{CredentialType, Deleted};
use crate::ports::audit::{Action, Actor};
use crate::ports::store::Versioned;
use crate::records::credential_types::TypeChange;
use crate::records::credentials::CredentialChange;
use crate::records::{CommitError, Gone};
use crate::time::Timestamp;

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletedId {
    /// A type, and its credentials with it.
    Type(TypeId),
    /// A credential by itself.
    Credential(CredentialId),
}

/// Something that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedView {
    /// What it is.
    pub id: DeletedId,
    /// What people called it.
    pub name: String,
    /// The company of a credential.
    pub company: Option<CompanyId>,
    /// How many credentials went along with a type.
    pub credentials: u64,
    /// When it was deleted.
    pub since: Timestamp,
    /// Until when it can be restored; from then on it is removed.
    pub until: Timestamp,
}

impl Vault {
    /// Everything that was deleted and can be restored, what has to be removed first, first.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn deleted(&self, _grant: Grant<Operate>) -> Result<Vec<DeletedView>, Error> {
        let types = self.types().await?;
        let mut all = Vec::new();
        for (_, gone) in self.records().gone().await? {
            match gone {
                Gone::Type(id) => {
                    let stored = types.deleted().iter().find(|stored| stored.value.id == id);
                    let found = stored
                        .and_then(|stored| Some((stored, self.in_window(stored.value.deleted)?)));
                    if let Some((stored, deleted)) = found {
                        all.push(self.view_of_type(stored, deleted).await?);
                    }
                }
                Gone::Credential(id) => {
                    let stored = self.records().credential(id).await?;
                    let view = |stored: Versioned<Credential>| {
                        let deleted = self.in_window(stored.value.deleted)?;
                        Some(view_of_credential(&stored.value, deleted))
                    };
                    all.extend(stored.and_then(view));
                }
            }
        }
        Ok(all)
    }

    /// What is past its window is gone, though its removal may wait.
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

    /// Brings back what has the id `id`: a credential, or a type with all that went along.
    ///
    /// # Errors
    /// `NotFound` when nothing deleted has that id, or its window is over; `Conflict` when its
    /// removal has begun, its name is taken, or its type is deleted; `Internal` when the store
    /// fails.
    pub async fn restore(&self, _grant: Grant<Operate>, id: &str) -> Result<DeletedId, Error> {
        match self.find_deleted(id).await? {
            DeletedId::Type(id) => self.restore_type(id).await.map(|()| DeletedId::Type(id)),
            DeletedId::Credential(id) => {
                self.restore_credential(id).await.map(|()| DeletedId::Credential(id))
            }
        }
    }

    /// Removes what has the id `id` for good, before its time.
    ///
    /// # Errors
    /// `NotFound` when nothing deleted has that id; `Internal` when the store fails.
    pub async fn purge_now(&self, _grant: Grant<Operate>, id: &str) -> Result<DeletedId, Error> {
        let found = self.find_deleted(id).await?;
        let what = match found {
            DeletedId::Type(id) => Gone::Type(id),
            DeletedId::Credential(id) => Gone::Credential(id),
        };
        self.purge(what, Some(Actor::Operator)).await.map(|()| found)
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

    async fn restore_type(&self, id: TypeId) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let stored = self.records().type_of_id(id).await?.ok_or_else(nothing_deleted)?;
            let deleted = stored.value.deleted.ok_or_else(nothing_deleted)?;
            if deleted.purging {
                return Err(Error::new(Kind::Conflict, "It is being removed already."));
            }
            self.in_window(Some(deleted)).ok_or_else(nothing_deleted)?;
            let types = self.types().await?;
            if types.by_name(&stored.value.name).is_some() {
                return Err(Error::new(
                    Kind::Conflict,
                    "Another type has its name now: call that one something else first.",
                ));
            }
            let of = CredentialType { deleted: None, ..stored.value.clone() };
            let event = self.type_event(Some(Actor::Operator), Action::Restore, &of, None);
            let change = TypeChange {
                before: Some(&stored),
                after: Some(&of),
                event: Some(&event),
                ..TypeChange::default()
            };
            match self.records().commit_type(&change).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    async fn restore_credential(&self, id: CredentialId) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let stored = self.records().credential(id).await?;
            let is_deleted =
                |stored: &Versioned<Credential>| self.in_window(stored.value.deleted).is_some();
            let stored = stored.filter(is_deleted).ok_or_else(nothing_deleted)?;
            let types = self.types().await?;
            let of = types.by_id(stored.value.of);
            let of = of.ok_or_else(|| {
                Error::new(Kind::Conflict, "Its type is deleted: restore that first.")
            })?;
            let version = stored.value.version_seen(&of.value) + 1;
            let after = Credential { deleted: None, version, ..stored.value.clone() };
            let event =
                self.credential_event(Some(Actor::Operator), Action::Restore, &after, Vec::new());
            let change = CredentialChange {
                before: Some(&stored),
                after: Some(&after),
                of: Some(of),
                events: &[event],
                ..CredentialChange::default()
            };
            match self.records().commit_credential(&change).await {
                // Who looked through the type's credentials just now may have met this one nowhere.
                Ok(_) => return self.seal_restored(id, of).await,
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    async fn seal_restored(
        &self,
        id: CredentialId,
        of: &Versioned<CredentialType>,
    ) -> Result<(), Error> {
        match self.reseal_one(id, of).await {
            // The type changed again, and its credentials are looked through again.
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
