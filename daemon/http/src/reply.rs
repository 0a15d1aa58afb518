//! The answer to a request, and short ways to make one.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::{Frame, SizeHint};

use crate::shares::Held;

/// An answer. A surface may put [`Upgrade`](crate::Upgrade) or [`Quiet`] into its extensions.
pub type Reply = Response<ReplyBody>;

/// How much of a body is handed over at once: the rest stays here, and counts as unread, until the
/// client has read on.
const PIECE: usize = 64 * 1024;

/// The body of an answer: bytes in memory, or none.
#[derive(Clone, Default)]
pub struct ReplyBody {
    whole: Bytes,
    /// What is still to be sent.
    rest: Bytes,
    /// The share of the bytes that clients have not read.
    held: Option<Arc<Held>>,
}

/// Why a reply body could not be sent. It is a named type because a boxed error makes async
/// handlers unusable, and has no value because bytes in memory cannot fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyBodyError {}

impl fmt::Display for ReplyBodyError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for ReplyBodyError {}

/// Put into the extensions of a reply to a frequent request, such as a health check: its log line
/// has level debug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet;

impl ReplyBody {
    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let whole = bytes.into();
        Self { rest: whole.clone(), whole, held: None }
    }

    /// Nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// All the bytes, for tests and layers, which read a reply before it is sent.
    pub fn bytes(&self) -> &Bytes {
        &self.whole
    }

    /// Counts it as unread until it is sent or dropped.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held = Some(Arc::new(held));
    }

    /// A reply with `body` as `text/plain; charset=utf-8`.
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
        Self::typed(status, HeaderValue::from_static("text/plain; charset=utf-8"), body)
    }

    /// A reply with `body`, which is JSON text, as `application/json`.
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
        Self::typed(status, HeaderValue::from_static("application/json"), body)
    }

    /// A reply with `body` and this `content-type`.
    pub fn typed(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Reply {
        let mut reply = Response::new(Self::full(body));
        *reply.status_mut() = status;
        reply.headers_mut().insert(CONTENT_TYPE, content_type);
        reply
    }

    /// A reply without body or `content-type`.
    pub fn bare(status: StatusCode) -> Reply {
        let mut reply = Response::new(Self::empty());
        *reply.status_mut() = status;
        reply
    }

    /// A reply without body that carries one header: 204 with `allow`, 303 with `location`.
    pub fn with_header(status: StatusCode, name: HeaderName, value: HeaderValue) -> Reply {
        let mut reply = Self::bare(status);
        reply.headers_mut().insert(name, value);
        reply
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyBody({} bytes)", self.whole.len())
    }
}

impl hyper::body::Body for ReplyBody {
    type Data = Bytes;
    type Error = ReplyBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyBodyError>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
