//! A type of credential, and what its fields were when they were last secure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::field::{Field, ValueType};
use crate::ids::{PluginName, TypeId};
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

impl CredentialType {
    /// The field of that id.
    pub(crate) fn field(&self, id: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.id == id)
    }
}
