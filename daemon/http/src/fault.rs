//! What goes wrong with a request before a surface has understood it.

use std::time::Duration;

use http::StatusCode;

/// HTTP's no. The domain's no is an error of core; a dialect words both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// 404: nothing lives at this path.
    NotFound,
    /// 405: something lives there, and this is what it answers to: the value of `allow`, `GET,
    /// HEAD, OPTIONS`.
    MethodNotAllowed {
        /// Method names with a comma between them; empty where no method would help.
        allow: &'static str,
    },
    /// 431: request line and headers together are above the limit.
    HeadTooLarge,
    /// 413: the body is above the limit of whoever reads it.
    PayloadTooLarge,
    /// 415: a media type that nobody here reads.
    UnsupportedMediaType,
    /// 400 with a fixed sentence, which never quotes what was sent.
    BadRequest(&'static str),
    /// 408: the body stopped coming.
    BodyTimeout,
    /// 421: `host` names somebody else, or nobody where a name is demanded.
    UnknownHost,
    /// 503: too many requests in work. Nothing was begun.
    Busy {
        /// When trying again makes sense: the value of `retry-after`.
        retry_after: Duration,
    },
    /// 503: no answer within the deadline of the server. Work that runs in a task of its own goes
    /// on.
    Deadline,
    /// 500: a bug of ours. The cause is in the log, under the request's id.
    Panicked,
}

impl Fault {
    /// The status that goes with it.
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
            Self::Busy { .. } | Self::Deadline => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A sentence for the client, the same every time.
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
            Self::Busy { .. } => "the server is busy, try again later",
            Self::Deadline => "the server could not answer in time",
            Self::Panicked => "the server failed to handle the request",
        }
    }

    /// What belongs into `retry-after`, in whole seconds, at least one.
    pub fn retry_after(self) -> Option<u64> {
        match self {
            Self::Busy { retry_after } => Some(retry_after.as_secs().max(1)),
            _ => None,
        }
    }

    /// What belongs into `allow`.
    pub fn allow(self) -> Option<&'static str> {
        match self {
            Self::MethodNotAllowed { allow } => Some(allow),
            _ => None,
        }
    }
}
