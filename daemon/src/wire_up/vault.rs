//! The vault half: plugins of types, companies, users, sessions, credentials.

use std::sync::Arc;
use std::time::Duration;

use credsmith_core::company::{Companies, Source};
use credsmith_core::ground::Ground;
use credsmith_core::ids::{PluginName, ProviderId};
use credsmith_core::keyring::Keyring;
use credsmith_core::leases::Leases;
use credsmith_core::ports::directory::Directory;
use credsmith_core::ports::types::TypePlugins as _;
use credsmith_core::rules::{Configured, Rules};
use credsmith_core::session::{self, Sessions, SignInProvider};
use credsmith_core::user::{ConfiguredRole, Roles, Users};
use credsmith_core::vault::{self, ComputedPlain, Vault};
use credsmith_host::{
    ComponentSource, DirectoryPlugin, DirectorySetup, Host, LoadError, TypePluginSet,
};
use credsmith_oidc::OidcProviders;
use credsmith_oidc::tokens::EdDsaTokens;

use super::plugins;
use crate::config::{self, Config};
use crate::descriptors;
use crate::failure::Failure;
use crate::sentence::{as_sentence, sentence};

/// The plugin of types that name no plugin.
const GENERIC: &str = "generic";
/// A list in the configuration changes only at a start.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// How often the vault looks for due work when no event triggers it.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The use-cases of the vault half.
pub(crate) struct VaultHalf {
    pub(crate) companies: Arc<Companies>,
    pub(crate) users: Arc<Users>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) vault: Arc<Vault>,
}

/// The parts that the vault half is built from.
pub(super) struct VaultDependencies<'a> {
    pub(super) config: &'a Config,
    pub(super) ground: &'a Arc<Ground>,
    pub(super) leases: &'a Arc<Leases>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) host: &'a Host,
    pub(super) providers: &'a Arc<OidcProviders>,
}

impl VaultHalf {
    /// Builds the vault half and starts its background work.
    ///
    /// # Errors
    /// A plugin that cannot be loaded, or a store that fails.
    pub(super) async fn make(
        parts: VaultDependencies<'_>,
        options: &config::Vault,
    ) -> Result<Self, Failure> {
        let types = type_plugins(parts.host, options).await.map_err(|faults| {
            let line = |(_, why): &(_, String)| {
                format!("A type plugin cannot be loaded: {}", as_sentence(why))
            };
            Failure::run(faults.iter().map(line).collect::<Vec<_>>().join("\n"))
        })?;
        let companies = parts.companies().await?;
        let users = Arc::new(Users::new(Arc::clone(parts.leases), roles(parts.config)));
        let sessions = parts.sessions(&users, options)?;
        let generic = PluginName::parse(GENERIC).map_err(Failure::error)?;
        let vault = Vault::new(
            Arc::clone(parts.ground),
            Arc::new(types),
            Arc::clone(&companies),
            vault::Options {
                undelete_window: options.undelete_window,
                default_plugin: generic.clone(),
                sweep_every: SWEEP_EVERY,
                computed_plain: computed_plain(&generic, options),
                audit_reads: parts.config.audit.reads,
            },
        );
        companies.start().await.map_err(Failure::error)?;
        vault.start().await.map_err(Failure::error)?;
        sessions.start();
        Ok(Self { companies, users, sessions, vault })
    }

    /// Stops its background work.
    pub(super) fn stop(&self) {
        self.companies.stop();
        self.vault.stop();
    }
}

/// Plugins that come with the daemon are trusted with plain fields; others with those that the
/// configuration lists.
fn computed_plain(generic: &PluginName, options: &config::Vault) -> ComputedPlain {
    let mut computed = ComputedPlain::default();
    computed.trust(generic.clone());
    for configured in &options.types {
        match &configured.plugin {
            config::Plugin::Bundled(_) => computed.trust(configured.name.clone()),
            config::Plugin::File(_) => {
                computed.list(configured.name.clone(), configured.computed_plain.iter().cloned());
            }
        }
    }
    computed
}

/// A fault of a type plugin: its name in the configuration, where it is named there, and a
/// sentence.
pub(crate) type TypeFault = (Option<PluginName>, String);

