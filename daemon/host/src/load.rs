//! From a component and what an admin configured to a service that can be called.
//!
//! Order: digest and pin, compile, what it says of itself (twice: it has to agree with itself),
//! settings, grants, what it offers. Never here: whether a service that cannot be loaded stops the
//! daemon.

use std::sync::Arc;
use std::time::Duration;

use credsmith_contract::limits::MAX_PROBLEM;
use credsmith_core::error::FieldProblem;
use credsmith_core::ids::PluginName;
use credsmith_core::ports::plugins::{Offer, PluginIdentity};
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use wasmtime::Store;

use crate::error::{LoadError, LoadFault};
use crate::fields::{self, Description};
use crate::grants::Wishes;
use crate::journal::{About, Journal, Keep};
use crate::machine::Machine;
use crate::options::{ComponentSource, ServiceSetup};
use crate::run::{self, Broke, Plan};
use crate::service::{Service, instance};
use crate::shelf::{Compiled, Shelf, Template};
use crate::state::{Grants, State};
use crate::text;
use crate::v0;

/// How long a plugin may take to say what it is.
pub(crate) const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Linear memory for that, in bytes, unless the service has its own limit.
pub(crate) const DESCRIBE_MEMORY: usize = 256 << 20;
/// Most bytes that it may say.
const DESCRIBE_BYTES: usize = 1 << 20;
/// Most problems that a plugin may have with its settings.
const MAX_PROBLEMS: usize = 100;

/// Loads a service.
pub(crate) async fn service(
    machine: &Arc<Machine>,
    shelf: &Arc<Shelf>,
    network: &Handle,
    setup: &ServiceSetup,
) -> Result<Service, LoadError> {
    let source = &setup.component;
    let wishes = Wishes::from(setup);
    wishes.check_memory(machine)?;
    let plugin = shelf.take(source).await?;
    if !matches!(plugin.template, Template::Service(_)) {
        return Err(LoadError::new(
            LoadFault::WrongWorld,
            &source.origin,
            format!("it is a {}, not a service-plugin", plugin.world.as_str()),
            "give the component of a service plugin",
        ));
    }
    let weight = machine.weight(plugin.needs.memories, plugin.needs.tables);
    let loading =
        Loading { machine, source, service: setup.id.as_str(), memory: setup.memory_bytes, weight };
    let description = describe(&loading, &plugin).await?;
    let grants = wishes.grant(&description, network)?;
    let offer = configure(&loading, &plugin, &grants, setup.plugin_timeout, &description).await?;
    let identity = PluginIdentity {
        name: description.name.clone(),
        version: description.version.clone(),
        digest: plugin.digest.clone(),
    };
    Ok(Service::new(machine.clone(), plugin, setup, identity, offer, Arc::new(grants)))
}

/// What every step of loading needs to know.
pub(crate) struct Loading<'a> {
    pub(crate) machine: &'a Arc<Machine>,
    pub(crate) source: &'a ComponentSource,
    /// For log lines.
    pub(crate) service: &'a str,
    pub(crate) memory: usize,
    /// How many places in the pool an instance takes.
    pub(crate) weight: usize,
}

impl Loading<'_> {
    fn error(&self, fault: LoadFault, cause: impl std::fmt::Display, fix: &str) -> LoadError {
        LoadError::new(fault, &self.source.origin, cause, fix)
    }

    fn broke(&self, operation: &str, broke: &Broke) -> LoadError {
        let fix = "this is a fault of the plugin; tell its author";
        self.error(LoadFault::Broke, format!("it broke in {operation}: {}", broke.what), fix)
    }

    pub(crate) fn bad_description(&self, problems: Vec<FieldProblem>) -> LoadError {
        let fix = "this is a fault of the plugin; tell its author";
        self.error(LoadFault::BadDescription, "what it says of itself breaks the contract", fix)
            .with_problems(problems)
    }

    /// What a plugin said of itself, if it says the same every time.
    pub(crate) fn agreed(
        &self,
        first: Description,
        second: &Description,
    ) -> Result<Description, LoadError> {
        if first == *second {
            return Ok(first);
        }
        let cause = "it describes itself differently each time";
        let fix = "this is a fault of the plugin; tell its author";
        Err(self.error(LoadFault::BadDescription, cause, fix))
    }

    /// The plugin `name` does not take its settings.
    pub(crate) fn bad_settings(
        &self,
        name: &PluginName,
        problems: Vec<v0::types::FieldProblem>,
        grants: &Grants,
    ) -> LoadError {
        self.error(
            LoadFault::BadSettings,
            format!("{name} refuses its settings"),
            "correct the settings of the plugin",
        )
        .with_problems(problems_of(problems, grants))
    }

    /// Runs one operation and logs what it logged.
    pub(crate) async fn run<T, F>(
        &self,
        operation: &'static str,
        grants: &Arc<Grants>,
        timeout: Duration,
        work: F,
    ) -> Result<T, LoadError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Store<State>) -> BoxFuture<'a, wasmtime::Result<T>>
            + Send
            + 'static,
    {
        let journal = Journal::new(Keep::Held);
        let plan = Plan {
            grants: grants.clone(),
            journal: journal.clone(),
            memory: self.memory.min(self.machine.max_memory),
            timeout,
            largest: DESCRIBE_BYTES,
        };
        let place = self.machine.places(self.weight).await;
        let about = About {
            service: self.service.into(),
            plugin: self.source.origin.as_str().into(),
            version: "".into(),
            operation,
            lease: None,
        };
        match run::run(self.machine, place, plan, work).await {
            Ok(answer) => {
                journal.publish(&about, grants.secrets());
                Ok(answer)
            }
            Err(broke) => {
                journal.withhold(&about);
                Err(self.broke(operation, &broke))
            }
        }
    }
}

