//! One loaded service: its turns, its calls, and what their ends mean.
//!
//! Never here: how a guest is run ([`crate::run`]) or how its answer is checked
//! ([`crate::outcome`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use credsmith_core::caller::Claims;
use credsmith_core::ports::plugins::{
    CallFailure, CallUser, IssueCall, IssueReport, LoadedService, NotStarted, Offer,
    PluginIdentity, RevokeCall, Urgency,
};
use credsmith_core::secret::Secret;
use wasmtime::component::Resource;

use crate::account::Account;
use crate::capability::call::{Facts, RequestHandle};
use crate::journal::About;
use crate::lane::{Busy, Lane};
use crate::machine::{Machine, Place};
use crate::options::{OutputLimits, ServiceSetup};
use crate::outcome;
use crate::run::{self, Broke, Plan};
use crate::shelf::{Compiled, Template};
use crate::state::Grants;
use crate::v0;

/// From a call's deadline until its end is told, at most.
const GRACE: Duration = Duration::from_millis(100);

/// A service that can be called.
pub(crate) struct Service {
    machine: Arc<Machine>,
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
    labels: Labels,
}

/// What every log line of the service carries.
struct Labels {
    service: Arc<str>,
    plugin: Arc<str>,
    version: Arc<str>,
}

/// How many calls one service may have in the pool at once, by kind. Together they are half of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Widths {
    issues: usize,
    revokes: usize,
}

impl Widths {
    fn of(pool: usize, parallel: Option<usize>) -> Self {
        let half = (pool / 2).max(1);
        let wanted = parallel.unwrap_or(half).max(1);
        let revokes = wanted.min((half / 8).max(1));
        Self { issues: wanted.min(half.saturating_sub(revokes)).max(1), revokes }
    }
}

impl Service {
    pub(crate) fn new(
        machine: Arc<Machine>,
        plugin: Arc<Compiled>,
        setup: &ServiceSetup,
        identity: PluginIdentity,
        offer: Offer,
        grants: Arc<Grants>,
    ) -> Self {
        let weight = machine.weight(plugin.needs.memories, plugin.needs.tables);
        let widths = Widths::of(machine.pool_size / weight, setup.parallel_runner);
        let labels = Labels {
            service: setup.id.as_str().into(),
            plugin: identity.name.as_str().into(),
            version: identity.version.as_str().into(),
        };
        Self {
            machine,
            plugin,
            identity,
            offer,
            grants,
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

    /// What core may know of it.
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
            };
        };
        let facts = Arc::new(Facts::from(call));
        let notes = Notes::new(self, "issue", &facts);
        let answer = self.call_issue(place, &notes).await;
        let tokens = facts.tokens();
        let guarded: Vec<&Secret> = self.grants.secrets().chain(tokens.iter().copied()).collect();
        let outcome = match answer {
            Ok(Ok(made)) => outcome::issued(made, self.output, &guarded).map(|checked| {
                notes.publish(&checked.secrets.iter().collect::<Vec<_>>());
                Ok(checked.outcome)
            }),
            Ok(Err(refusal)) => notes.refused(&refusal, &guarded),
            Err(broke) => Err(broke),
        };
        let outcome = outcome.unwrap_or_else(|broke| Err(notes.broke(broke)));
        IssueReport {
            outcome,
            claims_read: notes.account.journal.claims_read(&facts.user.identity.claims),
        }
    }

    pub(crate) async fn revoke(&self, call: RevokeCall) -> Result<(), CallFailure> {
        let Ok(place) = self.place(&self.revokes, call.urgency).await else {
            return Err(CallFailure::NotStarted(NotStarted::Busy));
        };
        let facts = Arc::new(Facts {
            service: call.service,
            lease: call.lease,
            user: CallUser { identity: call.user, access_token: None },
            additional_logins: Vec::new(),
            parameters: call.parameters,
            not_after: call.not_after,
        });
        let notes = Notes::new(self, "revoke", &facts);
        let answer = self.call_revoke(place, &notes, call.state, call.revoke_with.clone()).await;
        let guarded: Vec<&Secret> =
            self.grants.secrets().chain(call.revoke_with.as_ref()).collect();
        let outcome = match answer {
            Ok(Ok(())) => {
                notes.publish(&guarded);
                Ok(Ok(()))
            }
            Ok(Err(refusal)) => notes.refused(&refusal, &guarded),
            Err(broke) => Err(broke),
        };
        outcome.unwrap_or_else(|broke| Err(notes.broke(broke)))
    }

    /// See [`crate::Host::time_kept_instance`].
    pub(crate) async fn time_kept_instance(
        &self,
        call: IssueCall,
        calls: usize,
    ) -> Result<Vec<Duration>, String> {
        let place =
            self.place(&self.issues, Urgency::User).await.map_err(|Busy| "busy".to_owned())?;
        let facts = Arc::new(Facts::from(call));
        let notes = Notes::new(self, "benchmark", &facts);
        let plan = Plan { timeout: Duration::from_secs(600), ..self.plan(&notes) };
        let (plugin, facts) = (self.plugin.clone(), facts.clone());
        let times = run::run(&self.machine, place, plan, move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                let kept = store.data_mut().table.push(RequestHandle(facts))?;
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
        times.await.map_err(|broke| broke.what)
    }

    async fn place(&self, lane: &Arc<Lane>, urgency: Urgency) -> Result<Place, Busy> {
        self.machine.place(lane, self.weight, urgency, self.queue_wait).await
    }

    fn plan(&self, notes: &Notes<'_>) -> Plan {
        Plan {
            grants: self.grants.clone(),
            journal: notes.account.journal.clone(),
            memory: self.memory,
            timeout: self.plugin_timeout,
            largest: self.output.bytes.saturating_mul(2).max(self.grants.http_limits.request_bytes),
        }
    }

    async fn call_issue(
        &self,
        place: Place,
        notes: &Notes<'_>,
    ) -> Result<Result<v0::service::Outcome, v0::types::Refusal>, Broke> {
        let (plugin, facts) = (self.plugin.clone(), notes.facts.clone());
        run::run(&self.machine, place, self.plan(notes), move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                let request = store.data_mut().table.push(RequestHandle(facts))?;
                instance.credsmith_plugin_service().call_issue(store, request).await
            })
        })
        .await
    }

    async fn call_revoke(
        &self,
        place: Place,
        notes: &Notes<'_>,
        state: String,
        with: Option<Secret>,
    ) -> Result<Result<(), v0::types::Refusal>, Broke> {
        let (plugin, facts) = (self.plugin.clone(), notes.facts.clone());
        run::run(&self.machine, place, self.plan(notes), move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                let request = store.data_mut().table.push(RequestHandle(facts))?;
                let with = with.as_ref().and_then(Secret::expose_str);
                instance.credsmith_plugin_service().call_revoke(store, request, &state, with).await
            })
        })
        .await
    }
}

