//! The shapes of answers that several endpoints share.

use credsmith_http::{HeaderName, HeaderValue, Reply, ReplyBody, StatusCode, header};
use serde_json::{Value, json};

/// `body` as JSON that nobody keeps: it holds a token or speaks of a user.
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
