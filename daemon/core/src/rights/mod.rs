//! The rights of a user in the vault: the permissions of all their roles, and the companies that
//! each permission covers.

pub mod permission;

use std::sync::Arc;

use crate::error::{Error, FieldProblem, Kind};
use crate::rights::permission::Pattern;

/// Reading types of credentials: the only permission on types that a bound role grants.
const READ_TYPES: &str = "credential_type.fetch";

/// A role: permissions, and the companies that some of them are bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: Arc<str>,
    /// The permissions that it grants.
    pub permissions: Vec<Pattern>,
    /// The companies that the role is bound to, by names as in a path (our id, directory id,
    /// identifier). `None`: none, so that it holds for all.
    ///
    /// A bound role grants `company.*`, `credential.*` and the scopes of types for its companies
    /// alone, and of `credential_type.*` only reading: types are everybody's.
    pub companies: Option<Arc<[String]>>,
}

/// The companies that a permission covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// None: the permission is not held.
    Nowhere,
    /// The companies of these names.
    Only(Vec<Arc<[String]>>),
    /// All companies, and what belongs to none.
    Everywhere,
}

/// The rights of one user at one moment.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    roles: Vec<Arc<Role>>,
}

impl Rights {
    /// The rights of `roles` together.
    pub fn new(roles: Vec<Arc<Role>>) -> Self {
        Self { roles }
    }

    /// The roles.
    pub fn roles(&self) -> &[Arc<Role>] {
        &self.roles
    }

    /// Whether `permission` covers anything at all.
    pub fn hold(&self, permission: &str) -> bool {
        self.coverage(permission) != Coverage::Nowhere
    }

    /// Whether `permission` covers everything.
    pub fn hold_everywhere(&self, permission: &str) -> bool {
        self.coverage(permission) == Coverage::Everywhere
    }

    /// What `permission` covers.
    pub fn coverage(&self, permission: &str) -> Coverage {
        let mut only = Vec::new();
        for role in self.granting(permission) {
            match (&role.companies, Reach::of(permission)) {
                (None, _) | (Some(_), Reach::Everywhere) => return Coverage::Everywhere,
                (Some(companies), Reach::Companies) => only.push(Arc::clone(companies)),
                (Some(_), Reach::Nowhere) => {}
            }
        }
        if only.is_empty() { Coverage::Nowhere } else { Coverage::Only(only) }
    }

    /// Whether they include everything that `role` grants, for every company for which it does.
    pub fn include(&self, role: &Role) -> bool {
        role.permissions
            .iter()
            .all(|pattern| self.include_pattern(pattern, role.companies.as_deref()))
    }

    /// Each company may be covered by another of the own roles. A role that is bound to none still
    /// grants what is never bound.
    fn include_pattern(&self, pattern: &Pattern, companies: Option<&[String]>) -> bool {
        let own = || {
            self.roles
                .iter()
                .filter(|own| own.permissions.iter().any(|granted| granted.includes(pattern)))
        };
        let at = |name: &String| {
            own().any(|own| own.companies.as_ref().is_none_or(|companies| companies.contains(name)))
        };
        match companies {
            None => own().any(|own| own.companies.is_none() || is_same_when_bound(pattern)),
            Some(_) if !may_reach_companies(pattern) => own().next().is_some(),
            Some(names) => own().next().is_some() && names.iter().all(at),
        }
    }

    /// Requires every one of `permissions`, each for one company at least.
    ///
    /// # Errors
    /// `Forbidden`; its cause names the first that is missing.
    pub fn require(&self, permissions: &[&str]) -> Result<(), Error> {
        match permissions.iter().find(|permission| !self.hold(permission)) {
            None => Ok(()),
            Some(missing) => Err(missing_permission(missing)),
        }
    }

    fn granting(&self, permission: &str) -> impl Iterator<Item = &Arc<Role>> {
        self.roles
            .iter()
            .filter(move |role| role.permissions.iter().any(|pattern| pattern.covers(permission)))
    }
}

/// The refusal of a caller who lacks `permission`, which every caller may know: the documentation
/// of the routes names it.
pub fn missing_permission(permission: &str) -> Error {
    missing(permission).with_fields(vec![FieldProblem::new(
        [],
        format!("The permission {permission} is missing."),
    )])
}

/// The refusal of a caller whose `permission` does not cover the company, which the caller named.
pub fn not_covering(permission: &str) -> Error {
    missing(permission).with_fields(vec![FieldProblem::new(
        [],
        format!("The permission {permission} is missing for this company."),
    )])
}

