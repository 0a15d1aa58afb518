//! The steps of loading, the same for every world of the contract.
//!
//! Order: digest and pin, compile, description (asked for twice, since two answers that differ are
//! a fault), settings, grants, offer. Never here: whether a plugin that cannot be loaded stops the
//! daemon.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use credsmith_contract::limits::MAX_PROBLEM;
use credsmith_core::error::FieldProblem;
use credsmith_core::ids::PluginName;
use credsmith_core::ports::plugins::PluginIdentity;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use wasmtime::Store;

use crate::call::grants::Grants;
use crate::call::journal::{CallLabels, Journal, LogLines, Mask};
use crate::call::run::{self, GuestFailure, Plan};
use crate::call::state::State;
use crate::capability::wasi::PluginClock;
use crate::component::artefacts::Artefacts;
use crate::component::cache::{Compiled, ComponentCache, Linkers, Template};
use crate::component::sources::Remark;
use crate::engine::guest_engine::GuestEngine;
use crate::error::{HostError, LoadError, LoadFault};
use crate::load::configuration::PluginConfiguration;
use crate::load::fields::Description;
use crate::options::{ComponentSource, HostOptions};
use crate::secrets::guard::Guards;
use crate::text;
use crate::v0;

/// How long a plugin may take to describe itself.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Linear memory of a plugin without a limit of its own, in bytes, while it describes itself.
pub(crate) const DESCRIBE_MEMORY: usize = 256 << 20;
/// The times at which a plugin describes itself, in Unix seconds: neither is the true one, and they
/// are far apart. A description depends on no clock.
const NO_TIME: [u64; 2] = [0, 8_000_000_000];
/// Most bytes that a plugin may answer while it is loaded.
const DESCRIBE_BYTES: usize = 1 << 20;
/// Most problems that a plugin may have with its settings.
const MAX_PROBLEMS: usize = 100;
/// The fix for a plugin that breaks the contract.
const TELL_AUTHOR: &str = "this is a fault of the plugin; tell its author";

/// A world of the contract, as far as loading needs it.
pub(crate) trait PluginWorld: 'static {
    /// Its name in the contract.
    const NAME: &'static str;
    /// The fix for a component of another world.
    const FIX: &'static str;
    /// The result of `describe`.
    type Answer: Send + 'static;
    /// The same, checked.
    type Description: PartialEq;

    /// Whether `template` makes instances of this world.
    fn is_made_by(template: &Template) -> bool;

    /// Calls `describe` on a fresh instance.
    fn describe<'a>(
        plugin: &'a Compiled,
        store: &'a mut Store<State>,
    ) -> BoxFuture<'a, wasmtime::Result<Self::Answer>>;

    /// Checks what `plugin` answered.
    fn check(
        answer: Self::Answer,
        plugin: &Compiled,
    ) -> Result<Self::Description, Vec<FieldProblem>>;
}

/// The result of `configure`: the answer, or the problems that the plugin has with its settings.
pub(crate) type Configured<T> = Result<T, Vec<v0::types::FieldProblem>>;

/// A world whose plugins have settings and grants.
pub(crate) trait ConfiguredWorld: PluginWorld<Description = Description> {
    /// The answer of `configure`.
    type Settled: Send + 'static;
    /// The same, checked.
    type Offer;

    /// Calls `configure` on a fresh instance.
    fn configure<'a>(
        plugin: &'a Compiled,
        store: &'a mut Store<State>,
    ) -> BoxFuture<'a, wasmtime::Result<Configured<Self::Settled>>>;

    /// Checks what the plugin answered.
    fn check_offer(settled: Self::Settled) -> Result<Self::Offer, Vec<FieldProblem>>;
}

/// Loads plugins.
pub(crate) struct Loader {
    pub(crate) engine: Arc<GuestEngine>,
    components: Arc<ComponentCache>,
    /// Searches for secrets in what plugins get and say.
    guards: Guards,
    /// The runtime on which connections live.
    network: Handle,
}

/// A plugin with settings and grants, as it was loaded.
pub(crate) struct LoadedPlugin<O> {
    pub(crate) component: Arc<Compiled>,
    /// How many places in the pool an instance takes.
    pub(crate) weight: usize,
    pub(crate) identity: PluginIdentity,
    pub(crate) grants: Grants,
    pub(crate) offer: O,
}