/// Asks a service plugin what it is, twice.
pub(crate) async fn describe(
    loading: &Loading<'_>,
    plugin: &Arc<Compiled>,
) -> Result<Description, LoadError> {
    let first = describe_once(loading, plugin).await?;
    let second = describe_once(loading, plugin).await?;
    loading.agreed(first, &second)
}

async fn describe_once(
    loading: &Loading<'_>,
    plugin: &Arc<Compiled>,
) -> Result<Description, LoadError> {
    let plugin = plugin.clone();
    let nothing = Arc::new(Grants::default());
    let given = loading
        .run("describe", &nothing, DESCRIBE_TIMEOUT, move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                instance.credsmith_plugin_service().call_describe(store).await
            })
        })
        .await?;
    fields::description(given).map_err(|problems| loading.bad_description(problems))
}

/// Asks a service plugin what it offers with these settings. There is no HTTP while it answers.
async fn configure(
    loading: &Loading<'_>,
    plugin: &Arc<Compiled>,
    grants: &Grants,
    timeout: Duration,
    description: &Description,
) -> Result<Offer, LoadError> {
    let plugin = plugin.clone();
    let offline = Arc::new(grants.offline());
    let given = loading
        .run("configure", &offline, timeout, move |store| {
            Box::pin(async move {
                let instance = instance(&plugin, store).await?;
                instance.credsmith_plugin_service().call_configure(store).await
            })
        })
        .await?;
    match given {
        Ok(offer) => fields::offer(offer).map_err(|problems| loading.bad_description(problems)),
        Err(problems) => Err(loading.bad_settings(&description.name, problems, grants)),
    }
}

/// What a plugin has against its settings, in its words: bounded, cleaned, and masked, since it has
/// seen them.
fn problems_of(given: Vec<v0::types::FieldProblem>, grants: &Grants) -> Vec<FieldProblem> {
    let mask = crate::journal::Mask::new(grants.secrets());
    let one = |problem: v0::types::FieldProblem| {
        let inner =
            problem.path.iter().take(8).map(|part| text::cleaned(&mask.apply(part), MAX_PROBLEM));
        let path = std::iter::once("settings".into()).chain(inner.map(Into::into));
        FieldProblem::new(path, text::cleaned(&mask.apply(&problem.message), MAX_PROBLEM))
    };
    given.into_iter().take(MAX_PROBLEMS).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use credsmith_core::secret::Secret;

    use crate::secrets::GuardedSecret;
    use crate::settings::Prepared;

    #[test]
    fn what_a_plugin_has_against_its_settings_is_bounded_cleaned_and_masked() {
        let guarded = GuardedSecret {
            name: "key".to_owned(),
            value: Arc::new(Secret::new("hunter22")),
            destinations: Vec::new(),
            reveal: true,
            hmac: false,
        };
        let settings = BTreeMap::from([("key".to_owned(), Prepared::Secret(Arc::new(guarded)))]);
        let grants = Grants { settings, ..Grants::default() };
        let said = |path: &str, message: &str| v0::types::FieldProblem {
            path: vec![path.to_owned()],
            message: message.to_owned(),
        };
        let problems = problems_of(vec![said("key\n", "hunter22 is\u{1b} weak")], &grants);
        assert_eq!(problems[0].path, ["settings", "key\\n"]);
        assert_eq!(problems[0].message, "[masked] is\\u{1b} weak");
        let in_path = problems_of(vec![said("hunter22", "")], &grants);
        assert_eq!(in_path[0].path, ["settings", "[masked]"]);
        let many =
            problems_of((0..1000).map(|_| said("key", &"x".repeat(10_000))).collect(), &grants);
        assert_eq!(many.len(), MAX_PROBLEMS);
        assert!(many.iter().all(|problem| problem.message.len() <= MAX_PROBLEM));
    }
}
