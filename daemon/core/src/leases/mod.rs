//! The issuing half of the domain as one thing: what the surfaces call.
//!
//! [`Leases`] ties the ports together. The use-cases stand in files of their own and extend it:
//! `issue`, `revoke`, `sweep` (what happens though nobody asks) and [`crate::leases::operate`].
//! Here are the parts, the options, sign-in and the lists.
//!
//! Never here: a word of any dialect, a decision about who may (that is [`crate::access`]'s), a key
//! of the store.

#[cfg(test)]
mod any_order;
mod attempts;
mod effects;
pub mod handoff;
mod issue;
pub(crate) mod ledger;
pub mod operate;
mod parameters;
mod revoke;
mod suspension;
mod sweep;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::access;
use crate::caller::{Caller, Interface, Subject};
use crate::catalogue::{Catalogue, Service};
use crate::error::{Error, Kind};
use crate::ground::{Ground, outcome_of, suspended};
use crate::ids::{HandoffId, LeaseId, ProviderId, ServiceId};
use crate::leases::attempts::Attempts;
use crate::leases::effects::Effects;
use crate::leases::handoff::{Bounds, Handoff, Handoffs};
use crate::leases::ledger::{Ledger, NotAdvanced};
use crate::leases::sweep::Sweeper;
use crate::model::lease::{self, Lease, Timing};
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::plugins::{Parameter, ServicePlugins};
use crate::ports::providers::{ProviderView, Providers};
use crate::ports::store::Versioned;
use crate::secret::Secret;
use crate::time::Timestamp;

/// What a [`Leases`] is made of, beside the ground.
pub struct LeasesParts {
    /// The OpenID providers that identify callers.
    pub providers: Arc<dyn Providers>,
    /// The plugins that issue and revoke.
    pub plugins: Arc<dyn ServicePlugins>,
    /// The configured services.
    pub catalogue: Catalogue,
    /// Bounds and spans.
    pub options: Options,
}

/// Bounds and spans of the issuing half.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long an issued result waits to be collected.
    pub handoff_lifetime: Duration,
    /// Most results that wait at a time, of all users.
    pub handoff_capacity: usize,
    /// Most results that wait at a time, of one user.
    pub handoff_per_user: usize,
    /// Most bytes of results that wait at a time.
    pub handoff_bytes: usize,
    /// How long a request of ours may still be under way to a target after the call that sent it
    /// was cut short.
    pub settle: Duration,
    /// By how much the clocks of targets may differ from ours: an end has passed for good only this
    /// much later.
    pub skew: Duration,
    /// Most issues and user revocations in work at a time; one service has at most half of them,
    /// one user at most a quarter.
    pub max_effects: usize,
    /// Most revocations of one service that the daemon has in work by itself.
    pub background_revocations: usize,
    /// Shortest wait between two attempts to revoke.
    pub retry_after_min: Duration,
    /// Longest wait between two attempts to revoke.
    pub retry_after_max: Duration,
    /// How long attempts to revoke go on before an operator has to look.
    pub park_after: Duration,
    /// How long the record of an ended lease is kept.
    pub keep_ended: Duration,
    /// How often due work is looked for.
    pub sweep_every: Duration,
    /// Whether a user may drop a lease of a service that is configured no more.
    pub allow_dropping: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            handoff_lifetime: Duration::from_secs(10),
            handoff_capacity: 4096,
            handoff_per_user: 256,
            handoff_bytes: 64 * 1024 * 1024,
            settle: Duration::from_secs(60),
            skew: Duration::from_secs(60),
            max_effects: 1024,
            background_revocations: 4,
            retry_after_min: Duration::from_secs(10),
            retry_after_max: Duration::from_secs(60 * 60),
            park_after: Duration::from_secs(7 * 24 * 60 * 60),
            keep_ended: Duration::from_secs(24 * 60 * 60),
            sweep_every: Duration::from_secs(1),
            allow_dropping: false,
        }
    }
}

/// A service as a user gets to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView {
    /// Its id.
    pub id: ServiceId,
    /// What people call it.
    pub description: String,
    /// Whether its plugin can be used.
    pub enabled: bool,
    /// Whether the user may use it.
    pub authorized: bool,
    /// The tooltip for users who may not; `None`: the dialect's usual one.
    pub tooltip: Option<String>,
    /// Leases of the user that count.
    pub count: u64,
    /// Most leases that one user may have; `None`: no limit.
    pub limit: Option<u32>,
    /// Whether `count` has reached `limit`.
    pub limit_reached: bool,
    /// Whether the plugin is given the user's access token.
    pub pass_access_token: bool,
    /// The sets of parameters, one of which a request has to fit, in the plugin's order. One empty
    /// set: no parameters. None at all: the plugin is not loaded.
    pub parameter_sets: Vec<Vec<Parameter>>,
    /// Why it is not enabled: for operators, not for users.
    pub disabled_reason: Option<String>,
}

