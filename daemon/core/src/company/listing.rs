//! The companies that a directory lists, cleaned for storage: untrusted input until it has passed
//! here.

use std::collections::BTreeMap;

use crate::ports::directory::DirectoryCompany;
use crate::text::is_unfit_for_names;

/// Longest id of a company in a directory, in bytes.
const MAX_ID_BYTES: usize = 128;
/// Longest name and identifier, in characters. Longer ones are truncated.
const MAX_CHARS: usize = 200;
/// Most companies of a directory. More of them are a fault of the directory, or of ours.
pub(super) const MAX_COMPANIES: usize = 100_000;

/// How many companies that cannot be used are named to operators.
const NAMED: usize = 5;

/// The names of one company in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) identifier: String,
    pub(super) name: String,
}

/// The companies of a directory, by its own ids.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// `None`: the company exists, but has no usable name.
    pub(super) companies: BTreeMap<String, Option<Names>>,
    /// How many companies had no usable id. None of them is a company that is stored: all stored
    /// ids are usable.
    pub(super) without_id: usize,
}

/// The companies of a directory that are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unusable {
    /// How many.
    pub count: usize,
    /// The first of those that have an id, by it.
    pub some: Vec<String>,
}

/// The directory has more companies than are allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Listing {
    /// The listing of `companies`.
    pub(super) fn of(companies: &[DirectoryCompany]) -> Result<Self, TooMany> {
        let mut listing = Self::default();
        companies.iter().try_for_each(|company| listing.add(company))?;
        Ok(listing)
    }

    /// Adds a company. Of one that is listed twice, since the directory changed during a walk, the
    /// last names count.
    pub(super) fn add(&mut self, company: &DirectoryCompany) -> Result<(), TooMany> {
        if is_id(&company.id) {
            let names = self.companies.entry(company.id.clone()).or_default();
            *names = Names::of(company).or(names.take());
        } else {
            self.without_id += 1;
        }
        if self.companies.len() + self.without_id > MAX_COMPANIES { Err(TooMany) } else { Ok(()) }
    }

    /// The companies that cannot be used: without a usable id, or without any name.
    pub(super) fn unusable(&self) -> Unusable {
        let nameless = self.companies.iter().filter(|(_, names)| names.is_none());
        let ids: Vec<_> = nameless.map(|(id, _)| id.clone()).collect();
        let count = self.without_id + ids.len();
        Unusable { count, some: ids.into_iter().take(NAMED).collect() }
    }
}

impl Names {
    fn of(company: &DirectoryCompany) -> Option<Self> {
        let (identifier, name) = (cleaned(&company.identifier), cleaned(&company.name));
        let name = if name.is_empty() { identifier.clone() } else { name };
        (!name.is_empty()).then_some(Self { identifier, name })
    }
}

fn is_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.trim() == id && !id.contains(is_unfit_for_names)
}

/// `text` as one line without unfit characters, truncated.
fn cleaned(text: &str) -> String {
    let fit = |c: char| if is_unfit_for_names(c) { ' ' } else { c };
    let line: String = text.trim().chars().map(fit).take(MAX_CHARS).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, identifier: &str, name: &str) -> DirectoryCompany {
        DirectoryCompany { id: id.into(), identifier: identifier.into(), name: name.into() }
    }

    /// Attack: names with line breaks or bidirectional control characters, malformed and overlong
    /// ids.
    #[test]
    fn names_of_a_directory_are_cleaned() {
        let long = "x".repeat(100_000);
        let listing = Listing::of(&[
            listed("1", " a\tb\u{202e} ", "Evil\r\nCorp\0"),
            listed("2", "", &long),
            listed("3", "short", " \n "),
            listed("4", "\0", "\u{202e}"),
            listed("", "no", "id"),
            listed(&long, "long", "id"),
            listed(" 5", "space", "id"),
            listed("5\n", "line", "id"),
        ])
        .unwrap();
        let names = |id: &str| listing.companies.get(id).unwrap().clone();
        assert_eq!(names("1"), Some(Names { identifier: "a b".into(), name: "Evil  Corp".into() }));
        assert_eq!(names("2").unwrap().name.len(), MAX_CHARS);
        assert_eq!(names("3").unwrap().name, "short");
        assert_eq!(names("4"), None);
        assert_eq!((listing.companies.len(), listing.without_id), (4, 4));
        assert_eq!(listing.unusable(), Unusable { count: 5, some: vec!["4".to_owned()] });
    }

    #[test]
    fn the_last_names_of_a_company_count() {
        let listing =
            Listing::of(&[listed("1", "a", "Old"), listed("1", "a", "New"), listed("1", "", "")])
                .unwrap();
        assert_eq!(listing.companies.len(), 1);
        assert_eq!(listing.companies.get("1").unwrap().as_ref().unwrap().name, "New");
    }

    #[test]
    fn the_number_of_companies_is_bounded() {
        let mut listing = Listing::default();
        let add = |listing: &mut Listing, n: usize| listing.add(&listed(&n.to_string(), "", "x"));
        (0..MAX_COMPANIES).for_each(|n| add(&mut listing, n).unwrap());
        assert_eq!(add(&mut listing, 5), Ok(()));
        assert_eq!(add(&mut listing, MAX_COMPANIES), Err(TooMany));
    }
}
