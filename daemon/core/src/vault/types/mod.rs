//! Types of credentials, and all of them in memory: decoded once, read anew when their epoch says
//! that one changed.

mod changes;
pub(crate) mod counts;
mod declared;
pub(crate) mod definition;
mod reads;
mod writes;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::Error;
use crate::field::Field;
use crate::ids::{PluginName, TypeId};
use crate::model::credential_type::CredentialType;
use crate::ports::store::Revision;
use crate::ports::store::Versioned;
use crate::records::Records;
use crate::records::credential_types::TYPES;
use crate::text::{fold, unique_fold};
use crate::time::Timestamp;

/// A type as people get to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeView {
    /// Its id.
    pub id: TypeId,
    /// What people call it.
    pub name: String,
    /// URL of its picture.
    pub icon: Option<String>,
    /// The permission that its credentials need beyond the usual ones.
    pub permission_scope: Option<String>,
    /// The plugin that checks its credentials.
    pub plugin: PluginName,
    /// Its fields, in the order of the definition.
    pub fields: Vec<Field>,
    /// How many credentials of it the asker may see.
    pub credential_count: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl TypeView {
    pub(crate) fn of(of: &CredentialType, credential_count: u64) -> Self {
        Self {
            id: of.id,
            name: of.name.clone(),
            icon: of.icon.clone(),
            permission_scope: of.permission_scope.clone(),
            plugin: of.plugin.clone(),
            fields: of.fields.clone(),
            credential_count,
            created: of.created,
            updated: of.updated,
        }
    }
}

/// All types at one time.
#[derive(Debug)]
pub(crate) struct Projection {
    epoch: Option<Revision>,
    types: HashMap<TypeId, Arc<Versioned<CredentialType>>>,
    by_name: HashMap<String, TypeId>,
    /// By name ignoring case, then id.
    sorted: Vec<Arc<Versioned<CredentialType>>>,
    deleted: Vec<Arc<Versioned<CredentialType>>>,
}

impl Projection {
    fn new(epoch: Option<Revision>, all: Vec<Versioned<CredentialType>>) -> Self {
        let all = all.into_iter().map(Arc::new);
        let (deleted, live): (Vec<_>, Vec<_>) =
            all.partition(|stored| stored.value.deleted.is_some());
        let types = live.iter().map(|stored| (stored.value.id, Arc::clone(stored))).collect();
        let by_name =
            live.iter().map(|stored| (unique_fold(&stored.value.name), stored.value.id)).collect();
        let ordered: BTreeMap<_, _> = live
            .into_iter()
            .map(|stored| ((fold(&stored.value.name), stored.value.id), stored))
            .collect();
        Self { epoch, types, by_name, sorted: ordered.into_values().collect(), deleted }
    }

    /// The type of that id, unless it is deleted.
    pub(crate) fn by_id(&self, id: TypeId) -> Option<&Arc<Versioned<CredentialType>>> {
        self.types.get(&id)
    }

    /// The type that `identifier` names: by its id, or by its name ignoring case.
    pub(crate) fn resolve(&self, identifier: &str) -> Option<&Arc<Versioned<CredentialType>>> {
        let by_id = TypeId::parse(identifier).ok().and_then(|id| self.by_id(id));
        by_id.or_else(|| self.by_name(identifier))
    }

    /// The type of that name, ignoring case.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Versioned<CredentialType>>> {
        self.by_name.get(&unique_fold(name.trim())).and_then(|id| self.by_id(*id))
    }

    /// All of them, by name ignoring case, then id.
    pub(crate) fn sorted(&self) -> &[Arc<Versioned<CredentialType>>] {
        &self.sorted
    }

    /// Those that can still be restored, or are being purged.
    pub(crate) fn deleted(&self) -> &[Arc<Versioned<CredentialType>>] {
        &self.deleted
    }
}

/// The types in memory.
#[derive(Debug, Default)]
pub(crate) struct Types {
    known: RwLock<Option<Arc<Projection>>>,
    // Who waits for it finds what the one before has read.
    reading: tokio::sync::Mutex<()>,
}

impl Types {
    /// The types as of now.
    pub(crate) async fn now(&self, records: &Records) -> Result<Arc<Projection>, Error> {
        let epoch = records.epoch(TYPES).await?;
        if let Some(known) = self.known_at(epoch) {
            return Ok(known);
        }
        let _alone = self.reading.lock().await;
        // The epoch comes first: what changes while the types are read makes the next look read
        // them again.
        let epoch = records.epoch(TYPES).await?;
        if let Some(known) = self.known_at(epoch) {
            return Ok(known);
        }
        let read = Arc::new(Projection::new(epoch, records.types().await?));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&read));
        Ok(read)
    }

    fn known_at(&self, epoch: Option<Revision>) -> Option<Arc<Projection>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|known| known.epoch == epoch).map(Arc::clone)
    }
}
