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
        let mut piece = self.rest.split_to(length);
        if self.held.is_some() {
            // A part of the same memory would keep all of it, and uncounted, when this body is gone
            // and the client does not read the last piece.
            piece = Bytes::copy_from_slice(&piece);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::shares::{Budget, Place};

    struct Owner {
        bytes: Vec<u8>,
        lives: Arc<()>,
    }

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            // Its `Arc` tells the test whether the memory is still there.
            let _ = &self.lives;
            &self.bytes
        }
    }

    /// Attack: a client reads all but the end of a large reply, which then counts no more but is
    /// still there whole.
    #[test]
    fn the_last_piece_of_a_reply_does_not_keep_all_of_it() {
        let lives = Arc::new(());
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * PIECE + 7).collect();
        let owner = Owner { bytes: bytes.clone(), lives: Arc::clone(&lives) };
        let mut body = ReplyBody::full(Bytes::from_owner(owner));
        body.hold(Budget::new(1 << 20).hold(None, &Place::of_test(), bytes.len()));
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().now_or_never().unwrap() {
            pieces.push(frame.unwrap().into_data().unwrap());
        }
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE));
        assert_eq!(pieces.concat(), bytes);
        assert_eq!(Arc::strong_count(&lives), 2, "the body holds, and counts, all of it");
        drop(body);
        assert_eq!(Arc::strong_count(&lives), 1, "what hyper has yet to send does not");
    }
}
