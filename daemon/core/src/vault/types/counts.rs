//! How many credentials a type has, company by company: counted from the index, and again only when
//! the epoch of the type's credentials says that one was created, deleted or restored.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Error;
use crate::ids::{CompanyId, TypeId};
use crate::ports::store::Revision;
use crate::records::{Projection, Records, credentials_space};

/// Credentials of one type by company, at one time.
#[derive(Debug)]
pub(in crate::vault) struct Counts {
    pub(super) epoch: Option<Revision>,
    pub(super) by_company: BTreeMap<CompanyId, u64>,
}

/// The counts of each type, as far as they were counted.
#[derive(Debug, Default)]
pub(in crate::vault) struct CountsByType(Mutex<HashMap<TypeId, Arc<Projection<Counts>>>>);

impl CountsByType {
    /// The credentials of the type of that id, as of now.
    pub(in crate::vault) async fn current(
        &self,
        records: &Records,
        id: TypeId,
    ) -> Result<Arc<Counts>, Error> {
        let projection = Arc::clone(self.0.lock().entry(id).or_default());
        let read = |epoch, _| async move { count(records, id, epoch).await };
        projection.current(records, &credentials_space(id), read).await
    }

    /// Forgets the types that `exists` is false for.
    pub(in crate::vault) fn retain(&self, exists: impl Fn(TypeId) -> bool) {
        self.0.lock().retain(|id, _| exists(*id));
    }
}

async fn count(records: &Records, id: TypeId, epoch: Option<Revision>) -> Result<Counts, Error> {
    let mut by_company = BTreeMap::new();
    for (company, _) in records.credentials_of_type(id).await? {
        *by_company.entry(company).or_insert(0) += 1;
    }
    Ok(Counts { epoch, by_company })
}

impl Counts {
    /// All companies together.
    pub(in crate::vault) fn total(&self) -> u64 {
        self.by_company.values().sum()
    }
}