/// Loads the plugins of types: the built-in one for types that name none, and those that are
/// configured.
///
/// # Errors
/// Every plugin that cannot be loaded, with its reason.
pub(crate) async fn type_plugins(
    host: &Host,
    options: &config::Vault,
) -> Result<TypePluginSet, Vec<TypeFault>> {
    let generic = plugins::component(&config::Plugin::Bundled(GENERIC.to_owned()));
    let mut sources = vec![generic.map_err(|why| vec![(None, why)])?];
    let mut faults = Vec::new();
    for configured in &options.types {
        match plugins::component(&configured.plugin) {
            Ok(source) => {
                sources.push(ComponentSource { sha256: configured.sha256.clone(), ..source });
            }
            Err(why) => faults.push((Some(configured.name.clone()), why)),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let set = host.load_types(&sources).await.map_err(|errors| {
        let named = |error: &LoadError| {
            let source = sources.iter().skip(1).zip(&options.types);
            let mut of = source.filter(|(source, _)| source.origin == error.origin());
            of.next().map(|(_, configured)| configured.name.clone())
        };
        errors.iter().map(|error| (named(error), error.to_string())).collect::<Vec<_>>()
    })?;
    let is_there =
        |name: &PluginName| set.list().iter().any(|plugin| plugin.identity.name == *name);
    let misnamed = options.types.iter().filter(|configured| !is_there(&configured.name));
    let faults: Vec<TypeFault> = misnamed
        .map(|configured| {
            let why = format!(
                "the plugin configured as vault.types.{} has another name in its description: `credsmith plugin inspect` shows it",
                configured.name
            );
            (Some(configured.name.clone()), why)
        })
        .collect();
    if faults.is_empty() { Ok(set) } else { Err(faults) }
}

/// Loads the plugin that companies come from.
///
/// # Errors
/// Why it cannot be loaded.
pub(crate) async fn directory(
    host: &Host,
    directory: &config::Directory,
) -> Result<DirectoryPlugin, plugins::NotLoaded> {
    let component = plugins::component(&directory.plugin);
    let mut component =
        component.map_err(|why| plugins::NotLoaded::Setup { setting: None, why })?;
    component.sha256.clone_from(&directory.sha256);
    let setup = DirectorySetup {
        settings: plugins::settings(&directory.settings),
        destinations: plugins::destinations(&directory.http),
        plugin_timeout: directory.options.plugin_timeout,
        memory_bytes: usize::try_from(directory.options.memory).unwrap_or(usize::MAX),
        http: directory.options.http.into(),
        ..DirectorySetup::new(component)
    };
    Ok(host.load_directory(&setup).await?)
}

/// Turns roles of the configuration into those of core, with rules over the configured providers.
fn roles(config: &Config) -> Roles {
    let configured = Configured {
        providers: config.providers.iter().map(|provider| provider.id.clone()).collect(),
        ..Configured::default()
    };
    let role = |role: &config::ConfiguredRole| {
        let allow = role.assign.iter().map(|line| line.rule.clone()).collect();
        ConfiguredRole {
            role: Arc::clone(&role.role),
            rules: Rules::new(allow, Vec::new(), &configured),
        }
    };
    Roles::new(config.roles.iter().map(role).collect())
}

/// The redirect URI of a provider: the first one has that which every client of the vault's dialect
/// knows, each other one has its own, which tells its answers apart where it sends no `iss`.
pub(super) fn redirect_uri(public: &str, providers: &[ProviderId], id: &ProviderId) -> String {
    let shared = format!("{public}/v1/auth/redirect");
    if providers.first() == Some(id) { shared } else { format!("{shared}/{id}") }
}

impl VaultDependencies<'_> {
    async fn companies(&self) -> Result<Arc<Companies>, Failure> {
        let (source, interval) = match &self.config.companies {
            config::Companies::Listed(companies) => (Source::Listed(companies.clone()), NEVER),
            config::Companies::Directory(directory) => {
                (Source::Directory(self.directory(directory).await?), directory.options.interval)
            }
        };
        Ok(Companies::new(Arc::clone(self.ground), source, interval))
    }

    async fn directory(
        &self,
        configured: &config::Directory,
    ) -> Result<Arc<dyn Directory>, Failure> {
        let loaded = directory(self.host, configured).await.map_err(|error| {
            Failure::run(format!(
                "The directory of companies cannot be loaded: {}",
                sentence(&error)
            ))
        })?;
        Ok(Arc::new(loaded))
    }

    fn sessions(
        &self,
        users: &Arc<Users>,
        options: &config::Vault,
    ) -> Result<Arc<Sessions>, Failure> {
        let public = super::public_url(self.config);
        let seed = self.keyring.derive("vault tokens");
        let tokens = EdDsaTokens::new(&seed).map_err(Failure::error)?;
        let providers = options.sign_in_providers(&self.config.providers);
        let (Some(provider), Some(first)) =
            (options.provider(&self.config.providers), providers.first())
        else {
            let sentence = "There is no provider at which users of the vault can sign in.";
            return Err(Failure::run(sentence));
        };
        let redirect = redirect_uri(&public, &providers, first);
        let sign_ins_per_minute =
            u32::try_from(options.sign_ins_per_minute).ok().filter(|most| *most > 0);
        let defaults =
            session::Options::new(public.clone(), format!("{public}/v1"), redirect, provider);
        let options = session::Options {
            providers: providers
                .iter()
                .map(|id| SignInProvider {
                    id: id.clone(),
                    redirect_uri: redirect_uri(&public, &providers, id),
                })
                .collect(),
            confirm: options.confirm,
            refresh_grace: options.refresh_grace,
            access_lifetime: options.access_token_lifetime,
            idle: options.session_idle,
            lifetime: options.session_lifetime,
            same_address: options.same_address,
            // An address that may begin any number may have any number pending.
            max_sign_ins_per_address: sign_ins_per_minute
                .map_or(usize::MAX, |_| defaults.max_sign_ins_per_address),
            sign_ins_per_minute,
            max_waiting_clients: descriptors::of_clients(self.config, descriptors::raise_limit())
                .sockets,
            ..defaults
        };
        let (ground, users) = (Arc::clone(self.ground), Arc::clone(users));
        let sign_in = Arc::clone(self.providers) as _;
        Ok(Sessions::new(ground, users, sign_in, Arc::new(tokens), options))
    }
}
