//! A company: the owner of credentials of the vault.

use crate::ids::CompanyId;
use crate::time::Timestamp;

/// A company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// Our id, which never changes.
    pub id: CompanyId,
    /// The id in the directory, by which a synchronisation recognises the company.
    pub directory_id: String,
    /// Its short name in the directory; empty when it has none.
    pub identifier: String,
    /// Its name.
    pub name: String,
    /// Since when the directory no longer has it.
    pub missing_since: Option<Timestamp>,
}
