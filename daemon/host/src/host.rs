//! The host: every plugin of the daemon, by service.
//!
//! Start here to follow a call: [`ServicePlugins::issue`] finds the service and calls it. Never
//! here: authorization.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use credsmith_core::caller::Claims;
use credsmith_core::ids::ServiceId;
use credsmith_core::ports::plugins::{
    CallFailure, IssueCall, IssueReport, LoadedService, NotStarted, RevokeCall, ServicePlugins,
};
use parking_lot::RwLock;

use crate::error::{HostError, LoadError};
use crate::inspect::{self, Inspection};
use crate::load::loader::Loader;
use crate::options::{ComponentSource, DirectorySetup, HostOptions, ServiceSetup};
use crate::worlds::credential_type::set::TypePluginSet;
use crate::worlds::directory::DirectoryPlugin;
use crate::worlds::service::Service;

/// Runs plugins. Clones share everything.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    loader: Loader,
    services: RwLock<HashMap<ServiceId, ServiceEntry>>,
}

#[derive(Clone)]
enum ServiceEntry {
    Loaded(Arc<Service>),
    Disabled(String),
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host(..)")
    }
}

impl Host {
    /// Starts the engine and the threads of the guests. Call it on the daemon's runtime: outbound
    /// connections live there.
    ///
    /// # Errors
    /// When there is no runtime, the engine or its threads cannot be started, or the directory of
    /// artefacts is not fit for native code.
    pub fn new(options: HostOptions) -> Result<Self, HostError> {
        let loader = Loader::start(&options)?;
        Ok(Self(Arc::new(Inner { loader, services: RwLock::default() })))
    }

    /// Loads a service and serves it from now on, in place of the one with the same id. Running
    /// calls end on the service that they began with.
    ///
    /// # Errors
    /// [`LoadError`] names cause and fix. The service that was there before stays.
    pub async fn load(&self, setup: ServiceSetup) -> Result<LoadedService, LoadError> {
        let service = Service::load(&self.0.loader, &setup).await?;
        let loaded = service.loaded();
        self.list(setup.id, ServiceEntry::Loaded(Arc::new(service)));
        Ok(loaded)
    }

    /// Lists a service that cannot be called. `reason` is a sentence for operators.
    pub fn disable(&self, id: ServiceId, reason: impl Into<String>) {
        self.list(id, ServiceEntry::Disabled(reason.into()));
    }

    /// Removes a service.
    pub fn remove(&self, id: &ServiceId) {
        self.0.services.write().remove(id);
    }

    /// Loads the plugins for types of credentials, in the order of the configuration.
    ///
    /// # Errors
    /// One [`LoadError`] for each that cannot be loaded, or whose name an earlier one has: each
    /// names cause and fix.
    pub async fn load_types(
        &self,
        sources: &[ComponentSource],
    ) -> Result<TypePluginSet, Vec<LoadError>> {
        TypePluginSet::load(&self.0.loader, sources).await
    }

    /// Loads a directory of companies.
    ///
    /// # Errors
    /// [`LoadError`] names cause and fix.
    pub async fn load_directory(
        &self,
        setup: &DirectorySetup,
    ) -> Result<DirectoryPlugin, LoadError> {
        DirectoryPlugin::load(&self.0.loader, setup).await
    }

    /// Inspects a component, without settings.
    ///
    /// # Errors
    /// [`LoadError`] names cause and fix.
    pub async fn inspect(&self, source: &ComponentSource) -> Result<Inspection, LoadError> {
        inspect::inspect_with(&self.0.loader, source).await
    }

    /// The baseline of the benchmark: how long `calls` issues take on one instance that is kept.
    /// The daemon makes no call like this.
    ///
    /// # Errors
    /// When the service is not loaded or the plugin fails.
    #[doc(hidden)]
    pub async fn time_kept_instance(
        &self,
        call: IssueCall,
        calls: usize,
    ) -> Result<Vec<Duration>, String> {
        self.service(&call.service)?.time_kept_instance(call, calls).await
    }

    fn list(&self, id: ServiceId, listed: ServiceEntry) {
        self.0.services.write().insert(id, listed);
    }

    fn service(&self, id: &ServiceId) -> Result<Arc<Service>, String> {
        let services = self.0.services.read();
        match services.get(id) {
            Some(ServiceEntry::Loaded(service)) => Ok(service.clone()),
            Some(ServiceEntry::Disabled(reason)) => Err(reason.clone()),
            None => Err(format!("no service {id} is configured")),
        }
    }
}

#[async_trait]
impl ServicePlugins for Host {
    fn loaded(&self, service: &ServiceId) -> Result<LoadedService, String> {
        self.service(service).map(|service| service.loaded())
    }

    async fn issue(&self, call: IssueCall) -> IssueReport {
        match self.service(&call.service) {
            Ok(service) => service.issue(call).await,
            Err(why) => IssueReport {
                outcome: Err(not_loaded(why)),
                claims_read: Claims::new(),
                sent: false,
            },
        }
    }

    async fn revoke(&self, call: RevokeCall) -> Result<(), CallFailure> {
        match self.service(&call.service) {
            Ok(service) => service.revoke(call).await,
            Err(why) => Err(not_loaded(why)),
        }
    }
}

fn not_loaded(why: String) -> CallFailure {
    CallFailure::NotStarted(NotStarted::NotLoaded(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use credsmith_core::caller::{Identity, Subject};
    use credsmith_core::ids::{LeaseId, ProviderId};
    use credsmith_core::ports::plugins::CallUser;
    use credsmith_core::secret::Secret;

    fn call(service: &str) -> IssueCall {
        let subject =
            Subject { issuer: "https://op.example".to_owned(), subject: "alice".to_owned() };
        let provider = ProviderId::parse("op").unwrap();
        let identity = Identity::vouched_by(provider, subject, Claims::new());
        IssueCall {
            service: ServiceId::parse(service).unwrap(),
            lease: LeaseId::from_random([1; 16]),
            user: CallUser { identity: Arc::new(identity), access_token: None },
            additional_logins: Vec::new(),
            parameters: Vec::new(),
            not_after: None,
        }
    }

    async fn why(host: &Host, service: &str) -> String {
        match host.issue(call(service)).await.outcome {
            Err(CallFailure::NotStarted(NotStarted::NotLoaded(why))) => why,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_service_that_is_not_loaded_says_why() {
        let options =
            HostOptions { pool_size: 2, guest_threads: 1, ..HostOptions::new(Secret::new("key")) };
        let host = Host::new(options).unwrap();
        let id = ServiceId::parse("ssh").unwrap();
        assert!(why(&host, "ssh").await.contains("no service ssh"));
        host.disable(id.clone(), "its plugin is missing");
        assert_eq!(why(&host, "ssh").await, "its plugin is missing");
        assert_eq!(host.loaded(&id).unwrap_err(), "its plugin is missing");
        host.remove(&id);
        assert!(host.loaded(&id).unwrap_err().contains("no service ssh"));
    }

    #[test]
    fn without_a_runtime_there_is_no_host() {
        assert!(Host::new(HostOptions::new(Secret::new("key"))).is_err());
    }
}
