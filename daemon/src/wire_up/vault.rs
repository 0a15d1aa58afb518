//! The vault half: plugins of types, companies, users, sessions, credentials.

use std::sync::Arc;
use std::time::Duration;

use credsmith_core::company::{Companies, Source};
use credsmith_core::ground::Ground;
use credsmith_core::ids::PluginName;
use credsmith_core::keyring::Keyring;
use credsmith_core::leases::Leases;
use credsmith_core::ports::directory::Directory;
use credsmith_core::ports::types::TypePlugins as _;
use credsmith_core::rules::{Configured, Rules};
use credsmith_core::session::{self, Sessions};
use credsmith_core::user::{ConfiguredRole, Roles, Users};
use credsmith_core::vault::{self, ComputedPlain, Vault};
use credsmith_host::{DirectorySetup, Host, TypePluginSet};
use credsmith_oidc::OidcProviders;
use credsmith_oidc::tokens::EdDsaTokens;

use super::plugins;
use crate::config::{self, Config};
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
        let types = type_plugins(parts.host, options).await?;
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

async fn type_plugins(host: &Host, options: &config::Vault) -> Result<TypePluginSet, Failure> {
    let mut sources =
        vec![plugins::component(&config::Plugin::Bundled(GENERIC.to_owned())).map_err(failed)?];
    for configured in &options.types {
        let mut source = plugins::component(&configured.plugin).map_err(failed)?;
        source.sha256.clone_from(&configured.sha256);
        sources.push(source);
    }
    let set = host.load_types(&sources).await.map_err(|errors| {
        let lines: Vec<_> = errors
            .iter()
            .map(|error| format!("A type plugin cannot be loaded: {}", sentence(error)))
            .collect();
        Failure::run(lines.join("\n"))
    })?;
    for configured in &options.types {
        if !set.list().iter().any(|plugin| plugin.identity.name == configured.name) {
            return Err(Failure::run(format!(
                "The plugin configured as vault.types.{} has another name in its description: `credsmith plugin inspect` shows it.",
                configured.name
            )));
        }
    }
    Ok(set)
}

fn failed(why: String) -> Failure {
    Failure::run(as_sentence(&why))
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
        directory: &config::Directory,
    ) -> Result<Arc<dyn Directory>, Failure> {
        let mut component = plugins::component(&directory.plugin).map_err(failed)?;
        component.sha256.clone_from(&directory.sha256);
        let setup = DirectorySetup {
            settings: plugins::settings(&directory.settings),
            destinations: plugins::destinations(&directory.http),
            plugin_timeout: directory.options.plugin_timeout,
            memory_bytes: usize::try_from(directory.options.memory).unwrap_or(usize::MAX),
            ..DirectorySetup::new(component)
        };
        let loaded = self.host.load_directory(&setup).await.map_err(|error| {
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
        let provider = options.provider(&self.config.providers).ok_or_else(|| {
            Failure::run("There is no provider at which users of the vault can sign in.")
        })?;
        let redirect = format!("{public}/v1/auth/redirect");
        let options = session::Options {
            access_lifetime: options.access_token_lifetime,
            idle: options.session_idle,
            lifetime: options.session_lifetime,
            same_address: options.same_address,
            sign_ins_per_minute: u32::try_from(options.sign_ins_per_minute)
                .ok()
                .filter(|most| *most > 0),
            ..session::Options::new(public.clone(), format!("{public}/v1"), redirect, provider)
        };
        let (ground, users) = (Arc::clone(self.ground), Arc::clone(users));
        let sign_in = Arc::clone(self.providers) as _;
        Ok(Sessions::new(ground, users, sign_in, Arc::new(tokens), options))
    }
}
