//! Checks the configuration of one plugin, and makes the grants of its calls from it.
//!
//! Never here: the use of the grants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use credsmith_core::error::FieldProblem;
use credsmith_http::client::{Client, ClientOptions, Destination};
use tokio::runtime::Handle;

use crate::call::grants::{Grants, secrets_of};
use crate::capability::http::transport::ServiceClient;
use crate::capability::wasi::PluginClock;
use crate::engine::guest_engine::GuestEngine;
use crate::error::{LoadError, LoadFault};
use crate::load::fields::Description;
use crate::load::settings;
use crate::options::{
    ComponentSource, DirectorySetup, HttpLimits, ServiceSetup, Setting, TokenGrant,
};
use crate::secrets::Endpoint;
use crate::secrets::guard::Guards;

/// The configuration of one plugin.
pub(crate) struct PluginConfiguration<'a> {
    pub(crate) component: &'a ComponentSource,
    /// The service's id, for log lines; empty where there is none.
    pub(crate) service: &'a str,
    settings: &'a BTreeMap<String, Setting>,
    destinations: &'a [Destination],
    /// Linear memory of one call, in bytes.
    pub(crate) memory: usize,
    /// Time of one call.
    pub(crate) timeout: Duration,
    http: HttpLimits,
    token: Option<&'a TokenGrant>,
}

impl<'a> From<&'a ServiceSetup> for PluginConfiguration<'a> {
    fn from(setup: &'a ServiceSetup) -> Self {
        Self {
            component: &setup.component,
            service: setup.id.as_str(),
            settings: &setup.settings,
            destinations: &setup.destinations,
            memory: setup.memory_bytes,
            timeout: setup.plugin_timeout,
            http: setup.http,
            token: setup.pass_access_token.as_ref(),
        }
    }
}

impl<'a> From<&'a DirectorySetup> for PluginConfiguration<'a> {
    fn from(setup: &'a DirectorySetup) -> Self {
        Self {
            component: &setup.component,
            service: "",
            settings: &setup.settings,
            destinations: &setup.destinations,
            memory: setup.memory_bytes,
            timeout: setup.plugin_timeout,
            http: setup.http,
            token: None,
        }
    }
}

impl PluginConfiguration<'_> {
    fn error(&self, fault: LoadFault, cause: impl std::fmt::Display, fix: &str) -> LoadError {
        LoadError::new(fault, &self.component.origin, cause, fix)
    }

    /// Refuses more memory than there is.
    pub(crate) fn check_memory(&self, engine: &GuestEngine) -> Result<(), LoadError> {
        if self.memory <= engine.max_memory {
            return Ok(());
        }
        let cause = format!(
            "it is granted {} bytes of memory; the host has {} for each call",
            self.memory, engine.max_memory
        );
        let fix = "lower the memory of the plugin, or raise that of the host";
        Err(self.error(LoadFault::BadGrant, cause, fix))
    }

    /// Checks the settings against `description` and makes the grants. `network`: the runtime on
    /// which connections live.
    pub(crate) fn grant(
        &self,
        description: &Description,
        network: &Handle,
        guards: &Guards,
    ) -> Result<Grants, LoadError> {
        let mut problems = Vec::new();
        let settings = settings::prepare(description, self.settings).unwrap_or_else(|found| {
            problems = found;
            Default::default()
        });
        problems.extend(self.unreachable_secrets());
        if !problems.is_empty() {
            let fix = "correct the settings of the plugin";
            return Err(self
                .error(LoadFault::BadSettings, "its settings do not fit", fix)
                .with_problems(problems));
        }
        let options =
            ClientOptions { destinations: self.destinations.to_vec(), ..ClientOptions::default() };
        let client = Client::new(options).map_err(|why| {
            self.error(LoadFault::BadGrant, why, "correct the destinations of the plugin")
        })?;
        let guard = guards.of(secrets_of(&settings));
        Ok(Grants {
            settings,
            guard: Arc::new(guard),
            http: Some(Arc::new(ServiceClient::new(client, network.clone()))),
            http_limits: self.http,
            token: self.token.cloned(),
            clock: PluginClock::True,
        })
    }

    /// Secrets that are bound to places where the plugin may not go: most often a slip of the pen
    /// in one of the two.
    fn unreachable_secrets(&self) -> Vec<FieldProblem> {
        let granted: BTreeSet<String> = self
            .destinations
            .iter()
            .map(|place| Endpoint::new(&place.host, place.port).to_string())
            .collect();
        let settings = self.settings.iter().filter_map(|(key, setting)| match setting {
            Setting::Secret { destinations, .. } => {
                Some((vec!["settings".into(), key.clone().into()], destinations))
            }
            Setting::Text(_) | Setting::Json(_) | Setting::SigningKey { .. } => None,
        });
        let token = self.token.map(|grant| (vec!["pass_access_token".into()], &grant.destinations));
        settings
            .chain(token)
            .flat_map(|(path, places)| {
                places.iter().map(move |place| (path.clone(), place.endpoint().to_string()))
            })
            .filter(|(_, place)| !granted.contains(place))
            .map(|(path, place)| {
                let message = format!(
                    "it may go to {place}, which is not among the destinations of the plugin"
                );
                FieldProblem::new(path, message)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use credsmith_core::secret::Secret;
    use credsmith_http::client::Scheme;

    fn secret(places: &[(&str, u16)]) -> Setting {
        let destinations =
            places.iter().map(|(host, port)| Endpoint::new(host, *port).into()).collect();
        Setting::Secret { value: Secret::new("hunter22"), destinations, reveal: false, hmac: false }
    }

    #[test]
    fn a_secret_bound_to_a_place_without_grant_is_a_fault() {
        let settings = BTreeMap::from([
            ("good".to_owned(), secret(&[("api.example", 443)])),
            ("slip".to_owned(), secret(&[("api.example", 443), ("api.example", 8443)])),
            ("unbound".to_owned(), secret(&[])),
        ]);
        let token = TokenGrant {
            destinations: vec![Endpoint::new("op.example", 443).into()],
            reveal: false,
        };
        let component =
            ComponentSource { bytes: Vec::new().into(), origin: "x".to_owned(), sha256: None };
        let configuration = PluginConfiguration {
            component: &component,
            service: "ssh",
            settings: &settings,
            destinations: &[Destination::new(Scheme::Https, "API.example", 443)],
            memory: 0,
            timeout: Duration::ZERO,
            http: HttpLimits::default(),
            token: Some(&token),
        };
        let problems = configuration.unreachable_secrets();
        let found: Vec<_> =
            problems.iter().map(|problem| (problem.place(), problem.message.clone())).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].0, "settings.slip");
        assert!(found[0].1.contains("api.example:8443"));
        assert_eq!(found[1].0, "pass_access_token");
    }
}
