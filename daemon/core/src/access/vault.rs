//! Authorization for types and credentials. A permission of a role comes first; the companies that
//! it covers and the scope of the type narrow it: single access beyond them is refused, lists leave
//! out what lies there.

use std::fmt;
use std::marker::PhantomData;

use super::grant::Grant;
use crate::caller::Member;
use crate::error::{Error, Kind};
use crate::ids::{CompanyId, CredentialId};
use crate::model::companies::{CompanySet, CompanyView};
use crate::model::company::Company;
use crate::rights::{Rights, missing, missing_permission, not_covering};

const TYPE_FETCH: &str = "credential_type.fetch";
const TYPE_FETCH_MANY: &str = "credential_type.fetch.many";
const TYPE_CREATE: &str = "credential_type.create";
const TYPE_UPDATE: &str = "credential_type.update";
const TYPE_DELETE: &str = "credential_type.delete";
const FETCH: &str = "credential.fetch";
const FETCH_MANY: &str = "credential.fetch.many";
const CREATE: &str = "credential.create";
const UPDATE: &str = "credential.update";
const DELETE: &str = "credential.delete";
const FETCH_FIELDS: &str = "credential.fields.fetch";
const UPDATE_FIELDS: &str = "credential.fields.update";
const READ_SECURE_VALUES: &str = "credential.secure_values.read";

/// A kind of access to one credential. Only this module defines kinds.
pub trait AtOne: sealed::Sealed + fmt::Debug + Send + Sync + 'static {
    /// The permissions that it needs, all of them.
    const PERMISSIONS: &'static [&'static str];
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! at_one {
    ($(#[$doc:meta])* $kind:ident, $($permission:ident),+) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $kind {}
        impl sealed::Sealed for $kind {}
        impl AtOne for $kind {
            const PERMISSIONS: &'static [&'static str] = &[$($permission),+];
        }
    };
}

at_one!(
    /// Reading a credential, without its secure values.
    Fetch, FETCH
);
at_one!(
    /// Reading its values, the secure ones as they are stored.
    FetchValues, FETCH, FETCH_FIELDS
);
at_one!(
    /// Decrypting its secure values and handing them out.
    Reveal, FETCH, READ_SECURE_VALUES
);
at_one!(
    /// Changing its name.
    Rename, UPDATE
);
at_one!(
    /// Changing its values.
    ChangeValues, UPDATE, UPDATE_FIELDS
);
at_one!(
    /// Deleting it.
    Delete, DELETE
);

/// The action `K` at one credential.
#[derive(Debug)]
pub struct AtCredential<K> {
    member: Member,
    credential: CredentialId,
    kind: PhantomData<fn() -> K>,
}

/// The action of making a credential of any company and type.
#[derive(Debug)]
pub struct CreateCredential(Member);

/// The action of making a credential of one company and type.
#[derive(Debug)]
pub struct PlaceCredential(Member);

/// The action of listing credentials of one company.
#[derive(Debug)]
pub struct ListOfCompany {
    member: Member,
    company: CompanyId,
}

/// The action of listing credentials of one type.
#[derive(Debug)]
pub struct ListOfType(Member);

/// The action of reading one type.
#[derive(Debug)]
pub struct FetchType(Member);

/// The action of reading all types.
#[derive(Debug)]
pub struct ListTypes(Member);

/// The action of making a type.
#[derive(Debug)]
pub struct CreateType(Member);

/// The action of changing a type.
#[derive(Debug)]
pub struct ChangeType(Member);

/// The action of deleting a type.
#[derive(Debug)]
pub struct DeleteType(Member);

macro_rules! permissions {
    ($($action:ident: $($permission:ident),+;)+) => {
        $(impl $action {
            /// The permissions that it needs.
            pub const PERMISSIONS: &'static [&'static str] = &[$($permission),+];
        })+
    };
}

permissions!(
    CreateCredential: CREATE;
    ListOfCompany: FETCH_MANY;
    ListOfType: TYPE_FETCH, FETCH_MANY;
    FetchType: TYPE_FETCH;
    ListTypes: TYPE_FETCH_MANY;
    CreateType: TYPE_CREATE;
    ChangeType: TYPE_UPDATE;
    DeleteType: TYPE_DELETE;
);

/// The effect of a change on the scope of a type and on what the scope protects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScopeChange<'a> {
    /// The scope as it is.
    pub(crate) present: Option<&'a str>,
    /// The scope as it will be, where it changes.
    pub(crate) wanted: Option<&'a str>,
    /// Whether the type's fields or plugin change, or it goes away with its credentials.
    pub(crate) touches_values: bool,
}

