//! Issuing a credential.
//!
//! [`Leases::authorize_issue`] authorizes the caller, [`Leases::issue`] issues: reserve durably,
//! run the plugin, record what it made, put the result up for collection. From the reservation on
//! it runs in a task of its own: it does not depend on a client that still waits.
//!
//! Never here: a decision about who may use a service (that is [`crate::access`]'s), what a lease
//! becomes (that is [`crate::model::lease`]'s).

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::access::{self, Grant, Issue};
use crate::caller::{Caller, Claims, Interface};
use crate::catalogue::Service;
use crate::error::{Error, Kind};
use crate::ground::{outcome_of, suspended};
use crate::ids::{HandoffId, LeaseId, ProviderId};
use crate::leases::effects::{self, Effect};
use crate::leases::handoff::{Collected, Handoff, Place};
use crate::leases::ledger::{Activated, Activation, NotAdvanced, Room, Settled};
use crate::leases::parameters::{self, Fitted};
use crate::leases::{Leases, target_at, target_of, user};
use crate::model::lease::{Event, Kept, Lease, Made, State};
use crate::ports::audit::{self, Action, Outcome, Target};
use crate::ports::plugins::{
    Broken, BrokenHow, CallFailure, CallUser, Entry, IssueCall, IssueOutcome, IssueReport, Issued,
    LoadedService, MAX_STATE_BYTES, NotStarted, Refusal,
};
use crate::ports::random_16;
use crate::ports::store::Versioned;

/// Longest secret that a plugin may have kept for the revocation.
const MAX_REVOKE_WITH_BYTES: usize = 4 * 1024;

const LOGIN_REQUIRED: &str = "The plugin of this service wants you to sign in elsewhere first.";
const PLUGIN_FAILED: &str =
    "The plugin of this service had a problem; please contact the administrator.";

/// An issue that may begin.
struct Request {
    caller: Caller,
    service: Arc<Service>,
    loaded: LoadedService,
    parameters: Fitted,
    place: Place,
    _effect: Effect,
}

/// The answer of a plugin that issued.
struct Report {
    issued: Issued,
    claims_read: Claims,
    sent: bool,
}

impl Leases {
    /// Authorizes `caller` to have a credential of `service` issued.
    ///
    /// # Errors
    /// `Disabled` when there is no such service or it cannot be used, `Forbidden` when its rules
    /// do not allow the caller.
    pub fn authorize_issue(&self, caller: &Caller, service: &str) -> Result<Grant<Issue>, Error> {
        let configured =
            self.catalogue.get(service).ok_or_else(|| disabled("it is not configured"))?;
        self.plugins.loaded(&configured.id).map_err(disabled)?;
        access::authorize_issue(caller, configured).inspect_err(|error| {
            let (target, outcome) = (target_at(caller, &configured.id), outcome_of(error));
            self.ground.remark(self.ground.event(
                Some(user(caller)),
                Action::Issue,
                target,
                outcome,
            ));
        })
    }

    /// Issues a credential, and puts the result up for collection by the same subject. An issue
    /// that has begun goes on to its end when this future is dropped.
    ///
    /// # Errors
    /// `Invalid` (parameters), `LimitReached`, `Conflict` (the plugin named what another lease
    /// holds), `Refused`, `LoginRequired`, `PluginFailed`, `PluginTimeout`, `Busy`, `Disabled`,
    /// `Unauthenticated` (suspended meanwhile), `Internal`.
    pub async fn issue(
        self: &Arc<Self>,
        grant: Grant<Issue>,
        parameters: Map<String, Value>,
    ) -> Result<HandoffId, Error> {
        let request = self.prepare(&grant, parameters)?;
        let leases = Arc::clone(self);
        let work = async move { leases.run_issue(request).await };
        self.ground.detached("issue", Box::pin(work)).await
    }

