//! The readiness of the daemon, collected from its parts.

use std::sync::Arc;

use credsmith_api::ops::{Readiness, VaultCore};
use credsmith_core::audit::AuditLog;
use credsmith_core::ids::ServiceId;
use credsmith_core::leases::Leases;
use credsmith_core::ports::plugins::ServicePlugins as _;
use credsmith_host::Host;
use credsmith_http::Drain;
use credsmith_oidc::OidcProviders;
use credsmith_store::{OnDisk, WithReserve};

/// Asks the parts at each call.
pub(super) struct DaemonReadiness {
    pub(super) leases: Arc<Leases>,
    pub(super) providers: Arc<OidcProviders>,
    pub(super) host: Arc<Host>,
    /// Those that are configured, loaded or not.
    pub(super) services: Vec<ServiceId>,
    pub(super) vault: Option<VaultCore>,
    pub(super) audit: Arc<AuditLog>,
    pub(super) store: Arc<WithReserve<OnDisk>>,
    pub(super) connections: Drain,
}

impl Readiness for DaemonReadiness {
    fn obstacles(&self) -> Vec<String> {
        let mut obstacles = self.leases.readiness();
        if self.connections.has_begun() && obstacles.is_empty() {
            obstacles.push("the daemon is ending".into());
        }
        // A provider that is down affects its own users only; without any provider no user can sign
        // in.
        let providers = self.leases.providers();
        if !providers.is_empty() && providers.iter().all(|provider| !provider.ready) {
            obstacles.push("no provider is ready, so that no user can sign in".into());
        }
        obstacles.extend(self.store.trouble());
        obstacles
    }

    fn warnings(&self) -> Vec<String> {
        let errors = self.providers.errors().into_iter();
        let providers = errors.map(|(id, why)| format!("the provider {id} is in trouble: {why}"));
        let disabled =
            self.services.iter().filter_map(|id| Some((id, self.host.loaded(id).err()?)));
        let services = disabled.map(|(id, why)| format!("the service {id} is disabled: {why}"));
        let vault = self
            .vault
            .iter()
            .flat_map(|parts| [parts.companies.warnings(), parts.vault.readiness()]);
        let leases = self.leases.warnings().into_iter();
        let rest = leases.chain(vault.flatten()).chain(self.audit.trouble());
        providers.chain(services).chain(rest).collect()
    }
}
