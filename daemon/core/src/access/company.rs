//! Authorization to read companies. A role may be bound to some of them: lists then leave the
//! others out, and so does single access by a name that can be guessed; access by our id, which
//! cannot, is refused.

use std::sync::Arc;

use super::grant::Grant;
use crate::caller::Member;
use crate::error::{Error, Kind};
use crate::ids::CompanyId;
use crate::model::companies::CompanyView;
use crate::model::company::Company;
use crate::rights::{Coverage, not_covering};

/// The action of reading one company.
#[derive(Debug)]
pub struct FetchCompany(Arc<Company>);

/// The action of reading the directory's configurations of one company.
#[derive(Debug)]
pub struct FetchConfigurations(Arc<Company>);

/// The action of listing companies.
#[derive(Debug)]
pub struct ListCompanies(Coverage);

const FETCH: &str = "company.fetch";
const FETCH_MANY: &str = "company.fetch.many";
const FETCH_CONFIGURATIONS: &str = "company.fetch.configurations";

impl FetchCompany {
    /// The permissions that it needs, for that company.
    pub const PERMISSIONS: &'static [&'static str] = &[FETCH];
}

impl FetchConfigurations {
    /// The permissions that it needs, for that company.
    pub const PERMISSIONS: &'static [&'static str] = &[FETCH, FETCH_CONFIGURATIONS];
}

impl ListCompanies {
    /// The permissions that it needs.
    pub const PERMISSIONS: &'static [&'static str] = &[FETCH_MANY];
}

/// Authorizes `member` to read the company that `name` resolves to (`CompanyView::resolve`).
///
/// # Errors
/// `Forbidden` without the permission `company.fetch`, or when it does not cover that company;
/// `NotFound` when there is none, or the member may not see the one of that number or identifier.
pub fn authorize_company(
    member: &Member,
    companies: &CompanyView,
    name: &str,
) -> Result<Grant<FetchCompany>, Error> {
    Ok(Grant::of(FetchCompany(one(member, companies, name, FetchCompany::PERMISSIONS)?)))
}

/// Authorizes `member` to read the configurations of the company that `name` resolves to.
///
/// # Errors
/// As [`authorize_company`]; `company.fetch.configurations` is needed, too.
pub fn authorize_configurations(
    member: &Member,
    companies: &CompanyView,
    name: &str,
) -> Result<Grant<FetchConfigurations>, Error> {
    Ok(Grant::of(FetchConfigurations(one(
        member,
        companies,
        name,
        FetchConfigurations::PERMISSIONS,
    )?)))
}

/// Authorizes `member` to list the companies that their rights cover.
///
/// # Errors
/// `Forbidden` without the permission `company.fetch.many`.
pub fn authorize_companies(member: &Member) -> Result<Grant<ListCompanies>, Error> {
    member.rights().require(ListCompanies::PERMISSIONS)?;
    Ok(Grant::of(ListCompanies(member.rights().coverage(FETCH_MANY))))
}

/// A caller without the permission does not learn which companies exist.
fn one(
    member: &Member,
    companies: &CompanyView,
    name: &str,
    permissions: &[&str],
) -> Result<Arc<Company>, Error> {
    member.rights().require(permissions)?;
    let company = companies.resolve(name).ok_or_else(no_such_company)?;
    let covers =
        |permission: &&str| companies.is_covered(&member.rights().coverage(permission), company);
    let Some(missing) = permissions.iter().find(|permission| !covers(permission)) else {
        return Ok(Arc::clone(company));
    };
    let is_guessable = CompanyId::parse(name).ok() != Some(company.id);
    if is_guessable && ![&FETCH, &FETCH_MANY].into_iter().any(covers) {
        return Err(
            no_such_company().because(format!("the permission {missing} is missing for it"))
        );
    }
    Err(not_covering(missing))
}

fn no_such_company() -> Error {
    Error::new(Kind::NotFound, "There is no such company.")
}

impl Grant<FetchCompany> {
    /// The company.
    pub fn company(&self) -> &Arc<Company> {
        &self.action().0
    }
}

impl Grant<FetchConfigurations> {
    /// The company.
    pub fn company(&self) -> &Arc<Company> {
        &self.action().0
    }
}

