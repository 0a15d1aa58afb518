//! Companies, the owners of credentials. They come from a directory and are stored here: their ids
//! are ours and never change, a company that the directory drops is marked and kept, and no reader
//! waits for the directory.
//!
//! Start with `Companies`. Readers get a `CompanyView`; `sync` updates the records: it walks
//! the directory (`walk`), computes the changes (`plan`), and writes them in batches.
//!
//! Never here: an access decision (see [`crate::access`]), the protocol of a directory (see its
//! plugin).

mod configurations;
mod failure;
mod listing;
mod plan;
mod search;
mod sync;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::Arc;
use std::time::Duration;

pub use configurations::Configurations;
pub use listing::Unusable;
pub use plan::Counts;
pub use sync::Synchronised;

use crate::model::companies::{CompanyView, Entry};
use crate::model::company::Company;
use sync::Synchroniser;

use crate::access::{
    FetchCompany, FetchConfigurations, Grant, ListCompanies, authorize_company,
    authorize_configurations,
};
use crate::caller::Member;
use crate::error::Error;
use crate::ground::Ground;
use crate::paging::{Page, Paging};
use crate::ports::directory::{Directory, DirectoryCompany};
use crate::records::{COMPANIES, Projection};

/// The source of the companies.
pub enum Source {
    /// A directory behind a plugin. Walked at start, at intervals, and at an operator's command.
    Directory(Arc<dyn Directory>),
    /// A list in the configuration. Its changes take effect at start, before any reader.
    ///
    /// It is treated like a directory that is always complete: a company that is no longer in the
    /// list is marked and kept, and a list that shrank by more than a tenth and more than ten waits
    /// for an operator. Lines deleted by accident in an editor do as much harm as a filter that is
    /// too narrow in a directory.
    Listed(Vec<DirectoryCompany>),
}

/// The companies of the vault.
pub struct Companies {
    ground: Arc<Ground>,
    source: Source,
    interval: Duration,
    current: Projection<CompanyView>,
    synchroniser: Synchroniser,
}

impl Companies {
    /// Companies of `source`, with a pause of `interval` between two walks. No task runs before
    /// [`Companies::start`].
    pub fn new(ground: Arc<Ground>, source: Source, interval: Duration) -> Arc<Self> {
        Arc::new(Self {
            ground,
            source,
            interval,
            current: Projection::default(),
            synchroniser: Synchroniser::default(),
        })
    }

    /// All companies as they are now. One look at the store tells whether they changed; what did
    /// not is not read again.
    ///
    /// # Errors
    /// `Internal` when the store fails, or a record cannot be read.
    pub async fn view(&self) -> Result<Arc<CompanyView>, Error> {
        let records = &self.ground.records;
        let read = |epoch, last: Option<Arc<CompanyView>>| async move {
            let known = |id, revision| last.as_ref()?.unchanged(id, revision);
            let make = |company, revision| Arc::new(Entry::new(company, revision));
            Ok(CompanyView::new(epoch, records.companies(known, make).await?))
        };
        self.current.current(records, COMPANIES, read).await
    }

    /// Authorizes `member` to read the company that `name` resolves to.
    ///
    /// # Errors
    /// Those of [`authorize_company`]; `Internal` when the store fails.
    pub async fn authorize(
        &self,
        member: &Member,
        name: &str,
    ) -> Result<Grant<FetchCompany>, Error> {
        authorize_company(member, &*self.view().await?, name)
    }

    /// Authorizes `member` to fetch the configurations of the company that `name` resolves to.
    ///
    /// # Errors
    /// Those of [`authorize_configurations`]; `Internal` when the store fails.
    pub async fn authorize_configurations(
        &self,
        member: &Member,
        name: &str,
    ) -> Result<Grant<FetchConfigurations>, Error> {
        authorize_configurations(member, &*self.view().await?, name)
    }

    /// The company of the grant.
    pub fn fetch(&self, grant: Grant<FetchCompany>) -> Arc<Company> {
        Arc::clone(grant.company())
    }

    /// A page of the companies that the grant covers that `search` matches
    /// (`CompanyView::list`).
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn list(
        &self,
        grant: Grant<ListCompanies>,
        search: &str,
        paging: Paging,
    ) -> Result<Page<Arc<Company>>, Error> {
        Ok(self.view().await?.list(grant.coverage(), search, paging))
    }
}
