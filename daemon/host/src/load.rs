//! From a component and what an admin configured to a service that can be called.
//!
//! Order: digest and pin, compile, what it says of itself (twice: it has to agree with itself), settings, grants, what it offers. Never here:
//! whether a service that cannot be loaded stops the daemon.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use credsmith_core::error::FieldProblem;
use credsmith_core::ports::plugins::{Offer, PluginIdentity};
use credsmith_http::client::{Client, ClientOptions};
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use wasmtime::Store;

use crate::capability::http::transport::ServiceClient;
use crate::error::{LoadError, LoadFault};
use crate::fields::{self, Description};
use crate::journal::{About, Journal, Keep};
use crate::machine::Machine;
use crate::options::{ComponentSource, ServiceSetup, Setting};
use crate::run::{self, Broke, Plan};
use crate::secrets::Endpoint;
use crate::service::{Service, instance};
use crate::settings;
use crate::shelf::{Compiled, Shelf, Template};
use crate::state::{Grants, State};
use crate::text;
use crate::v0;

/// How long a plugin may take to say what it is.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Linear memory for that, in bytes, unless the service has its own limit.
pub(crate) const DESCRIBE_MEMORY: usize = 256 << 20;
/// Most bytes that it may say.
const DESCRIBE_BYTES: usize = 1 << 20;
/// Most problems that a plugin may have with its settings.
const MAX_PROBLEMS: usize = 100;
/// Longest text of one, in characters.
const MAX_PROBLEM: usize = 500;

/// Loads a service.
pub(crate) async fn service(
    machine: &Arc<Machine>,
    shelf: &Arc<Shelf>,
    network: &Handle,
    setup: &ServiceSetup,
) -> Result<Service, LoadError> {
    let source = &setup.component;
    check_memory(machine, setup)?;
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
    let loading = Loading { machine, source, service: setup.id.as_str(), memory: setup.memory_bytes, weight };
    let description = describe(&loading, &plugin).await?;
    let grants = grants(setup, &description, network)?;
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
        F: for<'a> FnOnce(&'a mut Store<State>) -> BoxFuture<'a, wasmtime::Result<T>> + Send + 'static,
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
    if first != second {
        return Err(loading.error(
            LoadFault::BadDescription,
            "it describes itself differently each time",
            "this is a fault of the plugin; tell its author",
        ));
    }
    Ok(first)
}

async fn describe_once(loading: &Loading<'_>, plugin: &Arc<Compiled>) -> Result<Description, LoadError> {
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
    let offline = Arc::new(Grants { http: None, token: None, ..grants.clone() });
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
        Err(problems) => Err(loading
            .error(
                LoadFault::BadSettings,
                format!("{} refuses its settings", description.name),
                "correct the settings of the service",
            )
            .with_problems(problems_of(problems, grants))),
    }
}

/// What a plugin has against its settings, in its words: bounded, cleaned, and masked, since it has seen them.
fn problems_of(given: Vec<v0::types::FieldProblem>, grants: &Grants) -> Vec<FieldProblem> {
    let mask = crate::journal::Mask::new(grants.secrets());
    let one = |problem: v0::types::FieldProblem| {
        let inner = problem.path.iter().take(8).map(|part| text::cleaned(&mask.apply(part), MAX_PROBLEM));
        let path = std::iter::once("settings".into()).chain(inner.map(Into::into));
        FieldProblem::new(path, text::cleaned(&mask.apply(&problem.message), MAX_PROBLEM))
    };
    given.into_iter().take(MAX_PROBLEMS).map(one).collect()
}

fn check_memory(machine: &Machine, setup: &ServiceSetup) -> Result<(), LoadError> {
    if setup.memory_bytes <= machine.max_memory {
        return Ok(());
    }
    Err(LoadError::new(
        LoadFault::BadGrant,
        &setup.component.origin,
        format!(
            "it is granted {} bytes of memory; the host has {} for each call",
            setup.memory_bytes, machine.max_memory
        ),
        "lower the memory of the service, or raise that of the host",
    ))
}

