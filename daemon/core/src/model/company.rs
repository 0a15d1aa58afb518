//! A company, whom credentials of the vault belong to.

use crate::ids::CompanyId;
use crate::time::Timestamp;

/// A company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// Ours, and the same for ever.
    pub id: CompanyId,
    /// The directory's: what the company is recognised by.
    pub directory_id: String,
    /// Its short name in the directory; empty when it has none.
    pub identifier: String,
    /// Its name.
    pub name: String,
    /// Since when the directory no longer has it.
    pub missing_since: Option<Timestamp>,
}
