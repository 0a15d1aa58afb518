//! `/openapi.json`: what the dialects for clients serve, as an OpenAPI 3.1 document, generated from
//! their route tables and from the types that write their answers. The operators' surface is not in
//! it: it has no clients.
//!
//! `document` assembles the document, `vault` and `watts` translate rows with the helpers of
//! `parts`, `schemas` collects the schemas that types derive.

#[cfg(test)]
pub(crate) mod conformance;
mod document;
mod parts;
mod schemas;
#[cfg(test)]
mod tests;
mod vault;
mod watts;

use credsmith_http::{Bytes, Fault, Reply, ReplyBody, Request, Surface};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;

/// Where it is served.
pub const PATH: &str = "/openapi.json";

/// The surface that serves the document.
pub struct OpenApi {
    document: Bytes,
}

impl OpenApi {
    /// A surface with the document of a daemon of this `version`, whose clients reach it under
    /// `public_url`.
    pub fn new(public_url: &str, version: &str) -> Self {
        Self { document: document(public_url, version).to_string().into() }
    }

    fn answer(&self, request: &Request) -> Reply {
        if request.uri().path() != PATH {
            return self.fault(Fault::NotFound);
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return self.fault(Fault::MethodNotAllowed { allow: "GET, HEAD" });
        }
        let mut reply = ReplyBody::json(StatusCode::OK, self.document.clone());
        reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        reply
    }
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
pub fn document(public_url: &str, version: &str) -> Value {
    document::of(public_url, version)
}
