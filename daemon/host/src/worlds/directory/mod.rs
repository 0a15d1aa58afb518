//! One loaded directory of companies: its queues, its calls, and how their results are passed to
//! core. It serves core's port [`Directory`].
//!
//! Never here: when it is walked, what is stored, authorization.

mod answer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use credsmith_core::error::FieldProblem;
use credsmith_core::ports::directory::{Directory, DirectoryPage};
use credsmith_core::ports::plugins::{CallFailure, NotStarted, PluginIdentity, Urgency};
use futures_util::future::BoxFuture;
use wasmtime::Store;

use crate::call::grants::Grants;
use crate::call::journal::CallLabels;
use crate::call::outcome::Forbidden;
use crate::call::record::CallRecord;
use crate::call::run::{self, GuestFailure, Plan};
use crate::call::state::State;
use crate::component::cache::{Compiled, Template};
use crate::engine::guest_engine::GuestEngine;
use crate::engine::lane::Lane;
use crate::error::LoadError;
use crate::load::configuration::PluginConfiguration;
use crate::load::fields::{self, Description};
use crate::load::loader::{Configured, ConfiguredWorld, LoadedPlugin, Loader, PluginWorld};
use crate::options::DirectorySetup;
use crate::v0;

/// A directory that can be asked. Clones share it.
#[derive(Clone)]
pub struct DirectoryPlugin(Arc<Inner>);

struct Inner {
    engine: Arc<GuestEngine>,
    plugin: Arc<Compiled>,
    identity: PluginIdentity,
    grants: Arc<Grants>,
    /// Walks over all companies: one request at a time, so that a directory is not asked faster
    /// than it answers.
    walks: Arc<Lane>,
    /// Looks at one company, for which a user waits.
    looks: Arc<Lane>,
    queue_wait: Duration,
    timeout: Duration,
    memory: usize,
    /// How many places in the pool an instance takes.
    weight: usize,
}

impl fmt::Debug for DirectoryPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectoryPlugin({})", self.0.identity.name)
    }
}

/// How many looks may run at once: with a walk beside them they take at most half of a pool of
/// `places`.
fn looks_at_once(places: usize, wanted: usize) -> usize {
    wanted.min((places / 2).saturating_sub(1)).max(1)
}

impl DirectoryPlugin {
    /// Loads a directory.
    pub(crate) async fn load(loader: &Loader, setup: &DirectorySetup) -> Result<Self, LoadError> {
        let loaded = loader.load::<DirectoryWorld>(&PluginConfiguration::from(setup)).await?;
        Ok(Self::new(loader.engine.clone(), loaded, setup))
    }

    fn new(engine: Arc<GuestEngine>, loaded: LoadedPlugin<()>, setup: &DirectorySetup) -> Self {
        let LoadedPlugin { component, weight, identity, grants, offer: () } = loaded;
        let looks = looks_at_once(engine.pool_size / weight, setup.parallel_looks);
        Self(Arc::new(Inner {
            engine,
            plugin: component,
            identity,
            grants: Arc::new(grants),
            walks: Lane::new(1, setup.queue_length),
            looks: Lane::new(looks, setup.queue_length),
            queue_wait: setup.queue_wait,
            timeout: setup.plugin_timeout.min(run::LONGEST),
            memory: setup.memory_bytes,
            weight,
        }))
    }

    /// Which plugin it is.
    pub fn identity(&self) -> &PluginIdentity {
        &self.0.identity
    }
}

#[async_trait]
impl Directory for DirectoryPlugin {
    async fn companies(&self, cursor: Option<&str>) -> Result<DirectoryPage, CallFailure> {
        let (begin, plugin) = (cursor.map(str::to_owned), self.0.plugin.clone());
        let lane = (&self.0.walks, Urgency::Background);
        self.0
            .call("list companies", lane, move |store| {
                Box::pin(async move {
                    let instance = instance(&plugin, store).await?;
                    instance
                        .credsmith_plugin_directory()
                        .call_companies(store, begin.as_deref())
                        .await
                })
            })
            .await?
            .end(|page, guarded| answer::page(page, cursor, guarded))
    }

    async fn configurations(&self, company: &str) -> Result<String, CallFailure> {
        let (company, plugin) = (company.to_owned(), self.0.plugin.clone());
        let lane = (&self.0.looks, Urgency::User);
        self.0
            .call("read configurations", lane, move |store| {
                Box::pin(async move {
                    let instance = instance(&plugin, store).await?;
                    instance.credsmith_plugin_directory().call_configurations(store, &company).await
                })
            })
            .await?
            .end(answer::configurations)
    }
}

/// A call that ended, with its answer unchecked.
struct FinishedCall<'a, T> {
    record: CallRecord,
    grants: &'a Grants,
    answer: Result<Result<T, v0::types::Refusal>, GuestFailure>,
}

