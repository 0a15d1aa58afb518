//! Having a credential issued.
//!
//! [`Leases::authorize_issue`] asks whether somebody may, [`Leases::issue`] does it: reserve
//! durably, run the plugin, record what it made, leave the result to be collected. From the
//! reservation on it runs in a task of its own: whether the client still waits changes nothing.
//!
//! Never here: who may (that is [`crate::access`]'s), what a lease becomes (that is
//! [`crate::model::lease`]'s).

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::access::{self, Grant, Issue};
use crate::caller::{Caller, Claims, Interface};
use crate::catalogue::Service;
use crate::error::{Error, Kind};
use crate::ground::outcome_of;
use crate::ground::suspended;
use crate::ids::{HandoffId, LeaseId, ProviderId};
use crate::leases::effects::{self, Effect};
use crate::leases::handoff::{Collected, Handoff, Place};
use crate::leases::ledger::{Activated, Activation, NotAdvanced, Room, Settled};
use crate::leases::parameters::{self, Fitted};
use crate::leases::{About, Leases, user};
use crate::model::lease::{Event, Kept, Lease, Made, State};
use crate::ports::audit::{self, Action, Outcome};
use crate::ports::plugins::{
    Broken, BrokenHow, CallFailure, CallUser, IssueCall, IssueOutcome, IssueReport, Issued,
    LoadedService, MAX_STATE_BYTES, NotStarted, Refusal,
};
use crate::ports::random_16;
use crate::ports::store::Versioned;

/// Longest secret that a plugin may want back at revoke.
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

impl Leases {
    /// Leave to have a credential of `service` issued for `caller`.
    ///
    /// # Errors
    /// `Disabled` when there is no such service or it cannot be used, `Forbidden` when its rules
    /// say no.
    pub fn authorize_issue(&self, caller: &Caller, service: &str) -> Result<Grant<Issue>, Error> {
        let configured =
            self.catalogue.get(service).ok_or_else(|| disabled("it is not configured"))?;
        self.plugins.loaded(&configured.id).map_err(disabled)?;
        access::authorize_issue(caller, configured).inspect_err(|error| {
            let about = About::service_of(caller, &configured.id);
            self.ground.remark(self.event(
                Some(user(caller)),
                Action::Issue,
                about,
                outcome_of(error),
            ));
        })
    }

    /// Has a credential issued, and leaves the result to be collected by the same subject. An issue
    /// that has begun goes on to its end when this future is dropped.
    ///
    /// # Errors
    /// `Invalid` (parameters), `LimitReached`, `Conflict` (the plugin named what is somebody's
    /// already), `Refused`, `LoginRequired`, `PluginFailed`, `PluginTimeout`, `Busy`, `Disabled`,
    /// `Unauthenticated` (suspended meanwhile), `Internal`.
    pub async fn issue(
        self: &Arc<Self>,
        grant: Grant<Issue>,
        parameters: Map<String, Value>,
    ) -> Result<HandoffId, Error> {
        let request = self.prepare(&grant, parameters)?;
        let core = Arc::clone(self);
        self.ground.detached("issue", Box::pin(async move { core.run_issue(request).await })).await
    }

