//! Types of credentials: what fields a credential has, which plugin checks it, and the permission
//! that it needs.
//!
//! Start with `writes` (create, change, delete). `definition` checks what a request wants,
//! `changes` works out what a change of fields requires, `declared` keeps the types that plugins
//! declare, `reads` and `counts` answer requests. All types are in memory (`CredentialTypes`),
//! decoded once, and read again when their epoch has moved.
//!
//! Never here: a value of a credential. A change of a type decrypts nothing.

mod changes;
mod counts;
mod declared;
mod definition;
mod reads;
mod writes;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(super) use counts::CountsByType;
pub(super) use definition::parse_name;

use crate::field::Field;
use crate::ids::{PluginName, TypeId};
use crate::model::credential_type::CredentialType;
use crate::ports::store::Versioned;
use crate::text::{fold, unique_fold};
use crate::time::Timestamp;

/// A type as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeView {
    /// Its id.
    pub id: TypeId,
    /// Its name.
    pub name: String,
    /// URL of its picture.
    pub icon: Option<String>,
    /// The permission that its credentials need beyond the usual ones.
    pub permission_scope: Option<String>,
    /// The plugin that checks its credentials.
    pub plugin: PluginName,
    /// Its fields, in the order of the definition.
    pub fields: Vec<Field>,
    /// How many credentials of it the caller may see.
    pub credential_count: u64,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl TypeView {
    fn new(credential_type: &CredentialType, credential_count: u64) -> Self {
        Self {
            id: credential_type.id,
            name: credential_type.name.clone(),
            icon: credential_type.icon.clone(),
            permission_scope: credential_type.permission_scope.clone(),
            plugin: credential_type.plugin.clone(),
            fields: credential_type.fields.clone(),
            credential_count,
            created: credential_type.created,
            updated: credential_type.updated,
        }
    }
}

/// All types at one time.
#[derive(Debug)]
pub(super) struct CredentialTypes {
    by_id: HashMap<TypeId, Arc<Versioned<CredentialType>>>,
    by_name: HashMap<String, TypeId>,
    /// By name ignoring case, then id.
    sorted: Vec<Arc<Versioned<CredentialType>>>,
    deleted: Vec<Arc<Versioned<CredentialType>>>,
}

impl CredentialTypes {
    pub(super) fn new(all: Vec<Versioned<CredentialType>>) -> Self {
        let all = all.into_iter().map(Arc::new);
        let (deleted, live): (Vec<_>, Vec<_>) =
            all.partition(|stored| stored.value.deleted.is_some());
        let by_id = live.iter().map(|stored| (stored.value.id, Arc::clone(stored))).collect();
        let by_name =
            live.iter().map(|stored| (unique_fold(&stored.value.name), stored.value.id)).collect();
        let ordered: BTreeMap<_, _> = live
            .into_iter()
            .map(|stored| ((fold(&stored.value.name), stored.value.id), stored))
            .collect();
        Self { by_id, by_name, sorted: ordered.into_values().collect(), deleted }
    }

    /// The type of that id, unless it is deleted.
    pub(super) fn by_id(&self, id: TypeId) -> Option<&Arc<Versioned<CredentialType>>> {
        self.by_id.get(&id)
    }

    /// The type that `identifier` names: by its id, or by its name ignoring case.
    fn resolve(&self, identifier: &str) -> Option<&Arc<Versioned<CredentialType>>> {
        let by_id = TypeId::parse(identifier).ok().and_then(|id| self.by_id(id));
        by_id.or_else(|| self.by_name(identifier))
    }

    /// The type of that name, ignoring case.
    pub(super) fn by_name(&self, name: &str) -> Option<&Arc<Versioned<CredentialType>>> {
        self.by_name.get(&unique_fold(name.trim())).and_then(|id| self.by_id(*id))
    }

    /// All types that are not deleted, by name ignoring case, then id.
    fn sorted(&self) -> &[Arc<Versioned<CredentialType>>] {
        &self.sorted
    }

    /// The types that can still be restored, or are being purged.
    pub(super) fn deleted(&self) -> &[Arc<Versioned<CredentialType>>] {
        &self.deleted
    }
}
