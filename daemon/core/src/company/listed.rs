//! What a directory says, made fit to be kept: hostile input until it has been here.

use std::collections::BTreeMap;

use crate::ports::directory::DirectoryCompany;
use crate::text::is_unfit_for_names;

/// Longest id of a company in a directory, in bytes.
const MAX_ID_BYTES: usize = 128;
/// Longest name and identifier, in characters. What is longer is cut.
const MAX_CHARS: usize = 200;
/// Most companies of a directory. More is a directory that has lost its mind, or ours.
pub(super) const MAX_COMPANIES: usize = 100_000;

/// What a directory says about one company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) identifier: String,
    pub(super) name: String,
}

/// What a directory says about all companies, by its own ids.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// `None`: it is there, and nobody can tell what it is called.
    pub(super) companies: BTreeMap<String, Option<Listed>>,
    /// How many had no id that can be one. None of them is a company that we know: ids that we know
    /// are fit.
    pub(super) unusable: usize,
}

/// The directory has more companies than anybody can have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Found {
    /// All of `companies`.
    pub(super) fn of(companies: &[DirectoryCompany]) -> Result<Self, TooMany> {
        let mut found = Self::default();
        companies.iter().try_for_each(|company| found.add(company))?;
        Ok(found)
    }

    /// One more. A company that comes twice, since the directory changed under a walk, is what it
    /// was the last time.
    pub(super) fn add(&mut self, company: &DirectoryCompany) -> Result<(), TooMany> {
        if !is_id(&company.id) {
            self.unusable += 1;
        } else {
            let listed = Listed::of(company);
            let known = self.companies.entry(company.id.clone()).or_default();
            *known = listed.or(known.take());
        }
        if self.companies.len() + self.unusable > MAX_COMPANIES { Err(TooMany) } else { Ok(()) }
    }

    /// How many cannot be used: without an id, or without any name.
    pub(super) fn useless(&self) -> usize {
        self.unusable + self.companies.values().filter(|listed| listed.is_none()).count()
    }
}

impl Listed {
    fn of(company: &DirectoryCompany) -> Option<Self> {
        let (identifier, name) = (cleaned(&company.identifier), cleaned(&company.name));
        let name = if name.is_empty() { identifier.clone() } else { name };
        (!name.is_empty()).then_some(Self { identifier, name })
    }
}

fn is_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.trim() == id && !id.contains(is_unfit_for_names)
}

/// `text` as one line without tricks, and not too long.
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

    /// Attack: names that break lines or turn text around, ids of any kind and length.
    #[test]
    fn what_a_directory_says_is_cleaned() {
        let long = "x".repeat(100_000);
        let found = Found::of(&[
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
        let of = |id: &str| found.companies.get(id).unwrap().clone();
        assert_eq!(of("1"), Some(Listed { identifier: "a b".into(), name: "Evil  Corp".into() }));
        assert_eq!(of("2").unwrap().name.len(), MAX_CHARS);
        assert_eq!(of("3").unwrap().name, "short");
        assert_eq!(of("4"), None);
        assert_eq!((found.companies.len(), found.unusable, found.useless()), (4, 4, 5));
    }

    #[test]
    fn the_last_word_about_a_company_counts() {
        let found =
            Found::of(&[listed("1", "a", "Old"), listed("1", "a", "New"), listed("1", "", "")])
                .unwrap();
        assert_eq!(found.companies.len(), 1);
        assert_eq!(found.companies.get("1").unwrap().as_ref().unwrap().name, "New");
    }

    #[test]
    fn there_is_an_end() {
        let mut found = Found::default();
        let add = |found: &mut Found, n: usize| found.add(&listed(&n.to_string(), "", "x"));
        (0..MAX_COMPANIES).for_each(|n| add(&mut found, n).unwrap());
        assert_eq!(add(&mut found, 5), Ok(()));
        assert_eq!(add(&mut found, MAX_COMPANIES), Err(TooMany));
    }
}
