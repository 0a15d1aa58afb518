//! One loaded service: its queues, its calls, and how their results are passed to core.
//!
//! Never here: how a guest is run ([`crate::call::run`]) or how its answer is checked
//! ([`crate::call::outcome`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use credsmith_core::caller::Claims;
use credsmith_core::error::FieldProblem;
use credsmith_core::ports::plugins::{
    CallFailure, CallUser, IssueCall, IssueReport, LoadedService, NotStarted, Offer,
    PluginIdentity, RevokeCall, Urgency,
};
use credsmith_core::secret::Secret;
use futures_util::future::BoxFuture;
use wasmtime::Store;
use wasmtime::component::Resource;

use crate::call::grants::Grants;
use crate::call::journal::CallLabels;
use crate::call::outcome;
use crate::call::record::CallRecord;
use crate::call::run::{self, GuestFailure, Plan};
use crate::call::state::State;
use crate::capability::call::{RequestData, RequestHandle};
use crate::component::cache::{Compiled, Template};
use crate::engine::guest_engine::{GuestEngine, Place};
use crate::engine::lane::{Busy, Lane};
use crate::error::LoadError;
use crate::load::configuration::PluginConfiguration;
use crate::load::fields::{self, Description};
use crate::load::loader::{Configured, ConfiguredWorld, LoadedPlugin, Loader, PluginWorld};
use crate::options::{OutputLimits, ServiceSetup};
use crate::v0;

/// Longest time from a call's deadline until its end is reported.
const GRACE: Duration = Duration::from_millis(100);

/// A service that can be called.
pub(crate) struct Service {
    engine: Arc<GuestEngine>,
    plugin: Arc<Compiled>,
    identity: PluginIdentity,
    offer: Offer,
    grants: Arc<Grants>,
    issues: Arc<Lane>,
    revokes: Arc<Lane>,
    queue_wait: Duration,
    plugin_timeout: Duration,
    memory: usize,
    /// How many places in the pool an instance takes.
    weight: usize,
    output: OutputLimits,
    labels: ServiceLabels,
}

/// The fields that every log line of the service has.
struct ServiceLabels {
    service: Arc<str>,
    plugin: Arc<str>,
    version: Arc<str>,
}

/// How many calls one service may have in the pool at once, by kind. Together they are half of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LaneWidths {
    issues: usize,
    revokes: usize,
}

impl LaneWidths {
    fn of(pool: usize, parallel: Option<usize>) -> Self {
        let half = (pool / 2).max(1);
        let wanted = parallel.unwrap_or(half).max(1);
        let revokes = wanted.min((half / 8).max(1));
        Self { issues: wanted.min(half.saturating_sub(revokes)).max(1), revokes }
    }
}

impl Service {
    /// Loads a service.
    pub(crate) async fn load(loader: &Loader, setup: &ServiceSetup) -> Result<Self, LoadError> {
        let loaded = loader.load::<ServiceWorld>(&PluginConfiguration::from(setup)).await?;
        Ok(Self::new(loader.engine.clone(), loaded, setup))
    }

    fn new(engine: Arc<GuestEngine>, loaded: LoadedPlugin<Offer>, setup: &ServiceSetup) -> Self {
        let LoadedPlugin { component, weight, identity, grants, offer } = loaded;
        let widths = LaneWidths::of(engine.pool_size / weight, setup.parallel_runner);
        let labels = ServiceLabels {
            service: setup.id.as_str().into(),
            plugin: identity.name.as_str().into(),
            version: identity.version.as_str().into(),
        };
        Self {
            engine,
            plugin: component,
            identity,
            offer,
            grants: Arc::new(grants),
            issues: Lane::new(widths.issues, setup.queue_length),
            revokes: Lane::new(widths.revokes, setup.queue_length),
            queue_wait: setup.queue_wait,
            plugin_timeout: setup.plugin_timeout.min(run::LONGEST),
            memory: setup.memory_bytes,
            weight,
            output: setup.output,
            labels,
        }
    }

    /// Its description, as core reads it.
    pub(crate) fn loaded(&self) -> LoadedService {
        LoadedService {
            plugin: self.identity.clone(),
            offer: self.offer.clone(),
            longest_call: self.queue_wait.saturating_add(self.plugin_timeout).saturating_add(GRACE),
        }
    }

