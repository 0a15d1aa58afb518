//! Why a provider or a token was refused, for the log.

use std::borrow::Cow;
use std::fmt;

/// A reason in the daemon's own words. It never contains a token or text of the provider. Cheap to
/// clone, since every caller that waited for one look-up receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderError(Cow<'static, str>);

impl ProviderError {
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

impl From<&'static str> for ProviderError {
    fn from(reason: &'static str) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProviderError {}
