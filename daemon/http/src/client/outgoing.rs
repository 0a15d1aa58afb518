//! A request, checked and put into the form in which it is sent.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use url::Position;

use super::destination::{Origin, Target};
use super::{Failure, FailureCode, Inner};

/// Headers that belong to the connection. A caller that set them could make one request look like
/// two to the server (RFC 9112, 11.2), or talk to another host than the one it was granted.
const OURS: [HeaderName; 11] = [
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

/// The most that a request's target and headers may take: more than servers accept.
const HEAD_BYTES: usize = 64 * 1024;

/// A request in the form that goes over the wire, and where to.
pub(super) struct Outgoing<'a> {
    pub(super) target: &'a Target,
    pub(super) request: Request<Full<Bytes>>,
}

/// Checks `request` and addresses it.
pub(super) fn prepare(client: &Inner, request: Request<Bytes>) -> Result<Outgoing<'_>, Failure> {
    let (mut parts, body) = request.into_parts();
    let malformed = |text: &str| Failure::unsent(FailureCode::Malformed, text);
    let (origin, url) = Origin::of(&parts.uri.to_string()).ok_or_else(|| {
        malformed("the request has no absolute http or https URL, or one with a user name in it")
    })?;
    let target =
        client.targets.iter().find(|target| target.origin == origin).ok_or_else(not_granted)?;
    if parts.method == Method::CONNECT {
        return Err(malformed("tunnels are not supported"));
    }
    if let Some(name) = first_of_ours(&parts.headers) {
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
    parts.headers.entry(header::USER_AGENT).or_insert_with(|| client.user_agent.clone());
    Ok(Outgoing { target, request: Request::from_parts(parts, Full::new(body)) })
}

/// The place that was asked for is not named: it is the caller's text, and may hold what must not
/// be logged.
fn not_granted() -> Failure {
    let text = "the scheme, host and port of the request are not among the granted destinations";
    Failure::unsent(FailureCode::NotGranted, text)
}

fn first_of_ours(headers: &HeaderMap) -> Option<&str> {
    headers
        .keys()
        .map(HeaderName::as_str)
        .find(|name| *name == PROXY_CONNECTION || OURS.iter().any(|ours| ours == name))
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}
