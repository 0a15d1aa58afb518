//! Companies in the store: one record each, under `company/<id>`, so that a reader sees a company
//! whole or not at all. Every batch bumps the epoch, and expects it to be as its writer read it:
//! two writers that synchronise at the same time cannot create one company twice.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{CommitError, Records, encoding, keys, malformed};
use crate::error::Error;
use crate::ids::CompanyId;
use crate::model::company::Company;
use crate::ports::audit::Event;
use crate::ports::store::{Key, MAX_BATCH_KEYS, Revision, Versioned};
use crate::time::Timestamp;

/// The field of the AAD.
const COMPANY: &str = "company";

/// The space whose epoch moves when a company changes.
pub(crate) const COMPANIES: &str = "companies";

/// Most companies in one batch, beside the epoch and the event.
pub(crate) const COMPANIES_IN_A_BATCH: usize = MAX_BATCH_KEYS - 2;

#[derive(Serialize, Deserialize)]
struct CompanyRecord<'a> {
    #[serde(rename = "dir")]
    directory_id: Cow<'a, str>,
    #[serde(rename = "short", skip_serializing_if = "str::is_empty", default)]
    identifier: Cow<'a, str>,
    name: Cow<'a, str>,
    #[serde(rename = "gone", skip_serializing_if = "Option::is_none", default)]
    missing_since: Option<Timestamp>,
}

impl Records {
    /// All companies. `known` may return what was made of the record at that revision before;
    /// `make` makes it of a record that is not known.
    pub(crate) async fn companies<T>(
        &self,
        known: impl Fn(CompanyId, Revision) -> Option<T>,
        make: impl Fn(Company, Revision) -> T,
    ) -> Result<Vec<T>, Error> {
        self.scan_all(&Key::new(keys::COMPANY), |key, stored| {
            let id = keys::trailing_company(key).ok_or_else(|| malformed(key))?;
            Ok(match known(id, stored.revision) {
                Some(known) => known,
                None => make(self.open_company(id, key, stored)?, stored.revision),
            })
        })
        .await
    }

    fn open_company(&self, id: CompanyId, key: &Key, stored: &Versioned) -> Result<Company, Error> {
        let plain = self.keyring.open(key, COMPANY, &stored.value)?;
        let record: CompanyRecord<'_> = encoding::decode(&plain).map_err(Error::internal)?;
        Ok(Company {
            id,
            directory_id: record.directory_id.into_owned(),
            identifier: record.identifier.into_owned(),
            name: record.name.into_owned(),
            missing_since: record.missing_since,
        })
    }

    /// Writes `companies`, at most [`COMPANIES_IN_A_BATCH`], together with `event`. Returns the new
    /// epoch.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when companies changed since `epoch`.
    pub(crate) async fn put_companies(
        &self,
        epoch: Option<Revision>,
        companies: &[&Company],
        event: &Event,
    ) -> Result<Revision, CommitError> {
        let mut writing = self.writing();
        writing.expect_epoch(COMPANIES, epoch);
        writing.bump(COMPANIES);
        for &company in companies {
            let plain = encoding::encode(&CompanyRecord::from(company)).map_err(Error::internal)?;
            writing.put(&keys::company(company.id), COMPANY, &plain).await?;
        }
        writing.event(event).await?;
        writing.commit().await
    }
}

impl<'a> From<&'a Company> for CompanyRecord<'a> {
    fn from(company: &'a Company) -> Self {
        Self {
            directory_id: Cow::Borrowed(&company.directory_id),
            identifier: Cow::Borrowed(&company.identifier),
            name: Cow::Borrowed(&company.name),
            missing_since: company.missing_since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in the record are a contract with data on disk: a renamed field has to fail here.
    #[test]
    fn the_record_of_a_company_is_this_one() {
        let mut company = Company {
            id: CompanyId::from_random([1; 16]),
            directory_id: "12345".into(),
            identifier: "AcmeCorp".into(),
            name: "Acme Corp".into(),
            missing_since: Some(Timestamp::from_millis(7)),
        };
        let json = |company: &Company| {
            let plain = encoding::encode(&CompanyRecord::from(company)).unwrap();
            String::from_utf8(plain.get(1..).unwrap().to_vec()).unwrap()
        };
        assert_eq!(
            json(&company),
            r#"{"dir":"12345","short":"AcmeCorp","name":"Acme Corp","gone":7}"#
        );
        company.missing_since = None;
        company.identifier.clear();
        assert_eq!(json(&company), r#"{"dir":"12345","name":"Acme Corp"}"#);
    }
}
