//! Who holds an access token, by the word of one provider: userinfo, introspection where there is one, and the token itself where
//! it is a signed JWT.
//!
//! The endpoints are read as plain JSON rather than by the typed responses of openidconnect: rules and plugins see every claim as the
//! provider wrote it, the ones that no standard names included.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use credsmith_core::caller::{Claims, Identity, Subject};
use credsmith_core::ports::Clock;
use credsmith_core::secret::Secret;
use credsmith_core::time::Timestamp;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use serde_json::Value;
use url::form_urlencoded;

use crate::cache::Known;
use crate::claims;
use crate::discovery::{Credentials, Found, Introspection};
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

    async fn introspect(&self, endpoint: &Introspection) -> Result<Claims, Trouble> {
        let answer = self.send(self.introspection_request(endpoint)?, "introspection").await?;
        match answer.get("active") {
            Some(Value::Bool(true)) => Ok(answer),
            Some(Value::Bool(false)) => {
                Err(Trouble::new("introspection says that the access token is not active"))
            }
            _ => Err(Trouble::new("introspection does not say whether the access token is active")),
        }
    }

    fn introspection_request(&self, endpoint: &Introspection) -> Result<Request<Bytes>, Trouble> {
        let token = self.token.expose_str().ok_or("the token is no text")?;
        let secret = self.options.client_secret.as_ref().and_then(|secret| secret.expose_str());
        let secret = secret.ok_or("there is no client secret")?;
        let id = &self.options.client_id;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        if endpoint.credentials == Credentials::Post {
            form.append_pair("client_id", id).append_pair("client_secret", secret);
        }
        let mut request = Wire::post_form(&endpoint.url, form.finish());
        if endpoint.credentials == Credentials::Basic {
            authorize(&mut request, "Basic ", basic(id, secret).as_bytes())?;
        }
        Ok(request)
    }

    async fn send(&self, request: Request<Bytes>, what: &str) -> Result<Claims, Trouble> {
        let spent = self.clock.monotonic().saturating_sub(self.began);
        let left = self.found.wire.timeout().saturating_sub(spent);
        Ok(self.found.wire.object_within(request, what, left).await?.0)
    }

    /// Judges the answers, and the claims of the token where it is a JWT signed by the provider.
    ///
    /// # Errors
    /// The answers contradict each other, the token has ended, is meant for somebody else, or names nobody.
    pub(crate) fn judge(&self, answers: Answers, signed: Option<&Claims>) -> Result<Known, Trouble> {
        let Answers { userinfo, introspection } = answers;
        let sub = claims::subject(&userinfo, "sub")?.to_owned();
        let witnesses = || [introspection.as_ref(), signed].into_iter().flatten();
        for witness in witnesses() {
            same_or_absent(witness, "sub", &sub)?;
        }
        if let Some(signed) = signed {
            same_or_absent(signed, "iss", &self.found.issuer)?;
        }
        let mut expires = None;
        for witness in witnesses() {
            expires = earlier(expires, self.in_time(witness)?);
        }
        self.options.audiences.admit(witnesses().find_map(|witness| witness.get("aud")))?;
        let claims = claims::merge(userinfo, introspection, &self.found.issuer, &sub)?;
        let subject = claims::subject(&claims, &self.options.subject_claim)?.to_owned();
        let subject = Subject { issuer: self.found.issuer.clone(), subject };
        let identity = Identity { provider: self.options.id.clone(), subject, claims };
        Ok(Known { identity: Arc::new(identity), expires })
    }

    /// Checks `exp` and `nbf`, seconds since the epoch, and tells the first.
    fn in_time(&self, witness: &Claims) -> Result<Option<Timestamp>, Trouble> {
        let now = self.clock.now();
        let (end, start) = (moment(witness, "exp")?, moment(witness, "nbf")?);
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

// A NumericDate may have a fraction (RFC 7519 section 2).
fn moment(claims: &Claims, name: &str) -> Result<Option<Timestamp>, Trouble> {
    let wrong = || Trouble::new(format!("`{name}` is no point in time"));
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            let seconds = number.as_f64().ok_or_else(wrong)?.max(0.0);
            let since_epoch = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
            Ok(Some(Timestamp::from_millis(0) + since_epoch))
        }
        Some(_) => Err(wrong()),
    }
}

fn same_or_absent(claims: &Claims, name: &str, expected: &str) -> Result<(), Trouble> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(found)) if found == expected => Ok(()),
        Some(_) => Err(Trouble::new(format!("the provider's answers differ in `{name}`"))),
    }
}

// RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    STANDARD.encode(format!("{}:{}", encode(id), encode(secret)))
}

fn authorize(request: &mut Request<Bytes>, scheme: &str, credentials: &[u8]) -> Result<(), Trouble> {
    let mut value = HeaderValue::from_bytes(&[scheme.as_bytes(), credentials].concat())
        .map_err(|_| Trouble::new("credentials that no header can carry"))?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(())
}
