//! One request: checks it, takes its permit, calls the surface, sends the reply and logs it.

use std::sync::Arc;
use std::time::Instant;

use http::header::{HOST, ORIGIN, STRICT_TRANSPORT_SECURITY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use hyper::body::Incoming;
use tracing::Instrument;

use super::shared::Shared;
use crate::body::Body;
use crate::drain::Drain;
use crate::escape::Escaped;
use crate::fault::Fault;
use crate::hosts::HostPolicy;
use crate::layer;
use crate::listener::Peer;
use crate::pace::Pace;
use crate::reply::{Quiet, Reply};
use crate::request_id::RequestId;
use crate::surface::{Request, Surface};
use crate::upgrade::{Upgrade, Upgraded};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a browser keeps to TLS after an answer.
const A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// How many characters of a path, and of a method, are logged.
const PATH_CHARS: usize = 200;
const METHOD_CHARS: usize = 20;

/// Answers one request and logs the outcome. Never fails: a fault becomes a reply.
pub(super) async fn answer(
    mut incoming: http::Request<Incoming>,
    peer: &Peer,
    pace: &Arc<Pace>,
    shared: &Shared,
) -> Reply {
    let _turn = pace.begin();
    let id = RequestId::next();
    let surface = Arc::clone(shared.surfaces.find(incoming.uri().path()));
    let source = shared.options.trusted_proxies.source(peer, incoming.headers());
    let span = tracing::info_span!(
        "request",
        id = %id,
        client = %source,
        method = %Escaped { text: incoming.method().as_str(), limit: METHOD_CHARS },
        path = %Escaped { text: &surface.logged_path(incoming.uri().path()), limit: PATH_CHARS },
    );
    incoming.extensions_mut().insert(source);
    async {
        let begun = Instant::now();
        let mut reply = reply_to(incoming, &*surface, id, peer, pace, shared).await;
        if let Some(value) = id.header() {
            reply.headers_mut().insert(X_REQUEST_ID, value);
        }
        if shared.options.strict_transport {
            reply.headers_mut().insert(STRICT_TRANSPORT_SECURITY, A_YEAR);
        }
        log(&reply, begun);
        reply
    }
    .instrument(span)
    .await
}

/// The reply of the surface, or its wording of the fault that prevented one; begins the upgrade
/// that the reply asks for.
async fn reply_to(
    mut incoming: http::Request<Incoming>,
    surface: &dyn Surface,
    id: RequestId,
    peer: &Peer,
    pace: &Arc<Pace>,
    shared: &Shared,
) -> Reply {
    let on_upgrade = incoming
        .headers()
        .contains_key(http::header::UPGRADE)
        .then(|| hyper::upgrade::on(&mut incoming));
    let (parts, body) = incoming.into_parts();
    let body = Body::streaming(body, &shared.options, Arc::clone(pace));
    let origin = origin(&parts.headers);
    let mut reply = match call(parts, body, id, peer, shared, surface).await {
        Ok(reply) => reply,
        Err(fault) => layer::present(surface, fault, origin.as_ref()),
    };
    if let Some(on_upgrade) = on_upgrade {
        upgrade(&mut reply, on_upgrade, pace, &shared.drain);
    }
    reply
}

/// Calls the surface under a permit and a deadline.
async fn call(
    mut parts: Parts,
    mut body: Body,
    id: RequestId,
    peer: &Peer,
    shared: &Shared,
    surface: &dyn Surface,
) -> Result<Reply, Fault> {
    check(&parts, shared)?;
    let options = &shared.options;
    let slot = shared.slots.take().ok_or(Fault::Busy { retry_after: options.retry_after })?;
    parts.extensions.insert(id);
    parts.extensions.insert(peer.clone());
    parts.extensions.insert(slot.clone());
    body.attach_slot(&slot);
    // This clone counts the request even after the surface has dropped the extensions.
    let _slot = slot;
    layer::call(surface, Request::from_parts(parts, body), options.deadline).await
}

/// Checks what holds for every request, whatever its path.
fn check(parts: &Parts, shared: &Shared) -> Result<(), Fault> {
    if head_bytes(parts) > shared.options.head_bytes {
        return Err(Fault::HeadTooLarge);
    }
    // This server is no proxy and opens no tunnels; hyper would begin one on a success.
    if parts.method == Method::CONNECT {
        return Err(Fault::MethodNotAllowed { allow: "" });
    }
    let named = parts.uri.authority().map(|authority| authority.as_str());
    let host = host(&parts.headers)?;
    // RFC 9112, 3.2. Where names are listed, a missing one is refused below, like an unlisted one.
    if host.is_none()
        && parts.version == Version::HTTP_11
        && shared.options.hosts == HostPolicy::Any
    {
        return Err(Fault::BadRequest("the host header is missing"));
    }
    let hosts = &shared.options.hosts;
    // An absolute request target overrides the header, so both must be admitted.
    if named.is_some_and(|named| !hosts.admits(Some(named))) || !hosts.admits(host.or(named)) {
        return Err(Fault::UnknownHost);
    }
    Ok(())
}

/// The one `host` header. RFC 9112, 3.2: more than one is an error.
fn host(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    const BAD: Fault = Fault::BadRequest("the host header is repeated or unreadable");
    let mut all = headers.get_all(HOST).iter();
    let first = all.next();
    if all.next().is_some() {
        return Err(BAD);
    }
    first.map(|value| value.to_str().map_err(|_| BAD)).transpose()
}

/// The origin of the page that sent the request; `None` where several are named.
fn origin(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut all = headers.get_all(ORIGIN).iter();
    all.next().filter(|_| all.next().is_none()).cloned()
}

/// The size of the head as it was sent, without optional spaces.
fn head_bytes(parts: &Parts) -> usize {
    let target = parts.uri.path().len() + parts.uri.query().map_or(0, |query| query.len() + 1);
    let authority = parts.uri.authority().map_or(0, |authority| authority.as_str().len());
    let headers: usize =
        parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    parts.method.as_str().len() + authority + target + headers + "  HTTP/1.1\r\n\r\n".len()
}

/// Runs the upgrade handler of `reply`, if it has one, as a task of the drain.
fn upgrade(
    reply: &mut Reply,
    on_upgrade: hyper::upgrade::OnUpgrade,
    pace: &Arc<Pace>,
    drain: &Drain,
) {
    let Some(handler) =
        reply.extensions_mut().remove::<Upgrade>().and_then(|upgrade| upgrade.take())
    else {
        return;
    };
    pace.mark_upgraded();
    let draining = drain.watch();
    drain.spawn("upgraded connection", async move {
        match on_upgrade.await {
            Ok(connection) => handler(Upgraded::new(connection, draining)).await,
            Err(error) => tracing::debug!(%error, "an upgrade did not come about"),
        }
    });
}

fn log(reply: &Reply, begun: Instant) {
    let status = reply.status().as_u16();
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    if reply.extensions().get::<Quiet>().is_some() {
        tracing::debug!(status, micros, "request answered");
    } else {
        tracing::info!(status, micros, "request answered");
    }
}