/// A fresh instance of a service plugin in `store`.
pub(crate) async fn instance(
    plugin: &Compiled,
    store: &mut wasmtime::Store<crate::state::State>,
) -> wasmtime::Result<v0::ServicePlugin> {
    match &plugin.template {
        Template::Service(template) => template.instantiate_async(store).await,
        Template::CredentialType(_) | Template::Directory(_) => {
            wasmtime::bail!("it is not a service plugin")
        }
    }
}

impl From<IssueCall> for Facts {
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

impl Facts {
    /// The access tokens that came with the request.
    fn tokens(&self) -> Vec<&Secret> {
        let users = std::iter::once(&self.user).chain(&self.additional_logins);
        users.filter_map(|user| user.access_token.as_deref()).collect()
    }
}

/// What is kept of a call while it runs, for its logs and its end.
struct Notes<'a> {
    service: &'a Service,
    facts: Arc<Facts>,
    account: Account,
}

impl<'a> Notes<'a> {
    fn new(service: &'a Service, operation: &'static str, facts: &Arc<Facts>) -> Self {
        let Labels { service: id, plugin, version } = &service.labels;
        let about = About {
            service: id.clone(),
            plugin: plugin.clone(),
            version: version.clone(),
            operation,
            lease: Some(facts.lease.to_string()),
        };
        Self {
            service,
            facts: facts.clone(),
            account: Account::open(about, service.identity.clone()),
        }
    }

    /// Logs the lines of a call that ended in order. `more`: secrets beyond those of the service
    /// and the request.
    fn publish(&self, more: &[&Secret]) {
        let parameters =
            self.facts.parameters.iter().filter(|(key, _)| self.service.is_secure(key));
        let mut secrets: Vec<&Secret> =
            self.service.grants.secrets().chain(self.facts.tokens()).collect();
        secrets.extend(parameters.map(|(_, value)| value));
        secrets.extend_from_slice(more);
        self.account.publish(secrets);
    }

    fn refused<T>(
        &self,
        given: &v0::types::Refusal,
        guarded: &[&Secret],
    ) -> Result<Result<T, CallFailure>, Broke> {
        let refusal = self.account.refusal(given, guarded)?;
        self.publish(guarded);
        Ok(Err(CallFailure::Refused(refusal)))
    }

    fn broke(&self, broke: Broke) -> CallFailure {
        self.account.broke(broke)
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
                let widths = Widths::of(pool, parallel);
                assert!(widths.issues >= 1 && widths.revokes >= 1);
                assert!(
                    widths.issues + widths.revokes <= (pool / 2).max(2),
                    "{pool} {parallel:?} {widths:?}"
                );
                assert!(widths.issues <= parallel.unwrap_or(usize::MAX).max(1));
            }
        }
        assert_eq!(Widths::of(128, Some(32)), Widths { issues: 32, revokes: 8 });
        assert_eq!(Widths::of(128, Some(1)), Widths { issues: 1, revokes: 1 });
        assert_eq!(Widths::of(128, None), Widths { issues: 56, revokes: 8 });
    }
}