    /// All that can be refused before anything is durable.
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
        let expired =
            |lease: &Lease| self.event(None, Action::Expire, About::from(lease), Outcome::Done);
        let pending = self.ledger.reserve(self.new_lease(&request), room, expired).await;
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
            owner: identity.subject.clone(),
            provider: identity.provider.clone(),
            service: request.service.id.clone(),
            plugin: request.loaded.plugin.clone(),
            interface: request.caller.interface,
            created: now,
            not_after: request.service.max_lifetime.map(|lifetime| now + lifetime),
            // Which claims the plugin will read is not known yet, and after a crash nobody will
            // say.
            kept: Kept::as_fits(&identity.claims, request.parameters.kept.clone()),
            state: State::Pending {
                deadline: now + request.loaded.longest_call + self.options.settle,
                doomed: false,
            },
        }
    }

    /// The result's address. Whatever comes of it is told with the change of the lease that it
    /// makes.
    async fn call_issue(
        &self,
        request: Request,
        pending: Versioned<Lease>,
    ) -> Result<HandoffId, Error> {
        let call = issue_call(&request, &pending.value);
        let report = self.bounded(self.plugins.issue(call), request.loaded.longest_call).await;
        let IssueReport { outcome, claims_read } = report.unwrap_or_else(overdue);
        match outcome {
            Ok(IssueOutcome::Issued(issued)) => {
                self.issued(request, pending, issued, claims_read).await
            }
            Ok(IssueOutcome::LoginRequired { provider, message }) => {
                let handoff = self.login(&request.caller, &provider, message);
                let told = match &handoff {
                    Ok(_) => request.event(self, None, Outcome::Done),
                    Err(error) => request.event(self, Some(pending.value.id), outcome_of(error)),
                };
                self.settle(&pending, Event::NothingMade, told).await?;
                Ok(self.leave(request, handoff?))
            }
            Err(failure) => {
                let event = match &failure {
                    CallFailure::Refused(_) | CallFailure::NotStarted(_) => Event::NothingMade,
                    CallFailure::Broken(_) => Event::CutShort,
                };
                let error = told(failure);
                let told = request.event(self, Some(pending.value.id), outcome_of(&error));
                self.settle(&pending, event, told).await?;
                Err(error)
            }
        }
    }

    /// Has `event` befall a lease whose issue brought nothing, and has it told. Where the sweeper
    /// was faster, its view stands, and this is told all the same.
    async fn settle(
        &self,
        pending: &Versioned<Lease>,
        event: Event,
        told: audit::Event,
    ) -> Result<(), Error> {
        let mut stored = Some(pending.clone());
        while let Some(before) = stored {
            match self.advance(&before, [event.clone()], |_| vec![told.clone()]).await {
                Ok(_) => return Ok(()),
                Err(NotAdvanced::NotPossible(_)) => break,
                Err(NotAdvanced::Failed(error)) => return Err(error),
                Err(NotAdvanced::Conflict) => {
                    stored = self.ground.records.lease(pending.value.id).await?;
                }
            }
        }
        self.ground.remark(told);
        Ok(())
    }

    async fn issued(
        &self,
        mut request: Request,
        pending: Versioned<Lease>,
        issued: Issued,
        claims_read: Claims,
    ) -> Result<HandoffId, Error> {
        let id = pending.value.id;
        if let Some(what) = malformed(&issued) {
            let error = Error::new(Kind::PluginFailed, PLUGIN_FAILED).because(what);
            let told = request.event(self, Some(id), outcome_of(&error));
            self.settle(&pending, Event::CutShort, told).await?;
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
        let came_of = |activated: &Activated| came_of(id, activated, objection.as_ref());
        let tell = |activated: &Activated| match came_of(activated) {
            Ok(id) => request.event(self, Some(id), Outcome::Done),
            Err(outcome) => request.event(self, Some(id), outcome),
        };
        let settled = self.ledger.activate(pending, &activation, tell).await;
        let Settled { activated, told } = settled.inspect_err(|error| {
            self.ground.remark(request.event(self, Some(id), outcome_of(error)))
        })?;
        if !told {
            self.ground.remark(tell(&activated));
        }
        let id = match activated {
            Activated::New => id,
            Activated::Same(older) => older,
            Activated::Taken => return Err(taken()),
            Activated::Unwanted => return Err(objection.unwrap_or_else(suspended)),
            Activated::TooLate => return Err(too_late()),
        };
        Ok(self.leave(request, Handoff::Credential { id, entries }))
    }

    /// Why nobody can have what was made, if that is so.
    fn objection(
        &self,
        kept: &Kept,
        place: &mut Place,
        entries: &[crate::ports::plugins::Entry],
    ) -> Option<Error> {
        if !kept.fits() {
            let public =
                "Too much would have to be kept for a revocation; the credential is taken back.";
            return Some(
                Error::new(Kind::Refused, public).because(format!("{} bytes to keep", kept.size())),
            );
        }
        (!self.handoffs.weigh(place, entries)).then(effects::busy)
    }

    fn leave(&self, request: Request, handoff: Handoff) -> HandoffId {
        let id = HandoffId::from_random(random_16(&*self.ground.entropy));
        let collected = Collected { handoff, service: request.service.id.clone() };
        self.handoffs.leave(id, request.place, collected, self.ground.clock.monotonic());
        id
    }

    /// What a caller gets whose plugin wants them to sign in at `provider` first. Only the web page
    /// can do that.
    fn login(&self, caller: &Caller, provider: &str, message: String) -> Result<Handoff, Error> {
        let known = ProviderId::parse(provider).ok().and_then(|id| self.providers.get(&id));
        match (caller.interface, known) {
            (Interface::Rest, Some(_)) => Err(Error::new(Kind::LoginRequired, LOGIN_REQUIRED)),
            (Interface::Web, Some(known)) if known.ready => {
                Ok(Handoff::Login { provider: known.id, message })
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
    /// What is told of it.
    fn event(&self, core: &Leases, lease: Option<LeaseId>, outcome: Outcome) -> audit::Event {
        let about = About { lease, ..About::service_of(&self.caller, &self.service.id) };
        core.event(Some(user(&self.caller)), Action::Issue, about, outcome)
    }
}

/// Which lease the user has then, or why none.
fn came_of(
    id: LeaseId,
    activated: &Activated,
    objection: Option<&Error>,
) -> Result<LeaseId, Outcome> {
    match activated {
        Activated::New => Ok(id),
        Activated::Same(older) => Ok(*older),
        Activated::Taken => Err(outcome_of(&taken())),
        Activated::Unwanted => Err(objection.map_or_else(|| outcome_of(&suspended()), outcome_of)),
        Activated::TooLate => Err(outcome_of(&too_late())),
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

/// What is wrong with what a plugin made, apart from its entries, which the host has judged.
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

/// The report of a call that the host should have ended.
fn overdue() -> IssueReport {
    let broken = Broken {
        how: BrokenHow::Timeout,
        cause: "the call outlived the time that the host promised".into(),
    };
    IssueReport { outcome: Err(CallFailure::Broken(broken)), claims_read: Claims::new() }
}

fn told(failure: CallFailure) -> Error {
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
        CallFailure::Broken(Broken { how: BrokenHow::Timeout, cause }) => {
            Error::new(Kind::PluginTimeout, "The plugin of this service did not answer in time.")
                .because(cause)
        }
        CallFailure::Broken(Broken { how: BrokenHow::Trap | BrokenHow::BadOutput, cause }) => {
            Error::new(Kind::PluginFailed, PLUGIN_FAILED).because(cause)
        }
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
