//! Turns services of the configuration into those of the host, and loads all of them at once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use credsmith_core::error::FieldProblem;
use credsmith_core::ids::ServiceId;
use credsmith_core::ports::plugins::LoadedService;
use credsmith_core::secret::Secret;
use credsmith_host::{
    CompilerProcess, ComponentSource, Described, Host, HostOptions, LoadError, LoadFault,
    ServiceSetup, Setting, TokenGrant,
};
use credsmith_http::client::{AddressPolicy, ClientIdentity, Destination, Scheme};
use futures_util::future::join_all;
use ring::hmac;
use zeroize::Zeroizing;

use crate::config::{self, Config, Origin, Plugin, Service};
use crate::failure::Failure;
use crate::sentence::as_sentence;

/// Largest component that is read: those of interpreted languages have some 20 MB.
const MAX_COMPONENT: u64 = 128 << 20;

/// The options of the host, without a directory for artefacts.
pub(crate) fn host_options(config: &Config, artefact_key: Secret) -> HostOptions {
    let defaults = HostOptions::new(artefact_key);
    let threads = config.plugins.threads.and_then(|threads| usize::try_from(threads).ok());
    let memory = config
        .services
        .iter()
        .filter_map(|service| usize::try_from(service.options.memory).ok())
        .max();
    HostOptions {
        pool_size: u32::try_from(config.plugins.instances).unwrap_or(u32::MAX),
        guest_threads: threads.unwrap_or(defaults.guest_threads),
        max_memory_bytes: memory.unwrap_or(defaults.max_memory_bytes),
        compiler: Some(compiler(&config.plugins)),
        ..defaults
    }
}

/// The process that compiles components: this program, by its command for it.
pub(crate) fn compiler(plugins: &config::Plugins) -> CompilerProcess {
    let (timeout, memory) = (plugins.compile_timeout, plugins.compile_memory);
    CompilerProcess::of_this_program(&["compile-component"], timeout, memory)
}

/// The key that proves that a compiled component was written by this daemon, or by a command that
/// an admin ran with its configuration. It follows from the key of the data, which opens
/// everything.
pub(crate) fn artefact_key(config: &Config) -> Secret {
    let key = hmac::Key::new(hmac::HMAC_SHA256, config.keyring.key.expose());
    Secret::new(hmac::sign(&key, b"credsmith plugin artefacts 1").as_ref().to_vec())
}

/// The result of loading a service.
pub(crate) type Outcome = Result<LoadedService, NotLoaded>;

/// Why a plugin is not loaded, as a sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotLoaded {
    /// It did not come to the host.
    #[error("{why}")]
    Setup {
        /// The setting at fault, where there is one.
        setting: Option<String>,
        why: String,
    },
    /// The host refused it.
    #[error(transparent)]
    Refused(#[from] LoadError),
}

impl NotLoaded {
    fn setup(why: String) -> Self {
        Self::Setup { setting: None, why }
    }

    /// The faults, each with the keys that lead to it from the table of the plugin.
    pub(crate) fn faults(&self) -> Vec<(Vec<String>, String)> {
        let plugin = || vec!["plugin".to_owned()];
        let setting = |key: &str| vec!["settings".to_owned(), key.to_owned()];
        match self {
            Self::Setup { setting: None, why } => vec![(plugin(), why.clone())],
            Self::Setup { setting: Some(key), why } => vec![(setting(key), why.clone())],
            Self::Refused(error) if error.fault() == LoadFault::WrongDigest => {
                vec![(vec!["sha256".to_owned()], error.to_string())]
            }
            Self::Refused(error) if error.fault() == LoadFault::BadSettings => {
                let at = |problem: &FieldProblem| {
                    let place = problem.place();
                    let key = place.strip_prefix("settings.").unwrap_or_default();
                    let place = if key.is_empty() { plugin() } else { setting(key) };
                    (place, format!("{} ({})", problem.message, error.fix()))
                };
                let faults: Vec<_> = error.problems().iter().map(at).collect();
                if faults.is_empty() { vec![(plugin(), error.to_string())] } else { faults }
            }
            Self::Refused(error) => vec![(plugin(), error.to_string())],
        }
    }
}

/// Loads every service, all at once; in the order of the configuration.
pub(crate) async fn load_each(host: &Host, config: &Config) -> Vec<(ServiceId, Outcome)> {
    let loads = config.services.iter().map(async |service| {
        let loaded = load(host, service).await;
        (service.id.clone(), loaded)
    });
    join_all(loads).await
}

/// Loads every service. One that cannot be loaded is disabled where that is tolerated.
///
/// # Errors
/// Every service that cannot be loaded, with its reason.
pub(super) async fn load_all(host: &Host, config: &Config) -> Result<(), Failure> {
    let outcomes = load_each(host, config).await.into_iter();
    let broken: Vec<_> = outcomes.filter_map(|(id, outcome)| Some((id, outcome.err()?))).collect();
    if broken.is_empty() {
        return Ok(());
    }
    if config.plugins.tolerate_broken_services {
        for (id, why) in broken {
            let why = why.to_string();
            tracing::warn!(service = %id, why, "a service cannot be loaded and is disabled");
            host.disable(id, why);
        }
        return Ok(());
    }
    let lines = broken
        .iter()
        .map(|(id, why)| format!("The service {id} cannot be loaded: {}", as_sentence(why)));
    let lines: Vec<_> = lines.collect();
    Err(Failure::run(format!(
        "{}\nWith `tolerate_broken_services = true` in [plugins] the daemon starts all the same.",
        lines.join("\n")
    )))
}

