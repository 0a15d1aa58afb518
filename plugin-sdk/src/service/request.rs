//! The request of a call, and the identities of the user who makes it.

use std::fmt;

use serde_json::Value;

use crate::from_text::FromText;
use crate::imports;
use crate::refusal::Refusal;
use crate::secret::Secret;

/// A request for a credential, or for its end.
pub struct Request<'a>(pub(crate) &'a imports::call::Request);

impl Request<'_> {
    /// The configured name of the service.
    pub fn service(&self) -> String {
        self.0.service()
    }

    /// The daemon's id of the credential that this call makes or ends: a UUID, the same at every
    /// retry and at the revoke. Name the object that you make after it, or send it as idempotency
    /// key: then a revoke without state can find it.
    pub fn credential_id(&self) -> String {
        self.0.credential_id()
    }

    /// The identity that made the request.
    pub fn user(&self) -> Identity {
        Identity(self.0.user())
    }

    /// Other identities of the same person, oldest first.
    pub fn additional_logins(&self) -> Vec<Identity> {
        self.0.additional_logins().into_iter().map(Identity).collect()
    }

    /// A parameter as it was sent; a value that was no text is compact JSON.
    pub fn parameter(&self, key: &str) -> Option<String> {
        self.0.parameter(key)
    }

    /// Every parameter.
    pub fn parameters(&self) -> Vec<(String, String)> {
        self.0.parameters().into_iter().map(|pair| (pair.key, pair.value)).collect()
    }

    /// A parameter that has to be there.
    ///
    /// # Errors
    /// A refusal that names the parameter, when it is missing or not of this type.
    pub fn get<T: FromText>(&self, key: &str) -> Result<T, Refusal> {
        self.get_optional(key)?
            .ok_or_else(|| Refusal::new(format!("The parameter `{key}` is missing.")))
    }

    /// A parameter that may be there.
    ///
    /// # Errors
    /// A refusal that names the parameter, when it is not of this type.
    pub fn get_optional<T: FromText>(&self, key: &str) -> Result<Option<T>, Refusal> {
        let read = self.parameter(key).map(|text| T::from_text(&text)).transpose();
        read.map_err(|expected| Refusal::new(format!("The parameter `{key}` {expected}.")))
    }

    /// Unix seconds at which the daemon will revoke, where there is a limit. The credential should
    /// not outlive it.
    pub fn not_after(&self) -> Option<u64> {
        self.0.not_after()
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("service", &self.service()).finish_non_exhaustive()
    }
}

/// An identity that signed in at a provider.
///
/// The daemon keeps the claims that an issue read, and nothing else, for the revoke: read at issue
/// the claims that the revoke will need.
pub struct Identity(imports::call::Identity);

impl Identity {
    /// Stable and opaque, one for each issuer and subject.
    pub fn id(&self) -> String {
        self.0.id()
    }

    /// The configured name of the provider.
    pub fn provider(&self) -> String {
        self.0.provider()
    }

    /// The provider's issuer URL.
    pub fn issuer(&self) -> String {
        self.0.issuer()
    }

    /// The subject at that provider.
    pub fn subject(&self) -> String {
        self.0.subject()
    }

    /// A claim of any type.
    pub fn claim(&self, name: &str) -> Option<Value> {
        self.0.claim(name).map(|text| claim_value(&text))
    }

    /// A claim that is a text.
    pub fn claim_text(&self, name: &str) -> Option<String> {
        self.claim(name).and_then(|value| value.as_str().map(String::from))
    }

    /// A claim that is a list of texts, or one text: as a list. `None` for anything else.
    pub fn claim_list(&self, name: &str) -> Option<Vec<String>> {
        match self.claim(name)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(values) => {
                values.iter().map(|value| value.as_str().map(String::from)).collect()
            }
            _ => None,
        }
    }

    /// Every claim, in the order of their names. Asking for all of them makes the daemon keep all
    /// of them.
    pub fn claims(&self) -> Vec<(String, Value)> {
        let mut claims: Vec<_> =
            self.0.claims().into_iter().map(|pair| (pair.key, claim_value(&pair.value))).collect();
        claims.sort_by(|(one, _), (other, _)| one.cmp(other));
        claims
    }

    /// The access token, where the configuration grants it. Never at a revoke.
    pub fn access_token(&self) -> Option<Secret> {
        self.0.access_token().map(Secret)
    }
}

fn claim_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("id", &self.id()).finish_non_exhaustive()
    }
}
