//! Who holds an access token, by the word of one provider: userinfo, introspection where there is
//! one, and the token itself where it is a signed JWT.
//!
//! The endpoints are read as plain JSON rather than by the typed responses of openidconnect: rules
//! and plugins see every claim as the provider wrote it, the ones that no standard names included.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use credsmith_core::caller::{Claims, Identity, Subject};
use credsmith_core::ports::Clock;
use credsmith_core::secret::Secret;
use credsmith_core::time::Timestamp;
use http::Request;
use serde_json::Value;

use crate::cache::Known;
use crate::claims;
use crate::credentials::{authorize, form_as_us};
use crate::discovery::{Endpoint, Found};
use crate::issuer::Issuer;
use crate::options::ProviderOptions;
use crate::trouble::Trouble;
use crate::wire::Wire;

/// One look-up: all requests of it together take no longer than the wire's timeout.
pub(crate) struct LookUp<'a> {
    pub(crate) options: &'a ProviderOptions,
    pub(crate) found: &'a Found,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) token: &'a Secret,
    /// When it began, by the monotonic clock.
    pub(crate) began: Duration,
}

/// What the provider's endpoints said.
pub(crate) struct Answers {
    userinfo: Claims,
    introspection: Option<Claims>,
}

impl LookUp<'_> {
    /// Asks the endpoints.
    ///
    /// # Errors
    /// The provider refused the token, did not answer, or answered what cannot be accepted.
    pub(crate) async fn ask(&self) -> Result<Answers, Trouble> {
        let userinfo = self.userinfo().await?;
        let introspection = match &self.found.introspection {
            Some(endpoint) => Some(self.introspect(endpoint).await?),
            None => None,
        };
        Ok(Answers { userinfo, introspection })
    }

    async fn userinfo(&self) -> Result<Claims, Trouble> {
        let mut request = Wire::get(&self.found.userinfo);
        authorize(&mut request, "Bearer ", self.token.expose())?;
        self.send(request, "userinfo").await
    }

    async fn introspect(&self, endpoint: &Endpoint) -> Result<Claims, Trouble> {
        let token = self.token.expose_str().ok_or("the token is no text")?;
        let form = [("token", token), ("token_type_hint", "access_token")];
        let request = form_as_us(&endpoint.url, &form, endpoint.credentials, self.options)?;
        let answer = self.send(request, "introspection").await?;
        match answer.get("active") {
            Some(Value::Bool(true)) => Ok(answer),
            Some(Value::Bool(false)) => {
                Err(Trouble::new("introspection says that the access token is not active"))
            }
            _ => Err(Trouble::new("introspection does not say whether the access token is active")),
        }
    }

    async fn send(&self, request: Request<Bytes>, what: &str) -> Result<Claims, Trouble> {
        let spent = self.clock.monotonic().saturating_sub(self.began);
        let left = self.found.wire.timeout().saturating_sub(spent);
        Ok(self.found.wire.object_within(request, what, left).await?.0)
    }

    /// Judges the answers, and the claims of the token where it is a JWT signed by the provider.
    ///
    /// # Errors
    /// The answers contradict each other, the token has ended, is meant for somebody else, or names
    /// nobody.
    pub(crate) fn judge(
        &self,
        answers: Answers,
        signed: Option<&Claims>,
    ) -> Result<Known, Trouble> {
        let Answers { userinfo, introspection } = answers;
        let sub = claims::subject(&userinfo, "sub")?.to_owned();
        let witnesses = || [introspection.as_ref(), signed].into_iter().flatten();
        for witness in witnesses() {
            same_or_absent(witness, "sub", &sub)?;
        }
        let issuer = self.issuer(signed)?;
        let mut expires = None;
        for witness in witnesses() {
            expires = earlier(expires, self.in_time(witness)?);
        }
        self.options.audiences.admit(witnesses().find_map(|witness| witness.get("aud")))?;
        let claims = claims::merge(userinfo, introspection, &issuer, &sub)?;
        let subject = claims::subject(&claims, &self.options.subject_claim)?.to_owned();
        let subject = Subject { issuer, subject };
        let identity = Identity { provider: self.options.id.clone(), subject, claims };
        Ok(Known { identity: Arc::new(identity), expires })
    }

    /// As whom the provider spoke. One of many tenants says it only in a token that it signed: the
    /// answers of its endpoints do not tell one tenant's user from another's.
    fn issuer(&self, signed: Option<&Claims>) -> Result<String, Trouble> {
        match (&self.found.issuer, signed) {
            (Issuer::One(own), None) => Ok(own.clone()),
            (Issuer::One(own), Some(signed)) => {
                same_or_absent(signed, "iss", own)?;
                Ok(own.clone())
            }
            (Issuer::PerTenant { .. }, Some(signed)) => Ok(self.found.issuer.of(signed)?),
            (Issuer::PerTenant { .. }, None) => {
                Err(Trouble::new("the access token does not show of which tenant it is"))
            }
        }
    }

    /// Checks `exp` and `nbf`, seconds since the epoch, and tells the first.
    fn in_time(&self, witness: &Claims) -> Result<Option<Timestamp>, Trouble> {
        let now = self.clock.now();
        let (end, start) = (claims::moment(witness, "exp")?, claims::moment(witness, "nbf")?);
        if end.is_some_and(|end| end + self.options.clock_skew <= now) {
            return Err(Trouble::new("the access token has expired"));
        }
        if start.is_some_and(|start| start > now + self.options.clock_skew) {
            return Err(Trouble::new("the access token is not valid yet"));
        }
        Ok(end)
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}

fn same_or_absent(claims: &Claims, name: &str, expected: &str) -> Result<(), Trouble> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(found)) if found == expected => Ok(()),
        Some(_) => Err(Trouble::new(format!("the provider's answers differ in `{name}`"))),
    }
}
