//! The shapes of answers that several endpoints share.

use credsmith_http::{Fault, HeaderName, HeaderValue, Reply, ReplyBody, StatusCode, header};
use serde_json::{Value, json};

/// `body` as JSON that no cache may keep: it contains a token or data of a user.
pub(crate) fn private_json(status: StatusCode, body: &Value) -> Reply {
    no_store(ReplyBody::json(status, body.to_string()))
}

/// An error of RFC 6749 section 5.2 and of its relatives.
pub(crate) fn error(status: StatusCode, code: &'static str, description: &str) -> Reply {
    private_json(status, &json!({ "error": code, "error_description": description }))
}

/// `reply` with a header of fixed value.
pub(crate) fn with(mut reply: Reply, name: HeaderName, value: &'static str) -> Reply {
    reply.headers_mut().insert(name, HeaderValue::from_static(value));
    reply
}

/// `reply`, not to be kept by any cache.
pub(crate) fn no_store(reply: Reply) -> Reply {
    with(reply, header::CACHE_CONTROL, "no-store")
}

/// A fault of HTTP as JSON in the shape of an OAuth error.
pub(crate) fn fault(fault: Fault) -> Reply {
    let body = json!({ "error": "invalid_request", "error_description": fault.sentence() });
    let mut reply = harden(private_json(fault.status(), &body));
    if let Some(allow) = fault.allow() {
        reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if let Some(seconds) = fault.retry_after() {
        reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    reply
}

/// Adds the headers that keep browsers from guessing the type of an answer, from framing it, and
/// from naming its address in a `referer`.
pub(crate) fn harden(reply: Reply) -> Reply {
    let reply = with(reply, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let reply = with(reply, header::X_FRAME_OPTIONS, "DENY");
    with(reply, header::REFERRER_POLICY, "no-referrer")
}
