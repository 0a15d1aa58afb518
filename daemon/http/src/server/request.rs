//! One request: checks it, takes its permit, calls the surface, sends the reply and logs it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HOST, ORIGIN, STRICT_TRANSPORT_SECURITY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use hyper::body::Incoming;
use tracing::Instrument;

use super::shared::Shared;
use crate::body::Body;
use crate::escape::Escaped;
use crate::fault::Fault;
use crate::hosts::HostPolicy;
use crate::layer;
use crate::listener::Peer;
use crate::pace::Pace;
use crate::reply::{Quiet, Reply};
use crate::request_id::RequestId;
use crate::shares::{BURST, Connection, Network};
use crate::surface::{Request, Surface};
use crate::upgrade::{Upgrade, Upgraded};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Draft "RateLimit header fields for HTTP" of the IETF (draft-ietf-httpapi-ratelimit-headers).
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Replies of so many bytes do not count as unread: the buffers of a connection hold as much.
const UNCOUNTED: usize = 16 * 1024;

/// How long a browser keeps to TLS after an answer.
const A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// How many characters of a path, and of a method, are logged.
const PATH_CHARS: usize = 200;
const METHOD_CHARS: usize = 20;

/// The connection that a request came on.
pub(super) struct On {
    pub(super) peer: Arc<Peer>,
    pub(super) pace: Arc<Pace>,
    pub(super) connection: Arc<Connection>,
    pub(super) shared: Arc<Shared>,
}

/// Answers one request and logs the outcome. Never fails: a fault becomes a reply.
pub(super) async fn answer(mut incoming: http::Request<Incoming>, on: &On) -> Reply {
    let _turn = on.pace.begin();
    let id = RequestId::next();
    take_base_off(incoming.uri_mut(), &on.shared.options.base_path);
    let surface = Arc::clone(on.shared.surfaces.find(incoming.uri().path()));
    let source = on.shared.options.trusted_proxies.source(&on.peer, incoming.headers());
    let client = source.address;
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
        let mut reply = reply_to(incoming, &*surface, id, client, on).await;
        count_as_unread(&mut reply, client, on);
        if let Some(value) = id.header() {
            reply.headers_mut().insert(X_REQUEST_ID, value);
        }
        if on.shared.options.strict_transport {
            reply.headers_mut().insert(STRICT_TRANSPORT_SECURITY, A_YEAR);
        }
        log(&reply, begun);
        reply
    }
    .instrument(span)
    .await
}

/// Takes `base`, below which all paths lie in front of a proxy, off the path of a request, if the
/// proxy has not done so. `base` begins with a slash and does not end with one, or is empty.
fn take_base_off(uri: &mut http::Uri, base: &str) {
    let Some(rest) = uri.path().strip_prefix(base).filter(|_| !base.is_empty()) else { return };
    if !rest.is_empty() && !rest.starts_with('/') {
        return;
    }
    let path = if rest.is_empty() { "/" } else { rest };
    let whole = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = std::mem::take(uri).into_parts();
    // A part of a valid path that begins with a slash is one, too.
    parts.path_and_query = whole.parse().ok().or(parts.path_and_query);
    *uri = http::Uri::from_parts(parts).unwrap_or_default();
}

/// The reply of the surface, or its wording of the fault that prevented one; begins the upgrade
/// that the reply asks for.
async fn reply_to(
    mut incoming: http::Request<Incoming>,
    surface: &dyn Surface,
    id: RequestId,
    client: Option<IpAddr>,
    on: &On,
) -> Reply {
    let On { pace, shared, .. } = on;
    let on_upgrade = incoming
        .headers()
        .contains_key(http::header::UPGRADE)
        .then(|| hyper::upgrade::on(&mut incoming));
    let (parts, body) = incoming.into_parts();
    let network = client.map(Network::from);
    let body = Body::streaming(body, &shared.options, Arc::clone(pace), &shared.bodies, network);
    let origin = origin(&parts.headers);
    let mut reply = match call(parts, body, id, client, on, surface).await {
        Ok(reply) => reply,
        Err(fault) => {
            let mut reply = layer::present(surface, fault, origin.as_ref());
            reply.headers_mut().extend(rate_headers(fault, shared));
            reply
        }
    };
    if let Some(on_upgrade) = on_upgrade {
        upgrade(&mut reply, on_upgrade, on);
    }
    reply
}

