//! All companies at one moment, in memory: indexed by every name that resolves to them, in the
//! order of lists, with their text folded for the search. Read from the store, and read again when
//! the store's epoch has changed.

use std::collections::hash_map::Entry as Place;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::ids::CompanyId;
use crate::model::company::Company;
use crate::ports::store::Revision;
use crate::rights::Coverage;
use crate::text::fold;

/// All companies at one moment.
#[derive(Debug, Default)]
pub struct CompanyView {
    /// The epoch at which the view was read. The records may be newer than that.
    pub(crate) epoch: Option<Revision>,
    /// In the order of lists.
    pub(crate) entries: Vec<Arc<Entry>>,
    by_id: HashMap<CompanyId, usize>,
    by_directory_id: Names,
    by_identifier: Names,
}

/// A company, and its texts folded for the search.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) company: Arc<Company>,
    /// The revision of the record that this entry was made from.
    pub(crate) revision: Revision,
    pub(crate) name: Arc<str>,
    pub(crate) identifier: Arc<str>,
    pub(crate) directory_id: Arc<str>,
}

/// The place of the one company that a name resolves to; `None`: the name is ambiguous.
type Names = HashMap<Arc<str>, Option<usize>>;

/// The companies that some rights cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompanySet {
    /// All companies.
    All,
    /// These companies.
    Only(HashSet<CompanyId>),
}

impl CompanySet {
    /// Whether `company` is among them.
    pub fn contains(&self, company: CompanyId) -> bool {
        match self {
            Self::All => true,
            Self::Only(companies) => companies.contains(&company),
        }
    }
}

impl Entry {
    pub(crate) fn new(company: Company, revision: Revision) -> Self {
        Self {
            revision,
            name: fold(&company.name).into(),
            identifier: fold(&company.identifier).into(),
            directory_id: fold(&company.directory_id).into(),
            company: Arc::new(company),
        }
    }
}

impl CompanyView {
    /// The companies of `entries`, which may come in any order.
    pub(crate) fn new(epoch: Option<Revision>, mut entries: Vec<Arc<Entry>>) -> Self {
        entries.sort_unstable_by(|a, b| {
            let rank = |entry: &Arc<Entry>| entry.company.missing_since.is_some();
            (rank(a), &a.name, a.company.id).cmp(&(rank(b), &b.name, b.company.id))
        });
        let mut view = Self {
            epoch,
            by_id: HashMap::with_capacity(entries.len()),
            by_directory_id: HashMap::with_capacity(entries.len()),
            by_identifier: HashMap::with_capacity(entries.len()),
            entries,
        };
        for (place, entry) in view.entries.iter().enumerate() {
            view.by_id.insert(entry.company.id, place);
            // Exact, not folded: only the directory knows which spellings of its ids are equal.
            add(
                &mut view.by_directory_id,
                entry.company.directory_id.as_str().into(),
                place,
                &view.entries,
            );
            if !entry.identifier.is_empty() {
                add(&mut view.by_identifier, Arc::clone(&entry.identifier), place, &view.entries);
            }
        }
        view
    }

