//! Companies, the owners of credentials. They come from a directory and are stored here: their ids
//! are ours and never change, a company that the directory drops is marked and kept, and no reader
//! waits for the directory.
//!
//! Start with [`Companies`]. Readers get a [`CompanyView`]; `sync` updates the records: it walks
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

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use configurations::Configurations;
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
    current: Mutex<Arc<CompanyView>>,
    // Held while a view is read from the store, so that it is read once for all who wait.
    reading: tokio::sync::Mutex<()>,
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
            current: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            synchroniser: Synchroniser::default(),
        })
    }

    /// All companies as they are now. One look at the store tells whether they changed; what did
    /// not is not read again.
    ///
    /// # Errors
    /// `Internal` when the store fails, or a record cannot be read.
    pub async fn view(&self) -> Result<Arc<CompanyView>, Error> {
        if let Some(current) = self.if_current().await? {
            return Ok(current);
        }
        let _one_reader = self.reading.lock().await;
        // Whoever was here before may have read it.
        match self.if_current().await? {
            Some(current) => Ok(current),
            None => self.read_view().await,
        }
    }

    async fn if_current(&self) -> Result<Option<Arc<CompanyView>>, Error> {
        let epoch = self.ground.records.companies_epoch().await?;
        Ok(Some(self.last_view()).filter(|view| view.epoch == epoch))
    }

    /// The epoch is read first: what is written while the records are read moves it, and the next
    /// look reads them again.
    async fn read_view(&self) -> Result<Arc<CompanyView>, Error> {
        let last = self.last_view();
        let epoch = self.ground.records.companies_epoch().await?;
        let known = |id, revision| last.unchanged(id, revision);
        let make = |company, revision| Arc::new(Entry::new(company, revision));
        let view =
            Arc::new(CompanyView::new(epoch, self.ground.records.companies(known, make).await?));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&view);
        Ok(view)
    }

    fn last_view(&self) -> Arc<CompanyView> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
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
    /// ([`CompanyView::list`]).
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
