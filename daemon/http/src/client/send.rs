//! One request out, one answer in.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::destination::Target;
use super::outgoing::{self, Outgoing};
use super::pool::Connection;
use super::{CallLimits, Failure, FailureCode, Inner, connect, tls};

/// See [`Client::send`](super::Client::send).
pub(super) async fn send(
    client: &Inner,
    request: Request<Bytes>,
    limits: CallLimits,
) -> Result<Response<Bytes>, Failure> {
    let _permit = permit(client)?;
    let outgoing = outgoing::prepare(client, request)?;
    let target = outgoing.target;
    let sent = AtomicBool::new(false);
    let exchange = exchange(client, outgoing, limits.max_response_bytes, &sent);
    timeout(limits.deadline, exchange).await.unwrap_or_else(|_| {
        let text = format!("{} did not answer in time", target.origin);
        let failure = Failure::unsent(FailureCode::Timeout, text);
        Err(Failure { sent: sent.load(Ordering::Relaxed), ..failure })
    })
}

fn permit(client: &Inner) -> Result<Option<OwnedSemaphorePermit>, Failure> {
    let Some(places) = &client.in_flight else { return Ok(None) };
    match places.clone().try_acquire_owned() {
        Ok(permit) => Ok(Some(permit)),
        Err(_) => {
            Err(Failure::unsent(FailureCode::TooMany, "too many requests are under way already"))
        }
    }
}

async fn exchange(
    client: &Inner,
    outgoing: Outgoing<'_>,
    limit: usize,
    sent: &AtomicBool,
) -> Result<Response<Bytes>, Failure> {
    let target = outgoing.target;
    let (response, connection) = deliver(client, outgoing, sent).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let text =
            format!("{} switched to another protocol, which nobody asked for", target.origin);
        return Err(Failure::sent(FailureCode::Malformed, text));
    }
    let (mut parts, body) = response.into_parts();
    let body = collect(target, body, limit).await?;
    parts.extensions.clear();
    target.pool.put(connection);
    Ok(Response::from_parts(parts, body))
}

/// Sends over a waiting connection, or a new one. A waiting one may turn out to be dead; as long as
/// nothing of the request has been written to it, the next one is tried, and the last of all is a
/// new one.
async fn deliver(
    client: &Inner,
    outgoing: Outgoing<'_>,
    sent: &AtomicBool,
) -> Result<(Response<Incoming>, Connection), Failure> {
    let Outgoing { target, mut request } = outgoing;
    while let Some(mut connection) = target.pool.take() {
        match attempt(target, &mut connection, request, sent).await {
            Ok(response) => return Ok((response, connection)),
            Err(Attempt::Unwritten(returned)) => request = *returned,
            Err(Attempt::Failed(failure)) => return Err(failure),
        }
    }
    let mut connection = connect::connect(client, target).await?;
    match attempt(target, &mut connection, request, sent).await {
        Ok(response) => Ok((response, connection)),
        Err(Attempt::Failed(failure)) => Err(failure),
        Err(Attempt::Unwritten(_)) => Err(Failure::unsent(
            FailureCode::Connect,
            format!("{} closed the connection", target.origin),
        )),
    }
}

/// How sending over one connection ended without an answer.
enum Attempt {
    /// Nothing was written; here it is again.
    Unwritten(Box<Request<Full<Bytes>>>),
    Failed(Failure),
}

async fn attempt(
    target: &Target,
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
    sent: &AtomicBool,
) -> Result<Response<Incoming>, Attempt> {
    sent.store(true, Ordering::Relaxed);
    connection.try_send_request(request).await.map_err(|mut error| match error.take_message() {
        Some(request) => {
            sent.store(false, Ordering::Relaxed);
            Attempt::Unwritten(Box::new(request))
        }
        None => Attempt::Failed(broken(target, error.error())),
    })
}

/// The body of an answer, if it is small enough.
async fn collect(target: &Target, mut body: Incoming, limit: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        let text = format!("the answer of {} is larger than {limit} bytes", target.origin);
        Failure::sent(FailureCode::TooLarge, text)
    };
    // What the head of a HEAD's answer promises does not come; then this is zero.
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

/// A connection that failed after the request had gone out. hyper's text may quote the answer, so
/// it is not used.
fn broken(target: &Target, error: &hyper::Error) -> Failure {
    if error.is_parse() || error.is_parse_status() || error.is_parse_too_large() {
        let text = format!("the answer of {} is no valid HTTP", target.origin);
        return Failure::sent(FailureCode::Malformed, text);
    }
    // With TLS 1.3 a server that does not want our certificate says so only after we have spoken.
    if let Some(error) = tls::inside(error) {
        return Failure::sent(
            FailureCode::Tls,
            format!("{} broke off: {}", target.origin, tls::explain(error)),
        );
    }
    let text = format!("the connection to {} broke before the answer was complete", target.origin);
    Failure::sent(FailureCode::Connect, text)
}