    pub(crate) async fn issue(&self, call: IssueCall) -> IssueReport {
        let Ok(place) = self.place(&self.issues, Urgency::User).await else {
            return IssueReport {
                outcome: Err(CallFailure::NotStarted(NotStarted::Busy)),
                claims_read: Claims::new(),
                sent: false,
            };
        };
        let data = Arc::new(RequestData::from(call));
        let running = ServiceCall::new(self, "issue", &data);
        let answer = self.call_issue(place, &running).await;
        let tokens = data.tokens();
        let guarded: Vec<&Secret> = self.grants.secrets().chain(tokens.iter().copied()).collect();
        let outcome = match answer {
            Ok(Ok(made)) => outcome::issued(made, self.output, &guarded).map(|checked| {
                running.publish(&checked.secrets.iter().collect::<Vec<_>>());
                Ok(checked.outcome)
            }),
            Ok(Err(refusal)) => running.refused(&refusal, &guarded),
            Err(failure) => Err(failure),
        };
        let outcome = outcome.unwrap_or_else(|failure| Err(running.broke(failure)));
        IssueReport {
            outcome,
            claims_read: running.record.journal.claims_read(data.user.identity.claims()),
            sent: running.record.journal.close(),
        }
    }

    pub(crate) async fn revoke(&self, call: RevokeCall) -> Result<(), CallFailure> {
        let Ok(place) = self.place(&self.revokes, call.urgency).await else {
            return Err(CallFailure::NotStarted(NotStarted::Busy));
        };
        let data = Arc::new(RequestData {
            service: call.service,
            lease: call.lease,
            user: CallUser { identity: call.user, access_token: None },
            additional_logins: Vec::new(),
            parameters: call.parameters,
            not_after: call.not_after,
        });
        let running = ServiceCall::new(self, "revoke", &data);
        let answer = self.call_revoke(place, &running, call.state, call.revoke_with.clone()).await;
        let guarded: Vec<&Secret> =
            self.grants.secrets().chain(call.revoke_with.as_ref()).collect();
        let outcome = match answer {
            Ok(Ok(())) => {
                running.publish(&guarded);
                Ok(Ok(()))
            }
            Ok(Err(refusal)) => running.refused(&refusal, &guarded),
            Err(failure) => Err(failure),
        };
        outcome.unwrap_or_else(|failure| Err(running.broke(failure)))
    }

    /// See [`crate::Host::time_kept_instance`].
    pub(crate) async fn time_kept_instance(
        &self,
        call: IssueCall,
        calls: usize,
    ) -> Result<Vec<Duration>, String> {
        let place =
            self.place(&self.issues, Urgency::User).await.map_err(|Busy| "busy".to_owned())?;
        let data = Arc::new(RequestData::from(call));
        let running = ServiceCall::new(self, "benchmark", &data);
        let plan = Plan { timeout: Duration::from_secs(600), ..self.plan(&running) };
        let (plugin, data) = (self.plugin.clone(), data.clone());
        let times = run::run(&self.engine, place, plan, move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                let kept = store.data_mut().table.push(RequestHandle(data))?;
                let mut times = Vec::with_capacity(calls);
                for _ in 0..calls {
                    let begun = Instant::now();
                    let request = Resource::new_own(kept.rep());
                    let made = instance
                        .credsmith_plugin_service()
                        .call_issue(&mut *store, request)
                        .await?;
                    times.push(begun.elapsed());
                    drop(made);
                }
                Ok(times)
            })
        });
        times.await.map_err(|failure| failure.what)
    }

    async fn place(&self, lane: &Arc<Lane>, urgency: Urgency) -> Result<Place, Busy> {
        self.engine.place(lane, self.weight, urgency, self.queue_wait).await
    }

    fn plan(&self, running: &ServiceCall<'_>) -> Plan {
        Plan {
            grants: self.grants.clone(),
            journal: running.record.journal.clone(),
            memory: self.memory,
            timeout: self.plugin_timeout,
            largest: self.output.bytes.saturating_mul(2).max(self.grants.http_limits.request_bytes),
        }
    }

    async fn call_issue(
        &self,
        place: Place,
        running: &ServiceCall<'_>,
    ) -> Result<Result<v0::service::Outcome, v0::types::Refusal>, GuestFailure> {
        let (plugin, data) = (self.plugin.clone(), running.data.clone());
        run::run(&self.engine, place, self.plan(running), move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                let request = store.data_mut().table.push(RequestHandle(data))?;
                instance.credsmith_plugin_service().call_issue(store, request).await
            })
        })
        .await
    }

    async fn call_revoke(
        &self,
        place: Place,
        running: &ServiceCall<'_>,
        state: String,
        with: Option<Secret>,
    ) -> Result<Result<(), v0::types::Refusal>, GuestFailure> {
        let (plugin, data) = (self.plugin.clone(), running.data.clone());
        run::run(&self.engine, place, self.plan(running), move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                let request = store.data_mut().table.push(RequestHandle(data))?;
                let with = with.as_ref().and_then(Secret::expose_str);
                instance.credsmith_plugin_service().call_revoke(store, request, &state, with).await
            })
        })
        .await
    }
}

/// The world of services.
pub(crate) struct ServiceWorld;

impl PluginWorld for ServiceWorld {
    const NAME: &'static str = "service-plugin";
    const FIX: &'static str = "give the component of a service plugin";
    type Answer = v0::service::Description;
    type Description = Description;

    fn is_made_by(template: &Template) -> bool {
        matches!(template, Template::Service(_))
    }

