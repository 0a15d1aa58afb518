//! The OpenID providers that vouch for users.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::address::Address;
use crate::caller::Identity;
use crate::error::Error;
use crate::ids::ProviderId;
use crate::secret::Secret;
use crate::text::is_unfit_for_names;

/// Longest error code of a provider that is kept, in characters.
const MAX_CODE: usize = 100;

/// Longest description of an error that is kept, in characters.
const MAX_DESCRIPTION: usize = 300;

/// A configured provider as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderView {
    /// Its id.
    pub id: ProviderId,
    /// Its name for people.
    pub description: String,
    /// Its issuer: the discovered spelling once there is one, before that the configured one.
    pub issuer: String,
    /// Whether its discovery succeeded.
    pub ready: bool,
    /// Whether sign-ins with it are disabled (it then serves additional logins only).
    pub login_disabled: bool,
    /// Higher is listed earlier by clients: the first configured one has the highest, the last one
    /// 0.
    pub priority: u32,
}

/// What a provider says when it refuses: `error` and `error_description` (RFC 6749 sections 4.1.2.1
/// and 5.2, RFC 6750 section 3).
///
/// It is text of another party: data for the log and for the audit log, where it stands in a field,
/// and never for a caller. It is short, its control characters are escaped, and secrets of the
/// request are masked. An [`Error`] of a port has it among its causes: [`ProviderRefusal::of`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRefusal {
    error: Option<String>,
    description: Option<String>,
}

impl ProviderRefusal {
    /// What was said; `None` if there is neither an error code nor a description. `secrets` were
    /// part of the request: a provider may repeat them.
    pub fn new(
        error: Option<&str>,
        description: Option<&str>,
        secrets: &[&Secret],
    ) -> Option<Self> {
        let kept = |text: Option<&str>, limit: usize| {
            let text = text.filter(|text| !text.is_empty())?;
            Some(escaped(&masked(text, secrets), limit))
        };
        let (error, description) = (kept(error, MAX_CODE), kept(description, MAX_DESCRIPTION));
        (error.is_some() || description.is_some()).then_some(Self { error, description })
    }

    /// What the provider said when `error` happened, if it said something.
    pub fn of(error: &Error) -> Option<&Self> {
        let mut cause = std::error::Error::source(error);
        while let Some(this) = cause {
            if let Some(refusal) = this.downcast_ref() {
                return Some(refusal);
            }
            cause = this.source();
        }
        None
    }

    /// Its error code.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Its description of the error.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The key of the provider's configuration that may mend it, by the error codes of RFC 6749,
    /// OpenID Connect Core section 3.1.2.6 and RFC 6750.
    pub fn mended_by(&self) -> Option<&'static str> {
        let names = |word: &str| self.description().is_some_and(|text| text.contains(word));
        match self.error()? {
            "login_required"
            | "interaction_required"
            | "account_selection_required"
            | "consent_required" => Some("prompt"),
            "invalid_request" if names("prompt") => Some("prompt"),
            "invalid_request" if names("response_mode") => Some("response_mode"),
            "unsupported_response_mode" => Some("response_mode"),
            "invalid_scope" | "insufficient_scope" => Some("scopes"),
            "invalid_client" | "unauthorized_client" => Some("client_auth"),
            _ => None,
        }
    }
}

