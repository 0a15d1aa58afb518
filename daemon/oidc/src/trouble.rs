//! Why a provider or a token was not accepted, for the log.

use std::borrow::Cow;
use std::fmt;

/// A reason in our own words. It never holds a token or a text of the provider. Cheap to clone, as
/// all who waited for one look-up get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble(Cow<'static, str>);

impl Trouble {
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

impl From<&'static str> for Trouble {
    fn from(reason: &'static str) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}
