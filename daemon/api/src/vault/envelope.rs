//! What every JSON answer of the dialect is wrapped in (`spec/ttscm.md`, "Envelope").

use credsmith_http::{Reply, ReplyBody};
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::query::Paging;

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

/// Where in a list a page is.
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
    /// How many there are on this page.
    listed_records: usize,
}

impl Pagination {
    /// That of a page on which `listed` of `total` records are.
    pub(super) fn new(paging: &Paging, listed: usize, total: usize) -> Self {
        let pages = total.div_ceil(paging.rpp.max(1));
        Self {
            previous_page: Some((paging.page - 1).min(pages)).filter(|page| *page > 0),
            current_page: paging.page,
            next_page: (paging.page < pages).then(|| paging.page + 1),
            total_pages: pages,
            total_records: total,
            listed_records: listed,
        }
    }
}

/// `body` as an answer, which no browser takes for anything else than JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    // Text and numbers under string keys always encode; an empty body would be seen by every test.
    let mut reply = ReplyBody::json(status, serde_json::to_vec(body).unwrap_or_default());
    reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// `reply`, which nobody may keep.
pub(super) fn no_store(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    /// previous, next, total pages
    fn pages(page: usize, rpp: usize, total: usize) -> (Option<usize>, Option<usize>, usize) {
        let pagination = Pagination::new(&Paging { page, rpp, search: None }, 0, total);
        (pagination.previous_page, pagination.next_page, pagination.total_pages)
    }

    #[test]
    fn pages_know_their_neighbours() {
        assert_eq!(pages(1, 30, 300), (None, Some(2), 10));
        assert_eq!(pages(2, 30, 300), (Some(1), Some(3), 10));
        assert_eq!(pages(10, 30, 300), (Some(9), None, 10));
        assert_eq!(pages(11, 30, 300), (Some(10), None, 10));
        assert_eq!(pages(99, 30, 300), (Some(10), None, 10), "beyond the end, back to the last");
        assert_eq!(pages(1, 30, 301).2, 11);
        assert_eq!(pages(1, 30, 0), (None, None, 0));
        assert_eq!(pages(5, 30, 0), (None, None, 0), "there is no page to go back to");
        assert_eq!(pages(usize::MAX, 1, usize::MAX), (Some(usize::MAX - 1), None, usize::MAX));
    }
}
