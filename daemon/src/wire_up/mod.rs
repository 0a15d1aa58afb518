//! Builds the daemon from its parts, in the order of their dependencies.
//!
//! Nothing here waits for a provider: discovery runs in the background. A failure here stops the
//! start with a sentence.

mod plugins;
mod providers;
mod readiness;
mod vault;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use credsmith_api::openapi::{self, Documented, OpenApi};
use credsmith_api::ops::{Ops, VaultCore};
use credsmith_api::vault as vault_api;
use credsmith_api::watts::{self, Watts};
use credsmith_core::audit::AuditLog;
use credsmith_core::catalogue::{self, Catalogue};
use credsmith_core::ground::{DEFAULT_MAX_DRIFT, Ground, GroundDependencies};
use credsmith_core::keyring::{Kek, Keyring};
use credsmith_core::leases::{Leases, LeasesDependencies};
use credsmith_core::ports::store::Store;
use credsmith_core::secret::Secret;
use credsmith_host::{Host, HostOptions};
use credsmith_http::{HostPolicy, Listener, Server, ServerOptions, Surfaces, TrustedProxies};
use credsmith_oidc::{Limits, OidcProviders, Ports};
use credsmith_store::{
    Copies, OnDisk, OnDiskOptions, Reserve, ReserveOptions, Safeguards, WithReserve,
};
use tokio::time::timeout;

use crate::audit::{DaemonLogCheck, Echo, LogFile};
use crate::config::{self, Config};
use crate::descriptors;
use crate::failure::Failure;
use crate::files;
use crate::sentence::sentence;
use crate::system::System;
use readiness::DaemonReadiness;

pub(crate) use plugins::{artefact_key, compiler, component, host_options, load_each};
use vault::VaultDependencies;
pub(crate) use vault::{VaultHalf, directory, type_plugins};

/// Largest body of a request, in bytes (`daemon/dialects/watts.md` section 14).
const MAX_BODY: usize = 64 * 1024;
/// How much longer a request may take than the plugin in it: the plugin's own timeout has to fire
/// first.
const DEADLINE_MARGIN: Duration = Duration::from_secs(5);
/// The shortest deadline: signing in may take two look-ups at a provider.
const MIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long after the last deadline a client may take to read its answer while the daemon ends.
const READING: Duration = Duration::from_secs(30);
/// How long an operator's command may take: to read a whole ledger or audit log, to wait for a
/// directory that throttles.
pub(crate) const LONGEST_COMMAND: Duration = Duration::from_secs(2 * 3600);
/// Requests of operators in work at a time.
const OPERATORS: usize = 16;

/// A bound listener.
pub(crate) struct BoundListener {
    pub(crate) tls: bool,
    pub(crate) listener: Listener,
}

impl BoundListener {
    /// Its address as a URL, with the port that the system assigned.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.listener)
    }
}

/// The running daemon: the parts that have to be stopped.
pub(crate) struct Daemon {
    system: System,
    leases: Arc<Leases>,
    audit: Arc<AuditLog>,
    /// `None`: the vault is not configured.
    vault: Option<VaultHalf>,
    providers: Arc<OidcProviders>,
    store: Arc<WithReserve<OnDisk>>,
    deadline: Duration,
    begun: Instant,
}

/// Builds everything and begins to serve; `None` when `stop` came first. Nothing serves then, and a
/// start can be repeated.
pub(crate) async fn wire_up(
    mut config: Config,
    listeners: Vec<BoundListener>,
    hosts: HostPolicy,
    system: System,
    stop: impl Future<Output = ()>,
) -> Result<Option<Daemon>, Failure> {
    let mut stop = pin!(stop);
    let begun = Instant::now();
    files::private_directory(&config.data.directory).map_err(Failure::Run)?;
    // Not raced against the signal, nor is settling: a store that is half-way stays behind as one
    // whose files the next start puts back.
    let store = Arc::new(open_store(&config, Losses::Refused).await?);
    let prepared = tokio::select! {
        prepared = prepare(&mut config, &store, &system) => prepared.map(Some),
        () = &mut stop => Ok(None),
    };
    let Ok(Some(prepared)) = prepared else {
        close_unsettled(&store).await;
        return prepared.map(|_| None);
    };
    if let Err(error) = settle(&store).await {
        close_unsettled(&store).await;
        return Err(error);
    }
    let served = serve(&config, listeners, hosts, system, store, prepared, begun);
    tokio::select! {
        daemon = served => daemon.map(Some),
        () = &mut stop => Ok(None),
    }
}

