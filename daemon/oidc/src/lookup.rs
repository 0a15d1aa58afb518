//! Looks an access token up at its provider: userinfo, introspection if there is one, and the token
//! itself if it is a signed JWT. A provider without userinfo names the user when it introspects.
//!
//! The answers are read as plain JSON rather than by the typed responses of openidconnect: rules
//! and plugins see every claim as the provider wrote it, non-standard ones included.

use std::sync::Arc;
use std::time::Duration;

use credsmith_core::caller::{Claims, Identity, Subject};
use credsmith_core::ports::Clock;
use credsmith_core::secret::Secret;
use credsmith_core::time::Timestamp;
use serde_json::Value;

use crate::cache::CachedIdentity;
use crate::claims;
use crate::credentials::Endpoint;
use crate::discovery::Discovered;
use crate::error::ProviderError;
use crate::issuer::Issuer;
use crate::options::ProviderOptions;
use crate::provider::Provider;
use crate::userinfo::{Question, names_client};

const INTROSPECTION: &str = "introspection";

impl Provider {
    /// Looks up the identity of the holder of `token`.
    ///
    /// # Errors
    /// The provider refused the token or could not be asked, or its answers are invalid.
    pub(crate) async fn look_up(&self, token: &Secret) -> Result<CachedIdentity, ProviderError> {
        let found = self.found()?;
        let (options, clock) = (&self.options, &*self.clock);
        let look_up = Lookup {
            at: self,
            options,
            provider: &found,
            clock,
            token,
            started: clock.monotonic(),
        };
        let answers = look_up.fetch().await?;
        let signed = self.read_signed(&found, token).await;
        look_up.validate(answers, signed.as_ref())
    }
}

/// One look-up: all its requests together take no longer than the client's timeout.
struct Lookup<'a> {
    at: &'a Provider,
    options: &'a ProviderOptions,
    provider: &'a Discovered,
    clock: &'a dyn Clock,
    token: &'a Secret,
    /// When it started, by the monotonic clock.
    started: Duration,
}

/// The answers of the provider's endpoints; at least one of the two.
struct Answers {
    userinfo: Option<Claims>,
    introspection: Option<Claims>,
}

impl Lookup<'_> {
    /// Calls the endpoints.
    ///
    /// # Errors
    /// The provider refused the token, did not answer, or its answer is invalid.
    async fn fetch(&self) -> Result<Answers, ProviderError> {
        let userinfo = self.userinfo().await?;
        let introspection = match &self.provider.introspection {
            Some(endpoint) => Some(self.introspect(endpoint).await?),
            None if userinfo.is_none() => {
                return Err(
                    "the discovery document names no userinfo_endpoint, and introspection cannot \
                     be used either: it needs `client_secret` or `client_key`"
                        .into(),
                );
            }
            None => None,
        };
        Ok(Answers { userinfo, introspection })
    }

    async fn userinfo(&self) -> Result<Option<Claims>, ProviderError> {
        let Some(endpoint) = &self.provider.userinfo else { return Ok(None) };
        let (audiences, client_id) = (&self.options.audiences, &self.options.client_id);
        let accepts = |audience: &Value| {
            names_client(audience, client_id) || audiences.check(Some(audience)).is_ok()
        };
        let (found, token, time) = (self.provider, self.token, self.left());
        let question = Question { found, endpoint, token, time, accepts: &accepts };
        self.at.userinfo(&question).await.map(Some)
    }

    async fn introspect(&self, endpoint: &Endpoint) -> Result<Claims, ProviderError> {
        let token = self.token.expose_str().ok_or("the token is no text")?;
        let form = [("token", token), ("token_type_hint", "access_token")];
        let request = self.at.own_client().form(endpoint, &form)?;
        let answer = self.provider.client.send(request, INTROSPECTION, self.left()).await?;
        answer.succeeded(INTROSPECTION, &self.at.secrets(self.token))?;
        let answer = answer.json(INTROSPECTION)?.0;
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

    fn left(&self) -> Duration {
        let spent = self.clock.monotonic().saturating_sub(self.started);
        self.provider.client.timeout().saturating_sub(spent)
    }

    /// Validates the answers, and the claims of the token where it is a JWT signed by the provider.
    ///
    /// # Errors
    /// The answers contradict each other; the token has expired, is meant for another audience, or
    /// names no user.
    fn validate(
        &self,
        answers: Answers,
        signed: Option<&Claims>,
    ) -> Result<CachedIdentity, ProviderError> {
        let Answers { userinfo, introspection } = answers;
        let naming = userinfo.as_ref().or(introspection.as_ref()).ok_or("nothing was answered")?;
        let sub = claims::subject(naming, "sub")?.to_owned();
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
        let userinfo = userinfo.unwrap_or_default();
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
