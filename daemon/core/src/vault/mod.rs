//! The company vault: types of credentials, and credentials with secure fields.
//!
//! Start with [`Vault`]. [`Vault::authorize`] judges an action on one credential and returns the
//! credential together with the grant ([`AuthorizedCredential`]); every other action takes a grant
//! that [`crate::access`] made. What is where:
//! - `types`: the types. A type is data; the plugin that checks its credentials is configured.
//! - `credentials`: the credentials and their values.
//! - `computed`: which plugins may fill plain fields.
//! - `draft`: what a request asks for, before it is checked, and the problems found in it.
//! - `jobs`: the work that a change leaves to do in the background.
//! - `deleted`: what operators can restore or purge.
//!
//! Never here: a key of the store or a byte of a record (they are in `records`), a secure value in
//! an error, a log line or an event.

mod computed;
pub mod credentials;
pub mod deleted;
pub mod draft;
mod jobs;
#[cfg(test)]
mod tests;
pub mod types;

use std::sync::Arc;
use std::time::Duration;

use crate::access::vault::{AtOne, authorize_credential};
use crate::access::{AtCredential, Grant};
use crate::caller::Member;
use crate::company::Companies;
use crate::error::{Error, Kind};
use crate::ground::Ground;
use crate::ids::{CredentialId, PluginName, UserId};
use crate::limits::KeyedLocks;
use crate::ports::types::TypePlugins;
use crate::records::credential_types::TYPES;
use crate::records::{Projection, Records};

pub use computed::ComputedPlain;
use credentials::names::Lists;
use credentials::{CredentialSnapshot, CredentialView};
use jobs::Jobs;
use types::{CountsByType, CredentialTypes};

/// Credentials that are read at the same time.
const CONCURRENT_READS: usize = 32;

/// What the vault does in the background, and when.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long what was deleted can be restored.
    pub undelete_window: Duration,
    /// The plugin of types that name none.
    pub default_plugin: PluginName,
    /// The plain fields that plugins may compute.
    pub computed_plain: ComputedPlain,
    /// Whether showing credentials without their secure values is an event, too.
    pub audit_reads: bool,
    /// How often the vault looks for due work when no change wakes it.
    pub sweep_every: Duration,
}

/// The vault. Cheap to share; everything in it is behind the `Arc` that [`Vault::new`] returns.
pub struct Vault {
    ground: Arc<Ground>,
    plugins: Arc<dyn TypePlugins>,
    companies: Arc<Companies>,
    options: Options,
    types: Projection<CredentialTypes>,
    counts: CountsByType,
    lists: Lists,
    /// One list at a time is put together for each user: a page of large credentials is large.
    list_locks: KeyedLocks<UserId>,
    /// Changes of the values of one credential wait for each other here: when two run at once, the
    /// one that loses had the plugin check its values for nothing.
    change_locks: KeyedLocks<CredentialId>,
    jobs: Jobs,
}

/// A credential, and the grant for the action `K` on it.
#[derive(Debug)]
#[must_use]
pub struct AuthorizedCredential<K> {
    grant: Grant<AtCredential<K>>,
    snapshot: CredentialSnapshot,
}

impl<K> AuthorizedCredential<K> {
    /// The credential as it was when the grant was made.
    pub fn view(&self) -> CredentialView {
        self.snapshot.view()
    }
}

impl Vault {
    /// Puts the parts together. Nothing runs before [`Vault::start`].
    pub fn new(
        ground: Arc<Ground>,
        plugins: Arc<dyn TypePlugins>,
        companies: Arc<Companies>,
        options: Options,
    ) -> Arc<Self> {
        Arc::new(Self {
            ground,
            plugins,
            companies,
            options,
            types: Projection::default(),
            counts: CountsByType::default(),
            lists: Lists::default(),
            list_locks: KeyedLocks::new(),
            change_locks: KeyedLocks::new(),
            jobs: Jobs::default(),
        })
    }

    /// Authorizes `member` to do `K` to the credential `id`.
    ///
    /// # Errors
    /// `Forbidden` when a permission is missing, does not reach the credential's company, or the
    /// scope of its type is not held; `NotFound` when there is no such credential; `Internal` when
    /// the store fails. A caller without the permission does not learn which credentials exist.
    pub async fn authorize<K: AtOne>(
        &self,
        member: &Member,
        id: CredentialId,
    ) -> Result<AuthorizedCredential<K>, Error> {
        member.rights().require(K::PERMISSIONS)?;
        // The credential is read before the type: the definition that the caller is judged by is
        // never older than the values. Otherwise a caller who loses a scope could still get values
        // that were written after that.
        let stored = self.records().credential(id).await?.ok_or_else(no_such_credential)?;
        let types = self.types().await?;
        let companies = self.companies.view().await?;
        let credential = &stored.value;
        let credential_type =
            types.by_id(credential.type_id).filter(|_| credential.deleted.is_none());
        let credential_type = Arc::clone(credential_type.ok_or_else(no_such_credential)?);
        let company = companies.by_id(credential.company).map(Arc::clone);
        let company = company
            .ok_or_else(|| Error::internal(format!("the company of credential {id} is gone")))?;
        let place = (id, &*company, credential_type.value.permission_scope.as_deref());
        let grant = authorize_credential(member, &companies, place)?;
        let snapshot = CredentialSnapshot { stored, credential_type, company };
        Ok(AuthorizedCredential { grant, snapshot })
    }

    async fn types(&self) -> Result<Arc<CredentialTypes>, Error> {
        let records = self.records();
        let read = |_, _| async { Ok(CredentialTypes::new(records.types().await?)) };
        self.types.current(records, TYPES, read).await
    }

    fn records(&self) -> &Records {
        &self.ground.records
    }
}

fn no_such_type() -> Error {
    Error::new(Kind::NotFound, "There is no such type.")
}

fn no_such_credential() -> Error {
    Error::new(Kind::NotFound, "There is no such credential.")
}
