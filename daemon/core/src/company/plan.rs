//! Which companies have to be written so that ours match those of the directory. A pure
//! computation.

use super::listing::{Listing, Names};
use crate::ids::CompanyId;
use crate::model::companies::CompanyView;
use crate::model::company::Company;
use crate::time::Timestamp;

/// So many companies may vanish at once, however few there are.
const VANISHED_ALLOWED: usize = 10;
/// One company in so many may vanish at once, however many that is.
const VANISHED_SHARE: usize = 10;

/// A company that has to be written, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) company: Company,
    pub(super) reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    New,
    Changed,
    Returned,
    Vanished,
}

/// How many companies were written, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Companies that were not stored before.
    pub new: usize,
    /// Companies with another name or identifier.
    pub changed: usize,
    /// Companies that the directory has again.
    pub returned: usize,
    /// Companies that the directory no longer has.
    pub vanished: usize,
}

impl Counts {
    pub(super) fn of(writes: &[Write]) -> Self {
        let count = |reason| writes.iter().filter(|write| write.reason == reason).count();
        Self {
            new: count(Reason::New),
            changed: count(Reason::Changed),
            returned: count(Reason::Returned),
            vanished: count(Reason::Vanished),
        }
    }
}

impl std::ops::Add for Counts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            new: self.new + other.new,
            changed: self.changed + other.changed,
            returned: self.returned + other.returned,
            vanished: self.vanished + other.vanished,
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { new, changed, returned, vanished } = self;
        write!(f, "{new} new, {changed} changed, {returned} returned, {vanished} vanished")
    }
}

/// The companies that have to be written so that `view` becomes `listing` at `now`. Companies that
/// are not listed are marked as missing only if the listing is `complete`.
pub(super) fn plan(
    view: &CompanyView,
    listing: &Listing,
    complete: bool,
    now: Timestamp,
    fresh_id: impl FnMut() -> CompanyId,
) -> Vec<Write> {
    let mut writes = listed(view, listing, fresh_id);
    if complete {
        writes.extend(vanished(view, listing, now));
    }
    writes
}

fn listed(
    view: &CompanyView,
    listing: &Listing,
    mut fresh_id: impl FnMut() -> CompanyId,
) -> Vec<Write> {
    let named = listing.companies.iter().filter_map(|(id, names)| Some((id, names.as_ref()?)));
    named
        .filter_map(|(id, names)| match view.by_directory_id(id) {
            None => Some(Write { company: new(fresh_id(), id, names), reason: Reason::New }),
            Some(stored) => update(stored, names),
        })
        .collect()
}

/// The companies that the directory no longer lists. One that it lists without a usable name is not
/// among them.
fn vanished(view: &CompanyView, listing: &Listing, now: Timestamp) -> impl Iterator<Item = Write> {
    let is_listed = |company: &Company| listing.companies.contains_key(&company.directory_id);
    view.all().filter(move |company| company.missing_since.is_none() && !is_listed(company)).map(
        move |company| Write {
            company: Company { missing_since: Some(now), ..(**company).clone() },
            reason: Reason::Vanished,
        },
    )
}

fn new(id: CompanyId, directory_id: &str, names: &Names) -> Company {
    let Names { identifier, name } = names.clone();
    Company { id, directory_id: directory_id.to_owned(), identifier, name, missing_since: None }
}

fn update(stored: &Company, names: &Names) -> Option<Write> {
    let company = new(stored.id, &stored.directory_id, names);
    let reason = if stored.missing_since.is_some() { Reason::Returned } else { Reason::Changed };
    (company != *stored).then_some(Write { company, reason })
}

/// The number of companies that would vanish, where it is so large that the directory may be wrong:
/// more than a tenth of those present, and more than ten.
pub(super) fn mass_vanishing(view: &CompanyView, writes: &[Write]) -> Option<MassVanishing> {
    let present = view.all().filter(|company| company.missing_since.is_none()).count();
    let vanished = Counts::of(writes).vanished;
    let too_many = vanished > VANISHED_ALLOWED && vanished.saturating_mul(VANISHED_SHARE) > present;
    too_many.then_some(MassVanishing { vanished, present })
}