/// The parts that are built before the store is settled.
struct Prepared {
    keyring: Arc<Keyring>,
    providers: Arc<OidcProviders>,
    host: Arc<Host>,
    ground: Arc<Ground>,
    parts: LeasesDependencies,
    audit: Arc<AuditLog>,
}

/// Builds what can still find that the store must not be used. It may be dropped at any time: the
/// caller closes the store, which puts the files back as they were.
async fn prepare(
    config: &mut Config,
    store: &Arc<WithReserve<OnDisk>>,
    system: &System,
) -> Result<Prepared, Failure> {
    let keyring =
        Arc::new(open_keyring(config, Arc::clone(store) as Arc<dyn Store>, system).await?);
    // The keyring is open: nothing needs the text of the key any more, and dropping it wipes it.
    config.keyring.key = Secret::new("");
    let providers = start_providers(config, system)?;
    let host = Arc::new(make_host(config)?);
    plugins::load_all(&host, config).await?;

    let ground = Ground::new(GroundDependencies {
        clock: Arc::clone(&system.clock),
        tasks: Arc::clone(&system.tasks),
        entropy: Arc::clone(&system.entropy),
        store: Arc::clone(store) as _,
        keyring: Arc::clone(&keyring),
        max_drift: DEFAULT_MAX_DRIFT,
        // Of one user as of one address: a quarter.
        requests_per_user: config.server.limits.in_work.div_ceil(4),
    });
    let parts = LeasesDependencies {
        providers: Arc::clone(&providers) as _,
        plugins: Arc::clone(&host) as _,
        catalogue: catalogue(config)?,
        options: config.leases.clone(),
    };
    let file = Arc::new(LogFile::new(config.audit.file(&config.data)));
    let audit = AuditLog::new(Arc::clone(&ground), file, Arc::new(Echo));
    // An older store may have forgotten suspensions and revocations: nothing is done from it.
    audit.begin().await.map_err(|behind| Failure::run(behind.to_string()))?;
    Ok(Prepared { keyring, providers, host, ground, parts, audit })
}

/// Begins to serve from a store that is settled.
async fn serve(
    config: &Config,
    listeners: Vec<BoundListener>,
    hosts: HostPolicy,
    system: System,
    store: Arc<WithReserve<OnDisk>>,
    prepared: Prepared,
    begun: Instant,
) -> Result<Daemon, Failure> {
    let Prepared { keyring, providers, host, ground, parts, audit } = prepared;
    let leases = Leases::new(Arc::clone(&ground), parts);
    leases.start().await.map_err(Failure::error)?;
    audit.start();

    let dependencies = VaultDependencies {
        config,
        ground: &ground,
        leases: &leases,
        keyring,
        host: &host,
        providers: &providers,
    };
    let vault = match &config.vault {
        Some(options) => Some(VaultHalf::make(dependencies, options).await?),
        None => None,
    };
    let daemon = Daemon {
        system,
        leases,
        audit,
        vault,
        providers,
        store,
        deadline: deadline(config),
        begun,
    };
    // The operators' listener comes first, since it can still fail: no client is served before the
    // start is certain.
    daemon.serve_operators(config, host).await?;
    daemon.serve_clients(config, listeners, hosts)?;
    Ok(daemon)
}

/// Closes a store that was not settled, which puts its files back as they were.
async fn close_unsettled(store: &WithReserve<OnDisk>) {
    if let Err(error) = store.inner().close().await {
        tracing::warn!(error = sentence(&error), "the store did not close in order");
    }
}

/// Takes the store as it is: the start has found it in order.
async fn settle(store: &Arc<WithReserve<OnDisk>>) -> Result<(), Failure> {
    let store = Arc::clone(store);
    let settled = tokio::task::spawn_blocking(move || store.inner().settle()).await;
    settled.map_err(Failure::error)?.map(drop).map_err(Failure::error)
}

/// Whether a store is opened that has lost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Losses {
    /// It is not.
    Refused,
    /// It is, for an operator who decides.
    Shown,
}

