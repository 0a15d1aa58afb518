//! `/openapi.json`: what the dialects for clients serve, as an OpenAPI 3.1 document, generated from
//! their route tables and from the types that write their answers. The operators' surface is not in
//! it: it has no clients.
//!
//! `document` assembles the document, `vault` and `watts` translate rows with the helpers of
//! `parts`, `schemas` collects the schemas that types derive, `properties` says what their keys
//! mean, `examples` makes examples of them.

#[cfg(test)]
pub(crate) mod conformance;
mod document;
mod examples;
mod parts;
mod properties;
mod schemas;
#[cfg(test)]
mod tests;
mod vault;
mod watts;

use std::io::Write as _;

use credsmith_http::{Bytes, Fault, Reply, ReplyBody, Request, Surface};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Where it is served.
pub const PATH: &str = "/openapi.json";

/// The dialects that a document describes: those that the daemon serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documented {
    /// WaTTS alone; the vault is not configured.
    Watts,
    /// Both.
    All,
}

/// The surface that serves the document.
pub struct OpenApi {
    document: Bytes,
    compressed: Bytes,
    tag: HeaderValue,
}

impl OpenApi {
    /// A surface with the document of a daemon of this `version`, whose clients reach it under
    /// `public_url`.
    pub fn new(public_url: &str, version: &str, surfaces: Documented) -> Self {
        let document = document(public_url, version, surfaces).to_string();
        let digest = Sha256::digest(document.as_bytes());
        let tag = format!("\"{}\"", hex::encode(digest.get(..16).unwrap_or_default()));
        Self {
            compressed: gzip(document.as_bytes()).into(),
            document: document.into(),
            // Hexadecimal digits in quotes are always a header value.
            tag: HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }

    fn answer(&self, request: &Request) -> Reply {
        if request.uri().path() != PATH {
            return self.fault(Fault::NotFound);
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return self.fault(Fault::MethodNotAllowed { allow: "GET, HEAD" });
        }
        let mut reply = if self.is_known_to(request) {
            ReplyBody::typed(StatusCode::NOT_MODIFIED, JSON, Bytes::new())
        } else if takes_gzip(request) {
            let mut reply = ReplyBody::typed(StatusCode::OK, JSON, self.compressed.clone());
            reply.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            reply
        } else {
            ReplyBody::typed(StatusCode::OK, JSON, self.document.clone())
        };
        reply.headers_mut().extend([
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (ETAG, self.tag.clone()),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (VARY, HeaderValue::from_static("accept-encoding")),
        ]);
        reply
    }

    /// Whether the client has this very document (RFC 9110, section 13.1.2).
    fn is_known_to(&self, request: &Request) -> bool {
        let tags = request.headers().get_all(IF_NONE_MATCH).iter();
        let mut tags =
            tags.filter_map(|value| value.to_str().ok()).flat_map(|tags| tags.split(','));
        let ours = self.tag.to_str().unwrap_or_default();
        tags.any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == ours
        })
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Whether the client names gzip, and does not give it the weight 0 (RFC 9110, section 12.5.3).
fn takes_gzip(request: &Request) -> bool {
    let values = request.headers().get_all(ACCEPT_ENCODING).iter();
    let mut codings = values.filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f32>().ok());
        is_gzip && weight.unwrap_or(1.0) > 0.0
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let _written = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

impl Surface for OpenApi {
    fn call(&self, request: Request) -> BoxFuture<'_, Reply> {
        async move { self.answer(&request) }.boxed()
    }

    fn fault(&self, fault: Fault) -> Reply {
        crate::vault::present_fault(fault)
    }
}

/// The document.
pub fn document(public_url: &str, version: &str, surfaces: Documented) -> Value {
    document::of(public_url, version, surfaces)
}
