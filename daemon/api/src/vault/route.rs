//! One row for each route: method, path, access, handler and documentation. The rows stand beside
//! their handlers, one file for each resource; `super::routes` lists them all, for the table, the
//! OpenAPI document and the test of rights.

use std::fmt;

use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use schemars::JsonSchema;

use super::cx::{Cx, Row};
use crate::docs::{Answer, BodyType, Data, Docs, Parameter, Place, schema_of};

pub(super) use super::refuse::Outcome;
pub(super) use crate::docs::Content;

/// Decode, one core call, encode. Written as `|cx| list(cx).boxed()`.
pub(super) type Handler = fn(Cx) -> BoxFuture<'static, Outcome>;

/// The rights that a route demands. An outer check: core judges the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// None. `Authorization` is ignored.
    Public,
    /// The caller is signed in.
    Caller,
    /// The caller is signed in, with a token of all these scopes, and has all these permissions.
    Needs {
        /// Of the token.
        scopes: &'static [&'static str],
        /// Of the roles.
        permissions: &'static [&'static str],
    },
}

impl Access {
    /// The caller needs all these permissions.
    pub(super) const fn permissions(permissions: &'static [&'static str]) -> Self {
        Self::Needs { scopes: &[], permissions }
    }

    /// The token needs all these scopes.
    pub(super) const fn scopes(scopes: &'static [&'static str]) -> Self {
        Self::Needs { scopes, permissions: &[] }
    }
}

/// A route.
pub struct Route {
    method: Method,
    path: &'static str,
    access: Access,
    pub(super) handler: Handler,
    pub(crate) docs: Docs,
}

impl Route {
    fn new(method: Method, path: &'static str, access: Access, handler: Handler) -> Self {
        Self { method, path, access, handler, docs: Docs::default() }
    }

    /// A row for GET, and with it for HEAD. `path` is that of OpenAPI: `/v1/things/{id}`.
    pub(super) fn get(path: &'static str, access: Access, handler: Handler) -> Self {
        Self::new(Method::GET, path, access, handler)
    }

    pub(super) fn post(path: &'static str, access: Access, handler: Handler) -> Self {
        Self::new(Method::POST, path, access, handler)
    }

    pub(super) fn put(path: &'static str, access: Access, handler: Handler) -> Self {
        Self::new(Method::PUT, path, access, handler)
    }

    pub(super) fn patch(path: &'static str, access: Access, handler: Handler) -> Self {
        Self::new(Method::PATCH, path, access, handler)
    }

    pub(super) fn delete(path: &'static str, access: Access, handler: Handler) -> Self {
        Self::new(Method::DELETE, path, access, handler)
    }

    /// Adds its name in the OpenAPI document, by which generated clients call it.
    #[must_use]
    pub(super) fn named(mut self, name: &'static str) -> Self {
        self.docs.name = name;
        self
    }

    /// Adds what it does, in one sentence.
    #[must_use]
    pub(super) fn summary(mut self, summary: &'static str) -> Self {
        self.docs.summary = summary;
        self
    }

    /// Adds the answer of a success: this message, with a `T` as data. `()` is `null`.
    #[must_use]
    pub(super) fn answers<T: JsonSchema>(self, status: StatusCode, message: &'static str) -> Self {
        self.envelope(status, message, Data::One(schema_of::<T>))
    }

    /// The same with a page of a list of `T`; the query may name `page`, `rpp` and `search`.
    #[must_use]
    pub(super) fn answers_page_of<T: JsonSchema>(self, message: &'static str) -> Self {
        self.envelope(StatusCode::OK, message, Data::Page(schema_of::<T>))
            .query::<super::query::Page>("page", "Which page, from 1. Without it the first.")
            .query::<super::query::Rpp>("rpp", "Records per page. Without it 30.")
            .query::<String>("search", "Part of what is looked for. Case does not matter.")
    }