/// A lease as its owner gets to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// Its id.
    pub id: LeaseId,
    /// The service that issued.
    pub service: ServiceId,
    /// When it was asked for.
    pub created: Timestamp,
    /// Through which door.
    pub interface: Interface,
    /// When it ends, by itself or by a limit of ours; `None`: nobody knows an end.
    pub ends: Option<Timestamp>,
}

/// The issuing half. Cheap to share; everything in it is behind the `Arc` that [`Leases::new`]
/// gives.
pub struct Leases {
    pub(crate) ground: Arc<Ground>,
    providers: Arc<dyn Providers>,
    plugins: Arc<dyn ServicePlugins>,
    catalogue: Catalogue,
    options: Options,
    ledger: Ledger,
    handoffs: Handoffs,
    effects: Effects,
    attempts: Attempts,
    sweeper: Sweeper,
}

impl Leases {
    /// Puts the parts together. Nothing runs before [`Leases::start`].
    pub fn new(ground: Arc<Ground>, parts: LeasesParts) -> Arc<Self> {
        let LeasesParts { providers, plugins, catalogue, options } = parts;
        let ledger = Ledger::new(Arc::clone(&ground), options.timing());
        let handoffs = Handoffs::new(&options.handoff_bounds());
        let effects = Effects::new(options.max_effects);
        let sweeper = Sweeper::new(&options);
        let attempts = Attempts::default();
        Arc::new(Self {
            ground,
            providers,
            plugins,
            catalogue,
            options,
            ledger,
            handoffs,
            effects,
            attempts,
            sweeper,
        })
    }

    /// The configured providers.
    pub fn providers(&self) -> Vec<ProviderView> {
        self.providers.list()
    }

    /// The provider of that id.
    pub fn provider(&self, id: &ProviderId) -> Option<ProviderView> {
        self.providers.get(id)
    }

    /// The provider with that issuer, a trailing slash more or less. Asks nobody.
    pub fn provider_by_issuer(&self, issuer: &str) -> Option<ProviderId> {
        self.providers.by_issuer(issuer)
    }

    /// Who holds `token`, by the word of `provider`.
    ///
    /// # Errors
    /// `Unauthenticated` when the token does not hold or its subject is suspended; what else
    /// [`Providers::identify`] says.
    pub async fn sign_in(
        &self,
        provider: &ProviderId,
        token: Secret,
        interface: Interface,
    ) -> Result<Caller, Error> {
        let token = Arc::new(token);
        let identified = self.providers.identify(provider, Arc::clone(&token)).await;
        let refused =
            |error: &Error, subject| self.note_refused_sign_in(provider, interface, subject, error);
        let identity = identified.inspect_err(|error| refused(error, None))?;
        if self.ground.records.is_suspended(&identity.subject).await? {
            let error = suspended();
            refused(&error, Some(identity.subject.clone()));
            return Err(error);
        }
        Ok(Caller { identity, interface, access_token: Some(token) })
    }

    /// That a provider is down is no attempt of anybody.
    fn note_refused_sign_in(
        &self,
        provider: &ProviderId,
        interface: Interface,
        subject: Option<Subject>,
        error: &Error,
    ) {
        if error.kind() != Kind::Unauthenticated {
            return;
        }
        self.ground.remark(Event {
            at: self.ground.clock.now(),
            actor: Some(Actor::Stranger(interface)),
            action: Action::SignIn,
            target: Target { provider: Some(provider.clone()), subject, ..Target::default() },
            note: None,
            outcome: outcome_of(error),
        });
    }