impl Grant<ListCompanies> {
    /// Which companies are listed.
    pub fn coverage(&self) -> &Coverage {
        &self.action().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles::{self, identity};
    use crate::ids::UserId;
    use crate::model::samples::{company, view};
    use crate::rights::permission::Pattern;
    use crate::rights::{Rights, Role};

    fn role(permissions: &[&str], companies: Option<&[&str]>) -> Arc<Role> {
        Arc::new(Role {
            name: "role".into(),
            permissions: permissions.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
            companies: companies.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        })
    }

    fn member(roles: Vec<Arc<Role>>) -> Member {
        let (user, subject) = (UserId::from_random([1; 16]), identity("alice").subject().clone());
        doubles::member(user, subject, &[], Rights::new(roles))
    }

    fn companies() -> CompanyView {
        view(&[company(1, "12345", "acme", "Acme"), company(2, "67890", "globex", "Globex")])
    }

    fn refused<T>(result: Result<Grant<T>, Error>) -> Kind {
        result.err().unwrap().kind()
    }

    #[test]
    fn a_bound_role_opens_its_company_only() {
        let (own, companies) = (member(vec![role(&["company.*"], Some(&["ACME"]))]), companies());
        assert_eq!(authorize_company(&own, &companies, "12345").unwrap().company().name, "Acme");
        assert_eq!(
            authorize_configurations(&own, &companies, "acme").unwrap().company().name,
            "Acme"
        );
        let theirs = companies.resolve("globex").unwrap().id.to_string();
        assert_eq!(refused(authorize_company(&own, &companies, &theirs)), Kind::Forbidden);
        assert_eq!(refused(authorize_configurations(&own, &companies, &theirs)), Kind::Forbidden);
        assert_eq!(refused(authorize_company(&own, &companies, "initech")), Kind::NotFound);
    }

    /// Attack: a caller of one company tries numbers and names, to learn who the others are.
    #[test]
    fn companies_that_one_may_not_see_are_not_there_by_number_or_identifier() {
        let (own, companies) = (member(vec![role(&["company.*"], Some(&["acme"]))]), companies());
        for theirs in ["67890", "globex", "GLOBEX"] {
            let refused = authorize_company(&own, &companies, theirs).unwrap_err();
            let unknown = authorize_company(&own, &companies, "initech").unwrap_err();
            let answer =
                |error: &Error| (error.kind(), error.public().to_owned(), error.fields().to_vec());
            assert_eq!(answer(&refused), answer(&unknown), "{theirs}");
            let refused = authorize_configurations(&own, &companies, theirs).unwrap_err();
            assert_eq!(answer(&refused), answer(&unknown), "{theirs}");
        }
        // A caller whose lists show the company knows that it is there.
        let sees = member(vec![
            role(&["company.*"], Some(&["acme"])),
            role(&["company.fetch.many"], Some(&["globex"])),
        ]);
        assert_eq!(refused(authorize_company(&sees, &companies, "globex")), Kind::Forbidden);
    }

    /// Both permissions have to cover the same company: one here and one there is neither.
    #[test]
    fn permissions_for_different_companies_do_not_add_up() {
        let mixed = member(vec![
            role(&["company.fetch"], Some(&["acme"])),
            role(&["company.fetch.configurations"], Some(&["globex"])),
        ]);
        // The one that the caller may not fetch is not there for them.
        for (name, kind) in [("acme", Kind::Forbidden), ("globex", Kind::NotFound)] {
            let refused = refused(authorize_configurations(&mixed, &companies(), name));
            assert_eq!(refused, kind, "{name}");
        }
    }

    #[test]
    fn without_the_permission_no_caller_learns_which_companies_exist() {
        for permissions in [&["credential.*"][..], &["company.fetch.many"], &[]] {
            let stranger = member(vec![role(permissions, None)]);
            for name in ["acme", "initech"] {
                assert_eq!(
                    refused(authorize_company(&stranger, &companies(), name)),
                    Kind::Forbidden
                );
            }
        }
        assert_eq!(
            refused(authorize_companies(&member(vec![role(&["company.fetch"], None)]))),
            Kind::Forbidden
        );
        let one = member(vec![role(&["company.fetch"], None)]);
        assert_eq!(refused(authorize_configurations(&one, &companies(), "acme")), Kind::Forbidden);
    }
}