/// Opens the store behind its reserve of room on the disk, held: closing it puts its files back,
/// unless it was settled.
pub(crate) async fn open_store(
    config: &Config,
    losses: Losses,
) -> Result<WithReserve<OnDisk>, Failure> {
    let data = &config.data;
    let safeguards = Safeguards {
        evidence: vec![config.audit.file(data), data.artefacts()],
        copies: Some(Copies { directory: data.copies(), count: data.copies }),
        held: true,
        despite_loss: losses == Losses::Shown,
    };
    let options = OnDiskOptions { safeguards, ..data.store_options() };
    let reserve = ReserveOptions::new(data.reserve_file(), data.reserve);
    let opened = tokio::task::spawn_blocking(|| {
        // An engine writes while it opens: on a full disk it gets the room of the reserve.
        let reserve = Reserve::new(reserve);
        OnDisk::open(options).map(|store| WithReserve::new(store, reserve))
    });
    opened.await.map_err(Failure::error)?.map_err(Failure::error)
}

pub(crate) async fn open_keyring(
    config: &Config,
    store: Arc<dyn Store>,
    system: &System,
) -> Result<Keyring, Failure> {
    let kek = Kek::parse(config.keyring.key.expose()).map_err(Failure::error)?;
    let keyring =
        Keyring::load(store, kek, Arc::clone(&system.entropy), Arc::clone(&system.clock)).await;
    keyring.map_err(|error| {
        let key = config.keyring.file.as_ref();
        let key = key.map_or_else(|| "its key".to_owned(), |file| file.display().to_string());
        let data = config.data.store();
        Failure::run(format!(
            "The data in {} cannot be opened with {key}: {}",
            data.display(),
            sentence(&error)
        ))
    })
}

fn start_providers(config: &Config, system: &System) -> Result<Arc<OidcProviders>, Failure> {
    let ports = Ports {
        clock: Arc::clone(&system.clock),
        tasks: Arc::clone(&system.tasks),
        entropy: Arc::clone(&system.entropy),
    };
    let options =
        config.providers.iter().map(|provider| providers::options(provider, config)).collect();
    OidcProviders::start(options, &Limits::default(), &ports).map_err(|faults| {
        let faults = faults.iter().map(ToString::to_string).collect();
        Failure::Configuration(config::Faults { faults, warnings: Vec::new() })
    })
}

fn make_host(config: &Config) -> Result<Host, Failure> {
    let options = HostOptions {
        artefacts: Some(config.data.artefacts()),
        ..plugins::host_options(config, plugins::artefact_key(config))
    };
    Host::new(options).map_err(Failure::error)
}

fn catalogue(config: &Config) -> Result<Catalogue, Failure> {
    let service = |service: &config::Service| catalogue::Service {
        id: service.id.clone(),
        description: service.description.clone(),
        display_priority: service.display_priority,
        limit: service.credential_limit,
        allow_same_state: service.options.allow_same_state,
        pass_access_token: service.access_token.is_some(),
        max_lifetime: service.max_lifetime,
        rules: config.rules(service),
        hide: service.options.hide,
        tooltip: service.tooltip.clone(),
    };
    Catalogue::new(config.services.iter().map(service).collect()).map_err(Failure::error)
}

impl Daemon {
    /// The time since its start began.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The vault half, where it is configured.
    pub(crate) fn vault(&self) -> Option<&VaultHalf> {
        self.vault.as_ref()
    }

    fn serve_clients(
        &self,
        config: &Config,
        listeners: Vec<BoundListener>,
        hosts: HostPolicy,
    ) -> Result<(), Failure> {
        let watts = Watts::new(
            Arc::clone(&self.leases),
            watts::Options {
                public_url: public_url(config),
                as_asked: config.server.as_asked,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                max_body: MAX_BODY,
            },
        );
        let trusted_proxies = trusted_proxies(config)?;
        let limits = config.server.limits.clone();
        let descriptors = descriptors::raise_limit();
        if let Some(complaint) = descriptors::complaint(config, descriptors) {
            tracing::warn!(complaint, "file descriptors are short");
        }
        let options = ServerOptions {
            deadline: self.deadline,
            hosts,
            base_path: config.server.public_url.path().trim_end_matches('/').to_owned(),
            strict_transport: public_url(config).starts_with("https://"),
            trusted_proxies,
            connections: descriptors::of_clients(config, descriptors).connections,
            ..limits
        };
        let surfaces = self.surfaces(config, watts)?;
        let server = Server::new(options, surfaces, self.system.connections.clone());
        for bound in listeners {
            server.serve(bound.listener);
        }
        Ok(())
    }

