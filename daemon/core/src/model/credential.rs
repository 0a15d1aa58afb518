//! A credential of the vault, without its secure values.

use std::collections::BTreeSet;

use super::credential_type::{CredentialType, Deleted};
use super::values::{self, Plain, Sealed};
use crate::ids::{CompanyId, CredentialId, TypeId};
use crate::time::Timestamp;

/// A credential with its plain values. It names the fields that have sealed values; their envelopes
/// are stored apart.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) id: CredentialId,
    pub(crate) name: String,
    pub(crate) type_id: TypeId,
    pub(crate) company: CompanyId,
    /// Grows with every write.
    pub(crate) version: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) deleted: Option<Deleted>,
    pub(crate) plain: Plain,
    pub(crate) sealed_fields: BTreeSet<String>,
    /// Where its values are stored.
    pub(crate) parts: ValueParts,
}

/// Where the values are stored that are not in the record.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ValueParts {
    /// The version that wrote them.
    pub(crate) written: u64,
    pub(crate) plain: u8,
    pub(crate) sealed: u8,
}

impl Credential {
    /// Whether it has plain values of fields that are secure in `credential_type`.
    pub(crate) fn has_unsealed(&self, credential_type: &CredentialType) -> bool {
        values::unsealed(&credential_type.fields, &self.plain).next().is_some()
    }

    /// The version that clients see. They see an unsealed value as if it were sealed already, so
    /// they see the version that the credential will have then.
    pub(crate) fn visible_version(&self, credential_type: &CredentialType) -> u64 {
        self.version + u64::from(self.has_unsealed(credential_type))
    }

    /// The secure fields of `credential_type` that it has values of, sealed already or not, in the
    /// order of the definition.
    pub(crate) fn secure_fields(&self, credential_type: &CredentialType) -> Vec<String> {
        let has_value =
            |id: &String| self.sealed_fields.contains(id) || self.plain.contains_key(id);
        let secure = credential_type.fields.iter().filter(|field| field.secure);
        secure.map(|field| field.id.clone()).filter(has_value).collect()
    }

    /// The credential with these values, at `version`.
    pub(crate) fn with_values(&self, version: u64, plain: Plain, sealed: &Sealed) -> Self {
        let sealed_fields = sealed.keys().cloned().collect();
        Self { version, plain, sealed_fields, ..self.clone() }
    }
}
