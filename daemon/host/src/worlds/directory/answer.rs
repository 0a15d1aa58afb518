//! Checks the answers of directories before they are used.
//!
//! Never here: a repair, or the meaning of a missing company.

use std::collections::BTreeSet;

use credsmith_contract::limits::{
    MAX_COMPANIES, MAX_COMPANY_ID, MAX_COMPANY_IDENTIFIER, MAX_COMPANY_NAME, MAX_CONFIGURATIONS,
    MAX_CURSOR,
};
use credsmith_core::ports::directory::{DirectoryCompany, DirectoryPage};
use serde::de::IgnoredAny;

use crate::call::outcome::Forbidden;
use crate::v0;

/// Most bytes of an answer that is checked at all: somewhat more than are accepted, so that most
/// refusals give a reason.
pub(super) const LARGEST: usize = 6 << 20;

/// Checks a page that begins at `cursor`. `guarded`: the secrets that must not be in it.
pub(super) fn page(
    given: v0::directory::Page,
    cursor: Option<&str>,
    guarded: &Forbidden<'_>,
) -> Result<DirectoryPage, String> {
    let count = given.companies.len();
    if count > MAX_COMPANIES {
        return Err(format!("its page has {count} companies; {MAX_COMPANIES} are allowed"));
    }
    let mut seen = BTreeSet::new();
    let mut companies = Vec::with_capacity(count);
    for (at, given) in given.companies.into_iter().enumerate() {
        let company =
            company(given, guarded).map_err(|why| format!("company {at} of its page {why}"))?;
        if !seen.insert(company.id.clone()) {
            return Err(format!("company {at} of its page has the id of an earlier one"));
        }
        companies.push(company);
    }
    if let Some(next) = &given.next {
        check_next(next, cursor, guarded)?;
    }
    Ok(DirectoryPage { companies, next: given.next })
}

/// One company with texts that cannot be shown does not end a walk: it comes without them, is left
/// out and counted. Without its id it could not be told from one that is gone.
fn company(
    given: v0::directory::Company,
    guarded: &Forbidden<'_>,
) -> Result<DirectoryCompany, String> {
    let v0::directory::Company { id, identifier, name, .. } = given;
    if !is_fit(&id, MAX_COMPANY_ID) {
        return Err(format!(
            "has no fit id: empty, longer than {MAX_COMPANY_ID} bytes or with control characters"
        ));
    }
    for (what, text) in [("id", &id), ("identifier", &identifier), ("name", &name)] {
        if guarded.is_in(text) {
            return Err(format!("has a secret in its {what}"));
        }
    }
    if is_fit(&identifier, MAX_COMPANY_IDENTIFIER) && is_fit(&name, MAX_COMPANY_NAME) {
        return Ok(DirectoryCompany { id, identifier, name });
    }
    Ok(DirectoryCompany { id, identifier: String::new(), name: String::new() })
}

/// Names that turn text around are for core to clean.
fn is_fit(text: &str, most: usize) -> bool {
    !text.trim().is_empty() && text.len() <= most && !text.contains(char::is_control)
}

fn check_next(next: &str, cursor: Option<&str>, guarded: &Forbidden<'_>) -> Result<(), String> {
    if next.is_empty() || next.len() > MAX_CURSOR || next.contains(char::is_control) {
        return Err(format!(
            "its cursor is empty, longer than {MAX_CURSOR} bytes or has control characters"
        ));
    }
    if cursor == Some(next) {
        return Err("its next page begins where this one began: such a walk never ends".to_owned());
    }
    if guarded.is_in(next) {
        return Err("its cursor contains a secret".to_owned());
    }
    Ok(())
}