/// The refusal of a caller who lacks `permission`, and is not to learn which one it is: the log
/// and the audit name it alone.
pub fn missing(permission: &str) -> Error {
    forbidden().because(format!("the permission {permission} is missing"))
}

/// The refusal of a caller for another reason than a missing permission.
pub fn forbidden() -> Error {
    Error::new(Kind::Forbidden, "Insufficient permissions")
}

/// How far a permission reaches in a role that is bound to companies.
enum Reach {
    /// To the companies of the role.
    Companies,
    /// To everything, as in a role that is not bound.
    Everywhere,
    /// To nothing: what it allows is everybody's.
    Nowhere,
}

impl Reach {
    fn of(permission: &str) -> Self {
        match permission.split('.').next().unwrap_or_default() {
            "user" => Self::Everywhere,
            "credential_type" if is_below(permission, READ_TYPES) => Self::Everywhere,
            // Operators' commands are about the whole daemon.
            "credential_type" | "operator" => Self::Nowhere,
            // What is left are the scopes of types, which protect credentials.
            _ => Self::Companies,
        }
    }
}

/// Whether `permission` is `name`, or below it.
fn is_below(permission: &str, name: &str) -> bool {
    permission.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether a bound role grants by `pattern` all that any other role does.
fn is_same_when_bound(pattern: &Pattern) -> bool {
    matches!(Reach::of(pattern.as_str()), Reach::Everywhere)
}

/// Whether a bound role may grant something for its companies alone by `pattern`.
fn may_reach_companies(pattern: &Pattern) -> bool {
    pattern.as_str() == "*" || matches!(Reach::of(pattern.as_str()), Reach::Companies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(permissions: &[&str], companies: Option<&[&str]>) -> Arc<Role> {
        Arc::new(Role {
            name: "role".into(),
            permissions: permissions.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
            companies: companies.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        })
    }

    #[test]
    fn permissions_add_up_over_roles() {
        let rights =
            Rights::new(vec![role(&["company.fetch"], None), role(&["credential.*"], None)]);
        assert!(rights.require(&["company.fetch", "credential.fetch.many"]).is_ok());
        let refused = rights.require(&["company.fetch", "company.fetch.many"]).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.public()),
            (Kind::Forbidden, "Insufficient permissions")
        );
        assert!(!Rights::default().hold("company.fetch"));
    }

    #[test]
    fn a_bound_role_covers_its_companies_only() {
        let rights = Rights::new(vec![role(&["*"], Some(&["acme"]))]);
        assert_eq!(
            rights.coverage("company.fetch"),
            Coverage::Only(vec![vec!["acme".to_owned()].into()])
        );
        assert_eq!(rights.coverage("credential_type.fetch"), Coverage::Everywhere);
        assert_eq!(rights.coverage("demo.login"), rights.coverage("company.fetch"));
        let both = Rights::new(vec![role(&["*"], Some(&["acme"])), role(&["company.fetch"], None)]);
        assert_eq!(both.coverage("company.fetch"), Coverage::Everywhere);
        assert_eq!(both.coverage("user.update"), Coverage::Everywhere);
        assert_eq!(Rights::default().coverage("company.fetch"), Coverage::Nowhere);
    }

    /// Attack: a role for one company changes what all companies use.
    #[test]
    fn a_bound_role_only_reads_types_and_opens_scopes_for_its_companies() {
        let acme = || Coverage::Only(vec![vec!["acme".to_owned()].into()]);
        for granted in ["*", "credential_type.*", "demo.*", "company.*", "operator.*"] {
            let rights = Rights::new(vec![role(&[granted], Some(&["acme"]))]);
            let holds = |permission: &str| match permission.split('.').next() {
                Some(space) => granted == "*" || granted == format!("{space}.*"),
                None => false,
            };
            for (permission, coverage) in [
                ("credential_type.fetch", Coverage::Everywhere),
                ("credential_type.fetch.many", Coverage::Everywhere),
                ("credential_type.fetches", Coverage::Nowhere),
                ("credential_type.create", Coverage::Nowhere),
                ("credential_type.update", Coverage::Nowhere),
                ("credential_type.delete", Coverage::Nowhere),
                ("operator.suspend", Coverage::Nowhere),
                ("company.fetch", acme()),
                ("demo.login", acme()),
            ] {
                let coverage = if holds(permission) { coverage } else { Coverage::Nowhere };
                assert_eq!(rights.coverage(permission), coverage, "{granted}: {permission}");
                let may = coverage != Coverage::Nowhere;
                assert_eq!(rights.hold(permission), may, "{granted}: {permission}");
                assert_eq!(rights.require(&[permission]).is_ok(), may, "{granted}: {permission}");
            }
        }
    }

    #[test]
    fn a_refusal_names_the_permission_to_those_who_may_know() {
        let refused = Rights::default().require(&["company.fetch"]).unwrap_err();
        let [problem] = refused.fields() else { panic!("{refused:?}") };
        assert_eq!(problem.message, "The permission company.fetch is missing.");
        assert_eq!(missing("demo.secret").fields(), []);
        assert_eq!(
            missing("demo.secret").cause().unwrap(),
            "the permission demo.secret is missing"
        );
    }

    #[test]
    fn a_role_is_included_only_in_the_rights_that_hold_it() {
        let rights =
            Rights::new(vec![role(&["*"], Some(&["acme", "umbrella"])), role(&["user.*"], None)]);
        assert!(rights.include(&role(&["company.*"], Some(&["acme"]))));
        assert!(rights.include(&role(&["user.update"], None)));
        assert!(rights.include(&role(&["demo.login"], Some(&["acme"]))));
        assert!(!rights.include(&role(&["demo.login"], None)));
        assert!(!rights.include(&role(&["company.*"], None)));
        assert!(!rights.include(&role(&["company.*"], Some(&["other"]))));
        assert!(!rights.include(&role(&["*"], None)));
    }

    /// Attack: a role that is bound to nothing, or to little, and grants more than it seems.
    #[test]
    fn a_binding_hides_nothing_of_what_a_role_grants() {
        for (own, wanted, included) in [
            // `*` grants what is never bound, too: users, types, scopes.
            ((&["company.*"][..], None), (&["*"][..], Some(&[][..])), false),
            ((&["company.*", "credential.*"], None), (&["*"], Some(&["acme"])), false),
            ((&["*"], Some(&["acme"][..])), (&["*"], Some(&[])), true),
            ((&["*"], Some(&["acme"])), (&["*"], Some(&["acme"])), true),
            ((&["*"], Some(&["acme"])), (&["*"], Some(&["acme", "globex"])), false),
            ((&["company.fetch"], None), (&["company.fetch.many"], Some(&[])), false),
            (
                (&["company.fetch"], Some(&["acme"])),
                (&["company.fetch", "user.update"], Some(&["acme"])),
                false,
            ),
            // A binding is no hindrance for what it does not bind.
            ((&["user.*"], Some(&["acme"])), (&["user.update"], Some(&["globex"])), true),
            (
                (&["user.*", "demo.*"], None),
                (&["user.update", "demo.login"], Some(&["globex"])),
                true,
            ),
            ((&["credential_type.*"], Some(&["acme"])), (&["credential_type.fetch"], None), true),
            ((&["credential_type.*"], Some(&["acme"])), (&["credential_type.fetch.*"], None), true),
            // What a bound role does not grant, its holder cannot give.
            ((&["credential_type.*"], Some(&["acme"])), (&["credential_type.update"], None), false),
            ((&["credential_type.*"], Some(&["acme"])), (&["credential_type.*"], None), false),
            ((&["*"], Some(&["acme"])), (&["credential_type.update"], None), false),
            ((&["*"], Some(&["acme"])), (&["demo.login"], None), false),
            ((&["demo.*"], Some(&["acme"])), (&["demo.login"], Some(&["globex"])), false),
            (
                (&["credential_type.*"], Some(&["acme"])),
                (&["credential_type.*"], Some(&["globex"])),
                true,
            ),
            // Names are compared as they are written: what they stand for may change.
            ((&["company.*"], Some(&["acme"])), (&["company.*"], Some(&["ACME"])), false),
        ] {
            let rights = Rights::new(vec![role(own.0, own.1)]);
            assert_eq!(rights.include(&role(wanted.0, wanted.1)), included, "{own:?} {wanted:?}");
        }
    }

    #[test]
    fn what_several_roles_hold_together_may_be_given_in_one() {
        let rights = Rights::new(vec![
            role(&["company.*"], Some(&["acme"])),
            role(&["company.fetch"], Some(&["globex"])),
            role(&["credential.fetch"], None),
        ]);
        assert!(
            rights
                .include(&role(&["company.fetch", "credential.fetch"], Some(&["acme", "globex"])))
        );
        assert!(!rights.include(&role(&["company.fetch"], Some(&["acme", "globex", "initech"]))));
        assert!(!rights.include(&role(&["company.fetch.many"], Some(&["acme", "globex"]))));
        assert!(!rights.include(&role(&["company.fetch"], None)));
    }
}
