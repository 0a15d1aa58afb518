//! Companies: whom credentials belong to. They come from a directory, and live here: their ids are
//! ours and stay, what the directory drops is marked and kept, and nobody who reads waits for the
//! directory.
//!
//! Start with [`Companies`]. What readers see is a [`CompanyView`]; it is brought up to date by
//! `sync`, which walks the directory (`walk`), works out what changed (`plan`), and writes it in
//! batches.
//!
//! Never here: a decision about who may (that is [`crate::access`]'s), a word of any directory's
//! protocol (that is its plugin's).

mod configurations;
mod listed;
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

/// Where companies come from.
pub enum Source {
    /// A directory that a plugin speaks to. Walked at start, at intervals, and when an operator
    /// asks.
    Directory(Arc<dyn Directory>),
    /// A list in the configuration. What changed in it takes effect at start, before anybody reads.
    ///
    /// It is a directory like any other, and always a complete one: what is no longer in the list
    /// is marked and kept, and a list that shrank by more than a tenth and more than ten waits for
    /// an operator too. A line too many deleted in an editor is not less of an accident than a
    /// filter too narrow in a directory.
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
    /// Companies of `source`, whose directory is left alone for `interval` between two walks.
    /// Nothing runs before [`Companies::start`].
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

    /// Leave for `member` to see the company that `name` stands for.
    ///
    /// # Errors
    /// What [`authorize_company`] says; `Internal` when the store fails.
    pub async fn authorize(
        &self,
        member: &Member,
        name: &str,
    ) -> Result<Grant<FetchCompany>, Error> {
        authorize_company(member, &*self.view().await?, name)
    }

    /// Leave for `member` to see the configurations of the company that `name` stands for.
    ///
    /// # Errors
    /// What [`authorize_configurations`] says; `Internal` when the store fails.
    pub async fn authorize_configurations(
        &self,
        member: &Member,
        name: &str,
    ) -> Result<Grant<FetchConfigurations>, Error> {
        authorize_configurations(member, &*self.view().await?, name)
    }

    /// The company that was granted.
    pub fn fetch(&self, grant: Grant<FetchCompany>) -> Arc<Company> {
        Arc::clone(grant.company())
    }

    /// A page of the companies that `search` finds among those that were granted
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
        Ok(self.view().await?.list(grant.reach(), search, paging))
    }
}
