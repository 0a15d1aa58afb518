//! The context of a handler: it pulls the parts of a request that it needs, nothing is injected.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use credsmith_core::Error;
use credsmith_core::caller::{Client, Member};
use credsmith_core::ids::InvalidId;
use credsmith_core::paging::Page;
use credsmith_http::{Fault, Handshake, ReplyBody, Slot, Source};
use http::header::{CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, Method, StatusCode, request};
use serde::Serialize;

use super::body::Body;
use super::envelope::{self, Pagination, Success};
use super::query::Query;
use super::refuse::{Outcome, Refusal};
use super::{App, Core, tag};
use crate::client::client;
use crate::docs::BodyType;
use crate::negotiate::{self, ContentType};

/// Largest body in bytes; 413 beyond.
const MAX_BODY: usize = 1024 * 1024;
/// Largest form in bytes.
const MAX_FORM: usize = 4 * 1024;

/// The bytes of a body, or the fault of its transmission. The fault is reported when the handler
/// asks for the body, since rights are checked first.
pub(super) type Received = Result<Bytes, Refusal>;

/// Reads a body of this type.
///
/// # Errors
/// 415, 413 in this order, and the faults of a body's transmission.
pub(super) async fn receive(
    wanted: BodyType,
    headers: &HeaderMap,
    body: &mut credsmith_http::Body,
) -> Received {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_wanted = |one: &[u8]| match wanted {
        BodyType::Json => negotiate::content_type(one) == ContentType::Json,
        BodyType::Form => negotiate::names(one, wanted.media_type()),
    };
    let fits = types.next().is_some_and(|one| is_wanted(one.as_bytes()) && types.next().is_none());
    if !fits {
        return Err(Fault::UnsupportedMediaType.into());
    }
    let most = match wanted {
        BodyType::Json => MAX_BODY,
        BodyType::Form => MAX_FORM,
    };
    Ok(body.read(most).await.map_err(Fault::from)?)
}

