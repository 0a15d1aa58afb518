//! Authorization as a value: a use-case takes a [`Grant`], and only this module makes one. A
//! use-case without an authorization does not compile.
//!
//! Start with [`authorize_issue`]. The rules of services are in [`crate::rules`].
//!
//! Never here: a read of the store, a count, a limit. Whether something *may* be done is not
//! whether it *can* be done now.

mod company;
mod grant;
mod people;
pub mod vault;

use std::sync::Arc;

pub use company::{
    FetchCompany, FetchConfigurations, ListCompanies, authorize_companies, authorize_company,
    authorize_configurations,
};
pub use grant::{Grant, Issue, Operate, Revoke};
pub use people::{
    AssignRoles, ChangeProfile, ListUsers, SuspendUser, authorize_profile, authorize_roles,
    authorize_suspension, authorize_users,
};
pub use vault::{
    AtCredential, ChangeType, CreateCredential, CreateType, DeleteType, FetchType, ListOfCompany,
    ListOfType, ListTypes, PlaceCredential, authorize_creation, authorize_list_of_type,
    authorize_type, authorize_type_change, authorize_type_creation, authorize_type_deletion,
    authorize_types,
};

use crate::caller::{Caller, Client, Subject};
use crate::catalogue::Service;
use crate::error::{Error, Kind};
use crate::ids::LeaseId;

/// Whether the rules of `service` allow `caller` a credential of it. For lists; use-cases need
/// [`authorize_issue`].
pub fn may_issue(caller: &Caller, service: &Service) -> bool {
    service.rules.judge(caller).is_allowed()
}

/// Authorizes `caller` to have one credential of `service` issued.
///
/// # Errors
/// `Forbidden` with a fixed sentence when the rules of the service do not allow it; the cause names
/// the rule that decided.
pub fn authorize_issue(caller: &Caller, service: &Arc<Service>) -> Result<Grant<Issue>, Error> {
    let decision = service.rules.judge(caller);
    if decision.is_allowed() {
        return Ok(Grant::issue(caller.clone(), Arc::clone(service)));
    }
    Err(Error::new(Kind::Forbidden, "You are not allowed to use this service.")
        .because(format!("service {}: {decision}", service.id)))
}

/// Authorizes `caller` to have the credential of `lease` revoked, whose owner is `owner`. No rule
/// applies: every owner may give a credential back. Subjects are compared exactly.
///
/// # Errors
/// `NotFound` when another subject owns the lease: its existence is not disclosed.
pub fn authorize_revoke(
    caller: &Caller,
    owner: &Subject,
    lease: LeaseId,
) -> Result<Grant<Revoke>, Error> {
    if caller.subject() == owner {
        return Ok(Grant::revoke(caller.clone(), lease));
    }
    Err(Error::new(Kind::NotFound, "There is no such credential.")
        .because(format!("lease {lease} belongs to another subject")))
}

/// Authorizes the commands of operators: suspend, retry, drop. The calling code vouches that an
/// operator asks: only operators have access to the admin socket and the command line.
pub fn operator() -> Grant<Operate> {
    operator_at(Client::default())
}

/// As [`operator`], for a request at the admin socket, which comes from `client`.
pub fn operator_at(client: Client) -> Grant<Operate> {
    Grant::operate(client)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles;
    use crate::rules::Rules;

    fn service(rules: Rules) -> Arc<Service> {
        Arc::new(Service { rules, ..doubles::service("ssh") })
    }

    #[test]
    fn a_grant_to_issue_names_caller_and_service() {
        let alice = doubles::caller("alice");
        let ssh = service(doubles::open_rules());
        let grant = authorize_issue(&alice, &ssh).unwrap();
        assert_eq!(grant.caller().subject(), alice.subject());
        assert!(Arc::ptr_eq(grant.service(), &ssh));
        assert!(may_issue(&alice, &ssh));
    }

    #[test]
    fn without_rules_no_caller_may_issue() {
        let ssh = service(Rules::default());
        let refused = authorize_issue(&doubles::caller("alice"), &ssh).unwrap_err();
        assert_eq!(refused.kind(), Kind::Forbidden);
        assert_eq!(refused.public(), "You are not allowed to use this service.");
        assert_eq!(refused.cause().unwrap(), "service ssh: no allow rule matches");
        assert!(!may_issue(&doubles::caller("alice"), &ssh));
    }

    #[test]
    fn only_the_very_owner_may_revoke() {
        let lease = LeaseId::from_random([1; 16]);
        let alice = doubles::caller("alice");
        let owner = alice.subject().clone();
        let grant = authorize_revoke(&alice, &owner, lease).unwrap();
        assert_eq!(grant.lease(), lease);
        assert_eq!(grant.caller().subject(), &owner);

        for other in [
            Subject { subject: "bob".into(), ..owner.clone() },
            Subject { subject: "Alice".into(), ..owner.clone() },
            Subject { issuer: format!("{}/", owner.issuer), ..owner.clone() },
        ] {
            let refused = authorize_revoke(&alice, &other, lease).unwrap_err();
            assert_eq!(refused.kind(), Kind::NotFound, "{other:?}");
        }
    }
}
