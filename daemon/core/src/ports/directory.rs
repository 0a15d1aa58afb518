//! The directory of companies, which a plugin speaks to.

use async_trait::async_trait;

use crate::ports::plugins::CallFailure;

/// A company as the directory has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryCompany {
    /// The directory's own id, which identifies the company.
    pub id: String,
    /// Its short name.
    pub identifier: String,
    /// Its name.
    pub name: String,
}

/// Part of a walk over all companies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryPage {
    /// The companies of this part.
    pub companies: Vec<DirectoryCompany>,
    /// The cursor of the next part; `None`: this is the last one.
    pub next: Option<String>,
}

/// A directory of companies.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// The part that begins at `cursor`, `None` being the first. A refusal with `retry_after`
    /// means: the same cursor again, later.
    ///
    /// # Errors
    /// See [`CallFailure`].
    async fn companies(&self, cursor: Option<&str>) -> Result<DirectoryPage, CallFailure>;

    /// The directory's configurations of a company, as JSON text.
    ///
    /// # Errors
    /// See [`CallFailure`].
    async fn configurations(&self, company: &str) -> Result<String, CallFailure>;
}
