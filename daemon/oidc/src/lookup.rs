//! Looks an access token up at its provider: userinfo, introspection if there is one, and the token
//! itself if it is a signed JWT.
//!
//! The answers are read as plain JSON rather than by the typed responses of openidconnect: rules
//! and plugins see every claim as the provider wrote it, non-standard ones included.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use credsmith_core::caller::{Claims, Identity, Subject};
use credsmith_core::ports::Clock;
use credsmith_core::secret::Secret;
use credsmith_core::time::Timestamp;
use http::Request;
use serde_json::Value;

use crate::cache::CachedIdentity;
use crate::claims;
use crate::credentials::{authenticated_form, authorize};
use crate::discovery::{Discovered, Endpoint};
use crate::error::ProviderError;
use crate::issuer::Issuer;
use crate::options::ProviderOptions;
use crate::provider_client::ProviderClient;

/// One look-up: all its requests together take no longer than the client's timeout.
pub(crate) struct Lookup<'a> {
    pub(crate) options: &'a ProviderOptions,
    pub(crate) provider: &'a Discovered,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) token: &'a Secret,
    /// When it started, by the monotonic clock.
    pub(crate) started: Duration,
}

/// The answers of the provider's endpoints.
pub(crate) struct Answers {
    userinfo: Claims,
    introspection: Option<Claims>,
}

impl Lookup<'_> {
    /// Calls the endpoints.
    ///
    /// # Errors
    /// The provider refused the token, did not answer, or its answer is invalid.
    pub(crate) async fn fetch(&self) -> Result<Answers, ProviderError> {
        let userinfo = self.userinfo().await?;
        let introspection = match &self.provider.introspection {
            Some(endpoint) => Some(self.introspect(endpoint).await?),
            None => None,
        };
        Ok(Answers { userinfo, introspection })
    }

    async fn userinfo(&self) -> Result<Claims, ProviderError> {
        let mut request = ProviderClient::get(&self.provider.userinfo);
        authorize(&mut request, "Bearer ", self.token.expose())?;
        self.send(request, "userinfo").await
    }

    async fn introspect(&self, endpoint: &Endpoint) -> Result<Claims, ProviderError> {
        let token = self.token.expose_str().ok_or("the token is no text")?;
        let form = [("token", token), ("token_type_hint", "access_token")];
        let request = authenticated_form(&endpoint.url, &form, endpoint.credentials, self.options)?;
        let answer = self.send(request, "introspection").await?;
        match answer.get("active") {
            Some(Value::Bool(true)) => Ok(answer),
            Some(Value::Bool(false)) => {
                Err(ProviderError::new("introspection says that the access token is not active"))
            }
            _ => Err(ProviderError::new(
                "introspection does not say whether the access token is active",
            )),
        }
    }

    async fn send(&self, request: Request<Bytes>, what: &str) -> Result<Claims, ProviderError> {
        let spent = self.clock.monotonic().saturating_sub(self.started);
        let left = self.provider.client.timeout().saturating_sub(spent);
        Ok(self.provider.client.object_within(request, what, left).await?.0)
    }

    /// Validates the answers, and the claims of the token where it is a JWT signed by the provider.
    ///
    /// # Errors
    /// The answers contradict each other; the token has expired, is meant for another audience, or
    /// names no user.
    pub(crate) fn validate(
        &self,
        answers: Answers,
        signed: Option<&Claims>,
    ) -> Result<CachedIdentity, ProviderError> {
        let Answers { userinfo, introspection } = answers;
        let sub = claims::subject(&userinfo, "sub")?.to_owned();
        let token_claims = || [introspection.as_ref(), signed].into_iter().flatten();
        for claims in token_claims() {
            same_or_absent(claims, "sub", &sub)?;
        }
        let issuer = self.issuer(signed)?;
        let mut expires = None;
        for claims in token_claims() {
            expires = earlier(expires, self.check_times(claims)?);
        }
        self.options.audiences.check(token_claims().find_map(|claims| claims.get("aud")))?;
        let claims = claims::merge(userinfo, introspection, &issuer, &sub)?;
        let subject = claims::subject(&claims, &self.options.subject_claim)?.to_owned();
        let subject = Subject { issuer, subject };
        let identity = Identity::vouched_by(self.options.id.clone(), subject, claims);
        Ok(CachedIdentity { identity: Arc::new(identity), expires })
    }

    /// The issuer of the user. A provider of many tenants names the tenant only in a token that it
    /// signed: the answers of its endpoints do not distinguish the tenants.
    fn issuer(&self, signed: Option<&Claims>) -> Result<String, ProviderError> {
        match (&self.provider.issuer, signed) {
            (Issuer::One(own), None) => Ok(own.clone()),
            (Issuer::One(own), Some(signed)) => {
                same_or_absent(signed, "iss", own)?;
                Ok(own.clone())
            }
            (Issuer::PerTenant { .. }, Some(signed)) => {
                Ok(self.provider.issuer.of_claims(signed)?)
            }
            (Issuer::PerTenant { .. }, None) => {
                Err(ProviderError::new("the access token does not show of which tenant it is"))
            }
        }
    }

    /// Checks `exp` and `nbf`, seconds since the epoch, and returns the first.
    fn check_times(&self, claims: &Claims) -> Result<Option<Timestamp>, ProviderError> {
        let now = self.clock.now();
        let (end, start) = (claims::timestamp(claims, "exp")?, claims::timestamp(claims, "nbf")?);
        if end.is_some_and(|end| end + self.options.clock_skew <= now) {
            return Err(ProviderError::new("the access token has expired"));
        }
        if start.is_some_and(|start| start > now + self.options.clock_skew) {
            return Err(ProviderError::new("the access token is not valid yet"));
        }
        Ok(end)
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}

fn same_or_absent(claims: &Claims, name: &str, expected: &str) -> Result<(), ProviderError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(found)) if found == expected => Ok(()),
        Some(_) => Err(ProviderError::new(format!("the provider's answers differ in `{name}`"))),
    }
}