    fn describe<'a>(
        plugin: &'a Compiled,
        store: &'a mut Store<State>,
    ) -> BoxFuture<'a, wasmtime::Result<Self::Answer>> {
        Box::pin(async move {
            let instance = instance(plugin, store).await?;
            instance.credsmith_plugin_service().call_describe(store).await
        })
    }

    fn check(answer: Self::Answer, _: &Compiled) -> Result<Description, Vec<FieldProblem>> {
        fields::description(answer)
    }
}

impl ConfiguredWorld for ServiceWorld {
    type Settled = v0::service::Offer;
    type Offer = Offer;

    fn configure<'a>(
        plugin: &'a Compiled,
        store: &'a mut Store<State>,
    ) -> BoxFuture<'a, wasmtime::Result<Configured<Self::Settled>>> {
        Box::pin(async move {
            let instance = instance(plugin, store).await?;
            instance.credsmith_plugin_service().call_configure(store).await
        })
    }

    fn check_offer(settled: Self::Settled) -> Result<Offer, Vec<FieldProblem>> {
        fields::offer(settled)
    }
}

/// A fresh instance of a service plugin in `store`.
async fn instance(
    plugin: &Compiled,
    store: &mut Store<State>,
) -> wasmtime::Result<v0::ServicePlugin> {
    match &plugin.template {
        Template::Service(template) => template.instantiate_async(store).await,
        Template::CredentialType(_) | Template::Directory(_) => {
            wasmtime::bail!("it is not a service plugin")
        }
    }
}

impl From<IssueCall> for RequestData {
    fn from(call: IssueCall) -> Self {
        Self {
            service: call.service,
            lease: call.lease,
            user: call.user,
            additional_logins: call.additional_logins,
            parameters: call.parameters,
            not_after: call.not_after,
        }
    }
}

impl RequestData {
    /// The access tokens that came with the request.
    fn tokens(&self) -> Vec<&Secret> {
        let users = std::iter::once(&self.user).chain(&self.additional_logins);
        users.filter_map(|user| user.access_token.as_deref()).collect()
    }
}

/// A running call: its request and its record.
struct ServiceCall<'a> {
    service: &'a Service,
    data: Arc<RequestData>,
    record: CallRecord,
}

impl<'a> ServiceCall<'a> {
    fn new(service: &'a Service, operation: &'static str, data: &Arc<RequestData>) -> Self {
        let ServiceLabels { service: id, plugin, version } = &service.labels;
        let labels = CallLabels {
            service: id.clone(),
            plugin: plugin.clone(),
            version: version.clone(),
            operation,
            lease: Some(data.lease.to_string()),
        };
        Self {
            service,
            data: data.clone(),
            record: CallRecord::open(labels, service.identity.clone()),
        }
    }

    /// Logs the lines of a call that ended in order. `more`: secrets beyond those of the service
    /// and the request.
    fn publish(&self, more: &[&Secret]) {
        let parameters = self.data.parameters.iter().filter(|(key, _)| self.service.is_secure(key));
        let mut secrets: Vec<&Secret> =
            self.service.grants.secrets().chain(self.data.tokens()).collect();
        secrets.extend(parameters.map(|(_, value)| value));
        secrets.extend_from_slice(more);
        self.record.publish(secrets);
    }

    fn refused<T>(
        &self,
        given: &v0::types::Refusal,
        guarded: &[&Secret],
    ) -> Result<Result<T, CallFailure>, GuestFailure> {
        let refusal = self.record.refusal(given, guarded)?;
        self.publish(guarded);
        Ok(Err(CallFailure::Refused(refusal)))
    }

    fn broke(&self, failure: GuestFailure) -> CallFailure {
        self.record.broke(failure)
    }
}

impl Service {
    fn is_secure(&self, key: &str) -> bool {
        self.offer
            .parameter_sets
            .iter()
            .flatten()
            .any(|parameter| parameter.key == key && parameter.secure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_service_holds_at_most_half_of_the_pool() {
        for pool in [2, 3, 4, 8, 16, 64, 128, 1024] {
            for parallel in [None, Some(0), Some(1), Some(2), Some(32), Some(usize::MAX)] {
                let widths = LaneWidths::of(pool, parallel);
                assert!(widths.issues >= 1 && widths.revokes >= 1);
                assert!(
                    widths.issues + widths.revokes <= (pool / 2).max(2),
                    "{pool} {parallel:?} {widths:?}"
                );
                assert!(widths.issues <= parallel.unwrap_or(usize::MAX).max(1));
            }
        }
        assert_eq!(LaneWidths::of(128, Some(32)), LaneWidths { issues: 32, revokes: 8 });
        assert_eq!(LaneWidths::of(128, Some(1)), LaneWidths { issues: 1, revokes: 1 });
        assert_eq!(LaneWidths::of(128, None), LaneWidths { issues: 56, revokes: 8 });
    }
}