impl Inner {
    /// Runs one call in its turn.
    async fn call<T, F>(
        &self,
        operation: &'static str,
        (lane, urgency): (&Arc<Lane>, Urgency),
        work: F,
    ) -> Result<FinishedCall<'_, T>, CallFailure>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(
                &'a mut Store<State>,
            )
                -> BoxFuture<'a, wasmtime::Result<Result<T, v0::types::Refusal>>>
            + Send
            + 'static,
    {
        let place = self.engine.place(lane, self.weight, urgency, self.queue_wait).await;
        let Ok(place) = place else { return Err(CallFailure::NotStarted(NotStarted::Busy)) };
        let record = CallRecord::open(self.labels(operation), self.identity.clone());
        let plan = Plan {
            grants: self.grants.clone(),
            journal: record.journal.clone(),
            memory: self.memory,
            timeout: self.timeout,
            largest: answer::LARGEST.max(self.grants.http_limits.request_bytes),
        };
        let answer = run::run(&self.engine, place, plan, work).await;
        Ok(FinishedCall { record, grants: &self.grants, answer })
    }

    fn labels(&self, operation: &'static str) -> CallLabels {
        CallLabels {
            service: "".into(),
            plugin: self.identity.name.as_str().into(),
            version: self.identity.version.as_str().into(),
            operation,
            lease: None,
        }
    }
}

impl<T> FinishedCall<'_, T> {
    /// Its answer, if `check` finds no fault in it. `check` also gets the secrets that must not be
    /// in it.
    fn end<U>(
        self,
        check: impl FnOnce(T, &Forbidden<'_>) -> Result<U, String>,
    ) -> Result<U, CallFailure> {
        let guarded = Forbidden::new(&self.grants.guard, []);
        let outcome = match self.answer {
            Ok(Ok(given)) => check(given, &guarded).map(Ok).map_err(GuestFailure::bad_output),
            Ok(Err(given)) => {
                self.record.refusal(&given, &guarded).map(|no| Err(CallFailure::Refused(no)))
            }
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(outcome) => {
                self.record.publish(self.grants.secrets());
                outcome
            }
            Err(failure) => Err(self.record.broke(failure, self.grants.secrets())),
        }
    }
}

/// The world of directories.
pub(crate) struct DirectoryWorld;

impl PluginWorld for DirectoryWorld {
    const NAME: &'static str = "directory-plugin";
    const FIX: &'static str = "give the component of a directory plugin";
    type Answer = v0::directory::Description;
    type Description = Description;

    fn is_made_by(template: &Template) -> bool {
        matches!(template, Template::Directory(_))
    }

    fn describe<'a>(
        plugin: &'a Compiled,
        store: &'a mut Store<State>,
    ) -> BoxFuture<'a, wasmtime::Result<Self::Answer>> {
        Box::pin(async move {
            let instance = instance(plugin, store).await?;
            instance.credsmith_plugin_directory().call_describe(store).await
        })
    }

    fn check(answer: Self::Answer, _: &Compiled) -> Result<Description, Vec<FieldProblem>> {
        fields::description(answer.into())
    }
}

impl ConfiguredWorld for DirectoryWorld {
    type Settled = ();
    type Offer = ();

    fn configure<'a>(
        plugin: &'a Compiled,
        store: &'a mut Store<State>,
    ) -> BoxFuture<'a, wasmtime::Result<Configured<()>>> {
        Box::pin(async move {
            let instance = instance(plugin, store).await?;
            instance.credsmith_plugin_directory().call_configure(store).await
        })
    }

    fn check_offer((): ()) -> Result<(), Vec<FieldProblem>> {
        Ok(())
    }
}

/// Both worlds describe themselves alike, each in a type of its own.
impl From<v0::directory::Description> for v0::service::Description {
    fn from(given: v0::directory::Description) -> Self {
        Self {
            name: given.name,
            version: given.version,
            contact: given.contact,
            settings: given.settings,
            open_settings: given.open_settings,
            extra: given.extra,
        }
    }
}

/// A fresh instance of a directory plugin in `store`.
async fn instance(
    plugin: &Compiled,
    store: &mut Store<State>,
) -> wasmtime::Result<v0::DirectoryPlugin> {
    match &plugin.template {
        Template::Directory(template) => template.instantiate_async(store).await,
        Template::Service(_) | Template::CredentialType(_) => {
            wasmtime::bail!("it is not a directory plugin")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walk_and_looks_leave_half_of_the_pool_to_others() {
        for (places, wanted, expected) in
            [(128, 4, 4), (8, 4, 3), (4, 4, 1), (2, 4, 1), (1, 0, 1), (128, 0, 1)]
        {
            assert_eq!(looks_at_once(places, wanted), expected, "{places} {wanted}");
        }
    }
}
