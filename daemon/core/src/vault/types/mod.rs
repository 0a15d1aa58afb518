//! Types of credentials, and all of them in memory: decoded once, read anew when their epoch says
//! that one changed.

mod changes;
pub(crate) mod counts;
mod declared;
pub(crate) mod definition;
mod reads;
mod writes;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::field::Field;
use crate::ids::{PluginName, TypeId};
use crate::model::credential_type::CredentialType;
use crate::ports::store::Versioned;
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
pub(crate) struct CredentialTypes {
    types: HashMap<TypeId, Arc<Versioned<CredentialType>>>,
    by_name: HashMap<String, TypeId>,
    /// By name ignoring case, then id.
    sorted: Vec<Arc<Versioned<CredentialType>>>,
    deleted: Vec<Arc<Versioned<CredentialType>>>,
}

impl CredentialTypes {
    pub(in crate::vault) fn new(all: Vec<Versioned<CredentialType>>) -> Self {
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
        Self { types, by_name, sorted: ordered.into_values().collect(), deleted }
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