    /// Makes every check that can refuse the request before anything is durable.
    fn prepare(
        &self,
        grant: &Grant<Issue>,
        parameters: Map<String, Value>,
    ) -> Result<Request, Error> {
        let (caller, service) = (grant.caller().clone(), Arc::clone(grant.service()));
        let loaded = self.plugins.loaded(&service.id).map_err(disabled)?;
        let parameters = parameters::fit(&loaded.offer, parameters)?;
        let kept = Kept { claims: Claims::new(), parameters: parameters.kept.clone() };
        if !kept.fits() {
            return Err(Error::new(
                Kind::Invalid,
                "The parameters are too large to be kept for a revocation.",
            ));
        }
        let effect = self.effects.take(&service.id, caller.subject())?;
        let place = self
            .handoffs
            .reserve(caller.subject(), self.ground.clock.monotonic())
            .ok_or_else(effects::busy)?;
        Ok(Request { caller, service, loaded, parameters, place, _effect: effect })
    }

    async fn run_issue(&self, request: Request) -> Result<HandoffId, Error> {
        let room = Room { limit: request.service.limit, may_retire: !self.ground.is_clock_off() };
        let expiry = |lease: &Lease| {
            self.ground.event(None, Action::Expire, target_of(lease), Outcome::Done)
        };
        let pending = self.ledger.reserve(self.new_lease(&request), room, expiry).await;
        let pending = pending.inspect_err(|error| {
            self.ground.remark(request.event(self, None, outcome_of(error)))
        })?;
        self.call_issue(request, pending).await
    }

    fn new_lease(&self, request: &Request) -> Lease {
        let now = self.ground.clock.now();
        let identity = &request.caller.identity;
        Lease {
            id: LeaseId::from_random(random_16(&*self.ground.entropy)),
            owner: identity.subject().clone(),
            provider: identity.provider().clone(),
            service: request.service.id.clone(),
            plugin: request.loaded.plugin.clone(),
            interface: request.caller.interface,
            created: now,
            not_after: request.service.max_lifetime.map(|lifetime| now + lifetime),
            // It is not known yet which claims the plugin will read, and after a crash it never
            // will be.
            kept: Kept::as_fits(identity.claims(), request.parameters.kept.clone()),
            state: State::Pending {
                deadline: now + request.loaded.longest_call + self.options.settle,
                doomed: false,
            },
            last_words: None,
        }
    }

    /// Calls the plugin and returns the id of the result. The audit event of the outcome is part of
    /// the change of the lease.
    async fn call_issue(
        &self,
        request: Request,
        mut pending: Versioned<Lease>,
    ) -> Result<HandoffId, Error> {
        let call = issue_call(&request, &pending.value);
        let report = self.bounded(self.plugins.issue(call), request.loaded.longest_call).await;
        let IssueReport { outcome, claims_read, sent } = report.unwrap_or_else(overdue);
        match outcome {
            Ok(IssueOutcome::Issued(issued)) => {
                let report = Report { issued, claims_read, sent };
                self.issued(request, pending, report).await
            }
            Ok(IssueOutcome::LoginRequired { provider, message }) => {
                let handoff = self.login(&request.caller, &provider, message);
                let audited = match &handoff {
                    Ok(_) => request.event(self, None, Outcome::Done),
                    Err(error) => request.event(self, Some(pending.value.id), outcome_of(error)),
                };
                self.settle(&pending, Event::NothingMade, audited).await?;
                Ok(self.hand_off(request, handoff?))
            }
            Err(failure) => {
                let event = match &failure {
                    CallFailure::Refused(_) | CallFailure::NotStarted(_) => Event::NothingMade,
                    CallFailure::Broken(_) => broken_off(sent),
                };
                pending.value.last_words = failure.last_words();
                let error = error_of(failure);
                let audited = request.event(self, Some(pending.value.id), outcome_of(&error));
                self.settle(&pending, event, audited).await?;
                Err(error)
            }
        }
    }

    /// Applies `event` to a lease whose issue made nothing, together with its audit event. Where
    /// the sweeper was faster, the lease stays as the sweeper left it, and the audit event is
    /// remarked.
    async fn settle(
        &self,
        pending: &Versioned<Lease>,
        event: Event,
        audited: audit::Event,
    ) -> Result<(), Error> {
        let mut stored = Some(pending.clone());
        while let Some(before) = stored {
            match self.ledger.advance(&before, [event.clone()], |_| vec![audited.clone()]).await {
                Ok(_) => return Ok(()),
                Err(NotAdvanced::NotPossible(_)) => break,
                Err(NotAdvanced::Failed(error)) => return Err(error),
                Err(NotAdvanced::Conflict) => {
                    stored = self.ground.records.lease(pending.value.id).await?;
                }
            }
        }
        self.ground.remark(audited);
        Ok(())
    }

