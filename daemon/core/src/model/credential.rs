//! A credential of the vault, its secure values apart.

use std::collections::BTreeSet;

use super::credential_type::{CredentialType, Deleted};
use super::values::{self, Plain, Sealed};
use crate::ids::{CompanyId, CredentialId, TypeId};
use crate::time::Timestamp;

/// A credential with its plain values. Which fields have values in envelopes is known; the
/// envelopes are elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) id: CredentialId,
    pub(crate) name: String,
    pub(crate) of: TypeId,
    pub(crate) company: CompanyId,
    /// Grows with every write.
    pub(crate) version: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) deleted: Option<Deleted>,
    pub(crate) plain: Plain,
    pub(crate) sealed_fields: BTreeSet<String>,
    /// Where its values are kept.
    pub(crate) parts: ValueParts,
}

/// Where the values are that do not stand in the record.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ValueParts {
    /// The version that wrote them.
    pub(crate) written: u64,
    pub(crate) plain: u8,
    pub(crate) sealed: u8,
}

impl Credential {
    /// Whether it has plain values of fields that `of` calls secure.
    pub(crate) fn lags(&self, of: &CredentialType) -> bool {
        values::lagging(&of.fields, &self.plain).next().is_some()
    }

    /// The version that readers see. A value that is to be sealed looks sealed already, so the
    /// credential looks like what it will be then.
    pub(crate) fn version_seen(&self, of: &CredentialType) -> u64 {
        self.version + u64::from(self.lags(of))
    }

    /// The fields of `of` that it has secure values of, sealed already or not, in the order of the
    /// definition.
    pub(crate) fn secure_fields(&self, of: &CredentialType) -> Vec<String> {
        let is_there = |id: &String| self.sealed_fields.contains(id) || self.plain.contains_key(id);
        let secure = of.fields.iter().filter(|field| field.secure);
        secure.map(|field| field.id.clone()).filter(is_there).collect()
    }

    /// What becomes of it when these are its values from `version` on.
    pub(crate) fn with_values(&self, version: u64, plain: Plain, sealed: &Sealed) -> Self {
        let sealed_fields = sealed.keys().cloned().collect();
        Self { version, plain, sealed_fields, ..self.clone() }
    }
}
