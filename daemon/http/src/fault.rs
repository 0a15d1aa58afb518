//! Faults of a request at the level of HTTP, before a surface has decoded it.

use std::time::Duration;

use http::StatusCode;

/// A refusal by HTTP. A refusal by the domain is an error of core; a dialect presents both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// 404: this path has no resource.
    NotFound,
    /// 405: the path has a resource, which supports other methods.
    MethodNotAllowed {
        /// The value of `allow`: method names separated by commas, such as `GET, HEAD, OPTIONS`;
        /// empty where no method is supported.
        allow: &'static str,
    },
    /// 431: request line and headers together are above the limit.
    HeadTooLarge,
    /// 413: the body is above the limit of its reader.
    PayloadTooLarge,
    /// 415: the media type is not supported at this path.
    UnsupportedMediaType,
    /// 400 with a fixed sentence, which never quotes the request.
    BadRequest(&'static str),
    /// 408: the body stopped coming.
    BodyTimeout,
    /// 421: `host` names another server, or is missing where a name is required.
    UnknownHost,
    /// 429: the address of the client has sent more requests than its share. This one had no
    /// effect.
    TooManyRequests {
        /// When the client should try again: the value of `retry-after`.
        retry_after: Duration,
    },
    /// 503: too many requests in work. This one had no effect.
    Busy {
        /// When the client should try again: the value of `retry-after`.
        retry_after: Duration,
    },
    /// 503: no answer within the deadline of the server. Work in a task of its own continues.
    Deadline,
    /// 500: a bug in the daemon. The log has the cause under the request's id.
    Panicked,
}

impl Fault {
    /// The status of the reply.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy { .. } | Self::Deadline => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The fixed sentence for the client.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NotFound => "there is nothing at this path",
            Self::MethodNotAllowed { .. } => "this method is not allowed here",
            Self::HeadTooLarge => "the request line and headers are too large",
            Self::PayloadTooLarge => "the request body is too large",
            Self::UnsupportedMediaType => "this content type is not supported here",
            Self::BadRequest(sentence) => sentence,
            Self::BodyTimeout => "the request body did not arrive in time",
            Self::UnknownHost => "this server does not answer for that host name",
            Self::TooManyRequests { .. } => "too many requests from this address, try again later",
            Self::Busy { .. } => "the server is busy, try again later",
            Self::Deadline => "the server could not answer in time",
            Self::Panicked => "the server failed to handle the request",
        }
    }

    /// The value of `retry-after`, in whole seconds, at least one.
    pub fn retry_after(self) -> Option<u64> {
        match self {
            Self::Busy { retry_after } | Self::TooManyRequests { retry_after } => {
                Some(retry_after.as_secs().max(1))
            }
            _ => None,
        }
    }

    /// The value of `allow`.
    pub fn allow(self) -> Option<&'static str> {
        match self {
            Self::MethodNotAllowed { allow } => Some(allow),
            _ => None,
        }
    }
}
