//! Leave to do one thing once.

use std::sync::Arc;

use crate::caller::Caller;
use crate::catalogue::Service;
use crate::ids::LeaseId;

/// Proof that `access` was asked and said yes. Use-cases take it by value, so that one question
/// allows one action.
///
/// Nobody else makes one:
/// ```compile_fail,E0451
/// use credsmith_core::access::{Grant, Operate};
/// fn forge(action: Operate) -> Grant<Operate> {
///     Grant { action }
/// }
/// ```
/// ```compile_fail,E0423
/// use credsmith_core::access::Operate;
/// let action = Operate(());
/// ```
/// Nor can one be used twice:
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

/// The action of having a credential issued.
#[derive(Debug)]
pub struct Issue {
    caller: Caller,
    service: Arc<Service>,
}

/// The action of having a credential revoked.
#[derive(Debug)]
pub struct Revoke {
    caller: Caller,
    lease: LeaseId,
}

/// The actions of an operator.
#[derive(Debug)]
pub struct Operate(());

impl<A> Grant<A> {
    /// Leave for `action`. Of the whole crate only `access` gets here.
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

    /// For whom.
    pub fn caller(&self) -> &Caller {
        &self.action.caller
    }

    /// Of which service.
    pub fn service(&self) -> &Arc<Service> {
        &self.action.service
    }
}

impl Grant<Revoke> {
    pub(super) fn revoke(caller: Caller, lease: LeaseId) -> Self {
        Self { action: Revoke { caller, lease } }
    }

    /// For whom.
    pub fn caller(&self) -> &Caller {
        &self.action.caller
    }

    /// Of which lease.
    pub fn lease(&self) -> LeaseId {
        self.action.lease
    }
}

impl Grant<Operate> {
    pub(super) fn operate() -> Self {
        Self { action: Operate(()) }
    }
}
