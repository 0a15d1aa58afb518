//! The settings and grants of a plugin, in the form in which its calls use them.
//!
//! Never here: how they are made from the configuration ([`crate::load`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use credsmith_core::secret::Secret;

use crate::capability::http::transport::Transport;
use crate::capability::keys::SigningKey;
use crate::options::{HttpLimits, TokenGrant};
use crate::secrets::GuardedSecret;

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
    pub(crate) http: Option<Arc<dyn Transport>>,
    pub(crate) http_limits: HttpLimits,
    pub(crate) token: Option<TokenGrant>,
}

impl Grants {
    /// The same without http and token: for a plugin that reads its settings.
    pub(crate) fn offline(&self) -> Self {
        Self { http: None, token: None, ..self.clone() }
    }

    /// The secrets among the settings.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.settings.values().filter_map(|setting| match setting {
            PreparedSetting::Secret(secret) => Some(&*secret.value),
            PreparedSetting::Text(_) | PreparedSetting::Key(_) => None,
        })
    }
}
