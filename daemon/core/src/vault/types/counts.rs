//! How many credentials a type has, company by company: counted from the index, and again only when
//! the type's epoch says that one came or went.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::ids::{CompanyId, TypeId};
use crate::ports::store::Revision;
use crate::records::Records;
use crate::records::credentials::epoch_of;

/// Credentials of one type by company, at one time.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(crate) epoch: Option<Revision>,
    pub(crate) by_company: Arc<BTreeMap<CompanyId, u64>>,
}

/// What was counted so far.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<TypeId, Counted>>);

impl Counts {
    /// The credentials of the type of that id, as of now.
    pub(crate) async fn of(&self, records: &Records, id: TypeId) -> Result<Counted, Error> {
        // The epoch comes first: what comes or goes while the index is read makes the next look
        // count again.
        let epoch = records.epoch(&epoch_of(id)).await?;
        let known = self.known().get(&id).filter(|known| known.epoch == epoch).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut by_company = BTreeMap::new();
        for (company, _) in records.credentials_of_type(id).await? {
            *by_company.entry(company).or_insert(0) += 1;
        }
        let counted = Counted { epoch, by_company: Arc::new(by_company) };
        self.known().insert(id, counted.clone());
        Ok(counted)
    }

    /// Forgets types that there are no more.
    pub(crate) fn keep(&self, is_there: impl Fn(TypeId) -> bool) {
        self.known().retain(|id, _| is_there(*id));
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<TypeId, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// All of them together.
    pub(crate) fn total(&self) -> u64 {
        self.by_company.values().sum()
    }
}
