//! The HTTP client of a provider: the guarded client, with the limits of every answer.

use std::time::Duration;

use bytes::Bytes;
use credsmith_http::client::{CallLimits, Client, Failure};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
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

    /// Sends `request` and reads the JSON object of a 200. `what` names it in errors.
    pub(crate) async fn object(
        &self,
        request: Request<Bytes>,
        what: &str,
    ) -> Result<Object, ProviderError> {
        self.object_within(request, what, self.timeout).await
    }

    /// As [`Self::object`], within `time`.
    pub(crate) async fn object_within(
        &self,
        request: Request<Bytes>,
        what: &str,
        time: Duration,
    ) -> Result<Object, ProviderError> {
        let (status, object) = self.answer(request, what, time).await?;
        if status != StatusCode::OK {
            return Err(ProviderError::new(format!(
                "{what}: the provider answered with status {}",
                status.as_u16()
            )));
        }
        object
    }

    /// Sends `request` and returns the status, and the JSON object or why it cannot be read.
    pub(crate) async fn answer(
        &self,
        request: Request<Bytes>,
        what: &str,
        time: Duration,
    ) -> Result<(StatusCode, Result<Object, ProviderError>), ProviderError> {
        let answer = self
            .send(request, time)
            .await
            .map_err(|failure| ProviderError::new(format!("{what}: {failure}")))?;
        let object = if is_json(&answer) {
            Object::parse(answer.body())
                .map_err(|malformed| ProviderError::new(format!("{what}: {malformed}")))
        } else {
            Err(ProviderError::new(format!(
                "{what}: the provider's answer is not application/json"
            )))
        };
        Ok((answer.status(), object))
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        time: Duration,
    ) -> Result<Response<Bytes>, Failure> {
        self.client
            .send(request, CallLimits { deadline: time, max_response_bytes: MAX_ANSWER })
            .await
    }
}

fn prepare(mut request: Request<Bytes>, url: &Url) -> Request<Bytes> {
    // Every serialised URL with a host is a URI. If one were not, the client would refuse the
    // default URI.
    *request.uri_mut() = url.as_str().parse().unwrap_or_default();
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request
}

fn is_json(answer: &Response<Bytes>) -> bool {
    let kind = answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    // RFC 7517 section 8.5 has a type of its own for key sets.
    ["application/json", "application/jwk-set+json"]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
}