fn grants(setup: &ServiceSetup, description: &Description, network: &Handle) -> Result<Grants, LoadError> {
    let bad = |fault, cause: &str, fix: &str| LoadError::new(fault, &setup.component.origin, cause, fix);
    let mut problems = Vec::new();
    let settings = settings::prepare(description, &setup.settings).unwrap_or_else(|found| {
        problems = found;
        Default::default()
    });
    problems.extend(unreachable_secrets(setup));
    if !problems.is_empty() {
        return Err(bad(
            LoadFault::BadSettings,
            "its settings do not fit",
            "correct the settings of the service",
        )
        .with_problems(problems));
    }
    let options = ClientOptions { destinations: setup.destinations.clone(), ..ClientOptions::default() };
    let client = Client::new(options).map_err(|why| {
        bad(LoadFault::BadGrant, &why.to_string(), "correct the destinations of the service")
    })?;
    Ok(Grants {
        settings,
        http: Some(Arc::new(ServiceClient::new(client, network.clone()))),
        http_limits: setup.http,
        token: setup.pass_access_token.clone(),
    })
}

/// Secrets that are bound to places where the plugin may not go: most often a slip of the pen in one of the two.
fn unreachable_secrets(setup: &ServiceSetup) -> Vec<FieldProblem> {
    let granted: BTreeSet<String> =
        setup.destinations.iter().map(|place| Endpoint::new(&place.host, place.port).to_string()).collect();
    let settings = setup.settings.iter().filter_map(|(key, setting)| match setting {
        Setting::Secret { destinations, .. } => {
            Some((vec!["settings".into(), key.clone().into()], destinations))
        }
        Setting::Text(_) | Setting::Json(_) | Setting::SigningKey { .. } => None,
    });
    let token =
        setup.pass_access_token.as_ref().map(|grant| (vec!["pass_access_token".into()], &grant.destinations));
    settings
        .chain(token)
        .flat_map(|(path, places)| places.iter().map(move |place| (path.clone(), place.to_string())))
        .filter(|(_, place)| !granted.contains(place))
        .map(|(path, place)| {
            let message = format!("it may go to {place}, which is not among the destinations of the service");
            FieldProblem::new(path, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    use credsmith_core::ids::ServiceId;
    use credsmith_core::secret::Secret;
    use credsmith_http::client::{Destination, Scheme};

    use crate::options::TokenGrant;
    use crate::secrets::GuardedSecret;
    use crate::settings::Prepared;

    fn secret(places: &[(&str, u16)]) -> Setting {
        let destinations = places.iter().map(|(host, port)| Endpoint::new(host, *port)).collect();
        Setting::Secret { value: Secret::new("hunter22"), destinations, reveal: false, hmac: false }
    }

    #[test]
    fn a_secret_bound_to_a_place_without_grant_is_a_fault() {
        let component = ComponentSource { bytes: Cow::Borrowed(b""), origin: "x".to_owned(), sha256: None };
        let mut setup = ServiceSetup::new(ServiceId::parse("x").unwrap(), component);
        setup.destinations = vec![Destination::new(Scheme::Https, "API.example", 443)];
        setup.settings = BTreeMap::from([
            ("good".to_owned(), secret(&[("api.example", 443)])),
            ("slip".to_owned(), secret(&[("api.example", 443), ("api.example", 8443)])),
            ("unbound".to_owned(), secret(&[])),
        ]);
        setup.pass_access_token =
            Some(TokenGrant { destinations: vec![Endpoint::new("op.example", 443)], reveal: false });
        let problems = unreachable_secrets(&setup);
        let told: Vec<_> =
            problems.iter().map(|problem| (problem.place(), problem.message.clone())).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0].0, "settings.slip");
        assert!(told[0].1.contains("api.example:8443"));
        assert_eq!(told[1].0, "pass_access_token");
    }

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
        let many = problems_of((0..1000).map(|_| said("key", &"x".repeat(10_000))).collect(), &grants);
        assert_eq!(many.len(), MAX_PROBLEMS);
        assert!(many.iter().all(|problem| problem.message.len() <= MAX_PROBLEM));
    }
}
