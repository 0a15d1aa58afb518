//! Sends one request and reads its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connect::Connector;
use super::failure::{Failure, FailureCode};
use super::outgoing::{self, Outgoing};
use super::pool::Connection;
use super::target::Target;
use super::tls;

/// The limits of one call.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// From the call to the last byte of the answer.
    pub deadline: Duration,
    /// Bytes of the answer's body.
    pub max_response_bytes: usize,
}

/// Whether a request has left, for a caller that may stop waiting for its answer. Put one into the
/// extensions of the request.
#[derive(Debug, Clone, Default)]
pub struct SentMark(Arc<AtomicU8>);

impl SentMark {
    const UNSENT: u8 = 0;
    const SENT: u8 = 1;
    const CLOSED: u8 = 2;

    /// Whether something of the request may have been written. From now on nothing of it is written
    /// that was not: the answer stays true.
    pub fn close(&self) -> bool {
        let Self(mark) = self;
        mark.compare_exchange(Self::UNSENT, Self::CLOSED, Ordering::AcqRel, Ordering::Acquire)
            == Err(Self::SENT)
    }

    fn is_sent(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::SENT
    }

    /// Marks the request as sent, before it is written; false where it must not be written any
    /// more.
    fn begin(&self) -> bool {
        let Self(mark) = self;
        mark.compare_exchange(Self::UNSENT, Self::SENT, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Nothing was written after all.
    fn take_back(&self) {
        let Self(mark) = self;
        let _ =
            mark.compare_exchange(Self::SENT, Self::UNSENT, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// The state that the clones of a client share.
pub(super) struct Inner {
    pub(super) targets: Vec<Target>,
    pub(super) user_agent: HeaderValue,
    pub(super) connector: Connector,
    pub(super) in_flight: Option<Arc<Semaphore>>,
}

impl Inner {
    /// See [`Client::send`](super::Client::send).
    pub(super) async fn send(
        &self,
        request: Request<Bytes>,
        limits: CallLimits,
    ) -> Result<Response<Bytes>, Failure> {
        let _permit = self.permit()?;
        let sent = request.extensions().get::<SentMark>().cloned().unwrap_or_default();
        let outgoing = outgoing::prepare(&self.targets, &self.user_agent, request)?;
        let target = outgoing.target;
        let exchange = self.exchange(outgoing, limits.max_response_bytes, &sent);
        timeout(limits.deadline, exchange).await.unwrap_or_else(|_| {
            let text = format!("{} did not answer in time", target.origin);
            let failure = Failure::unsent(FailureCode::Timeout, text);
            Err(Failure { sent: sent.is_sent(), ..failure })
        })
    }

    fn permit(&self) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        let Some(permits) = &self.in_flight else { return Ok(None) };
        let permit = permits.clone().try_acquire_owned().map_err(|_| {
            Failure::unsent(FailureCode::TooMany, "too many requests are under way already")
        })?;
        Ok(Some(permit))
    }

    async fn exchange(
        &self,
        outgoing: Outgoing<'_>,
        limit: usize,
        sent: &SentMark,
    ) -> Result<Response<Bytes>, Failure> {
        let target = outgoing.target;
        let (response, connection) = self.deliver(outgoing, sent).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let text = format!("{} switched to another protocol without a request", target.origin);
            return Err(Failure::sent(FailureCode::Malformed, text));
        }
        let (mut parts, body) = response.into_parts();
        let body = collect(target, body, limit).await?;
        parts.extensions.clear();
        target.pool.put(connection);
        Ok(Response::from_parts(parts, body))
    }

    /// Sends over an idle connection, or a new one. An idle one may turn out to be dead; as long as
    /// nothing of the request has been written to it, the next one is tried, and finally a new one.
    async fn deliver(
        &self,
        outgoing: Outgoing<'_>,
        sent: &SentMark,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        let Outgoing { target, mut request } = outgoing;
        while let Some(mut connection) = target.pool.take() {
            match attempt(target, &mut connection, request, sent).await {
                Ok(response) => return Ok((response, connection)),
                Err(Attempt::Unwritten(returned)) => request = *returned,
                Err(Attempt::Failed(failure)) => return Err(failure),
            }
        }
        let mut connection = self.connector.connect(target).await?;
        match attempt(target, &mut connection, request, sent).await {
            Ok(response) => Ok((response, connection)),
            Err(Attempt::Failed(failure)) => Err(failure),
            Err(Attempt::Unwritten(_)) => Err(Failure::closed(&target.origin)),
        }
    }
}

/// How sending over one connection ended without an answer.
enum Attempt {
    /// Nothing of the request was written; it is returned.
    Unwritten(Box<Request<Full<Bytes>>>),
    Failed(Failure),
}

async fn attempt(
    target: &Target,
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
    sent: &SentMark,
) -> Result<Response<Incoming>, Attempt> {
    if !sent.begin() {
        let text = format!("the request to {} was given up before it was sent", target.origin);
        return Err(Attempt::Failed(Failure::unsent(FailureCode::Timeout, text)));
    }
    connection.try_send_request(request).await.map_err(|mut error| match error.take_message() {
        Some(request) => {
            sent.take_back();
            Attempt::Unwritten(Box::new(request))
        }
        None => Attempt::Failed(broken(target, error.error())),
    })
}

/// Reads the body of an answer, up to `limit` bytes.
async fn collect(target: &Target, mut body: Incoming, limit: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        let text = format!("the answer of {} is larger than {limit} bytes", target.origin);
        Failure::sent(FailureCode::TooLarge, text)
    };
    // The answer to HEAD announces a body that is not sent; hyper reports zero then.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(target, &error))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit.saturating_sub(whole.len()) {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The failure of a connection after the request was sent. hyper's text may quote the answer, so it
/// is not used.
fn broken(target: &Target, error: &hyper::Error) -> Failure {
    if error.is_parse() || error.is_parse_status() || error.is_parse_too_large() {
        let text = format!("the answer of {} is no valid HTTP", target.origin);
        return Failure::sent(FailureCode::Malformed, text);
    }
    // With TLS 1.3 a server reports that it refuses the client certificate only after the
    // handshake.
    if let Some(error) = tls::find_error(error) {
        return Failure::sent(
            FailureCode::Tls,
            format!("{} broke off: {}", target.origin, tls::describe(error)),
        );
    }
    let text = format!("the connection to {} broke before the answer was complete", target.origin);
    Failure::sent(FailureCode::Connect, text)
}
