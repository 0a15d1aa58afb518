//! The body of a request, pulled by whoever needs it.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use crate::server::Pace;
use crate::{Fault, ServerOptions, Slot};

/// The body of a request. Nothing of it is read before somebody asks, and then never more than
/// asked for.
pub struct Body(Source);

enum Source {
    Ready(Bytes),
    Wire(Wire),
}

/// A body that is still on its way.
struct Wire {
    incoming: Incoming,
    /// For all of it, and between two pieces of it.
    whole: Duration,
    stall: Duration,
    ended: bool,
    pace: Arc<Pace>,
    /// Lent while the client is waited for.
    slot: Slot,
    /// What is said when there is no place any more by the time that the body is here.
    retry_after: Duration,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if !self.ended && !self.incoming.is_end_stream() {
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
    /// It is here, but meanwhile others have taken all places for requests in work.
    Busy {
        /// When trying again makes sense.
        retry_after: Duration,
    },
}

impl BodyFault {
    /// The same as the fault that a dialect words.
    pub const fn fault(self) -> Fault {
        match self {
            Self::TooLarge => Fault::PayloadTooLarge,
            Self::Cut => Fault::BadRequest("the request body is cut short or badly framed"),
            Self::TimedOut => Fault::BodyTimeout,
            Self::Busy { retry_after } => Fault::Busy { retry_after },
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

    pub(crate) fn wire(incoming: Incoming, options: &ServerOptions, pace: Arc<Pace>) -> Self {
        let &ServerOptions { body_timeout: whole, stall_timeout: stall, retry_after, .. } = options;
        let slot = Slot::free();
        Self(Source::Wire(Wire { incoming, whole, stall, ended: false, pace, slot, retry_after }))
    }

    /// Whose place is lent to others while the body is waited for.
    pub(crate) fn belongs_to(&mut self, slot: &Slot) {
        if let Source::Wire(wire) = &mut self.0 {
            wire.slot = slot.clone();
        }
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
    /// `TooLarge` as soon as that is certain, before the rest is read; `Cut`; `TimedOut` when the
    /// client stalls or is too slow; `Busy` when the client had to be waited for and others have
    /// taken every place for requests in work. Dropping the future loses what was read; the
    /// connection is closed after the reply then.
    pub async fn read(&mut self, limit: usize) -> Result<Bytes, BodyFault> {
        match &mut self.0 {
            Source::Ready(bytes) if bytes.len() > limit => Err(BodyFault::TooLarge),
            Source::Ready(bytes) => Ok(std::mem::take(bytes)),
            Source::Wire(wire) => wire.read(limit).await,
        }
    }
}

impl Wire {
    async fn read(&mut self, limit: usize) -> Result<Bytes, BodyFault> {
        if self.incoming.size_hint().lower() > limit as u64 {
            return Err(BodyFault::TooLarge);
        }
        let (slot, retry_after) = (self.slot.clone(), self.retry_after);
        let mut reading = pin!(timeout(self.whole, self.collect(limit)));
        // Most bodies are here already, and their requests keep their place.
        if let Poll::Ready(read) = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await {
            return read.unwrap_or(Err(BodyFault::TimedOut));
        }
        slot.lend();
        let body = reading.await.unwrap_or(Err(BodyFault::TimedOut))?;
        if slot.reclaim() { Ok(body) } else { Err(BodyFault::Busy { retry_after }) }
    }

    async fn collect(&mut self, limit: usize) -> Result<Bytes, BodyFault> {
        let Some(first) = self.piece(limit).await? else { return Ok(Bytes::new()) };
        // Most bodies come in one piece, which then needs no copy.
        let Some(second) = self.piece(limit.saturating_sub(first.len())).await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(piece) = next {
            whole.extend_from_slice(&piece);
            next = self.piece(limit.saturating_sub(whole.len())).await?;
        }
        Ok(whole.freeze())
    }

    /// The next piece, of at most `limit` bytes; trailers are dropped.
    async fn piece(&mut self, limit: usize) -> Result<Option<Bytes>, BodyFault> {
        loop {
            let frame = match timeout(self.stall, self.incoming.frame()).await {
                Err(_) => return Err(BodyFault::TimedOut),
                Ok(Some(frame)) => frame.map_err(|_| BodyFault::Cut)?,
                Ok(None) => {
                    self.ended = true;
                    return Ok(None);
                }
            };
            match frame.into_data() {
                Ok(data) if data.len() > limit => return Err(BodyFault::TooLarge),
                Ok(data) => return Ok(Some(data)),
                Err(_) => {}
            }
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
