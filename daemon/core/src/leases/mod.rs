//! The issuing half of the domain, as the surfaces call it.
//!
//! [`Leases`] ties the ports together. The use-cases stand in files of their own and extend it:
//! `issue`, `revoke`, `sweep` (due work that no request triggers), `clock` (whether the wall clock
//! can be trusted at a start) and [`operate`]. Here are the
//! dependencies, the options, sign-in and the lists.
//!
//! Never here: a word of any dialect, an authorization (that is [`crate::access`]'s), a key of the
//! store.

pub mod accept;
#[cfg(test)]
mod any_order;
mod attempts;
mod background;
mod clock;
mod effects;
#[cfg(test)]
mod full_disk;
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

pub(crate) use suspension::SuspensionOrder;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::access;
use crate::address::Address;
use crate::caller::{Caller, Client, Interface, Subject};
use crate::catalogue::{Catalogue, Service};
use crate::error::{Error, Kind};
use crate::ground::{Ground, Work, outcome_of, suspended};
use crate::ids::{HandoffId, LeaseId, ProviderId, ServiceId};
use crate::leases::attempts::Attempts;
use crate::leases::background::Background;
use crate::leases::effects::Effects;
use crate::leases::handoff::{Bounds, Handoff, Handoffs};
use crate::leases::ledger::Ledger;
use crate::leases::sweep::Sweeper;
use crate::model::lease::{Lease, Timing};
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::plugins::{Parameter, ServicePlugins};
use crate::ports::providers::{ProviderView, Providers};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The dependencies of [`Leases`], beside the ground.
pub struct LeasesDependencies {
    /// The OpenID providers that identify callers.
    pub providers: Arc<dyn Providers>,
    /// The plugins that issue and revoke.
    pub plugins: Arc<dyn ServicePlugins>,
    /// The configured services.
    pub catalogue: Catalogue,
    /// Bounds and durations.
    pub options: Options,
}

/// Bounds and durations of the issuing half.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long an issued result can be collected.
    pub handoff_lifetime: Duration,
    /// Most results that wait at a time, of all users.
    pub handoff_capacity: usize,
    /// Most results that wait at a time, of one user.
    pub handoff_per_user: usize,
    /// Most bytes of results that wait at a time.
    pub handoff_bytes: usize,
    /// How long a request to a target may still be under way after the call that sent it was cut
    /// short.
    pub settle: Duration,
    /// By how much the clocks of targets may differ from ours: an end counts as passed only this
    /// much later.
    pub skew: Duration,
    /// Most issues and user revocations in work at a time; one service has at most half of them,
    /// one user at most a quarter.
    pub max_effects: usize,
    /// Most revocations of one service that the daemon runs at a time on its own account. One that
    /// ends makes room for the next at once.
    pub background_revocations: usize,
    /// Shortest wait between two attempts to revoke.
    pub retry_after_min: Duration,
    /// Longest wait between two attempts to revoke.
    pub retry_after_max: Duration,
    /// How long attempts to revoke go on before the lease is parked for an operator.
    pub park_after: Duration,
    /// How long the record of an ended lease is kept.
    pub keep_ended: Duration,
    /// How often due work is looked for.
    pub sweep_every: Duration,
    /// Whether a user may drop a lease of a service that is no longer configured.
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
            background_revocations: 8,
            retry_after_min: Duration::from_secs(10),
            retry_after_max: Duration::from_secs(60 * 60),
            park_after: Duration::from_secs(7 * 24 * 60 * 60),
            keep_ended: Duration::from_secs(24 * 60 * 60),
            sweep_every: Duration::from_secs(1),
            allow_dropping: false,
        }
    }
}

/// A service as its users see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView {
    /// Its id.
    pub id: ServiceId,
    /// Its name for people.
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
    /// Why it is not enabled, for operators and not for users.
    pub disabled_reason: Option<String>,
}

/// A lease as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// Its id.
    pub id: LeaseId,
    /// The service that issued.
    pub service: ServiceId,
    /// When it was requested.
    pub created: Timestamp,
    /// The interface of that request.
    pub interface: Interface,
    /// When it ends, by its own end or by a limit of ours; `None`: no end is known.
    pub ends: Option<Timestamp>,
}

/// The issuing half. Cheap to share behind the `Arc` that [`Leases::new`] returns.
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
    background: Background,
    sweeper: Sweeper,
}

