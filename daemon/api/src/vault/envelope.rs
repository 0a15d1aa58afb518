//! The envelope of every JSON answer of the dialect (`daemon/dialects/vault.md`, "Envelope").

use credsmith_core::paging::Page;
use credsmith_http::{Reply, ReplyBody};
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

/// A success.
#[derive(Serialize)]
pub(super) struct Success<'a, T> {
    pub(super) status: u16,
    pub(super) message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pagination: Option<Pagination>,
    pub(super) successful: bool,
}

/// The position of a page in its list.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pagination {
    /// `null` on the first page.
    previous_page: Option<usize>,
    current_page: usize,
    /// `null` on the last page and beyond.
    next_page: Option<usize>,
    total_pages: usize,
    total_records: usize,
    /// How many records this page has.
    listed_records: usize,
}

impl<T> From<&Page<T>> for Pagination {
    fn from(page: &Page<T>) -> Self {
        Self {
            previous_page: page.previous(),
            current_page: page.paging.page(),
            next_page: page.next(),
            total_pages: page.total_pages(),
            total_records: page.total,
            listed_records: page.items.len(),
        }
    }
}

/// `body` as an answer that no browser takes for anything but JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    // Text and numbers under string keys always encode; every test would notice an empty body.
    let body = serde_json::to_vec(body).unwrap_or_default();
    // A buffer that grew by doubling is up to twice as large as its text: a list that its client
    // reads slowly would hold that.
    let mut reply = ReplyBody::json(status, body.into_boxed_slice());
    reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// Marks `reply` so that no cache keeps it.
pub(super) fn no_store(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
