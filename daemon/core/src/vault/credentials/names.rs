//! The credentials of a company, and of a type, in the order of lists: kept in memory, so that a
//! page of a list costs its own records and not those of the whole list.
//!
//! Each list is a projection of its own space. When the epoch of the space moves, only the names
//! are read again that were written since. Lists that were not used for long are forgotten when all
//! together become large.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;

use crate::error::Error;
use crate::ids::{CompanyId, CredentialId, TypeId};
use crate::ports::store::Revision;
use crate::records::{Projection, Records, names_of_company_space, names_of_type_space};
use crate::text::fold;
use crate::vault::CONCURRENT_READS;

/// Most names in memory, of all lists together: some hundred megabytes at worst.
const MOST_NAMES: usize = 500_000;
/// An empty list counts as so many names.
const LIST: usize = 16;

/// Of which credentials a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::vault) enum Of {
    Company(CompanyId),
    Type(TypeId),
}

/// One credential in a list.
#[derive(Debug)]
pub(in crate::vault) struct Name {
    /// The name ignoring case.
    folded: Box<str>,
    pub(in crate::vault) id: CredentialId,
    /// The revision of the entry in the index: a later one may have another name.
    revision: Revision,
    pub(in crate::vault) type_id: TypeId,
    pub(in crate::vault) company: CompanyId,
}

/// All credentials of a list, by name ignoring case, then id.
#[derive(Debug)]
pub(in crate::vault) struct Names(pub(in crate::vault) Vec<Arc<Name>>);

/// The lists, as far as they were read.
#[derive(Debug, Default)]
pub(in crate::vault) struct Lists(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    uses: u64,
    names: usize,
    lists: HashMap<Of, List>,
}

#[derive(Debug, Default)]
struct List {
    projection: Arc<Projection<Names>>,
    last_use: u64,
    names: usize,
}

impl Lists {
    /// The list of `of`, as of now.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub(in crate::vault) async fn current(
        &self,
        records: &Records,
        of: Of,
    ) -> Result<Arc<Names>, Error> {
        let projection = self.0.lock().projection(of);
        let read = |_, latest: Option<Arc<Names>>| read(records, of, latest);
        let names = projection.current(records, &of.space(), read).await?;
        self.0.lock().count(of, names.0.len());
        Ok(names)
    }
}

impl Kept {
    fn projection(&mut self, of: Of) -> Arc<Projection<Names>> {
        self.uses += 1;
        let list = self.lists.entry(of).or_default();
        list.last_use = self.uses;
        Arc::clone(&list.projection)
    }

    fn count(&mut self, of: Of, names: usize) {
        let Some(list) = self.lists.get_mut(&of) else { return };
        let before = std::mem::replace(&mut list.names, names + LIST);
        self.names = self.names - before + list.names;
        while self.names > MOST_NAMES {
            let others = self.lists.iter().filter(|(other, _)| **other != of);
            let Some(oldest) = others.min_by_key(|(_, list)| list.last_use) else { return };
            let oldest = *oldest.0;
            let removed = self.lists.remove(&oldest).map_or(0, |list| list.names);
            self.names = self.names.saturating_sub(removed);
        }
    }
}

impl Of {
    fn space(self) -> String {
        match self {
            Self::Company(id) => names_of_company_space(id),
            Self::Type(id) => names_of_type_space(id),
        }
    }

    async fn index(self, records: &Records) -> Result<Vec<(CredentialId, Revision)>, Error> {
        match self {
            Self::Company(id) => records.names_of_company(id).await,
            Self::Type(id) => records.names_of_type(id).await,
        }
    }
}

/// Reads the list of `of`; entries of `latest` are reused as far as the index has not changed.
async fn read(records: &Records, of: Of, latest: Option<Arc<Names>>) -> Result<Names, Error> {
    let latest: HashMap<_, _> =
        latest.iter().flat_map(|names| &names.0).map(|name| (name.id, name)).collect();
    let name = async |(id, revision): (CredentialId, Revision)| {
        let kept = latest.get(&id).filter(|name| name.revision == revision);
        if let Some(kept) = kept {
            return Ok(Some(Arc::clone(kept)));
        }
        let found = records.credential_head(id).await?;
        let live = found.filter(|found| found.deleted.is_none());
        let made = live.map(|found| Name {
            folded: fold(&found.name).into(),
            id,
            revision,
            type_id: found.type_id,
            company: found.company,
        });
        Ok::<_, Error>(made.map(Arc::new))
    };
    let listed = of.index(records).await?;
    let read = stream::iter(listed).map(name).buffered(CONCURRENT_READS);
    let read: Vec<_> = read.try_collect().await?;
    let mut names: Vec<_> = read.into_iter().flatten().collect();
    names.sort_by(|one, other| (&one.folded, one.id).cmp(&(&other.folded, other.id)));
    Ok(Names(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack: lists of very many companies, to fill the memory.
    #[test]
    fn lists_that_were_not_used_for_long_are_forgotten() {
        let mut kept = Kept::default();
        let company = |n: u8| Of::Company(CompanyId::from_random([n; 16]));
        for n in 0..100 {
            kept.projection(company(n));
            kept.count(company(n), 50_000);
            kept.projection(company(0));
        }
        assert!(kept.names <= MOST_NAMES);
        assert_eq!(kept.lists.len(), 9);
        assert!(kept.lists.contains_key(&company(0)) && kept.lists.contains_key(&company(99)));
        kept.count(company(99), 2_000_000);
        assert_eq!(kept.lists.len(), 1, "one list alone may be longer");
        kept.count(company(99), 1);
        assert_eq!(kept.names, 1 + LIST);
    }
}