    /// How many companies there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All companies in the order of lists: by name ignoring case, then by id; those that the
    /// directory no longer has come last.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &Arc<Company>> {
        self.entries.iter().map(|entry| &entry.company)
    }

    /// The company of that id.
    pub fn by_id(&self, id: CompanyId) -> Option<&Arc<Company>> {
        self.at(*self.by_id.get(&id)?)
    }

    /// The one company that `name` resolves to: by our id; else, if it is all digits, by the
    /// directory's id; else by identifier ignoring case. The first match decides, so that a company
    /// cannot take over the id of another one by its identifier. An identifier of two companies
    /// resolves to neither, unless the directory still has only one of them.
    pub fn resolve(&self, name: &str) -> Option<&Arc<Company>> {
        self.by_our_id(name).or_else(|| self.by_number(name)).or_else(|| self.by_identifier(name))
    }

    fn by_our_id(&self, name: &str) -> Option<&Arc<Company>> {
        self.by_id(CompanyId::parse(name).ok()?)
    }

    fn by_number(&self, name: &str) -> Option<&Arc<Company>> {
        let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { self.by_directory_id(name) } else { None }
    }

    /// The company with the directory's id `id`, compared exactly.
    pub(crate) fn by_directory_id(&self, id: &str) -> Option<&Arc<Company>> {
        self.at((*self.by_directory_id.get(id)?)?)
    }

    fn by_identifier(&self, name: &str) -> Option<&Arc<Company>> {
        self.at((*self.by_identifier.get(fold(name).as_str())?)?)
    }

    fn at(&self, place: usize) -> Option<&Arc<Company>> {
        self.entries.get(place).map(|entry| &entry.company)
    }

    /// Whether `coverage` includes `company`: it is everywhere, or one of its names resolves to
    /// this company ([`CompanyView::resolve`]).
    pub fn is_covered(&self, coverage: &Coverage, company: &Company) -> bool {
        match coverage {
            Coverage::Nowhere => false,
            Coverage::Everywhere => true,
            Coverage::Only(_) => self.named(coverage).any(|named| named.id == company.id),
        }
    }

    /// The companies that `coverage` includes, for a caller that checks many companies.
    pub fn covered(&self, coverage: &Coverage) -> CompanySet {
        match coverage {
            Coverage::Everywhere => CompanySet::All,
            Coverage::Nowhere | Coverage::Only(_) => {
                CompanySet::Only(self.named(coverage).map(|named| named.id).collect())
            }
        }
    }

    fn named<'a>(&'a self, coverage: &'a Coverage) -> impl Iterator<Item = &'a Arc<Company>> {
        let lists: &[Arc<[String]>] = match coverage {
            Coverage::Only(lists) => lists,
            Coverage::Nowhere | Coverage::Everywhere => &[],
        };
        lists.iter().flat_map(|names| names.iter()).filter_map(|name| self.resolve(name))
    }

    /// The entries of these companies, in the order of lists.
    pub(crate) fn entries_of(&self, companies: &HashSet<CompanyId>) -> Vec<&Arc<Entry>> {
        let mut places: Vec<_> =
            companies.iter().filter_map(|id| self.by_id.get(id).copied()).collect();
        places.sort_unstable();
        places.into_iter().filter_map(|place| self.entries.get(place)).collect()
    }

    /// The entry of `id`, if its record is still at `revision`.
    pub(crate) fn unchanged(&self, id: CompanyId, revision: Revision) -> Option<Arc<Entry>> {
        let entry = self.entries.get(*self.by_id.get(&id)?)?;
        (entry.revision == revision).then(|| Arc::clone(entry))
    }
}