impl fmt::Display for ProviderRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the provider said")?;
        if let Some(error) = &self.error {
            write!(f, " `{error}`")?;
        }
        if let Some(description) = &self.description {
            write!(f, " ({description})")?;
        }
        match self.mended_by() {
            Some(key) => write!(f, "; `{key}` of the provider may mend it"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ProviderRefusal {}

fn masked(text: &str, secrets: &[&Secret]) -> String {
    let known = secrets.iter().filter_map(|secret| secret.expose_str());
    known
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// At most `limit` characters of `text`; control characters and others that a reader does not see
/// become `\u{..}`.
fn escaped(text: &str, limit: usize) -> String {
    let mut kept = String::new();
    for c in text.chars().take(limit) {
        if is_unfit_for_names(c) || c == '\\' {
            kept.extend(c.escape_default());
        } else {
            kept.push(c);
        }
    }
    if text.chars().nth(limit).is_some() {
        kept.push_str("...");
    }
    kept
}

/// The configured OpenID providers.
#[async_trait]
pub trait Providers: Send + Sync + 'static {
    /// All of them, as configured.
    fn list(&self) -> Vec<ProviderView>;

    /// The provider of that id.
    fn get(&self, id: &ProviderId) -> Option<ProviderView>;

    /// The provider with that issuer; a trailing slash makes no difference. Makes no request.
    fn by_issuer(&self, issuer: &str) -> Option<ProviderId>;

    /// Identifies the holder of `token` at `provider`, for a client at `from`: the look-ups of a
    /// provider are shared among addresses. `None`: a caller on this machine, without an address.
    ///
    /// # Errors
    /// `Unauthenticated` with `bad_token`, `login_disabled` or a fixed sentence; `Upstream` with a
    /// retry hint when the provider cannot be reached or fails; `Busy` when too many look-ups are
    /// under way for longer than a request waits.
    async fn identify(
        &self,
        provider: &ProviderId,
        token: Arc<Secret>,
        from: Option<Address>,
    ) -> Result<Arc<Identity>, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn said(error: &str, description: &str) -> ProviderRefusal {
        ProviderRefusal::new(Some(error), Some(description), &[]).unwrap()
    }

    #[test]
    fn what_a_provider_says_is_short_and_has_no_control_characters() {
        let hostile = format!("a\nb\u{1b}[2J\u{202e}{}", "x".repeat(5000));
        let refusal = said(&hostile, &hostile);
        for kept in [refusal.error().unwrap(), refusal.description().unwrap()] {
            assert!(kept.starts_with("a\\nb\\u{1b}[2J\\u{202e}xxx"), "{kept}");
            assert!(kept.ends_with("...") && kept.len() < 400, "{kept}");
            assert!(!kept.chars().any(char::is_control), "{kept}");
        }
        assert_eq!(ProviderRefusal::new(None, Some(""), &[]), None);
        assert_eq!(ProviderRefusal::new(None, None, &[]), None);
    }

    #[test]
    fn a_secret_that_a_provider_repeats_is_masked() {
        let secret = Secret::new("hunter2");
        let secrets = [&Secret::new(""), &secret];
        let refusal =
            ProviderRefusal::new(Some("invalid_token"), Some("no hunter2 here"), &secrets).unwrap();
        assert_eq!(refusal.description(), Some("no *** here"));
    }

    #[test]
    fn a_refusal_is_found_among_the_causes_of_an_error() {
        #[derive(Debug)]
        struct Outer(ProviderRefusal);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outer")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let refusal = said("invalid_grant", "too late");
        let error = Error::new(Kind::Unauthenticated, "no").because(Outer(refusal.clone()));
        assert_eq!(ProviderRefusal::of(&error), Some(&refusal));
        let cause = error.cause().unwrap();
        assert_eq!(cause, "outer: the provider said `invalid_grant` (too late)");
        assert_eq!(ProviderRefusal::of(&Error::new(Kind::Busy, "no").because("other")), None);
    }

    #[test]
    fn a_refusal_names_the_key_that_mends_it() {
        let refusal = said("invalid_request", "unsupported prompt value requested");
        assert_eq!(
            refusal.to_string(),
            "the provider said `invalid_request` (unsupported prompt value requested); `prompt` of \
             the provider may mend it"
        );
    }

    #[test]
    fn the_key_that_mends_a_refusal_is_known_by_its_code() {
        for (error, description, key) in [
            ("login_required", "", Some("prompt")),
            ("interaction_required", "", Some("prompt")),
            ("account_selection_required", "", Some("prompt")),
            ("invalid_request", "unsupported prompt value", Some("prompt")),
            ("invalid_request", "something else", None),
            ("unsupported_response_mode", "", Some("response_mode")),
            ("invalid_scope", "", Some("scopes")),
            ("invalid_client", "", Some("client_auth")),
            ("access_denied", "", None),
        ] {
            assert_eq!(said(error, description).mended_by(), key, "{error}");
        }
    }
}
