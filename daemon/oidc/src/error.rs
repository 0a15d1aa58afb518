//! Why a provider or a token was refused, for the log.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use credsmith_core::ports::providers::ProviderRefusal;
use credsmith_http::client::{Failure, FailureCode};

/// A reason in the daemon's own words, which contain neither a token nor text of the provider. What
/// the provider said is its source. Cheap to clone, since every caller that waited for one look-up
/// receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderError {
    reason: Cow<'static, str>,
    unavailable: bool,
    said: Option<Arc<ProviderRefusal>>,
}

impl ProviderError {
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), unavailable: false, said: None }
    }

    /// The provider cannot be asked at the moment: the token may be good.
    pub(crate) fn unavailable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { unavailable: true, ..Self::new(reason) }
    }

    /// There was no answer to a request, which `what` names. Names the key that mends what the
    /// daemon itself refuses.
    pub(crate) fn unanswered(what: &str, failure: &Failure) -> Self {
        let mend = match failure.code {
            FailureCode::AddressRefused => {
                "; `addresses` of the provider allows addresses that are not public"
            }
            FailureCode::Tls => {
                "; if a private authority signed its certificate, `roots` of the provider names it"
            }
            _ => "",
        };
        let reason = format!("{what}: {failure}{mend}");
        match failure.code {
            FailureCode::TooLarge => Self::new(reason),
            _ => Self::unavailable(reason),
        }
    }

    /// Adds what the provider said.
    pub(crate) fn with_said(self, said: Option<ProviderRefusal>) -> Self {
        Self { said: said.map(Arc::new), ..self }
    }

    /// Adds a hint behind the reason: the key that mends it.
    pub(crate) fn with_hint(self, hint: &str) -> Self {
        Self { reason: format!("{}; {hint}", self.reason).into(), ..self }
    }

    /// Whether the provider could not be asked, or could not answer.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.unavailable
    }
}

impl From<&'static str> for ProviderError {
    fn from(reason: &'static str) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ProviderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.said.as_deref().map(|said| said as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unanswered(code: FailureCode) -> ProviderError {
        let message = "https://op:443 did something".to_owned();
        ProviderError::unanswered("userinfo", &Failure { code, message, retry: false, sent: false })
    }

    #[test]
    fn a_request_without_an_answer_names_the_key_that_mends_it() {
        for (code, key) in
            [(FailureCode::AddressRefused, "`addresses`"), (FailureCode::Tls, "`roots`")]
        {
            let error = unanswered(code).to_string();
            assert!(error.starts_with("userinfo: ") && error.contains(key), "{error}");
        }
        assert!(!unanswered(FailureCode::Timeout).to_string().contains('`'));
    }

    #[test]
    fn only_an_answer_that_came_and_is_too_large_is_the_providers_fault() {
        assert!(!unanswered(FailureCode::TooLarge).is_unavailable());
        for code in [
            FailureCode::Resolve,
            FailureCode::Connect,
            FailureCode::Timeout,
            FailureCode::Tls,
            FailureCode::AddressRefused,
        ] {
            assert!(unanswered(code).is_unavailable(), "{code}");
        }
    }
}
