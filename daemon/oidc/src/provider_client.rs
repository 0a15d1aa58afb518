//! The HTTP client of a provider: the guarded client, with the limits of every answer.

use std::time::Duration;

use bytes::Bytes;
use credsmith_core::ports::providers::ProviderRefusal;
use credsmith_core::secret::Secret;
use credsmith_http::client::{CallLimits, Client};
use http::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Map, Value};
use url::Url;

use crate::answer::Object;
use crate::error::ProviderError;

/// The limit of an answer. The largest legitimate one is a key set with certificate chains.
const MAX_ANSWER: usize = 256 * 1024;

/// A guarded client with the time limit of one request.
pub(crate) struct ProviderClient {
    client: Client,
    timeout: Duration,
}

impl ProviderClient {
    /// Requests by `client`, each within `timeout`.
    pub(crate) fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn get(url: &Url) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::GET;
        prepare(request, url)
    }

    pub(crate) fn post_form(url: &Url, form: String) -> Request<Bytes> {
        let mut request = Request::new(Bytes::from(form));
        *request.method_mut() = Method::POST;
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        prepare(request, url)
    }

    /// Fetches a document that the provider publishes: a JSON object under any content type, since
    /// file servers send all kinds of them. `what` names it in errors.
    pub(crate) async fn published(&self, url: &Url, what: &str) -> Result<Object, ProviderError> {
        let answer = self.send(Self::get(url), what, self.timeout).await?;
        answer.succeeded(what, &[])?;
        answer.object(what).map_err(|error| match answer.media() {
            Media::Json => error,
            _ => error.with_hint("the answer is not application/json either"),
        })
    }

    /// Sends `request` within `time`. `what` names it in errors.
    ///
    /// # Errors
    /// There was no answer.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
        what: &str,
        time: Duration,
    ) -> Result<Answer, ProviderError> {
        let limits = CallLimits { deadline: time, max_response_bytes: MAX_ANSWER };
        let answer = self.client.send(request, limits).await;
        answer.map(Answer).map_err(|failure| ProviderError::unanswered(what, &failure))
    }
}

/// What the content type of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    /// A signed or encrypted answer.
    Jwt,
    Other,
}

/// An answer of the provider, with whatever status.
pub(crate) struct Answer(Response<Bytes>);

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn media(&self) -> Media {
        let kind = self.0.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let is = |known: &str| essence.eq_ignore_ascii_case(known);
        // RFC 7517 section 8.5 has a type of its own for key sets.
        if is("application/json") || is("application/jwk-set+json") {
            Media::Json
        } else if is("application/jwt") {
            Media::Jwt
        } else {
            Media::Other
        }
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.0.body()
    }

    /// The JSON object in it, whatever its content type.
    fn object(&self, what: &str) -> Result<Object, ProviderError> {
        Object::parse(self.body())
            .map_err(|malformed| ProviderError::new(format!("{what}: {malformed}")))
    }

    /// The JSON object of an answer that says that it is JSON.
    pub(crate) fn json(&self, what: &str) -> Result<Object, ProviderError> {
        match self.media() {
            Media::Json => self.object(what),
            _ => Err(ProviderError::new(format!(
                "{what}: the provider's answer is not application/json"
            ))),
        }
    }

    /// Whether the status is 200.
    ///
    /// # Errors
    /// The status, with what the provider said. `secrets` were part of the request.
    pub(crate) fn succeeded(&self, what: &str, secrets: &[&Secret]) -> Result<(), ProviderError> {
        let status = self.status();
        if status == StatusCode::OK {
            return Ok(());
        }
        let reason = format!("{what}: the provider answered with status {}", status.as_u16());
        let busy = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let error =
            if busy { ProviderError::unavailable(reason) } else { ProviderError::new(reason) };
        Err(error.with_said(self.said(secrets)))
    }

    /// What the provider said: in the JSON of the answer, or in its challenge (RFC 6750 section 3).
    pub(crate) fn said(&self, secrets: &[&Secret]) -> Option<ProviderRefusal> {
        // Read with less rigour than an answer that is believed: it is only written down.
        let readable = (self.media() == Media::Json).then(|| self.body());
        let members: Map<String, Value> =
            readable.and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let challenge =
            self.0.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let challenged = |name: &str| challenge.and_then(|text| parameter(text, name));
        ProviderRefusal::new(
            text("error").or_else(|| challenged("error")),
            text("error_description").or_else(|| challenged("error_description")),
            secrets,
        )
    }
}

/// The quoted parameter `name` of a challenge.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let mut quoted = challenge.split('"');
    while let (Some(before), Some(value)) = (quoted.next(), quoted.next()) {
        let found = before.trim_end().strip_suffix('=')?;
        let word = found.rsplit([' ', ',']).next().unwrap_or_default();
        if word.eq_ignore_ascii_case(name) {
            return Some(value);
        }
    }
    None
}

fn prepare(mut request: Request<Bytes>, url: &Url) -> Request<Bytes> {
    // Every serialised URL with a host is a URI. If one were not, the client would refuse the
    // default URI.
    *request.uri_mut() = url.as_str().parse().unwrap_or_default();
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        Answer(answer.body(Bytes::from_static(body.as_bytes())).unwrap())
    }

    #[test]
    fn what_a_provider_says_is_in_its_json_or_in_its_challenge() {
        let json = ("content-type", "application/json");
        let challenge = (
            "www-authenticate",
            "Bearer realm=\"x\", error=\"invalid_token\", error_description=\"it ended, alas\"",
        );
        let said = |answer: &Answer| answer.said(&[]).map(|said| said.to_string());
        let body = "{\"error\":\"expired\",\"error_description\":\"too old\"}";
        let from_body = "the provider said `expired` (too old)";
        assert_eq!(said(&answer(401, &[json, challenge], body)).as_deref(), Some(from_body));
        let from_challenge = "the provider said `invalid_token` (it ended, alas)";
        for silent in [answer(401, &[challenge], body), answer(401, &[json, challenge], "{}")] {
            assert_eq!(said(&silent).as_deref(), Some(from_challenge));
        }
        let text = answer(401, &[("content-type", "text/html")], "{\"error\":\"x\"}");
        assert_eq!(said(&text), None);
        for odd in ["Bearer", "Bearer error", "\"", "Bearer error=invalid", "a=\"b\" c \"d\""] {
            assert_eq!(parameter(odd, "error"), None, "{odd}");
        }
    }

    #[test]
    fn a_provider_that_fails_is_unavailable_and_one_that_refuses_is_not() {
        for (status, unavailable) in [(500, true), (502, true), (503, true), (429, true)]
            .into_iter()
            .chain([(400, false), (401, false), (403, false), (404, false), (307, false)])
        {
            let error = answer(status, &[], "").succeeded("userinfo", &[]).unwrap_err();
            assert_eq!(error.is_unavailable(), unavailable, "{status}");
            assert!(error.to_string().ends_with(&status.to_string()), "{error}");
        }
        assert!(answer(200, &[], "").succeeded("userinfo", &[]).is_ok());
    }
}
