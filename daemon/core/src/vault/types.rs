//! Types of credentials, and all of them in memory: decoded once, read anew when their epoch says
//! that one changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::field::{Field, ValueType};
use crate::error::Error;
use crate::ids::{PluginName, TypeId};
use crate::ports::store::Revision;
use crate::records::Records;
use crate::records::credential_types::TYPES;
use crate::text::{fold, unique_fold};
use crate::time::Timestamp;

/// A type of credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CredentialType {
    pub(crate) id: TypeId,
    pub(crate) name: String,
    pub(crate) icon: Option<String>,
    /// The permission that its credentials need beyond the usual ones.
    pub(crate) permission_scope: Option<String>,
    /// Which plugin checks its credentials.
    pub(crate) plugin: PluginName,
    /// Whether it exists because of its plugin: then its definition is the plugin's alone.
    pub(crate) declared: bool,
    pub(crate) fields: Vec<Field>,
    /// What was secure once, and is not now. Not kept of a declared type.
    pub(crate) former: Vec<Former>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// Secure fields that somebody wants to make plain or to have judged otherwise, and looks for
    /// values of. Whoever seals such a value takes the mark away first, and then the field stays as
    /// it is.
    pub(crate) closing: Vec<String>,
    pub(crate) deleted: Option<Deleted>,
}

/// What a field was when it was last secure: its values may still be there, and are judged by
/// nothing else when it is secure again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Former {
    /// A digest of its id: there may be hundreds, and the record of a type has an end.
    pub(crate) id: String,
    pub(crate) value_type: ValueType,
    /// The digest of its choices, if it had some.
    pub(crate) choices: Option<String>,
}

impl Former {
    pub(crate) fn of(field: &Field) -> Self {
        // No choice has a line's end in it.
        let choices = (!field.choices.is_empty()).then(|| digest(32, &field.choices.join("\n")));
        Self { id: digest(12, &field.id), value_type: field.value_type, choices }
    }
}

fn digest(bytes: usize, text: &str) -> String {
    STANDARD_NO_PAD.encode(Sha256::digest(text).iter().copied().take(bytes).collect::<Vec<u8>>())
}

/// Since when something is deleted, and how long it can be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deleted {
    pub(crate) at: Timestamp,
    pub(crate) until: Timestamp,
    /// Whether its removal has begun: it cannot be restored any more.
    pub(crate) purging: bool,
}

/// A type as it was read, and when it was written.
#[derive(Debug, Clone)]
pub(crate) struct StoredType {
    pub(crate) of: CredentialType,
    pub(crate) revision: Revision,
}

impl CredentialType {
    /// The field of that id.
    pub(crate) fn field(&self, id: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.id == id)
    }
}

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
    types: HashMap<TypeId, Arc<StoredType>>,
    by_name: HashMap<String, TypeId>,
    /// By name ignoring case, then id.
    sorted: Vec<Arc<StoredType>>,
    deleted: Vec<Arc<StoredType>>,
}

impl Projection {
    fn new(epoch: Option<Revision>, all: Vec<StoredType>) -> Self {
        let all = all.into_iter().map(Arc::new);
        let (deleted, live): (Vec<_>, Vec<_>) = all.partition(|stored| stored.of.deleted.is_some());
        let types = live.iter().map(|stored| (stored.of.id, Arc::clone(stored))).collect();
        let by_name =
            live.iter().map(|stored| (unique_fold(&stored.of.name), stored.of.id)).collect();
        let ordered: BTreeMap<_, _> = live
            .into_iter()
            .map(|stored| ((fold(&stored.of.name), stored.of.id), stored))
            .collect();
        Self { epoch, types, by_name, sorted: ordered.into_values().collect(), deleted }
    }

    /// The type of that id, unless it is deleted.
    pub(crate) fn by_id(&self, id: TypeId) -> Option<&Arc<StoredType>> {
        self.types.get(&id)
    }

    /// The type that `identifier` names: by its id, or by its name ignoring case.
    pub(crate) fn resolve(&self, identifier: &str) -> Option<&Arc<StoredType>> {
        let by_id = TypeId::parse(identifier).ok().and_then(|id| self.by_id(id));
        by_id.or_else(|| self.by_name(identifier))
    }

    /// The type of that name, ignoring case.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<StoredType>> {
        self.by_name.get(&unique_fold(name.trim())).and_then(|id| self.by_id(*id))
    }

    /// All of them, by name ignoring case, then id.
    pub(crate) fn sorted(&self) -> &[Arc<StoredType>] {
        &self.sorted
    }

    /// Those that can still be restored, or are being purged.
    pub(crate) fn deleted(&self) -> &[Arc<StoredType>] {
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
