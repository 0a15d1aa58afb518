//! What has to be written so that the companies here are those of the directory. Plain computation.

use super::listed::{Found, Listed};
use crate::ids::CompanyId;
use crate::model::companies::CompanyView;
use crate::model::company::Company;
use crate::time::Timestamp;

/// Fewer than this vanish every day, somewhere.
const MISSING_UNQUESTIONED: usize = 10;
/// One in so many may be missing, however many that is.
const MISSING_SHARE: usize = 10;

/// One company that has to be written, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) company: Company,
    pub(super) why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    New,
    Changed,
    Returned,
    Vanished,
}

/// How many of which kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Companies that were not known before.
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
        let count = |why| writes.iter().filter(|write| write.why == why).count();
        Self {
            new: count(Why::New),
            changed: count(Why::Changed),
            returned: count(Why::Returned),
            vanished: count(Why::Vanished),
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

/// What has to be written, so that `view` becomes what was `found` at `now`. Only of what was found
/// in a `complete` walk the rest is missing.
pub(super) fn plan(
    view: &CompanyView,
    found: &Found,
    complete: bool,
    now: Timestamp,
    mut fresh_id: impl FnMut() -> CompanyId,
) -> Vec<Write> {
    let listed = found.companies.iter().filter_map(|(id, listed)| Some((id, listed.as_ref()?)));
    let there = listed.filter_map(|(id, listed)| match view.by_directory_id(id) {
        None => Some(Write { company: new(fresh_id(), id, listed), why: Why::New }),
        Some(known) => update(known, listed),
    });
    let mut writes: Vec<_> = there.collect();
    // A company that the directory has, and cannot name, is not missing.
    let vanished = |known: &&Company| {
        complete
            && known.missing_since.is_none()
            && !found.companies.contains_key(&known.directory_id)
    };
    writes.extend(view.all().map(|known| &**known).filter(vanished).map(|known| Write {
        company: Company { missing_since: Some(now), ..known.clone() },
        why: Why::Vanished,
    }));
    writes
}

fn new(id: CompanyId, directory_id: &str, listed: &Listed) -> Company {
    let Listed { identifier, name } = listed.clone();
    Company { id, directory_id: directory_id.to_owned(), identifier, name, missing_since: None }
}

fn update(known: &Company, listed: &Listed) -> Option<Write> {
    let company = new(known.id, &known.directory_id, listed);
    let why = if known.missing_since.is_some() { Why::Returned } else { Why::Changed };
    (company != *known).then_some(Write { company, why })
}

/// Whether so many vanish at once that it may be the directory's mistake: more than a tenth of
/// those that were there, and more than ten.
pub(super) fn is_questionable(view: &CompanyView, writes: &[Write]) -> Option<Questionable> {
    let there = view.all().filter(|company| company.missing_since.is_none()).count();
    let vanished = Counts::of(writes).vanished;
    let questionable =
        vanished > MISSING_UNQUESTIONED && vanished.saturating_mul(MISSING_SHARE) > there;
    questionable.then_some(Questionable { vanished, there })
}

/// How many would vanish, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Questionable {
    pub(super) vanished: usize,
    pub(super) there: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::{company, missing, view};
    use crate::ports::directory::DirectoryCompany;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn planned(
        known: &[Company],
        listed: &[(&str, &str, &str)],
        complete: bool,
    ) -> Vec<(Why, Company)> {
        let listed: Vec<_> = listed
            .iter()
            .map(|(id, identifier, name)| DirectoryCompany {
                id: (*id).into(),
                identifier: (*identifier).into(),
                name: (*name).into(),
            })
            .collect();
        let fresh = || CompanyId::from_random([0xff; 16]);
        let writes = plan(&view(known), &Found::of(&listed).unwrap(), complete, NOW, fresh);
        writes.into_iter().map(|write| (write.why, write.company)).collect()
    }

    #[test]
    fn what_is_the_same_is_not_written() {
        let known = [company(1, "1", "acme", "Acme"), missing(company(2, "2", "old", "Old"))];
        assert_eq!(planned(&known, &[("1", "acme", "Acme")], true), []);
    }

    #[test]
    fn ids_are_matched_and_names_follow() {
        let known = [company(1, "1", "acme", "Acme"), company(2, "2", "globex", "Globex")];
        // Names change hands; who is who is a matter of ids.
        let swapped = planned(&known, &[("1", "globex", "Globex"), ("2", "acme", "Acme")], true);
        assert_eq!(
            swapped,
            [
                (Why::Changed, company(1, "1", "globex", "Globex")),
                (Why::Changed, company(2, "2", "acme", "Acme"))
            ]
        );
        let fresh =
            Company { id: CompanyId::from_random([0xff; 16]), ..company(0, "3", "acme", "Acme") };
        let same_name = planned(&known[..1], &[("3", "acme", "Acme")], true);
        assert_eq!(same_name[0], (Why::New, fresh));
        assert_eq!(same_name[1].0, Why::Vanished);
    }

    #[test]
    fn only_a_complete_walk_marks_what_vanished() {
        let known = [company(1, "1", "acme", "Acme"), company(2, "2", "globex", "Globex")];
        let gone = Company { missing_since: Some(NOW), ..known[1].clone() };
        assert_eq!(planned(&known, &[("1", "acme", "Acme")], true), [(Why::Vanished, gone)]);
        assert_eq!(planned(&known, &[("1", "acme", "Acme")], false), []);
    }

    #[test]
    fn who_returns_loses_the_mark_and_keeps_the_id() {
        let known = [missing(company(1, "1", "acme", "Acme"))];
        for complete in [true, false] {
            let returned = planned(&known, &[("1", "acme", "Acme & Sons")], complete);
            assert_eq!(returned, [(Why::Returned, company(1, "1", "acme", "Acme & Sons"))]);
        }
    }

    #[test]
    fn a_company_without_any_name_is_neither_made_nor_missed() {
        let known = [company(1, "1", "acme", "Acme")];
        assert_eq!(planned(&known, &[("1", "", "\0"), ("2", "", "")], true), []);
    }

    #[test]
    fn more_than_ten_and_more_than_a_tenth_is_questionable() {
        for (there, vanished, questionable) in [
            (10, 10, false),
            (11, 11, true),
            (100, 10, false),
            (100, 11, true),
            (110, 11, false),
            (109, 11, true),
            (5000, 500, false),
            (5000, 501, true),
        ] {
            let known: Vec<_> = (0..there).map(|n| company(n, &n.to_string(), "", "x")).collect();
            let ids: Vec<_> = (vanished..there).map(|n| n.to_string()).collect();
            let listed: Vec<_> = ids.iter().map(|id| (id.as_str(), "", "x")).collect();
            let writes: Vec<_> = planned(&known, &listed, true)
                .into_iter()
                .map(|(why, company)| Write { company, why })
                .collect();
            let expected = questionable.then_some(Questionable { vanished, there });
            assert_eq!(is_questionable(&view(&known), &writes), expected, "{vanished} of {there}");
        }
    }
}