/// Checks the configurations of a company: they are JSON of any meaning.
pub(super) fn configurations(given: String, guarded: &Forbidden<'_>) -> Result<String, String> {
    if given.len() > MAX_CONFIGURATIONS {
        return Err(format!(
            "its configurations have {} bytes; {MAX_CONFIGURATIONS} are allowed",
            given.len()
        ));
    }
    if let Err(error) = serde_json::from_str::<IgnoredAny>(&given) {
        // Where, and not what: the text may hold passwords.
        let (line, column) = (error.line(), error.column());
        return Err(format!("its configurations are no JSON at line {line}, column {column}"));
    }
    if guarded.is_in(&given) {
        return Err("its configurations contain a secret of its settings".to_owned());
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use credsmith_core::secret::Secret;

    use super::*;
    use crate::secrets::GuardedSecret;
    use crate::secrets::guard::{Guard, Guards};

    /// The guard of a directory with one secret, which it may see.
    fn guard() -> Guard {
        let secret = GuardedSecret {
            name: "key".to_owned(),
            value: Arc::new(Secret::new("hunter\"22")),
            bindings: Vec::new(),
            reveal: true,
            hmac: false,
        };
        Guards::default().of(std::iter::once(&secret))
    }

    fn given(id: &str) -> v0::directory::Company {
        v0::directory::Company {
            id: id.to_owned(),
            identifier: "Acme".to_owned(),
            name: "Acme \u{202b}Corp".to_owned(),
            extra: Vec::new(),
        }
    }

    fn answer() -> v0::directory::Page {
        v0::directory::Page {
            companies: vec![given("1"), given("2")],
            next: Some("2".to_owned()),
            extra: Vec::new(),
        }
    }

    type Spoil = fn(&mut v0::directory::Page);

    fn check(spoil: Spoil) -> Result<DirectoryPage, String> {
        let mut answer = answer();
        spoil(&mut answer);
        page(answer, Some("1"), &Forbidden::new(&guard(), []))
    }

    #[test]
    fn a_good_page_passes() {
        let page = check(|_| ()).unwrap();
        assert_eq!((page.companies.len(), page.next.as_deref()), (2, Some("2")));
        assert_eq!(check(|page| page.companies.clear()).unwrap().companies, []);
        let limits = check(|page| {
            page.companies[0].id = "1".repeat(MAX_COMPANY_ID);
            page.companies[0].identifier = "a".repeat(MAX_COMPANY_IDENTIFIER);
            page.companies[0].name = "n".repeat(MAX_COMPANY_NAME);
            page.next = Some("c".repeat(MAX_CURSOR));
        });
        assert!(limits.is_ok());
    }

    #[test]
    fn every_fault_is_refused_and_named() {
        let cases: [(Spoil, &str); 12] = [
            (
                |page| page.companies = (0..=1000).map(|n| given(&n.to_string())).collect(),
                "1001 companies",
            ),
            (
                |page| page.companies[1].id = "1".to_owned(),
                "company 1 of its page has the id of an earlier",
            ),
            (|page| page.companies[0].id.clear(), "company 0 of its page has no fit id"),
            (|page| page.companies[0].id = "1".repeat(MAX_COMPANY_ID + 1), "no fit id"),
            (|page| page.companies[0].id = "1\n2".to_owned(), "no fit id"),
            (|page| page.companies[1].name = "it is hunter\"22".to_owned(), "a secret in its name"),
            (|page| page.next = Some(String::new()), "cursor"),
            (|page| page.next = Some("c".repeat(MAX_CURSOR + 1)), "cursor"),
            (|page| page.next = Some("a\0".to_owned()), "cursor"),
            (|page| page.next = Some("1".to_owned()), "never ends"),
            (|page| page.next = Some("hunter\"22".to_owned()), "cursor contains a secret"),
            (|page| page.companies[0].id = "hunter\"22".to_owned(), "a secret in its id"),
        ];
        for (spoil, expected) in cases {
            let why = check(spoil).unwrap_err();
            assert!(why.contains(expected), "{why} for {expected}");
            assert!(!why.contains("hunter"), "{why}");
        }
    }

    /// One odd company must not keep all others away.
    #[test]
    fn a_company_with_unfit_names_comes_without_them() {
        let spoils: [Spoil; 5] = [
            |page| page.companies[0].identifier = " ".to_owned(),
            |page| page.companies[0].identifier = "a".repeat(MAX_COMPANY_IDENTIFIER + 1),
            |page| page.companies[0].name.clear(),
            |page| page.companies[0].name = "\u{1b}[2J".to_owned(),
            |page| page.companies[0].name = "n".repeat(MAX_COMPANY_NAME + 1),
        ];
        for spoil in spoils {
            let companies = check(spoil).unwrap().companies;
            let DirectoryCompany { id, identifier, name } = &companies[0];
            assert_eq!((id.as_str(), identifier.as_str(), name.as_str()), ("1", "", ""));
            assert_eq!(companies[1].identifier, "Acme");
        }
    }

    #[test]
    fn configurations_are_json_and_pass_unchanged() {
        let guard = guard();
        let guarded = Forbidden::new(&guard, []);
        for fine in ["[]", " {\"b\": 1.10, \"a\": 1e999, \"a\": null}\n", "null"] {
            assert_eq!(configurations(fine.to_owned(), &guarded).unwrap(), fine);
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(
            configurations(deep, &guarded).is_ok(),
            "how deep is not asked here, and costs no stack"
        );
        for (bad, expected) in [
            ("".to_owned(), "no JSON at line 1, column 0"),
            ("[hunter]".to_owned(), "no JSON at line 1, column 2"),
            ("[] []".to_owned(), "no JSON"),
            ("[NaN]".to_owned(), "no JSON"),
            (r#"["hunter\"22"]"#.to_owned(), "contain a secret"),
            (format!("\"{}\"", "x".repeat(MAX_CONFIGURATIONS)), "bytes"),
        ] {
            let why = configurations(bad, &guarded).unwrap_err();
            assert!(why.contains(expected) && !why.contains("hunter"), "{why} for {expected}");
        }
    }
}