impl Loader {
    /// Starts the engine, on the runtime on which it is called.
    ///
    /// # Errors
    /// When there is no runtime, the engine or its threads cannot be started, or the directory of
    /// artefacts is not fit for native code.
    pub(crate) fn start(options: &HostOptions) -> Result<Self, HostError> {
        let network =
            Handle::try_current().map_err(|why| HostError::new("the host needs a runtime", why))?;
        let engine = GuestEngine::start(options)?;
        let artefacts = options.artefacts.as_deref().map(|directory| {
            Artefacts::open(directory, options.artefact_key.clone(), &engine.wasm)
        });
        let linkers = Linkers::new(&engine.wasm).map_err(|why| {
            HostError::new("the plugin contract cannot be served", format!("{why:#}"))
        })?;
        let components = ComponentCache::new(
            engine.wasm.clone(),
            artefacts.transpose()?,
            options.compiler.clone(),
            linkers,
        );
        Ok(Self { engine, components: Arc::new(components), guards: Guards::default(), network })
    }

    /// Compiles the component of `source`. `service` is for log lines; `memory` bounds the linear
    /// memory of the calls that follow, in bytes.
    pub(crate) async fn compile<'a>(
        &'a self,
        source: &'a ComponentSource,
        service: &'a str,
        memory: usize,
    ) -> Result<Loading<'a>, LoadError> {
        let component = self.components.get(source).await?;
        log_remarks(&component, source, service);
        let weight = self.engine.weight(component.needs.memories, component.needs.tables);
        Ok(Loading { engine: &self.engine, source, service, memory, component, weight })
    }

    /// Loads a plugin with the settings and grants of `configuration`.
    pub(crate) async fn load<W: ConfiguredWorld>(
        &self,
        configuration: &PluginConfiguration<'_>,
    ) -> Result<LoadedPlugin<W::Offer>, LoadError> {
        configuration.check_memory(&self.engine)?;
        let PluginConfiguration { component: source, service, memory, .. } = *configuration;
        let loading = self.compile(source, service, memory).await?;
        let description = loading.describe::<W>().await?;
        let grants = configuration.grant(&description, &self.network, &self.guards)?;
        let offer =
            loading.configure::<W>(&grants, configuration.timeout, &description.name).await?;
        let Loading { component, weight, .. } = loading;
        let Description { name, version, .. } = description;
        let identity = PluginIdentity { name, version, digest: component.digest.clone() };
        Ok(LoadedPlugin { component, weight, identity, grants, offer })
    }
}

/// A compiled component on its way to a plugin that can be called.
pub(crate) struct Loading<'a> {
    engine: &'a Arc<GuestEngine>,
    source: &'a ComponentSource,
    /// For log lines.
    service: &'a str,
    memory: usize,
    pub(crate) component: Arc<Compiled>,
    /// How many places in the pool an instance takes.
    pub(crate) weight: usize,
}

