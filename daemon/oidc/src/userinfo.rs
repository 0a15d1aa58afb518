//! The userinfo endpoint (OpenID Connect Core section 5.3): asked with an access token, of a bearer
//! or of a sign-in.
//!
//! A signed answer (section 5.3.2) counts only with a signature of the provider's own keys, for its
//! own issuer, for an audience that the caller accepts. That its `sub` is the expected one is for
//! the caller to check, as with a plain answer.

use std::time::Duration;

use credsmith_core::caller::Claims;
use credsmith_core::secret::Secret;
use http::HeaderValue;
use http::header::ACCEPT;
use serde_json::Value;
use url::Url;

use crate::claims;
use crate::credentials::authorize;
use crate::discovery::Discovered;
use crate::error::ProviderError;
use crate::jwt;
use crate::keys::Reading;
use crate::provider::Provider;
use crate::provider_client::{Answer, Media, ProviderClient};

const USERINFO: &str = "userinfo";

/// Signed answers are taken too: the registration at the provider decides what it sends.
const MEDIA_TYPES: HeaderValue = HeaderValue::from_static("application/json, application/jwt");

/// A question to the userinfo endpoint.
pub(crate) struct Question<'a> {
    pub(crate) found: &'a Discovered,
    pub(crate) endpoint: &'a Url,
    pub(crate) token: &'a Secret,
    /// How long the answer may take.
    pub(crate) time: Duration,
    /// Whether a signed answer may have this audience.
    pub(crate) accepts: &'a (dyn Fn(&Value) -> bool + Sync),
}

impl Provider {
    /// The claims about the user of an access token.
    ///
    /// # Errors
    /// The provider refused the token or could not be asked, or its answer is invalid.
    pub(crate) async fn userinfo(&self, question: &Question<'_>) -> Result<Claims, ProviderError> {
        let mut request = ProviderClient::get(question.endpoint);
        request.headers_mut().insert(ACCEPT, MEDIA_TYPES);
        authorize(&mut request, "Bearer ", question.token.expose())?;
        let answer = question.found.client.send(request, USERINFO, question.time).await?;
        answer.succeeded(USERINFO, &[question.token])?;
        match answer.media() {
            Media::Jwt => self.signed_userinfo(question, &answer).await,
            Media::Json | Media::Other => Ok(answer.json(USERINFO)?.0),
        }
    }

    async fn signed_userinfo(
        &self,
        question: &Question<'_>,
        answer: &Answer,
    ) -> Result<Claims, ProviderError> {
        let text = std::str::from_utf8(answer.body()).unwrap_or_default().trim_ascii();
        let signed = match self.read(question.found, text).await {
            Reading::Signed(signed) => signed.claims,
            Reading::Opaque | Reading::UnknownKey => {
                let why = jwt::unverifiable(text, USERINFO)
                    .unwrap_or_else(|| "is not signed by the provider".to_owned());
                return Err(ProviderError::new(format!("the userinfo answer {why}")));
            }
        };
        self.check_signed(question, &signed)?;
        Ok(claims::of_the_user(signed))
    }

    fn check_signed(&self, question: &Question<'_>, signed: &Claims) -> Result<(), ProviderError> {
        let stated = |name: &str| signed.get(name).filter(|value| !value.is_null());
        if stated("iss").is_some_and(|issuer| {
            !issuer.as_str().is_some_and(|issuer| question.found.issuer.matches(issuer))
        }) {
            return Err("the userinfo answer is signed for another issuer".into());
        }
        if stated("aud").is_some_and(|audience| !(question.accepts)(audience)) {
            return Err("the userinfo answer is signed for another client".into());
        }
        let (now, skew) = (self.clock.now(), self.options.clock_skew);
        if claims::timestamp(signed, "exp")?.is_some_and(|end| end + skew <= now) {
            return Err("the userinfo answer has expired".into());
        }
        if claims::timestamp(signed, "nbf")?.is_some_and(|start| start > now + skew) {
            return Err("the userinfo answer is not valid yet".into());
        }
        Ok(())
    }
}

/// Whether `audience`, a text or a list, names `client_id`.
pub(crate) fn names_client(audience: &Value, client_id: &str) -> bool {
    match audience {
        Value::String(one) => one == client_id,
        Value::Array(list) => list.iter().any(|one| one == client_id),
        _ => false,
    }
}