/// Authorizes `member` to do `K` at `credential`, which belongs to `company` and whose type has the
/// scope `scope`.
///
/// # Errors
/// `Forbidden`, when one of the permissions is missing or does not cover the company, or the scope
/// is not held.
pub fn authorize_credential<K: AtOne>(
    member: &Member,
    companies: &CompanyView,
    (credential, company, scope): (CredentialId, &Company, Option<&str>),
) -> Result<Grant<AtCredential<K>>, Error> {
    require_at(member, companies, company, K::PERMISSIONS)?;
    hold_scope_at(member, companies, company, scope)?;
    Ok(Grant::of(AtCredential { member: member.clone(), credential, kind: PhantomData }))
}

/// Authorizes `member` to make a credential; [`authorize_place`] judges company and type.
///
/// # Errors
/// `Forbidden` without `credential.create`.
pub fn authorize_creation(member: &Member) -> Result<Grant<CreateCredential>, Error> {
    member.rights().require(CreateCredential::PERMISSIONS)?;
    Ok(Grant::of(CreateCredential(member.clone())))
}

/// Authorizes making it for `company`, of a type of that scope.
///
/// # Errors
/// `Forbidden`, when the permission does not cover the company, or the scope is not held.
pub fn authorize_place(
    grant: &Grant<CreateCredential>,
    companies: &CompanyView,
    company: Option<&Company>,
    scope: Option<&str>,
) -> Result<Grant<PlaceCredential>, Error> {
    let member = grant.member();
    match company {
        Some(company) => {
            require_at(member, companies, company, CreateCredential::PERMISSIONS)?;
            hold_scope_at(member, companies, company, scope)?;
        }
        // There is nothing to place the credential at: the caller learns that, and nothing more.
        None => hold_scope(member, scope, |rights, scope| rights.hold(scope))?,
    }
    Ok(Grant::of(PlaceCredential(member.clone())))
}

/// Authorizes `member` to list credentials of the company of that id.
///
/// # Errors
/// `Forbidden` without `credential.fetch.many` for that company; `NotFound` when there is none.
pub fn authorize_list_of_company(
    member: &Member,
    companies: &CompanyView,
    company: CompanyId,
) -> Result<Grant<ListOfCompany>, Error> {
    member.rights().require(ListOfCompany::PERMISSIONS)?;
    let found = companies.by_id(company);
    let found = found.ok_or_else(|| Error::new(Kind::NotFound, "There is no such company."))?;
    require_at(member, companies, found, ListOfCompany::PERMISSIONS)?;
    Ok(Grant::of(ListOfCompany { member: member.clone(), company }))
}

/// Authorizes `member` to list credentials of a type, of those companies that the permission
/// covers.
///
/// # Errors
/// `Forbidden` without `credential_type.fetch` and `credential.fetch.many`.
pub fn authorize_list_of_type(member: &Member) -> Result<Grant<ListOfType>, Error> {
    member.rights().require(ListOfType::PERMISSIONS)?;
    Ok(Grant::of(ListOfType(member.clone())))
}

/// Authorizes `member` to read a type. No company narrows access to types themselves.
///
/// # Errors
/// `Forbidden` without `credential_type.fetch`.
pub fn authorize_type(member: &Member) -> Result<Grant<FetchType>, Error> {
    member.rights().require(FetchType::PERMISSIONS)?;
    Ok(Grant::of(FetchType(member.clone())))
}

/// Authorizes `member` to read all types.
///
/// # Errors
/// `Forbidden` without `credential_type.fetch.many`.
pub fn authorize_types(member: &Member) -> Result<Grant<ListTypes>, Error> {
    member.rights().require(ListTypes::PERMISSIONS)?;
    Ok(Grant::of(ListTypes(member.clone())))
}

/// Authorizes `member` to make a type.
///
/// # Errors
/// `Forbidden` without `credential_type.create`.
pub fn authorize_type_creation(member: &Member) -> Result<Grant<CreateType>, Error> {
    member.rights().require(CreateType::PERMISSIONS)?;
    Ok(Grant::of(CreateType(member.clone())))
}

/// Authorizes `member` to change a type, as far as its scope allows: the use-case, which knows what
/// changes, checks that with `check_scope_change`.
///
/// # Errors
/// `Forbidden` without `credential_type.update`.
pub fn authorize_type_change(member: &Member) -> Result<Grant<ChangeType>, Error> {
    member.rights().require(ChangeType::PERMISSIONS)?;
    Ok(Grant::of(ChangeType(member.clone())))
}

