//! Lists of companies: those that some rights cover, those of them that match a search,
//! and one page of these.

use std::sync::Arc;

use crate::model::companies::{CompanySet, CompanyView, Entry};
use crate::model::company::Company;
use crate::paging::{Page, Paging};
use crate::rights::Coverage;
use crate::text::fold;

impl CompanyView {
    /// A page of the companies that `coverage` includes and `search` matches: name, identifier or
    /// directory id contains its text, ignoring case and surrounding space. An empty search matches
    /// all. The total counts only these companies.
    pub fn list(&self, coverage: &Coverage, search: &str, paging: Paging) -> Page<Arc<Company>> {
        let wanted = fold(search.trim());
        let page = match (self.covered(coverage), wanted.as_str()) {
            // The most frequent request reads only the entries of its page.
            (CompanySet::All, "") => paging.of(self.entries.iter()),
            (CompanySet::All, wanted) => {
                paging.of(matches(self.entries.iter(), wanted).into_iter())
            }
            (CompanySet::Only(companies), wanted) => {
                paging.of(matches(self.entries_of(&companies).into_iter(), wanted).into_iter())
            }
        };
        page.map(|entry| Arc::clone(&entry.company))
    }
}

fn matches<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>, wanted: &str) -> Vec<&'a Arc<Entry>> {
    entries.filter(|entry| entry.matches(wanted)).collect()
}

impl Entry {
    fn matches(&self, wanted: &str) -> bool {
        [&self.name, &self.identifier, &self.directory_id]
            .into_iter()
            .any(|text| text.contains(wanted))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::samples::{company, missing, view};

    fn all() -> CompanyView {
        view(&[
            company(1, "12345", "AcmeCorp", "Acme Corp"),
            company(2, "777", "strasse", "Große Straße"),
            company(3, "8", "", "100 % Wool_"),
            missing(company(4, "99", "old", "Former Acme")),
        ])
    }

    fn names(coverage: &Coverage, search: &str) -> Vec<String> {
        let page = all().list(coverage, search, Paging::default());
        assert_eq!(page.total, page.items.len());
        page.items.iter().map(|company| company.name.clone()).collect()
    }

    #[test]
    fn a_search_matches_name_identifier_and_directory_id() {
        for (search, found) in [
            ("acme", &["Acme Corp", "Former Acme"][..]),
            ("  ACME corp ", &["Acme Corp"]),
            ("STRASSE", &["Große Straße"]),
            ("GROSSE S", &["Große Straße"]),
            ("234", &["Acme Corp"]),
            ("%", &["100 % Wool_"]),
            ("_", &["100 % Wool_"]),
            (".*", &[]),
            // A match does not span two fields.
            ("corpacme", &[]),
            ("Corp\nAcme", &[]),
            ("\0", &[]),
            ("  ", &["100 % Wool_", "Acme Corp", "Große Straße", "Former Acme"]),
        ] {
            assert_eq!(names(&Coverage::Everywhere, search), found, "{search:?}");
        }
    }

    /// Attack: a search, a page or a total reveals companies that the rights do not cover.
    #[test]
    fn companies_out_of_reach_are_neither_listed_nor_counted() {
        let coverage = Coverage::Only(vec![["777".to_owned(), "old".to_owned()].into()]);
        assert_eq!(names(&coverage, ""), ["Große Straße", "Former Acme"]);
        assert_eq!(names(&coverage, "acme"), ["Former Acme"]);
        assert_eq!(names(&Coverage::Nowhere, ""), [""; 0]);
        let page = all().list(&coverage, "", Paging::new(1, 1).unwrap());
        assert_eq!((page.items.len(), page.total, page.next()), (1, 2, Some(2)));
    }

    proptest! {
        #[test]
        fn the_pages_of_a_search_are_what_a_filter_finds(
            texts in proptest::collection::vec("[aAbBß ]{1,6}", 0..60),
            search in "[aAbBSs]{0,2}",
            per_page in 1_usize..20,
        ) {
            let companies: Vec<_> = texts.iter().enumerate().map(|(n, name)| company(n, &n.to_string(), "", name)).collect();
            let view = view(&companies);
            let expected: Vec<_> = view
                .all()
                .filter(|company| {
                    fold(&company.name).contains(&fold(&search)) || company.directory_id.contains(&fold(&search))
                })
                .map(|company| company.id)
                .collect();
            let (mut seen, mut next) = (Vec::new(), Some(1));
            while let Some(number) = next {
                let page = view.list(&Coverage::Everywhere, &search, Paging::new(number, per_page).unwrap());
                prop_assert_eq!(page.total, expected.len());
                seen.extend(page.items.iter().map(|company| company.id));
                next = page.next();
            }
            prop_assert_eq!(seen, expected);
        }
    }
}