impl Leases {
    /// Connects the dependencies. Nothing runs before [`Leases::start`].
    pub fn new(ground: Arc<Ground>, parts: LeasesDependencies) -> Arc<Self> {
        let LeasesDependencies { providers, plugins, catalogue, options } = parts;
        let ledger = Ledger::new(Arc::clone(&ground), options.timing());
        let handoffs = Handoffs::new(&options.handoff_bounds());
        let effects = Effects::new(options.max_effects);
        let background = Background::new(options.background_revocations);
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
            background,
            sweeper: Sweeper::default(),
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

    /// The provider with that issuer; a trailing slash makes no difference. Makes no request.
    pub fn provider_by_issuer(&self, issuer: &str) -> Option<ProviderId> {
        self.providers.by_issuer(issuer)
    }

    /// Identifies the holder of `token` at `provider`, who asks from `client`.
    ///
    /// # Errors
    /// `Unauthenticated` when the token is not valid or its subject is suspended; and those of
    /// [`Providers::identify`].
    pub async fn sign_in(
        &self,
        provider: &ProviderId,
        token: Secret,
        interface: Interface,
        client: Client,
    ) -> Result<Caller, Error> {
        let token = Arc::new(token);
        let from = client.address.map(Address::from);
        let identified = self.providers.identify(provider, Arc::clone(&token), from).await;
        let stranger = Actor::stranger(interface, client.clone());
        let refused = |error: &Error, subject| {
            self.remark_sign_in(provider, stranger.clone(), subject, error);
        };
        let identity = identified.inspect_err(|error| refused(error, None))?;
        if self.ground.records.is_suspended(identity.subject()).await? {
            let error = suspended();
            refused(&error, Some(identity.subject().clone()));
            return Err(error);
        }
        Ok(Caller { identity, interface, access_token: Some(token), client })
    }

    /// Counts a request of `caller` as in work until the result is dropped.
    ///
    /// # Errors
    /// `Busy` when the user has too many in work already.
    pub fn begin_work(&self, caller: &Caller) -> Result<Work, Error> {
        self.ground.begin_work(caller.subject())
    }

    /// Audits a refused sign-in. That a provider is down is not one.
    fn remark_sign_in(
        &self,
        provider: &ProviderId,
        stranger: Actor,
        subject: Option<Subject>,
        error: &Error,
    ) {
        if error.kind() != Kind::Unauthenticated {
            return;
        }
        self.ground.remark(Event {
            at: self.ground.clock.now(),
            actor: Some(stranger),
            action: Action::SignIn,
            target: Target { provider: Some(provider.clone()), subject, ..Target::default() },
            note: None,
            outcome: outcome_of(error),
        });
    }

    /// The services that `caller` sees, in the order of lists, including those that they may not
    /// use unless these are hidden.
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

    /// The leases of `caller`: active and not past their end, or being revoked because the user
    /// asked or a limit was reached. Oldest first.
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

    /// Whether a result of that id waits for `caller`. It can still be collected.
    pub fn holds(&self, caller: &Caller, id: HandoffId) -> bool {
        self.handoffs.holds(caller.subject(), id, self.ground.clock.monotonic())
    }

    /// Hands out an issued result: to the subject that asked for it, once. As for a reveal, the
    /// audit event is durable before the result leaves.
    ///
    /// # Errors
    /// `NotFound` when no result of that id waits for this caller (any more); `Internal` when the
    /// store fails: the result is lost then.
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
        let target = Target { lease, ..target_at(caller, &collected.service) };
        let event = self.ground.event(Some(user(caller)), Action::Collect, target, Outcome::Done);
        self.ground.record(&event).await?;
        Ok(collected.handoff)
    }

    /// Waits for a plugin call, but not for much longer than it may take: the host enforces its
    /// timeout, and this one holds if the host fails to.
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

/// How much longer than the host promises [`Leases::bounded`] waits for a call.
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

/// The target of an event between `caller` and `service`.
fn target_at(caller: &Caller, service: &ServiceId) -> Target {
    let (service, subject) = (Some(service.clone()), Some(caller.subject().clone()));
    Target { service, subject, ..Target::default() }
}

/// The target of an event of `lease`.
fn target_of(lease: &Lease) -> Target {
    let (service, subject) = (Some(lease.service.clone()), Some(lease.owner.clone()));
    Target { service, subject, lease: Some(lease.id), ..Target::default() }
}

/// The actor of a call of `caller`.
fn user(caller: &Caller) -> Actor {
    Actor::from(caller)
}