/// Authorizes `member` to delete a type, as far as its scope allows.
///
/// # Errors
/// `Forbidden` without `credential_type.delete`.
pub fn authorize_type_deletion(member: &Member) -> Result<Grant<DeleteType>, Error> {
    member.rights().require(DeleteType::PERMISSIONS)?;
    Ok(Grant::of(DeleteType(member.clone())))
}

/// Whether `member` may change the scope of a type, or what its scope protects.
///
/// # Errors
/// `Forbidden`: a change of scope needs the old and the new one, a change of what it protects the
/// present one. Else every member who may define types could open any type to themselves.
pub(crate) fn check_scope_change(member: &Member, change: ScopeChange<'_>) -> Result<(), Error> {
    if change.touches_values || change.wanted.is_some() {
        hold_scope_everywhere(member, change.present)?;
    }
    hold_scope_everywhere(member, change.wanted)
}

/// The companies whose credentials of a type `member` sees.
pub(crate) fn visible(member: &Member, companies: &CompanyView, scope: Option<&str>) -> Visible {
    let covered = |permission| companies.covered(&member.rights().coverage(permission));
    let scoped = scope.map_or(CompanySet::All, covered);
    Visible { listed: covered(FETCH_MANY), single: covered(FETCH), scoped }
}

/// The companies whose credentials a member may see.
#[derive(Debug)]
pub(crate) struct Visible {
    listed: CompanySet,
    single: CompanySet,
    /// Those for which they hold the scope of the type.
    scoped: CompanySet,
}

impl Visible {
    /// Whether they may see those of `company`, be it in a list or one by one.
    pub(crate) fn contains(&self, company: CompanyId) -> bool {
        self.scoped.contains(company)
            && (self.listed.contains(company) || self.single.contains(company))
    }

    /// Whether lists may name those of `company`.
    pub(crate) fn lists(&self, company: CompanyId) -> bool {
        self.scoped.contains(company) && self.listed.contains(company)
    }
}

fn require_at(
    member: &Member,
    companies: &CompanyView,
    company: &Company,
    permissions: &[&str],
) -> Result<(), Error> {
    let missing = permissions
        .iter()
        .find(|permission| !companies.is_covered(&member.rights().coverage(permission), company));
    missing.map_or(Ok(()), |permission| Err(not_covering(permission)))
}

/// Requires the scope of a type for `company`.
fn hold_scope_at(
    member: &Member,
    companies: &CompanyView,
    company: &Company,
    scope: Option<&str>,
) -> Result<(), Error> {
    let covers =
        |rights: &Rights, scope: &str| companies.is_covered(&rights.coverage(scope), company);
    hold_scope(member, scope, covers)
}

/// Requires the scope of a type for every company: for what concerns the type itself.
fn hold_scope_everywhere(member: &Member, scope: Option<&str>) -> Result<(), Error> {
    hold_scope(member, scope, Rights::hold_everywhere)
}

/// Only a caller who may read types learns which scope is missing: it is part of the type.
fn hold_scope(
    member: &Member,
    scope: Option<&str>,
    is_held: impl Fn(&Rights, &str) -> bool,
) -> Result<(), Error> {
    let rights = member.rights();
    let Some(scope) = scope.filter(|scope| !is_held(rights, scope)) else { return Ok(()) };
    if rights.hold(TYPE_FETCH) || rights.hold(TYPE_FETCH_MANY) {
        return Err(missing_permission(scope));
    }
    Err(missing(scope))
}

impl<K> Grant<AtCredential<K>> {
    /// The member.
    pub(crate) fn member(&self) -> &Member {
        &self.action().member
    }

    /// The credential.
    pub fn credential(&self) -> CredentialId {
        self.action().credential
    }
}

impl Grant<ListOfCompany> {
    /// The member.
    pub(crate) fn member(&self) -> &Member {
        &self.action().member
    }

    /// The company.
    pub fn company(&self) -> CompanyId {
        self.action().company
    }
}

macro_rules! member_of {
    ($($action:ident),+) => {
        $(impl Grant<$action> {
            /// The member.
            pub(crate) fn member(&self) -> &Member {
                &self.action().0
            }
        })+
    };
}

member_of!(
    CreateCredential,
    PlaceCredential,
    ListOfType,
    FetchType,
    ListTypes,
    CreateType,
    ChangeType,
    DeleteType
);