/// The parameters of a path, decoded, under the names that the row gives them.
pub(super) type Params = Vec<(&'static str, String)>;

/// The part of a row that its handler uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// The path with its parameters in braces.
    pub(super) path: &'static str,
    /// Status and message of the envelope that a success is answered with.
    pub(super) success: Option<(StatusCode, &'static str)>,
}

/// An admitted request.
pub(super) struct Cx {
    app: Arc<App>,
    row: Row,
    member: Option<Member>,
    params: Params,
    parts: request::Parts,
    sent: Option<Received>,
}

impl Cx {
    pub(super) fn new(
        app: Arc<App>,
        row: Row,
        member: Option<Member>,
        params: Params,
        parts: request::Parts,
        sent: Option<Received>,
    ) -> Self {
        Self { app, row, member, params, parts, sent }
    }

    /// The use-cases of core.
    pub(super) fn core(&self) -> &Core {
        &self.app.core
    }

    /// The caller.
    ///
    /// # Errors
    /// A 401 at a public route, whose callers are not authenticated.
    pub(super) fn member(&self) -> Result<&Member, Refusal> {
        self.member.as_ref().ok_or(Refusal::NoToken)
    }

    /// A parameter of the path, decoded.
    ///
    /// # Errors
    /// A 500 for a name that the row does not have.
    pub(super) fn param(&self, name: &str) -> Result<&str, Refusal> {
        let param = self.params.iter().find(|(own, _)| *own == name);
        param.map(|(_, value)| value.as_str()).ok_or_else(|| {
            Error::internal(format!("{} has no parameter `{name}`", self.row.path)).into()
        })
    }

    /// A parameter of the path that is an id: `cx.id("id", CredentialId::parse)`.
    ///
    /// # Errors
    /// A 404 for a value that has not the form of an id.
    pub(super) fn id<T>(
        &self,
        name: &str,
        parse: fn(&str) -> Result<T, InvalidId>,
    ) -> Result<T, Refusal> {
        parse(self.param(name)?).map_err(|_| Refusal::NotFound)
    }

    /// The query.
    pub(super) fn query(&self) -> Query {
        Query::parse(self.parts.uri.query())
    }

    /// The body, which is a JSON object. It was received before the handler was called: a handler
    /// that waited for it would decide by rights that may have changed meanwhile.
    ///
    /// # Errors
    /// 415, 413, 400 in this order, and the faults of a body's transmission. A 500 for a row that
    /// declares no body.
    pub(super) fn body(&mut self) -> Result<Body, Refusal> {
        Body::parse(&self.received()?)
    }

    /// The body, which is the fields of a form.
    ///
    /// # Errors
    /// As [`Cx::body`].
    pub(super) fn form(&mut self) -> Result<Query, Refusal> {
        let bytes = self.received()?;
        let text = std::str::from_utf8(&bytes);
        text.map(|text| Query::parse(Some(text)))
            .map_err(|_| Fault::BadRequest("the form is not in UTF-8").into())
    }

    fn received(&mut self) -> Result<Bytes, Refusal> {
        let unsaid = || {
            Error::internal(format!(
                "{} {} declares no body, or reads it twice",
                self.parts.method, self.row.path
            ))
        };
        self.sent.take().ok_or_else(unsaid)?
    }

    /// The one value of a header, as text.
    ///
    /// # Errors
    /// A 400 when the header is repeated, or its value is no text.
    pub(super) fn header(&self, name: &HeaderName) -> Result<Option<&str>, Refusal> {
        const BAD: Fault = Fault::BadRequest("a header is repeated or unreadable");
        let mut all = self.parts.headers.get_all(name).iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| BAD.into()),
            _ => Err(BAD.into()),
        }
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The path, still encoded.
    pub(super) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    pub(super) fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The handshake of a WebSocket: `Ok(cx.handshake()?.accept(|socket| ...))`.
    ///
    /// # Errors
    /// 426 when the request asks for no WebSocket, 400 when its handshake is malformed.
    pub(super) fn handshake(&self) -> Result<Handshake, Refusal> {
        Ok(Handshake::read(&self.parts)?)
    }

    /// Whether the sender may open a WebSocket: pages of foreign origins may not.
    pub(super) fn origin_may_open_sockets(&self) -> bool {
        self.app.cors.admits_socket(&self.parts.headers)
    }

    /// Whether a page of our own sent the request, and no page of another site.
    pub(super) fn is_of_our_page(&self) -> bool {
        self.app.cors.is_own_page(&self.parts.headers)
    }

    /// The address of the client: that of the connection, or the one that a trusted proxy reports.
    pub(super) fn address(&self) -> Option<IpAddr> {
        Source::of(&self.parts.extensions).address
    }

    /// Where the request comes from.
    pub(super) fn client(&self) -> Client {
        client(&self.parts.extensions)
    }

    /// Releases the slot of the request: from here on another bound limits its cost (decision
    /// 0002).
    pub(super) fn release(&self) {
        Slot::of(&self.parts.extensions).release();
    }

    /// The revisions that `If-Match` names: the record has to be at one of them. `None`: any
    /// revision will do.
    pub(super) fn expected(&self) -> Option<Vec<u64>> {
        tag::expected(&self.parts.headers)
    }

    /// The success that the row declares, with `data`.
    pub(super) fn success(&self, data: &impl Serialize) -> Outcome {
        self.respond(Some(data), None)
    }

    /// The same without data.
    pub(super) fn success_without_data(&self) -> Outcome {
        self.respond(None::<()>, None)
    }

    /// The same with a page of a list.
    pub(super) fn page(&self, page: &Page<impl Serialize>) -> Outcome {
        self.respond(Some(&page.items), Some(Pagination::from(page)))
    }

    /// The same with a part of a list that comes whole where it is short enough: only what may not
    /// be all of it says which page it is.
    pub(super) fn part(&self, page: &Page<impl Serialize>, is_asked_for: bool) -> Outcome {
        if is_asked_for || page.total_pages() > 1 {
            self.page(page)
        } else {
            self.success(&page.items)
        }
    }

    /// The same with the record's entity tag; a 304 to a reader that has this revision already.
    pub(super) fn tagged(&self, revision: u64, data: &impl Serialize) -> Outcome {
        let reads = self.parts.method == Method::GET || self.parts.method == Method::HEAD;
        let known = reads
            && self.parts.headers.contains_key(IF_NONE_MATCH)
            && tag::is_known(&self.parts.headers, revision);
        let mut reply =
            if known { ReplyBody::bare(StatusCode::NOT_MODIFIED) } else { self.success(data)? };
        reply.headers_mut().insert(tag::NAME, tag::of(revision));
        Ok(reply)
    }

    fn respond<T: Serialize>(&self, data: Option<T>, pagination: Option<Pagination>) -> Outcome {
        let (status, message) = self.row.success.ok_or_else(|| self.undeclared_success())?;
        let successful = status.is_success();
        let body = Success { status: status.as_u16(), message, data, pagination, successful };
        Ok(envelope::json(status, &body))
    }

    fn undeclared_success(&self) -> Refusal {
        let cause = format!("{} {} declares no envelope", self.parts.method, self.row.path);
        Error::internal(cause).into()
    }
}
