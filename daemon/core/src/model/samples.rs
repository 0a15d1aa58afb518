//! Companies for tests.

use std::sync::Arc;

use crate::ids::CompanyId;
use crate::model::companies::{CompanyView, Entry};
use crate::model::company::Company;
use crate::ports::store::Revision;
use crate::time::Timestamp;

/// A company with an id made from `number`.
pub(crate) fn company(number: usize, directory_id: &str, identifier: &str, name: &str) -> Company {
    Company {
        id: CompanyId::from_random((number as u128).to_be_bytes()),
        directory_id: directory_id.into(),
        identifier: identifier.into(),
        name: name.into(),
        missing_since: None,
    }
}

/// The same, and the directory no longer has it.
pub(crate) fn missing(company: Company) -> Company {
    Company { missing_since: Some(Timestamp::from_secs(1_700_000_000)), ..company }
}

/// A view of these companies.
pub(crate) fn view(companies: &[Company]) -> CompanyView {
    let entries =
        companies.iter().map(|company| Arc::new(Entry::new(company.clone(), Revision(1))));
    CompanyView::new(Some(Revision(1)), entries.collect())
}
