//! Requests to the servers that the configuration grants: built, sent once, answered whole.
//!
//! The daemon sends them: it checks scheme, host, port and every address, fills the secrets in,
//! follows no redirect, and caps time, size and number. A secret only goes to the destinations that
//! the configuration names for it, and an answer that contains a secret of the call is a failure.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::imports;
use crate::secret::Secret;

/// A request in the making.
pub struct Request {
    exchange: imports::http::Exchange,
}

/// A GET.
pub fn get(url: impl AsRef<str>) -> Request {
    Request::new("GET", url)
}

/// A POST.
pub fn post(url: impl AsRef<str>) -> Request {
    Request::new("POST", url)
}

/// A PUT.
pub fn put(url: impl AsRef<str>) -> Request {
    Request::new("PUT", url)
}

/// A PATCH.
pub fn patch(url: impl AsRef<str>) -> Request {
    Request::new("PATCH", url)
}

/// A DELETE.
pub fn delete(url: impl AsRef<str>) -> Request {
    Request::new("DELETE", url)
}

/// How a secret is written into a body. Quotes and tags around it are the plugin's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Syntax {
    /// Inside a JSON text.
    Json,
    /// Inside a form value.
    Form,
    /// Inside XML text.
    Xml,
    /// As it is.
    Raw,
}

impl Syntax {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Form => "form",
            Self::Xml => "xml",
            Self::Raw => "raw",
        }
    }
}

impl Request {
    /// A request of any method.
    pub fn new(method: &str, url: impl AsRef<str>) -> Self {
        Self { exchange: imports::http::Exchange::new(method, url.as_ref()) }
    }

    /// One more header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.exchange.header(name, value);
        self
    }

    /// One more header, whose value is `prefix` followed by a secret.
    #[must_use]
    pub fn header_secret(self, name: &str, prefix: &str, secret: &Secret) -> Self {
        self.exchange.header_secret(name, prefix, &secret.0);
        self
    }

    /// `Authorization: Bearer` with a secret (RFC 6750).
    #[must_use]
    pub fn bearer(self, token: &Secret) -> Self {
        self.header_secret("authorization", "Bearer ", token)
    }

    /// `Authorization: Basic` with a secret for password (RFC 7617).
    #[must_use]
    pub fn basic_auth(self, user: &str, password: &Secret) -> Self {
        self.exchange.basic_auth(user, &password.0);
        self
    }

    /// Appends to the body.
    #[must_use]
    pub fn body(self, bytes: impl AsRef<[u8]>) -> Self {
        self.exchange.body(bytes.as_ref());
        self
    }

    /// Appends a secret to the body.
    #[must_use]
    pub fn body_secret(self, syntax: Syntax, secret: &Secret) -> Self {
        self.exchange.body_secret(syntax.name(), &secret.0);
        self
    }

    /// A JSON body with its content type. A value that cannot be written as JSON (a map with keys
    /// that are no texts) becomes `null`.
    #[must_use]
    pub fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
        self.header("content-type", "application/json").body(body)
    }

    /// Sends it and waits for the whole answer. Any status is an answer; [`Response::success`]
    /// sorts them.
    ///
    /// # Errors
    /// [`Failure`], when there is no answer.
    pub fn send(self) -> Result<Response, Failure> {
        self.exchange.send().map(Response).map_err(Failure::from_host)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// An answer.
pub struct Response(imports::http::Response);

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.0.status()
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    /// Every header.
    pub fn headers(&self) -> Vec<(String, String)> {
        self.0.headers()
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        self.0.body()
    }

    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }

    /// The body read from JSON.
    ///
    /// # Errors
    /// A [`Failure`] with code [`Code::Malformed`], which counts as having had an effect.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body()).map_err(|error| Failure {
            code: Code::Malformed,
            // The position is enough: the error's own text may quote the body.
            message: format!(
                "the answer is not the JSON expected (line {}, column {})",
                error.line(),
                error.column()
            ),
            retry: false,
            sent: true,
        })
    }

    /// Keeps an answer with a status of 200 to 299.
    ///
    /// # Errors
    /// A [`Failure`] with code [`Code::Status`] for any other.
    pub fn success(self) -> Result<Self, Failure> {
        self.success_or(&[])
    }

    /// As [`success`](Self::success), and takes some further statuses for success: a DELETE wants
    /// 404.
    ///
    /// # Errors
    /// A [`Failure`] with code [`Code::Status`] for any other.
    pub fn success_or(self, others: &[u16]) -> Result<Self, Failure> {
        let status = self.status();
        if (200..300).contains(&status) || others.contains(&status) {
            return Ok(self);
        }
        Err(Failure {
            code: Code::Status(status),
            message: format!("the server answered with status {status}"),
            retry: matches!(status, 408 | 425 | 429 | 500..=599),
            sent: true,
        })
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// The configuration does not grant this destination, or not to this secret.
    NotGranted,
    /// The name leads to an address that must not be dialled.
    AddressRefused,
    /// The name does not resolve.
    Resolve,
    /// No connection.
    Connect,
    /// The server did not prove its identity.
    Tls,
    /// No answer in time.
    Timeout,
    /// Request or answer is too large.
    TooLarge,
    /// Too many requests in one call.
    TooMany,
    /// The request cannot be sent like this, or the answer cannot be read.
    Malformed,
    /// The server answered with this status, which the plugin does not take for success.
    Status(u16),
    /// A reason that this crate does not know yet.
    Other(String),
}

impl Code {
    fn from_name(name: &str) -> Self {
        match name {
            "not-granted" => Self::NotGranted,
            "address-refused" => Self::AddressRefused,
            "resolve" => Self::Resolve,
            "connect" => Self::Connect,
            "tls" => Self::Tls,
            "timeout" => Self::Timeout,
            "too-large" => Self::TooLarge,
            "too-many" => Self::TooMany,
            "malformed" => Self::Malformed,
            other => Self::Other(other.into()),
        }
    }
}

/// A request without a usable answer. `?` turns it into what `issue` or `revoke` should say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Why.
    pub code: Code,
    /// For the log.
    pub message: String,
    /// Whether trying again later makes sense.
    pub retry: bool,
    /// Whether the request may have reached the server.
    pub sent: bool,
}

impl Failure {
    /// Whether the server may have done what it was asked. A status from 400 to 499 says that it
    /// did not.
    pub fn may_have_acted(&self) -> bool {
        self.sent && !matches!(self.code, Code::Status(400..=499))
    }

    fn from_host(failure: imports::http::Failure) -> Self {
        Self {
            code: Code::from_name(&failure.code),
            message: failure.message,
            retry: failure.retry,
            sent: failure.sent,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reach = if self.sent { "may have reached the server" } else { "was not sent" };
        write!(f, "{} (the request {reach})", self.message)
    }
}

impl std::error::Error for Failure {}

/// The characters that [`segment`] keeps: the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `text` as one segment of a URL's path, or one value of its query. A path of `.` or `..` cannot
/// be escaped: do not build paths from texts that may be just that.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