    /// Assigns paths to surfaces.
    fn surfaces(&self, config: &Config, watts: Watts) -> Result<Surfaces, Failure> {
        let documented = if self.vault.is_some() { Documented::All } else { Documented::Watts };
        let openapi = OpenApi::new(&public_url(config), env!("CARGO_PKG_VERSION"), documented);
        let surfaces = Surfaces::new(Arc::new(watts)).with(openapi::PATH, Arc::new(openapi));
        let Some(VaultHalf { companies, users, sessions, vault }) = &self.vault else {
            return Ok(surfaces);
        };
        let parts = vault_api::Core {
            authenticator: Arc::clone(sessions) as _,
            sessions: Arc::clone(sessions),
            users: Arc::clone(users),
            companies: Arc::clone(companies),
            vault: Arc::clone(vault),
        };
        let options = vault_api::Options {
            public_url: public_url(config),
            cors_origins: config.origins.clone(),
        };
        let surface = vault_api::Vault::new(parts, options).map_err(Failure::error)?;
        let surface = Arc::new(surface);
        Ok(surfaces.with("/v1", Arc::clone(&surface) as _).with("/.well-known", surface))
    }

    async fn serve_operators(&self, config: &Config, host: Arc<Host>) -> Result<(), Failure> {
        let listener = Listener::unix(config.admin.socket_path(&config.data)).await;
        let listener = listener.map_err(Failure::error)?;
        let readiness = DaemonReadiness {
            leases: Arc::clone(&self.leases),
            providers: Arc::clone(&self.providers),
            host,
            services: config.services.iter().map(|service| service.id.clone()).collect(),
            vault: self.vault_parts(),
            audit: Arc::clone(&self.audit),
            store: Arc::clone(&self.store),
            connections: self.system.drain.clone(),
        };
        let options = ServerOptions {
            in_work: OPERATORS,
            connections: OPERATORS,
            deadline: LONGEST_COMMAND,
            ..ServerOptions::default()
        };
        let ops = Surfaces::new(Arc::new(Ops::new(
            Arc::new(readiness),
            Arc::clone(&self.leases),
            self.vault_parts(),
            Arc::new(DaemonLogCheck {
                log: Arc::clone(&self.audit),
                drain: self.system.drain.clone(),
            }),
        )));
        Server::new(options, ops, self.system.drain.clone()).serve(listener);
        Ok(())
    }

    /// The parts of the vault that operators' commands use.
    fn vault_parts(&self) -> Option<VaultCore> {
        let VaultHalf { companies, vault, .. } = self.vault.as_ref()?;
        Some(VaultCore { companies: Arc::clone(companies), vault: Arc::clone(vault) })
    }

    /// Answers the requests in work, then finishes the effects that they and the daemon itself
    /// began.
    pub(crate) async fn drain(&self) {
        self.system.connections.begin();
        // After that time every request has been answered: the remaining clients do not read, and
        // must not hold up the end for ever.
        if timeout(self.deadline + READING, self.system.connections.wait()).await.is_err() {
            tracing::warn!("some clients did not read their answers; their connections are closed");
            self.system.connections.stop();
        }
        if let Some(vault) = &self.vault {
            vault.stop();
        }
        self.leases.stop();
        self.providers.stop();
        self.system.drain.begin();
        self.system.drain.wait().await;
        if let Err(error) = self.audit.finish().await {
            tracing::error!(
                error = sentence(&error),
                "not everything is in the audit log; the next start writes what is durable"
            );
        }
    }

    /// Drops what is in work.
    pub(crate) fn stop(&self) {
        self.system.connections.stop();
        self.system.drain.stop();
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        if let Err(error) = self.store.inner().close().await {
            // Everything that was acknowledged is durable already.
            tracing::warn!(error = sentence(&error), "the store did not close in order");
        }
    }
}

/// The proxies whose `X-Forwarded-For` is trusted.
fn trusted_proxies(config: &Config) -> Result<TrustedProxies, Failure> {
    let mut proxies = TrustedProxies::default();
    for network in &config.server.trusted_proxies {
        proxies.add(&network.to_string()).map_err(Failure::error)?;
    }
    Ok(proxies)
}

/// The public address of the daemon, without a slash at the end.
fn public_url(config: &Config) -> String {
    config.server.public_url.as_str().trim_end_matches('/').to_owned()
}

/// Deadlines nest: the plugin's own fires first.
fn deadline(config: &Config) -> Duration {
    let longest = config
        .services
        .iter()
        .map(|service| service.options.queue_wait + service.options.plugin_timeout)
        .max();
    longest.unwrap_or_default().max(MIN_DEADLINE) + DEADLINE_MARGIN
}