async fn load(host: &Host, service: &Service) -> Outcome {
    let mut setup = setup(service).map_err(NotLoaded::setup)?;
    name_signing_keys(host, &mut setup).await?;
    Ok(host.load(setup).await?)
}

/// In the configuration a signing key is a reference like every secret; only the description of the
/// plugin tells them apart.
async fn name_signing_keys(host: &Host, setup: &mut ServiceSetup) -> Result<(), NotLoaded> {
    if !setup.settings.values().any(|setting| matches!(setting, Setting::Secret { .. })) {
        return Ok(());
    }
    let inspection = host.inspect(&setup.component).await?;
    let Described::Service(description) = inspection.described else { return Ok(()) };
    for field in description.settings.iter().filter(|field| field.kind == "signing-key") {
        let Some(setting) = setup.settings.get_mut(&field.key) else { continue };
        let Setting::Secret { value, destinations, reveal, hmac } = setting else { continue };
        if *reveal || *hmac || !destinations.is_empty() {
            return Err(NotLoaded::Setup {
                setting: Some(field.key.clone()),
                why: format!(
                    "the setting {} is a signing key, which never leaves the host: take reveal, hmac and destinations away",
                    field.key
                ),
            });
        }
        *setting = Setting::SigningKey { pem: value.clone() };
    }
    Ok(())
}

fn setup(service: &Service) -> Result<ServiceSetup, String> {
    let mut component = component(&service.plugin)?;
    component.sha256.clone_from(&service.sha256);
    Ok(ServiceSetup {
        settings: settings(&service.settings),
        destinations: destinations(&service.http),
        parallel_runner: service.parallel_runner.map(Into::into),
        queue_length: service.options.queue_length,
        queue_wait: service.options.queue_wait,
        plugin_timeout: service.options.plugin_timeout,
        memory_bytes: usize::try_from(service.options.memory).unwrap_or(usize::MAX),
        http: service.options.http.into(),
        pass_access_token: service.access_token.as_ref().map(|grant| TokenGrant {
            destinations: grant.destinations.clone(),
            reveal: grant.reveal,
        }),
        ..ServiceSetup::new(service.id.clone(), component)
    })
}

/// The bytes of a plugin.
///
/// # Errors
/// A sentence that names the file, or the plugins that are built in.
pub(crate) fn component(plugin: &Plugin) -> Result<ComponentSource, String> {
    match plugin {
        Plugin::Bundled(name) => {
            let found = credsmith_bundle::find(name).ok_or_else(|| unknown(name))?;
            Ok(ComponentSource {
                bytes: Cow::Borrowed(found.bytes),
                origin: format!("bundled:{name}"),
                sha256: None,
            })
        }
        Plugin::File(path) => {
            let bytes = read(path)
                .map_err(|error| format!("the file {} cannot be read: {error}", path.display()))?;
            Ok(ComponentSource {
                bytes: Cow::Owned(bytes),
                origin: path.display().to_string(),
                sha256: None,
            })
        }
    }
}

fn unknown(name: &str) -> String {
    let known: Vec<_> = credsmith_bundle::bundled()
        .iter()
        .map(|plugin| format!("bundled:{}", plugin.name))
        .collect();
    format!("no plugin `bundled:{name}` is built in, expected one of {}", known.join(", "))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    // Opening a named pipe would wait for a writer, and a device has no end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(MAX_COMPONENT + 1).read_to_end(&mut bytes)?;
    if read as u64 > MAX_COMPONENT {
        return Err(std::io::Error::other(format!(
            "it is larger than {} MiB",
            MAX_COMPONENT >> 20
        )));
    }
    Ok(bytes)
}

/// The settings of a plugin.
pub(super) fn settings(settings: &[(String, config::Setting)]) -> BTreeMap<String, Setting> {
    settings.iter().map(|(key, value)| (key.clone(), setting(value))).collect()
}

/// The servers that a plugin may send requests to.
pub(super) fn destinations(http: &[config::Destination]) -> Vec<Destination> {
    http.iter().map(destination).collect()
}

fn setting(setting: &config::Setting) -> Setting {
    match setting {
        config::Setting::Text(text) => Setting::Text(text.clone()),
        config::Setting::Json(value) => Setting::Json(value.clone()),
        config::Setting::Secret { value, reveal, hmac, destinations } => Setting::Secret {
            value: value.clone(),
            destinations: destinations.clone(),
            reveal: *reveal,
            hmac: *hmac,
        },
    }
}

fn destination(destination: &config::Destination) -> Destination {
    let Origin { https, host, port } = &destination.origin;
    let scheme = if *https { Scheme::Https } else { Scheme::Http };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let identity = destination.identity.as_ref().map(|(certificates, key)| ClientIdentity {
        chain_pem: certificates.clone(),
        key_pem: Zeroizing::new(key.expose().to_vec()),
    });
    Destination {
        extra_roots_pem: destination.roots.clone(),
        identity,
        addresses: AddressPolicy::allowing(destination.addresses.clone()),
        ..Destination::new(scheme, bare, *port)
    }
}
