//! A type of credential, and its former secure fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::field::{Field, ValueType};
use crate::ids::{CredentialId, PluginName, TypeId};
use crate::time::Timestamp;

/// A type of credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CredentialType {
    pub(crate) id: TypeId,
    pub(crate) name: String,
    pub(crate) icon: Option<String>,
    /// The permission that its credentials need beyond the usual ones.
    pub(crate) permission_scope: Option<String>,
    /// The plugin that checks its credentials.
    pub(crate) plugin: PluginName,
    /// Whether its plugin declares it: then only the plugin changes its definition.
    pub(crate) declared: bool,
    pub(crate) fields: Vec<Field>,
    /// Fields that were secure once, and are not now. Empty for a declared type.
    pub(crate) former: Vec<FormerField>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// Secure fields that a change under way wants to make plain, or to check against something
    /// else. It searches for values of them meanwhile. A writer that seals such a value empties
    /// this list first; then the change fails.
    pub(crate) closing: Vec<String>,
    pub(crate) deleted: Option<Deleted>,
}

/// What a field was when it was last secure. Its values may still exist, and must be checked
/// against the same when the field is secure again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormerField {
    /// A digest of its id: there may be hundreds, and the length of a type's record is bounded.
    pub(crate) id: String,
    pub(crate) value_type: ValueType,
    /// The digest of its choices, if it had some.
    pub(crate) choices: Option<String>,
}

impl FormerField {
    pub(crate) fn from_field(field: &Field) -> Self {
        // No choice contains a line break.
        let choices = (!field.choices.is_empty()).then(|| digest(32, &field.choices.join("\n")));
        Self { id: digest(12, &field.id), value_type: field.value_type, choices }
    }
}

fn digest(bytes: usize, text: &str) -> String {
    STANDARD_NO_PAD.encode(Sha256::digest(text).iter().copied().take(bytes).collect::<Vec<u8>>())
}

/// When a type or credential was deleted, and until when it can be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deleted {
    pub(crate) at: Timestamp,
    pub(crate) until: Timestamp,
    /// Whether its removal has begun: it cannot be restored any more.
    pub(crate) purging: bool,
}

/// The id of what was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletedId {
    /// A type, and its credentials with it.
    Type(TypeId),
    /// A single credential.
    Credential(CredentialId),
}

impl CredentialType {
    /// The field of that id.
    pub(crate) fn field(&self, id: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.id == id)
    }
}