    async fn issued(
        &self,
        mut request: Request,
        pending: Versioned<Lease>,
        report: Report,
    ) -> Result<HandoffId, Error> {
        let Report { issued, claims_read, sent } = report;
        let id = pending.value.id;
        if let Some(fault) = malformed(&issued) {
            let error = Error::new(Kind::PluginFailed, PLUGIN_FAILED).because(fault);
            let audited = request.event(self, Some(id), outcome_of(&error));
            self.settle(&pending, broken_off(sent), audited).await?;
            return Err(error);
        }
        let Issued { entries, state, revoke_with, expires_at } = issued;
        let kept = Kept { claims: claims_read, parameters: request.parameters.kept.clone() };
        let objection = self.objection(&kept, &mut request.place, &entries);
        let kept = if kept.fits() { kept } else { Kept::as_fits(&kept.claims, kept.parameters) };
        let activation = Activation {
            made: Made { state, ends: expires_at, with_secret: revoke_with.is_some() },
            revoke_with,
            kept,
            allow_same_state: request.service.allow_same_state,
            wanted: objection.is_none(),
        };
        let event = |activated: &Activated| {
            let (lease, outcome) = audited_outcome(id, activated, objection.as_ref());
            request.event(self, Some(lease), outcome)
        };
        let settled = self.ledger.activate(pending, &activation, event).await;
        let Settled { activated, is_audited } = settled.inspect_err(|error| {
            self.ground.remark(request.event(self, Some(id), outcome_of(error)))
        })?;
        if !is_audited {
            self.ground.remark(event(&activated));
        }
        let id = match activated {
            Activated::New => id,
            Activated::Same(older) => older,
            Activated::Taken => return Err(taken()),
            Activated::Unwanted => return Err(objection.unwrap_or_else(suspended)),
            Activated::TooLate => return Err(too_late()),
        };
        Ok(self.hand_off(request, Handoff::Credential { id, entries }))
    }

    /// Why the user cannot have what was made; `None` when they can.
    fn objection(&self, kept: &Kept, place: &mut Place, entries: &[Entry]) -> Option<Error> {
        if !kept.fits() {
            let public =
                "Too much would have to be kept for a revocation; the credential is taken back.";
            return Some(
                Error::new(Kind::Refused, public).because(format!("{} bytes to keep", kept.size())),
            );
        }
        (!self.handoffs.weigh(place, entries)).then(effects::busy)
    }

    fn hand_off(&self, request: Request, handoff: Handoff) -> HandoffId {
        let id = HandoffId::from_random(random_16(&*self.ground.entropy));
        let collected = Collected { handoff, service: request.service.id.clone() };
        self.handoffs.leave(id, request.place, collected, self.ground.clock.monotonic());
        id
    }

    /// The result for a caller whom the plugin asks to sign in at `provider` first. Only the web
    /// page can do that.
    fn login(&self, caller: &Caller, provider: &str, message: String) -> Result<Handoff, Error> {
        let configured = ProviderId::parse(provider).ok().and_then(|id| self.providers.get(&id));
        match (caller.interface, configured) {
            (Interface::Rest, Some(_)) => Err(Error::new(Kind::LoginRequired, LOGIN_REQUIRED)),
            (Interface::Web, Some(provider)) if provider.ready => {
                Ok(Handoff::Login { provider: provider.id, message })
            }
            (Interface::Web, Some(_)) => {
                let public = "The provider that you have to sign in at does not answer; please try again later.";
                Err(Error::new(Kind::LoginRequired, public))
            }
            (Interface::Rsp | Interface::Vault, _) | (Interface::Rest | Interface::Web, None) => {
                let cause = "the plugin wants a sign-in at a provider that is unknown, or that this interface has no way to";
                Err(Error::new(Kind::PluginFailed, PLUGIN_FAILED).because(cause))
            }
        }
    }
}