    /// The same with a list of `T` that comes whole, up to 1000 records, unless the query names
    /// `page` or `rpp`.
    #[must_use]
    pub(super) fn answers_part_of<T: JsonSchema>(self, message: &'static str) -> Self {
        self.envelope(StatusCode::OK, message, Data::Part(schema_of::<T>))
            .query::<super::query::Page>(
                "page",
                "Which page, from 1. Without it, and without rpp, the first 1000 records; pagination then says so where there are more.",
            )
            .query::<super::query::Rpp>("rpp", "Records per page. Without it 30.")
    }

    /// The same without data.
    #[must_use]
    pub(super) fn answers_without_data(self, status: StatusCode, message: &'static str) -> Self {
        self.envelope(status, message, Data::Absent)
    }

    fn envelope(self, status: StatusCode, message: &'static str, data: Data) -> Self {
        self.answer(status, Content::Envelope { message, data })
    }

    /// An answer of another kind.
    #[must_use]
    pub(super) fn answer(mut self, status: StatusCode, content: Content) -> Self {
        self.docs.answers.push(Answer { status, content });
        self
    }

    /// It reads a body of the schema of `T`.
    #[must_use]
    pub(super) fn reads<T: JsonSchema>(mut self) -> Self {
        self.docs.body = Some(schema_of::<T>);
        self
    }

    /// It reads the fields of a form, which are those of `T`.
    #[must_use]
    pub(super) fn reads_form<T: JsonSchema>(mut self) -> Self {
        self.docs.body_type = BodyType::Form;
        self.reads::<T>()
    }

    /// It reads this parameter of the query, which may be left out.
    #[must_use]
    pub(super) fn query<T: JsonSchema>(self, name: &'static str, about: &'static str) -> Self {
        self.parameter::<T>(Place::Query, name, about, false)
    }

    /// It needs this header.
    #[must_use]
    pub(super) fn needs_header<T: JsonSchema>(
        self,
        name: &'static str,
        about: &'static str,
    ) -> Self {
        self.parameter::<T>(Place::Header, name, about, true)
    }

    /// It needs this parameter of the query.
    #[must_use]
    pub(super) fn needs_query<T: JsonSchema>(
        self,
        name: &'static str,
        about: &'static str,
    ) -> Self {
        self.parameter::<T>(Place::Query, name, about, true)
    }

    fn parameter<T: JsonSchema>(
        mut self,
        place: Place,
        name: &'static str,
        about: &'static str,
        required: bool,
    ) -> Self {
        self.docs.parameters.push(Parameter {
            place,
            name,
            about,
            required,
            schema: schema_of::<T>,
        });
        self
    }

    /// The record has an entity tag: reading heeds `If-None-Match`, writing `If-Match`.
    #[must_use]
    pub(super) fn tagged(mut self) -> Self {
        self.docs.tagged = true;
        self
    }

    /// Adds statuses of failures. Those that follow from the rest of the row need no mention: 401,
    /// 403 and 404 of access and path, 408, 413 and 415 of a body, 412 of a tag, and those of every
    /// route: 400, 421, 429, 431, 500 and 503.
    #[must_use]
    pub(super) fn fails(mut self, statuses: &[StatusCode]) -> Self {
        self.docs.failures.extend_from_slice(statuses);
        self
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Its path, parameters in braces: `/v1/things/{id}`.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// The rights that it demands.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The part that its handler uses.
    pub(super) fn row(&self) -> Row {
        let success = self.docs.answers.first().and_then(|answer| match answer.content {
            Content::Envelope { message, .. } => Some((answer.status, message)),
            _ => None,
        });
        Row { path: self.path, success }
    }

    /// Whether it reads a body.
    pub(super) fn reads_body(&self) -> bool {
        self.docs.body.is_some()
    }

    /// The type of the body that it reads.
    pub(super) fn body_type(&self) -> BodyType {
        self.docs.body_type
    }

    /// The names of the parameters in its path, in their order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(parameter_name)
    }
}

/// The name of the parameter that a segment of a path is, if it is one.
pub(super) fn parameter_name(segment: &'static str) -> Option<&'static str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({:?})", self.method, self.path, self.access)
    }
}
