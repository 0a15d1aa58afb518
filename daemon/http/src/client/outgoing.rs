//! Checks a request and puts it into the form in which it is sent.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use url::Position;

use super::destination::Origin;
use super::failure::{Failure, FailureCode};
use super::target::Target;

/// Headers that belong to the connection. A caller that set them could make the server read one
/// request as two (RFC 9112, 11.2), or address another host than the granted one.
const CONNECTION_HEADERS: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];
const PROXY_CONNECTION: &str = "proxy-connection";

/// The limit of a request's target and headers: more than servers accept.
const HEAD_BYTES: usize = 64 * 1024;

/// A request in the form in which it is sent, and its target.
pub(super) struct Outgoing<'a> {
    pub(super) target: &'a Target,
    pub(super) request: Request<Full<Bytes>>,
}

/// Checks `request` and finds its target among `targets`. A request without a `user-agent` gets
/// the given one.
pub(super) fn prepare<'a>(
    targets: &'a [Target],
    user_agent: &HeaderValue,
    request: Request<Bytes>,
) -> Result<Outgoing<'a>, Failure> {
    let (mut parts, body) = request.into_parts();
    let malformed = |text: &str| Failure::unsent(FailureCode::Malformed, text);
    let (origin, url) = Origin::of(&parts.uri.to_string()).ok_or_else(|| {
        malformed("the request has no absolute http or https URL, or one with a user name in it")
    })?;
    let target = targets.iter().find(|target| target.origin == origin).ok_or_else(not_granted)?;
    if parts.method == Method::CONNECT {
        return Err(malformed("tunnels are not supported"));
    }
    if let Some(name) = first_connection_header(&parts.headers) {
        return Err(malformed(&format!(
            "the header `{name}` belongs to the connection and cannot be set"
        )));
    }
    let path = &url[Position::BeforePath..Position::AfterQuery];
    if path.len() + header_bytes(&parts.headers) > HEAD_BYTES {
        return Err(malformed("the request's URL and headers are too large"));
    }
    parts.uri = path.parse::<Uri>().map_err(|_| malformed("the request's URL cannot be sent"))?;
    parts.version = http::Version::HTTP_11;
    parts.extensions.clear();
    let host = HeaderValue::try_from(target.origin.host_header())
        .map_err(|_| malformed("the request's host cannot be sent"))?;
    parts.headers.insert(header::HOST, host);
    parts.headers.entry(header::USER_AGENT).or_insert_with(|| user_agent.clone());
    Ok(Outgoing { target, request: Request::from_parts(parts, Full::new(body)) })
}

/// The failure does not name the requested place: that is the caller's text, and may contain what
/// must not be logged.
fn not_granted() -> Failure {
    let text = "the scheme, host and port of the request are not among the granted destinations";
    Failure::unsent(FailureCode::NotGranted, text)
}

fn first_connection_header(headers: &HeaderMap) -> Option<&str> {
    headers.keys().map(HeaderName::as_str).find(|name| {
        *name == PROXY_CONNECTION || CONNECTION_HEADERS.iter().any(|reserved| reserved == name)
    })
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}
