//! The company vault: types of credentials, and credentials with secure fields.
//!
//! Start with [`Vault`]. Who may do what, [`crate::access`] answers with a grant that the use-case
//! takes; for one credential [`Vault::authorize`] asks there, and gives the credential as it was
//! judged. Types are data on plugins: `type_writes` makes and changes them, `normalise` has a
//! plugin check the values of one credential, `writes` keeps them, `reveal` hands secure ones out,
//! `jobs` does what a change left to do, [`deleted`] is what operators can bring back.
//!
//! Never here: a key of the store or a byte of a record (they are `records`'), a secure value in an
//! error, a log line or an event.

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
use crate::ids::{CredentialId, PluginName};
use crate::limits::KeyedLocks;
use crate::ports::types::TypePlugins;
use crate::records::credential_types::TYPES;
use crate::records::{Projection, Records};

use credentials::{CredentialView, Loaded};
use jobs::Jobs;
use types::CredentialTypes;
use types::counts::CountsByType;

/// How often a change is tried against others that are faster. Each time somebody's change got
/// through.
const ATTEMPTS: u32 = 64;
/// Credentials of a list that are read at a time.
const READ_AT_A_TIME: usize = 32;

/// What the vault does by itself, and when.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long what was deleted can be restored.
    pub undelete_window: Duration,
    /// The plugin of types that name none.
    pub default_plugin: PluginName,
    /// How often due work is looked for when nothing calls for it.
    pub sweep_every: Duration,
}

/// The vault. Cheap to share; everything in it is behind the `Arc` that [`Vault::new`] gives.
pub struct Vault {
    ground: Arc<Ground>,
    plugins: Arc<dyn TypePlugins>,
    companies: Arc<Companies>,
    options: Options,
    types: Projection<CredentialTypes>,
    counts: CountsByType,
    /// Changes of one credential queue here, rather than have a plugin check values in vain.
    queue: KeyedLocks<CredentialId>,
    jobs: Jobs,
}

/// Leave to do `K` at one credential, and the credential as it was judged.
#[derive(Debug)]
#[must_use]
pub struct Admitted<K> {
    grant: Grant<AtCredential<K>>,
    loaded: Loaded,
}

impl<K> Admitted<K> {
    /// The credential.
    pub fn view(&self) -> CredentialView {
        self.loaded.view()
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
            queue: KeyedLocks::new(),
            jobs: Jobs::default(),
        })
    }

    /// Leave for `member` to do `K` at the credential `id`.
    ///
    /// # Errors
    /// `Forbidden` when a permission is missing, does not reach the credential's company, or the
    /// scope of its type is not held; `NotFound` when there is none; `Internal` when the store
    /// fails. Whoever lacks a permission altogether does not learn what there is.
    pub async fn authorize<K: AtOne>(
        &self,
        member: &Member,
        id: CredentialId,
    ) -> Result<Admitted<K>, Error> {
        member.rights().require(K::PERMISSIONS)?;
        // First: what it is judged by is no older than what is in it. Else whoever loses a scope
        // could still get what came after that.
        let stored = self.records().credential(id).await?.ok_or_else(no_such_credential)?;
        let types = self.types().await?;
        let companies = self.companies.view().await?;
        let credential = &stored.value;
        let of = types.by_id(credential.of).filter(|_| credential.deleted.is_none());
        let of = Arc::clone(of.ok_or_else(no_such_credential)?);
        let company = companies.by_id(credential.company).map(Arc::clone);
        let company = company
            .ok_or_else(|| Error::internal(format!("the company of credential {id} is gone")))?;
        let place = (id, &*company, of.value.permission_scope.as_deref());
        let grant = authorize_credential(member, &companies, place)?;
        Ok(Admitted { grant, loaded: Loaded { stored, of, company } })
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

/// What a write expects of the credential's version, if anything.
fn check_version(expected: Option<&[u64]>, loaded: &Loaded) -> Result<(), Error> {
    let version = loaded.stored.value.version_seen(&loaded.of.value);
    match expected {
        Some(versions) if !versions.contains(&version) => {
            Err(Error::new(Kind::Stale, "The credential was changed meanwhile."))
        }
        _ => Ok(()),
    }
}

fn no_such_type() -> Error {
    Error::new(Kind::NotFound, "There is no such type.")
}

fn no_such_credential() -> Error {
    Error::new(Kind::NotFound, "There is no such credential.")
}