impl Request {
    /// The audit event of this request.
    fn event(&self, leases: &Leases, lease: Option<LeaseId>, outcome: Outcome) -> audit::Event {
        let target = Target { lease, ..target_at(&self.caller, &self.service.id) };
        leases.ground.event(Some(user(&self.caller)), Action::Issue, target, outcome)
    }
}

/// The lease that the audit event of an issue names, and the outcome in it.
fn audited_outcome(
    id: LeaseId,
    activated: &Activated,
    objection: Option<&Error>,
) -> (LeaseId, Outcome) {
    match activated {
        Activated::New => (id, Outcome::Done),
        Activated::Same(older) => (*older, Outcome::Done),
        Activated::Taken => (id, outcome_of(&taken())),
        Activated::Unwanted => (id, objection.map_or_else(|| outcome_of(&suspended()), outcome_of)),
        Activated::TooLate => (id, outcome_of(&too_late())),
    }
}

fn issue_call(request: &Request, lease: &Lease) -> IssueCall {
    let token = request.caller.access_token.as_ref().filter(|_| request.service.pass_access_token);
    IssueCall {
        service: lease.service.clone(),
        lease: lease.id,
        user: CallUser {
            identity: Arc::clone(&request.caller.identity),
            access_token: token.cloned(),
        },
        additional_logins: Vec::new(),
        parameters: request.parameters.all.clone(),
        not_after: lease.not_after,
    }
}

/// What is wrong with the plugin's result, apart from its entries, which the host has checked.
fn malformed(issued: &Issued) -> Option<&'static str> {
    if issued.state.is_empty() {
        return Some(
            "the plugin's state is empty, which is reserved for issues that were cut short",
        );
    }
    if issued.state.len() > MAX_STATE_BYTES {
        return Some("the plugin's state is too long");
    }
    let secret_too_long =
        issued.revoke_with.as_ref().is_some_and(|secret| secret.len() > MAX_REVOKE_WITH_BYTES);
    secret_too_long.then_some("the plugin's secret for the revocation is too long")
}

/// The end of an issue that broke off. Where nothing was `sent` to the outside, nothing can be
/// left.
fn broken_off(sent: bool) -> Event {
    if sent { Event::CutShort } else { Event::NothingMade }
}

/// The report of a call that the host should have ended: how far it came is unknown.
fn overdue() -> IssueReport {
    let broken = Broken {
        how: BrokenHow::Timeout,
        cause: "the call outlived the time that the host promised".into(),
        last_words: None,
    };
    IssueReport {
        outcome: Err(CallFailure::Broken(broken)),
        claims_read: Claims::new(),
        sent: true,
    }
}

fn error_of(failure: CallFailure) -> Error {
    match failure {
        CallFailure::Refused(Refusal { user, retry_after }) => {
            let refused = Error::new(Kind::Refused, user);
            match retry_after {
                Some(after) => refused.retry_after(after),
                None => refused,
            }
        }
        CallFailure::NotStarted(NotStarted::Busy) => effects::busy(),
        CallFailure::NotStarted(NotStarted::NotLoaded(why)) => disabled(why),
        CallFailure::Broken(Broken { how: BrokenHow::Timeout, cause, .. }) => {
            Error::new(Kind::PluginTimeout, "The plugin of this service did not answer in time.")
                .because(cause)
        }
        CallFailure::Broken(Broken {
            how: BrokenHow::Trap | BrokenHow::BadOutput, cause, ..
        }) => Error::new(Kind::PluginFailed, PLUGIN_FAILED).because(cause),
    }
}

fn disabled(why: impl Into<String>) -> Error {
    Error::new(Kind::Disabled, "The service is disabled or does not exist.").because(why.into())
}

fn taken() -> Error {
    Error::new(
        Kind::Conflict,
        "The service gave out something that is in use already; nothing was issued.",
    )
    .because("the plugin's state is held by another lease")
}

fn too_late() -> Error {
    Error::new(Kind::PluginTimeout, "The plugin of this service did not answer in time.")
        .because("the lease had been given up when the plugin was done")
}