    /// The services that `caller` sees, in the order of lists. What they may not use is among them
    /// unless it is hidden.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn services(&self, caller: &Caller) -> Result<Vec<ServiceView>, Error> {
        let counts = self.ground.records.counts(caller.subject()).await?;
        let view = |service: &Arc<Service>| {
            let authorized = access::may_issue(caller, service);
            let count = counts.get(&service.id).copied().unwrap_or(0);
            (authorized || !service.hide).then(|| self.view(service, authorized, count))
        };
        Ok(self.catalogue.listed().iter().filter_map(view).collect())
    }

    fn view(&self, service: &Service, authorized: bool, count: u64) -> ServiceView {
        let (parameter_sets, disabled_reason) = match self.plugins.loaded(&service.id) {
            Ok(loaded) if loaded.offer.parameter_sets.is_empty() => (vec![Vec::new()], None),
            Ok(loaded) => (loaded.offer.parameter_sets, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        ServiceView {
            id: service.id.clone(),
            description: service.description.clone(),
            enabled: disabled_reason.is_none(),
            authorized,
            tooltip: service.tooltip.clone(),
            count,
            limit: service.limit,
            limit_reached: service.limit.is_some_and(|limit| count >= u64::from(limit)),
            pass_access_token: service.pass_access_token,
            parameter_sets,
            disabled_reason,
        }
    }

    /// The leases that `caller` has: active and not past their end, or being revoked because the
    /// user asked or a limit was reached. Oldest first.
    ///
    /// # Errors
    /// `Internal` when the store fails.
    pub async fn credentials(&self, caller: &Caller) -> Result<Vec<LeaseView>, Error> {
        let now = self.ground.clock.now();
        let mut leases = self.ground.records.leases_of(caller.subject(), None).await?;
        leases.retain(|stored| stored.value.is_listed(now));
        leases.sort_by_key(|stored| (stored.value.created, stored.value.id));
        Ok(leases.into_iter().map(|stored| LeaseView::from(stored.value)).collect())
    }

    /// Whether a result waits for `caller` under that id. Looking does not take it.
    pub fn holds(&self, caller: &Caller, id: HandoffId) -> bool {
        self.handoffs.holds(caller.subject(), id, self.ground.clock.monotonic())
    }

    /// Hands out what was issued: to the subject that asked for it, once. Like a reveal, it is told
    /// before anybody sees it.
    ///
    /// # Errors
    /// `NotFound` for everything that does not wait for this caller (any more); `Internal` when the
    /// store fails: nobody has the result then.
    pub async fn collect(&self, caller: &Caller, id: HandoffId) -> Result<Handoff, Error> {
        let Some(collected) =
            self.handoffs.collect(caller.subject(), id, self.ground.clock.monotonic())
        else {
            return Err(Error::new(
                Kind::NotFound,
                "There is no such result, or it was fetched already.",
            ));
        };
        let lease = match &collected.handoff {
            Handoff::Credential { id, .. } => Some(*id),
            Handoff::Login { .. } => None,
        };
        let about = About { lease, ..About::service_of(caller, &collected.service) };
        let event = self.event(Some(user(caller)), Action::Collect, about, Outcome::Done);
        self.ground.record(&event).await?;
        Ok(collected.handoff)
    }

    /// An event of now.
    pub(crate) fn event(
        &self,
        actor: Option<Actor>,
        action: Action,
        about: About,
        outcome: Outcome,
    ) -> Event {
        let About { service, lease, subject, note } = about;
        let target = Target { service, lease, subject, ..Target::default() };
        Event { at: self.ground.clock.now(), actor, action, target, note, outcome }
    }

    /// Has `events` happen to a lease, all at once, and what `tell` says of the lease as it will be
    /// told with them.
    ///
    /// # Errors
    /// See [`Ledger::advance`]. Nothing is told then.
    pub(crate) async fn advance(
        &self,
        stored: &Versioned<Lease>,
        events: impl IntoIterator<Item = lease::Event>,
        tell: impl FnOnce(Option<&Lease>) -> Vec<Event>,
    ) -> Result<Option<Versioned<Lease>>, NotAdvanced> {
        self.ledger.advance(stored, events, tell).await
    }

    /// Waits for a plugin call, but not for much longer than it may take: the host keeps the time,
    /// this is the net below it.
    pub(crate) async fn bounded<T>(
        &self,
        call: impl Future<Output = T>,
        longest: Duration,
    ) -> Option<T> {
        let limit = self.ground.clock.sleep(longest + CALL_GRACE);
        match select(pin!(call), limit).await {
            Either::Left((report, _)) => Some(report),
            Either::Right(_) => None,
        }
    }
}

/// How much longer than the host promises core waits for a call.
pub(crate) const CALL_GRACE: Duration = Duration::from_secs(5);

impl Options {
    fn timing(&self) -> Timing {
        Timing {
            settle: self.settle,
            skew: self.skew,
            retry_after_min: self.retry_after_min,
            retry_after_max: self.retry_after_max,
            park_after: self.park_after,
            keep_ended: self.keep_ended,
        }
    }

    fn handoff_bounds(&self) -> Bounds {
        Bounds {
            lifetime: self.handoff_lifetime,
            capacity: self.handoff_capacity,
            per_user: self.handoff_per_user,
            bytes: self.handoff_bytes,
        }
    }
}

impl From<Lease> for LeaseView {
    fn from(lease: Lease) -> Self {
        let ends = lease.visible_end();
        Self {
            id: lease.id,
            service: lease.service,
            created: lease.created,
            interface: lease.interface,
            ends,
        }
    }
}

/// What an audit event is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) service: Option<ServiceId>,
    pub(crate) lease: Option<LeaseId>,
    pub(crate) subject: Option<Subject>,
    pub(crate) note: Option<String>,
}

impl About {
    /// Something between a caller and a service.
    pub(crate) fn service_of(caller: &Caller, service: &ServiceId) -> Self {
        Self {
            service: Some(service.clone()),
            subject: Some(caller.subject().clone()),
            ..Self::default()
        }
    }
}

impl From<&Lease> for About {
    fn from(lease: &Lease) -> Self {
        let (service, subject) = (Some(lease.service.clone()), Some(lease.owner.clone()));
        Self { service, subject, lease: Some(lease.id), note: None }
    }
}

/// The user behind a call.
pub(crate) fn user(caller: &Caller) -> Actor {
    Actor::User(caller.subject().clone(), caller.interface)
}
