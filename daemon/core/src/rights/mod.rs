//! The rights of a user in the vault: the permissions of all their roles, and the companies that
//! each permission covers.

pub mod permission;

use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::rights::permission::Pattern;

/// A role: permissions, and the companies that some of them are bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: Arc<str>,
    /// The permissions that it grants.
    pub permissions: Vec<Pattern>,
    /// The companies that its `company.*` and `credential.*` permissions cover, by names as in a
    /// path (our id, directory id, identifier). `None`: all.
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
        self.granting(permission).next().is_some()
    }

    /// What `permission` covers.
    pub fn coverage(&self, permission: &str) -> Coverage {
        let mut only = Vec::new();
        for role in self.granting(permission) {
            match role.companies.as_ref().filter(|_| is_bound_to_companies(permission)) {
                Some(companies) => only.push(Arc::clone(companies)),
                None => return Coverage::Everywhere,
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
            // What is never bound to companies holds everywhere even in a bound role.
            _ if !may_be_bound(pattern) => own().next().is_some(),
            None => own().any(|own| own.companies.is_none()),
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
            Some(missing) => Err(forbidden(missing)),
        }
    }

    fn granting(&self, permission: &str) -> impl Iterator<Item = &Arc<Role>> {
        self.roles
            .iter()
            .filter(move |role| role.permissions.iter().any(|pattern| pattern.covers(permission)))
    }
}

/// The refusal of a caller who lacks `permission`.
pub fn forbidden(permission: &str) -> Error {
    Error::new(Kind::Forbidden, "Insufficient permissions")
        .because(format!("the permission {permission} is missing"))
}

fn is_bound_to_companies(permission: &str) -> bool {
    permission.starts_with("company.") || permission.starts_with("credential.")
}

fn may_be_bound(pattern: &Pattern) -> bool {
    pattern.as_str() == "*" || is_bound_to_companies(pattern.as_str())
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
        assert_eq!(rights.coverage("demo.login"), Coverage::Everywhere);
        let both = Rights::new(vec![role(&["*"], Some(&["acme"])), role(&["company.fetch"], None)]);
        assert_eq!(both.coverage("company.fetch"), Coverage::Everywhere);
        assert_eq!(both.coverage("user.update"), Coverage::Everywhere);
        assert_eq!(Rights::default().coverage("company.fetch"), Coverage::Nowhere);
    }

    #[test]
    fn a_role_is_included_only_in_the_rights_that_hold_it() {
        let rights =
            Rights::new(vec![role(&["*"], Some(&["acme", "umbrella"])), role(&["user.*"], None)]);
        assert!(rights.include(&role(&["company.*"], Some(&["acme"]))));
        assert!(rights.include(&role(&["user.update"], None)));
        assert!(rights.include(&role(&["demo.login"], None)));
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
