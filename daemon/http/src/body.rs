//! The body of a request, pulled by whoever needs it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use crate::Fault;
use crate::server::Pace;

/// The body of a request. Nothing of it is read before somebody asks, and then never more than asked for.
pub struct Body(Source);

enum Source {
    Ready(Bytes),
    Wire(Wire),
}

/// A body that is still on its way.
struct Wire {
    incoming: Incoming,
    stall: Duration,
    pace: Arc<Pace>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if !self.incoming.is_end_stream() {
            self.pace.body_left();
        }
    }
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// It is larger than the reader's limit.
    TooLarge,
    /// The connection ended before the body did, or its framing is broken.
    Cut,
    /// Nothing came for the stall time.
    TimedOut,
}

impl BodyFault {
    /// The same as the fault that a dialect words.
    pub const fn fault(self) -> Fault {
        match self {
            Self::TooLarge => Fault::PayloadTooLarge,
            Self::Cut => Fault::BadRequest("the request body is cut short or badly framed"),
            Self::TimedOut => Fault::BodyTimeout,
        }
    }
}

impl From<BodyFault> for Fault {
    fn from(fault: BodyFault) -> Self {
        fault.fault()
    }
}

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self(Source::Ready(Bytes::new()))
    }

    pub(crate) const fn wire(incoming: Incoming, stall: Duration, pace: Arc<Pace>) -> Self {
        Self(Source::Wire(Wire { incoming, stall, pace }))
    }

    /// Whether the head promised no body at all.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Source::Ready(bytes) => bytes.is_empty(),
            Source::Wire(wire) => wire.incoming.is_end_stream(),
        }
    }

    /// All of it, if it has at most `limit` bytes. A second call gets nothing.
    ///
    /// # Errors
    /// `TooLarge` as soon as that is certain, before the rest is read; `Cut`; `TimedOut` when the client stops sending. Dropping the
    /// future loses what was read; the connection is closed after the reply then.
    pub async fn read(&mut self, limit: usize) -> Result<Bytes, BodyFault> {
        match &mut self.0 {
            Source::Ready(bytes) if bytes.len() > limit => Err(BodyFault::TooLarge),
            Source::Ready(bytes) => Ok(std::mem::take(bytes)),
            Source::Wire(wire) => collect(&mut wire.incoming, limit, wire.stall).await,
        }
    }
}

async fn collect(incoming: &mut Incoming, limit: usize, stall: Duration) -> Result<Bytes, BodyFault> {
    if incoming.size_hint().lower() > limit as u64 {
        return Err(BodyFault::TooLarge);
    }
    let Some(first) = chunk(incoming, stall).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(BodyFault::TooLarge);
    }
    // Most bodies come in one piece, which then needs no copy.
    let Some(second) = chunk(incoming, stall).await? else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(piece) = next {
        if piece.len() > limit.saturating_sub(whole.len()) {
            return Err(BodyFault::TooLarge);
        }
        whole.extend_from_slice(&piece);
        next = chunk(incoming, stall).await?;
    }
    Ok(whole.freeze())
}

/// The next piece of data; trailers are dropped.
async fn chunk(incoming: &mut Incoming, stall: Duration) -> Result<Option<Bytes>, BodyFault> {
    loop {
        let frame = match timeout(stall, incoming.frame()).await {
            Err(_) => return Err(BodyFault::TimedOut),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(BodyFault::Cut),
            Ok(Some(Ok(frame))) => frame,
        };
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(Source::Ready(bytes.into()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_that_are_there_obey_the_limit() {
        let mut body = Body::from("12345");
        assert_eq!(body.read(4).await, Err(BodyFault::TooLarge));
        assert_eq!(body.read(5).await, Ok(Bytes::from("12345")));
        assert_eq!(body.read(5).await, Ok(Bytes::new()));
    }
}
