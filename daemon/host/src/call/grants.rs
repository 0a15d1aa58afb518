//! The settings and grants of a plugin, in the form in which its calls use them.
//!
//! Never here: how they are made from the configuration ([`crate::load`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use credsmith_core::secret::Secret;

use crate::capability::http::transport::Transport;
use crate::capability::keys::SigningKey;
use crate::capability::wasi::PluginClock;
use crate::options::{HttpLimits, TokenGrant};
use crate::secrets::GuardedSecret;
use crate::secrets::guard::Guard;

/// A setting as a plugin gets it.
#[derive(Debug, Clone)]
pub(crate) enum PreparedSetting {
    /// A value that the plugin may see.
    Text(String),
    /// A secret, by handle.
    Secret(Arc<GuardedSecret>),
    /// A signing key, by handle.
    Key(Arc<SigningKey>),
}

/// The settings and grants of a plugin.
#[derive(Clone, Default)]
pub(crate) struct Grants {
    pub(crate) settings: BTreeMap<String, PreparedSetting>,
    /// Searches for the secrets among the settings, and for access tokens.
    pub(crate) guard: Arc<Guard>,
    pub(crate) http: Option<Arc<dyn Transport>>,
    pub(crate) http_limits: HttpLimits,
    pub(crate) token: Option<TokenGrant>,
    pub(crate) clock: PluginClock,
}

impl Grants {
    /// The same without http and token: for a plugin that reads its settings.
    pub(crate) fn offline(&self) -> Self {
        Self { http: None, token: None, ..self.clone() }
    }

    /// The secrets among the settings.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        secrets_of(&self.settings).map(|secret| &*secret.value)
    }
}

/// The secrets among `settings`, with their grants.
pub(crate) fn secrets_of(
    settings: &BTreeMap<String, PreparedSetting>,
) -> impl Iterator<Item = &GuardedSecret> {
    settings.values().filter_map(|setting| match setting {
        PreparedSetting::Secret(secret) => Some(&**secret),
        PreparedSetting::Text(_) | PreparedSetting::Key(_) => None,
    })
}
