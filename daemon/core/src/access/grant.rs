//! Permission to do one thing once.

use std::sync::Arc;

use crate::caller::{Caller, Client};
use crate::catalogue::Service;
use crate::ids::LeaseId;
use crate::ports::audit::Actor;

/// Proof that `access` has authorized an action. Use-cases take it by value, so that one
/// authorization allows one action.
///
/// No other module makes one:
/// ```compile_fail,E0451
/// use credsmith_core::access::{Grant, Operate};
/// fn forge(action: Operate) -> Grant<Operate> {
///     Grant { action }
/// }
/// ```
/// ```compile_fail,E0423
/// use credsmith_core::access::Operate;
/// let action = Operate(Default::default());
/// ```
/// It cannot be used twice:
/// ```compile_fail,E0382
/// use credsmith_core::access::{Grant, Operate, operator};
/// fn spend(_: Grant<Operate>) {}
/// let grant = operator();
/// spend(grant);
/// spend(grant);
/// ```
#[derive(Debug)]
#[must_use]
pub struct Grant<A> {
    action: A,
}

/// The action of issuing a credential.
#[derive(Debug)]
pub struct Issue {
    caller: Caller,
    service: Arc<Service>,
}

/// The action of revoking a credential.
#[derive(Debug)]
pub struct Revoke {
    caller: Caller,
    lease: LeaseId,
}

/// The actions of an operator, who asks from there.
#[derive(Debug)]
pub struct Operate(Client);

impl<A> Grant<A> {
    /// Permission for `action`. Only `access` can call this.
    pub(super) fn of(action: A) -> Self {
        Self { action }
    }

    pub(super) fn action(&self) -> &A {
        &self.action
    }
}

impl Grant<Issue> {
    pub(super) fn issue(caller: Caller, service: Arc<Service>) -> Self {
        Self { action: Issue { caller, service } }
    }

    /// The caller.
    pub fn caller(&self) -> &Caller {
        &self.action.caller
    }

    /// The service.
    pub fn service(&self) -> &Arc<Service> {
        &self.action.service
    }
}

impl Grant<Revoke> {
    pub(super) fn revoke(caller: Caller, lease: LeaseId) -> Self {
        Self { action: Revoke { caller, lease } }
    }

    /// The caller.
    pub fn caller(&self) -> &Caller {
        &self.action.caller
    }

    /// The lease.
    pub fn lease(&self) -> LeaseId {
        self.action.lease
    }
}

impl Grant<Operate> {
    pub(super) fn operate(client: Client) -> Self {
        Self { action: Operate(client) }
    }

    /// The operator as the actor of an audit event.
    pub fn actor(&self) -> Actor {
        Actor::operator(self.action.0.clone())
    }
}