impl Loading<'_> {
    /// Has the plugin describe itself twice, and refuses descriptions that differ.
    pub(crate) async fn describe<W: PluginWorld>(&self) -> Result<W::Description, LoadError> {
        if !W::is_made_by(&self.component.template) {
            let cause = format!("it is a {}, not a {}", self.component.world.as_str(), W::NAME);
            return Err(self.error(LoadFault::WrongWorld, cause, W::FIX));
        }
        let [first, second] = NO_TIME;
        let first = self.describe_once::<W>(first).await?;
        let second = self.describe_once::<W>(second).await?;
        if first != second {
            let cause = "it describes itself differently each time, or at different times";
            return Err(self.error(LoadFault::BadDescription, cause, TELL_AUTHOR));
        }
        Ok(first)
    }

    async fn describe_once<W: PluginWorld>(
        &self,
        seconds: u64,
    ) -> Result<W::Description, LoadError> {
        let component = self.component.clone();
        let clock = PluginClock::Standing(Duration::from_secs(seconds));
        let nothing = Arc::new(Grants { clock, ..Grants::default() });
        let answer = self
            .run("describe", &nothing, DESCRIBE_TIMEOUT, move |store| {
                Box::pin(async move { W::describe(&component, store).await })
            })
            .await?;
        W::check(answer, &self.component).map_err(|problems| self.bad_description(problems))
    }

    /// Has the plugin read its settings, without HTTP.
    async fn configure<W: ConfiguredWorld>(
        &self,
        grants: &Grants,
        timeout: Duration,
        name: &PluginName,
    ) -> Result<W::Offer, LoadError> {
        let component = self.component.clone();
        let offline = Arc::new(grants.offline());
        let configured = self
            .run("configure", &offline, timeout, move |store| {
                Box::pin(async move { W::configure(&component, store).await })
            })
            .await?;
        let settled = configured.map_err(|problems| self.bad_settings(name, problems, grants))?;
        W::check_offer(settled).map_err(|problems| self.bad_description(problems))
    }

    fn error(&self, fault: LoadFault, cause: impl fmt::Display, fix: &str) -> LoadError {
        LoadError::new(fault, &self.source.origin, cause, fix)
    }

    fn bad_description(&self, problems: Vec<FieldProblem>) -> LoadError {
        let cause = "its description of itself breaks the contract";
        self.error(LoadFault::BadDescription, cause, TELL_AUTHOR).with_problems(problems)
    }

    fn bad_settings(
        &self,
        name: &PluginName,
        problems: Vec<v0::types::FieldProblem>,
        grants: &Grants,
    ) -> LoadError {
        let cause = format!("{name} refuses its settings");
        self.error(LoadFault::BadSettings, cause, "correct the settings of the plugin")
            .with_problems(problems_of(problems, grants))
    }

    /// Runs one operation and logs what it logged.
    async fn run<T, F>(
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
        let journal = Journal::new(LogLines::Held);
        let plan = Plan {
            grants: grants.clone(),
            journal: journal.clone(),
            memory: self.memory.min(self.engine.max_memory),
            timeout,
            largest: DESCRIBE_BYTES,
        };
        let place = self.engine.places(self.weight).await;
        let labels = self.labels(operation);
        match run::run(self.engine, place, plan, work).await {
            Ok(answer) => {
                journal.publish(&labels, grants.secrets());
                Ok(answer)
            }
            Err(failure) => {
                let words = journal.break_off(&labels, grants.secrets());
                Err(self.broke(operation, &failure, words.as_deref()))
            }
        }
    }

    fn labels(&self, operation: &'static str) -> CallLabels {
        CallLabels {
            service: self.service.into(),
            plugin: self.source.origin.as_str().into(),
            version: "".into(),
            operation,
            lease: None,
        }
    }

    fn broke(&self, operation: &str, failure: &GuestFailure, words: Option<&str>) -> LoadError {
        let words = words.map(|words| format!("; its last words: {words}")).unwrap_or_default();
        let cause = format!("it broke in {operation}: {}{words}", failure.what);
        self.error(LoadFault::Broke, cause, TELL_AUTHOR)
    }
}

/// Logs what is to be known about a component. An odd one is a matter for the admin who chose it.
fn log_remarks(component: &Compiled, source: &ComponentSource, service: &str) {
    let origin = source.origin.as_str();
    for Remark { text, is_odd } in &component.remarks {
        match is_odd {
            true => tracing::warn!(service, origin, remark = text, "a plugin is odd"),
            false => tracing::info!(service, origin, remark = text, "a plugin is limited"),
        }
    }
}

/// The problems that a plugin has with its settings, in its words: bounded, cleaned, and masked,
/// since it has seen the settings.
fn problems_of(given: Vec<v0::types::FieldProblem>, grants: &Grants) -> Vec<FieldProblem> {
    let mask = Mask::new(grants.secrets());
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

    use crate::call::grants::PreparedSetting;
    use crate::secrets::GuardedSecret;

    #[test]
    fn what_a_plugin_has_against_its_settings_is_bounded_cleaned_and_masked() {
        let guarded = GuardedSecret {
            name: "key".to_owned(),
            value: Arc::new(Secret::new("hunter22")),
            bindings: Vec::new(),
            reveal: true,
            hmac: false,
        };
        let settings =
            BTreeMap::from([("key".to_owned(), PreparedSetting::Secret(Arc::new(guarded)))]);
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