/// Counts what the client has to read, and until when it has to have read it.
fn count_as_unread(reply: &mut Reply, client: Option<IpAddr>, on: &On) {
    let bytes = reply.body().bytes().len();
    on.pace.limit_reading(bytes);
    if bytes > UNCOUNTED {
        let network = client.map(Network::from);
        let held = on.shared.replies.hold(network, on.connection.place(), bytes);
        reply.body_mut().hold(held);
    }
}

/// Counts the request of `client` in its share of requests in a second.
fn count(client: Option<IpAddr>, shared: &Shared) -> Result<(), Fault> {
    let (Some(rate), Some(client)) = (&shared.rate, client) else { return Ok(()) };
    if client.to_canonical().is_loopback() && !shared.options.limit_loopback {
        return Ok(());
    }
    let counted = rate.take(client.into());
    counted.map_err(|wait| Fault::TooManyRequests { retry_after: whole_seconds(wait) })
}

/// `time`, rounded up.
fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

/// What a refusal for too many requests says about the limit.
fn rate_headers(fault: Fault, shared: &Shared) -> Vec<(HeaderName, HeaderValue)> {
    let (Fault::TooManyRequests { retry_after }, Some(rate)) = (fault, &shared.rate) else {
        return Vec::new();
    };
    let most = u64::from(rate.per_second()) * u64::from(BURST);
    let values = [
        (RATELIMIT_POLICY, format!("\"address\";q={most};w={BURST}")),
        (RATELIMIT, format!("\"address\";r=0;t={}", retry_after.as_secs().max(1))),
    ];
    let header = |(name, value)| Some((name, HeaderValue::try_from(value).ok()?));
    values.into_iter().filter_map(header).collect()
}

/// Calls the surface under a permit and a deadline.
async fn call(
    mut parts: Parts,
    mut body: Body,
    id: RequestId,
    client: Option<IpAddr>,
    on: &On,
    surface: &dyn Surface,
) -> Result<Reply, Fault> {
    let shared = &*on.shared;
    check(&parts, shared)?;
    count(client, shared)?;
    let options = &shared.options;
    let slot = shared.slots.take().ok_or(Fault::Busy { retry_after: options.retry_after })?;
    parts.extensions.insert(id);
    parts.extensions.insert(Peer::clone(&on.peer));
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
fn upgrade(reply: &mut Reply, on_upgrade: hyper::upgrade::OnUpgrade, on: &On) {
    let Some(handler) =
        reply.extensions_mut().remove::<Upgrade>().and_then(|upgrade| upgrade.take())
    else {
        return;
    };
    on.pace.mark_upgraded();
    on.connection.leave();
    let drain = &on.shared.drain;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_public_address_is_served_as_such() {
        for (base, sent, served) in [
            ("", "/api/v2/info?x=1", "/api/v2/info?x=1"),
            ("/watts", "/watts/api/v2/info?x=1", "/api/v2/info?x=1"),
            ("/watts", "/watts", "/"),
            ("/watts", "/watts?x", "/?x"),
            ("/watts", "/watts/", "/"),
            ("/watts", "/api/v2/info", "/api/v2/info"),
            ("/watts", "/wattson/api", "/wattson/api"),
            ("/watts", "/watts/watts/api", "/watts/api"),
            ("/a/b", "/a/b/v1/teapot", "/v1/teapot"),
            ("/a/b", "/a/c", "/a/c"),
            ("/watts", "http://h/watts/v1?y", "http://h/v1?y"),
            ("/watts", "*", "*"),
        ] {
            let mut uri: http::Uri = sent.parse().unwrap();
            take_base_off(&mut uri, base);
            assert_eq!(uri.to_string(), served, "{base} {sent}");
        }
    }
}