/// How many companies would vanish, of how many that are present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MassVanishing {
    pub(super) vanished: usize,
    pub(super) present: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::{company, missing, view};
    use crate::ports::directory::DirectoryCompany;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn planned(
        stored: &[Company],
        listed: &[(&str, &str, &str)],
        complete: bool,
    ) -> Vec<(Reason, Company)> {
        let listed: Vec<_> = listed
            .iter()
            .map(|(id, identifier, name)| DirectoryCompany {
                id: (*id).into(),
                identifier: (*identifier).into(),
                name: (*name).into(),
            })
            .collect();
        let fresh = || CompanyId::from_random([0xff; 16]);
        let writes = plan(&view(stored), &Listing::of(&listed).unwrap(), complete, NOW, fresh);
        writes.into_iter().map(|write| (write.reason, write.company)).collect()
    }

    #[test]
    fn an_equal_company_is_not_written() {
        let stored = [company(1, "1", "acme", "Acme"), missing(company(2, "2", "old", "Old"))];
        assert_eq!(planned(&stored, &[("1", "acme", "Acme")], true), []);
    }

    #[test]
    fn companies_are_matched_by_id_and_their_names_updated() {
        let stored = [company(1, "1", "acme", "Acme"), company(2, "2", "globex", "Globex")];
        // Two companies swap names: they are recognised by their ids.
        let swapped = planned(&stored, &[("1", "globex", "Globex"), ("2", "acme", "Acme")], true);
        assert_eq!(
            swapped,
            [
                (Reason::Changed, company(1, "1", "globex", "Globex")),
                (Reason::Changed, company(2, "2", "acme", "Acme"))
            ]
        );
        let fresh =
            Company { id: CompanyId::from_random([0xff; 16]), ..company(0, "3", "acme", "Acme") };
        let same_name = planned(&stored[..1], &[("3", "acme", "Acme")], true);
        assert_eq!(same_name[0], (Reason::New, fresh));
        assert_eq!(same_name[1].0, Reason::Vanished);
    }

    #[test]
    fn only_a_complete_walk_marks_missing_companies() {
        let stored = [company(1, "1", "acme", "Acme"), company(2, "2", "globex", "Globex")];
        let gone = Company { missing_since: Some(NOW), ..stored[1].clone() };
        assert_eq!(planned(&stored, &[("1", "acme", "Acme")], true), [(Reason::Vanished, gone)]);
        assert_eq!(planned(&stored, &[("1", "acme", "Acme")], false), []);
    }

    #[test]
    fn a_returned_company_loses_the_mark_and_keeps_the_id() {
        let stored = [missing(company(1, "1", "acme", "Acme"))];
        for complete in [true, false] {
            let returned = planned(&stored, &[("1", "acme", "Acme & Sons")], complete);
            assert_eq!(returned, [(Reason::Returned, company(1, "1", "acme", "Acme & Sons"))]);
        }
    }

    #[test]
    fn a_company_without_any_name_is_neither_created_nor_marked() {
        let stored = [company(1, "1", "acme", "Acme")];
        assert_eq!(planned(&stored, &[("1", "", "\0"), ("2", "", "")], true), []);
    }

    #[test]
    fn a_mass_vanishing_is_more_than_ten_and_more_than_a_tenth() {
        for (present, vanished, too_many) in [
            (10, 10, false),
            (11, 11, true),
            (100, 10, false),
            (100, 11, true),
            (110, 11, false),
            (109, 11, true),
            (5000, 500, false),
            (5000, 501, true),
        ] {
            let stored: Vec<_> =
                (0..present).map(|n| company(n, &n.to_string(), "", "x")).collect();
            let ids: Vec<_> = (vanished..present).map(|n| n.to_string()).collect();
            let listed: Vec<_> = ids.iter().map(|id| (id.as_str(), "", "x")).collect();
            let writes: Vec<_> = planned(&stored, &listed, true)
                .into_iter()
                .map(|(reason, company)| Write { company, reason })
                .collect();
            let expected = too_many.then_some(MassVanishing { vanished, present });
            assert_eq!(
                mass_vanishing(&view(&stored), &writes),
                expected,
                "{vanished} of {present}"
            );
        }
    }
}