/// Lets `name` resolve to the entry at `place`. Companies that the directory still has come first
/// in the order, and a missing company does not make their names ambiguous.
fn add(names: &mut Names, name: Arc<str>, place: usize, entries: &[Arc<Entry>]) {
    let is_missing = |place: usize| {
        entries.get(place).is_some_and(|entry| entry.company.missing_since.is_some())
    };
    match names.entry(name) {
        Place::Vacant(free) => drop(free.insert(Some(place))),
        Place::Occupied(mut taken) => {
            if taken.get().is_some_and(|other| is_missing(other) == is_missing(place)) {
                taken.insert(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::{company, missing, view};

    fn only(names: &[&str]) -> Coverage {
        Coverage::Only(vec![names.iter().map(|name| (*name).to_owned()).collect()])
    }

    fn found<'a>(view: &'a CompanyView, name: &str) -> Option<&'a str> {
        view.resolve(name).map(|company| company.name.as_str())
    }

    #[test]
    fn a_name_is_resolved_as_id_number_and_identifier() {
        let acme = company(1, "12345", "AcmeCorp", "Acme");
        let view = view(&[
            acme.clone(),
            company(2, "x-7", "Zürich", "Zurich"),
            company(3, "9", "", "Nameless"),
        ]);
        let id = acme.id.to_string();
        for (name, expected) in [
            (id.as_str(), Some("Acme")),
            ("12345", Some("Acme")),
            ("acmecorp", Some("Acme")),
            ("ACMECORP", Some("Acme")),
            ("ZÜRICH", Some("Zurich")),
            ("zu\u{308}rich", Some("Zurich")),
            ("9", Some("Nameless")),
            ("x-7", None),
            ("012345", None),
            ("Acme", None),
            (" acmecorp", None),
            ("", None),
        ] {
            assert_eq!(found(&view, name), expected, "{name}");
        }
    }

    /// Attack: a person who may name companies in the directory sets the number of one company as
    /// the identifier of another, so that a role that is bound to the number covers both.
    #[test]
    fn a_number_never_resolves_to_a_second_company_by_its_identifier() {
        let (bound, twin) =
            (company(1, "12345", "acme", "Acme"), company(2, "666", "12345", "Twin"));
        let view = view(&[bound.clone(), twin.clone()]);
        let coverage = only(&["12345"]);
        assert!(view.is_covered(&coverage, &bound));
        assert!(!view.is_covered(&coverage, &twin));
        assert_eq!(view.covered(&coverage), CompanySet::Only([bound.id].into()));
        assert_eq!(found(&view, "12345"), Some("Acme"));
    }

    /// Attack: the same with our id as the identifier of another company.
    #[test]
    fn an_id_never_resolves_to_a_second_company_by_its_identifier() {
        let bound = company(1, "12345", "acme", "Acme");
        let twin = company(2, "666", bound.id.as_str(), "Twin");
        let view = view(&[bound.clone(), twin.clone()]);
        let coverage = only(&[bound.id.as_str()]);
        assert!(view.is_covered(&coverage, &bound) && !view.is_covered(&coverage, &twin));
    }

    /// Attack: a second company with the identifier that a role is bound to.
    #[test]
    fn an_identifier_of_two_companies_resolves_to_neither() {
        let (first, second) = (company(1, "1", "acme", "Acme"), company(2, "2", "ACME", "Twin"));
        let both = view(&[first.clone(), second.clone()]);
        assert_eq!(found(&both, "acme"), None);
        assert!(
            !both.is_covered(&only(&["acme"]), &first)
                && !both.is_covered(&only(&["acme"]), &second)
        );
        // A missing company does not make the name of a present one ambiguous; two missing ones do.
        let replaced = view(&[missing(first.clone()), second.clone()]);
        assert_eq!(found(&replaced, "acme"), Some("Twin"));
        let three = view(&[first.clone(), second.clone(), missing(company(3, "3", "acme", "Old"))]);
        assert_eq!(found(&three, "acme"), None);
        assert_eq!(found(&view(&[missing(first), missing(second)]), "acme"), None);
    }

    #[test]
    fn reach_is_nowhere_some_names_or_everywhere() {
        let (acme, globex) = (company(1, "1", "acme", "Acme"), company(2, "2", "globex", "Globex"));
        let view = view(&[acme.clone(), globex.clone()]);
        for (coverage, first, second) in [
            (Coverage::Nowhere, false, false),
            (Coverage::Everywhere, true, true),
            (only(&[]), false, false),
            (only(&["gone", "1"]), true, false),
            (
                Coverage::Only(vec![["acme".to_owned()].into(), ["GLOBEX".to_owned()].into()]),
                true,
                true,
            ),
        ] {
            assert_eq!(
                (view.is_covered(&coverage, &acme), view.is_covered(&coverage, &globex)),
                (first, second),
                "{coverage:?}"
            );
            let covered = view.covered(&coverage);
            assert_eq!(
                (covered.contains(acme.id), covered.contains(globex.id)),
                (first, second),
                "{coverage:?}"
            );
        }
    }

    #[test]
    fn lists_are_ordered_by_name_then_id_with_missing_companies_last() {
        let view = view(&[
            company(4, "4", "", "zeta"),
            missing(company(1, "1", "", "Alpha")),
            company(3, "3", "", "BETA"),
            company(2, "2", "", "beta"),
            company(5, "5", "", "Ähre"),
        ]);
        let order: Vec<_> = view.all().map(|company| company.directory_id.as_str()).collect();
        let (two, three) = (company(2, "", "", "").id, company(3, "", "", "").id);
        let betas = if two < three { ["2", "3"] } else { ["3", "2"] };
        assert_eq!(order, [betas[0], betas[1], "4", "5", "1"]);
    }
}
