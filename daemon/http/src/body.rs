//! The body of a request, read on demand.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use crate::fault::Fault;
use crate::options::ServerOptions;
use crate::pace::Pace;
use crate::shares::{Budget, Network};
use crate::slot::{Slot, poll_once};

/// The body of a request. Nothing of it is read before the surface calls [`Body::read`], and never
/// more than the limit of that call.
pub struct Body(Source);

enum Source {
    Buffered(Bytes),
    Streaming(Streaming),
}

/// So many bytes of a body do not count as unfinished: the buffer of a connection holds as much.
const UNCOUNTED: usize = 16 * 1024;

/// A body that is still arriving on its connection.
struct Streaming {
    incoming: Incoming,
    /// The time limit for the whole body.
    total_timeout: Duration,
    /// The time limit between two pieces of it.
    stall_timeout: Duration,
    ended: bool,
    pace: Arc<Pace>,
    /// The bytes of unfinished bodies, and whose share this one is of.
    budget: Arc<Budget>,
    network: Option<Network>,
    /// The permit of the request, lent to others while this waits for the client.
    slot: Slot,
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if !self.ended && !self.incoming.is_end_stream() {
            self.pace.abandon_body();
        }
    }
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// It is larger than the reader's limit.
    TooLarge,
    /// The connection ended before the body did, or its framing is invalid.
    Truncated,
    /// No byte arrived within the stall time, or the whole took too long.
    TimedOut,
    /// The body arrived, but other requests have taken all permits in the meantime.
    Busy {
        /// When the client should try again.
        retry_after: Duration,
    },
}

impl BodyFault {
    /// The [`Fault`] that a dialect presents for it.
    pub const fn fault(self) -> Fault {
        match self {
            Self::TooLarge => Fault::PayloadTooLarge,
            Self::Truncated => Fault::BadRequest("the request body is cut short or badly framed"),
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
        Self(Source::Buffered(Bytes::new()))
    }

    /// A body that is read from `incoming` under the time limits of `options`.
    pub(crate) fn streaming(
        incoming: Incoming,
        options: &ServerOptions,
        pace: Arc<Pace>,
        budget: &Arc<Budget>,
        network: Option<Network>,
    ) -> Self {
        Self(Source::Streaming(Streaming {
            incoming,
            total_timeout: options.body_timeout,
            stall_timeout: options.stall_timeout,
            ended: false,
            pace,
            budget: Arc::clone(budget),
            network,
            slot: Slot::free(),
        }))
    }

    /// Sets the permit that is lent to other requests while this one waits for its body.
    pub(crate) fn attach_slot(&mut self, slot: &Slot) {
        if let Source::Streaming(body) = &mut self.0 {
            body.slot = slot.clone();
        }
    }

    /// Whether the request has no body: its head announces none.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Source::Buffered(bytes) => bytes.is_empty(),
            Source::Streaming(body) => body.incoming.is_end_stream(),
        }
    }

    /// Reads the whole body, if it has at most `limit` bytes. A second call returns nothing.
    ///
    /// # Errors
    /// `TooLarge` as soon as that is certain, before the rest is read; `Truncated`; `TimedOut` when
    /// the client stalls or is too slow; `Busy` when the read had to wait for the client and other
    /// requests have taken every permit. Dropping the future loses what was read; the connection is
    /// then closed after the reply.
    pub async fn read(&mut self, limit: usize) -> Result<Bytes, BodyFault> {
        match &mut self.0 {
            Source::Buffered(bytes) if bytes.len() > limit => Err(BodyFault::TooLarge),
            Source::Buffered(bytes) => Ok(std::mem::take(bytes)),
            Source::Streaming(body) => body.read(limit).await,
        }
    }
}

impl Streaming {
    async fn read(&mut self, limit: usize) -> Result<Bytes, BodyFault> {
        if self.incoming.size_hint().lower() > limit as u64 {
            return Err(BodyFault::TooLarge);
        }
        let slot = self.slot.clone();
        let place = Arc::clone(self.pace.place());
        let mut reading = pin!(timeout(self.total_timeout, self.collect(limit)));
        // Most bodies have arrived already, and their requests keep their permit.
        if let Poll::Ready(read) = poll_once(reading.as_mut()).await {
            return read.unwrap_or(Err(BodyFault::TimedOut));
        }
        place.wait();
        let busy = BodyFault::Busy { retry_after: slot.retry_after() };
        let read = slot.lend_while(reading).await.ok_or(busy)?;
        let body = read.unwrap_or(Err(BodyFault::TimedOut))?;
        place.work();
        Ok(body)
    }

    async fn collect(&mut self, limit: usize) -> Result<Bytes, BodyFault> {
        let Some(first) = self.piece(limit).await? else { return Ok(Bytes::new()) };
        // Most bodies come in one piece, which then needs no copy.
        let Some(second) = self.piece(limit.saturating_sub(first.len())).await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::from(first);
        let mut next = Some(second);
        let (mut held, mut counted) = (None, UNCOUNTED);
        while let Some(piece) = next {
            whole.extend_from_slice(&piece);
            // The buffer grows by doubling: what it takes counts, not what is in it.
            let more = whole.capacity().saturating_sub(counted);
            if more > 0 {
                held.get_or_insert_with(|| self.budget.hold(self.network, self.pace.place(), 0))
                    .grow(more);
                counted = whole.capacity();
            }
            next = self.piece(limit.saturating_sub(whole.len())).await?;
        }
        Ok(whole.freeze())
    }

    /// The next piece, of at most `limit` bytes; trailers are dropped.
    async fn piece(&mut self, limit: usize) -> Result<Option<Bytes>, BodyFault> {
        loop {
            let frame = match timeout(self.stall_timeout, self.incoming.frame()).await {
                Err(_) => return Err(BodyFault::TimedOut),
                Ok(Some(frame)) => frame.map_err(|_| BodyFault::Truncated)?,
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
        Self(Source::Buffered(bytes.into()))
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
    async fn a_buffered_body_obeys_the_limit() {
        let mut body = Body::from("12345");
        assert_eq!(body.read(4).await, Err(BodyFault::TooLarge));
        assert_eq!(body.read(5).await, Ok(Bytes::from("12345")));
        assert_eq!(body.read(5).await, Ok(Bytes::new()));
    }
}
