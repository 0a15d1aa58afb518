//! Errors for three readers: a kind for machines, a sentence for the caller, a cause for the log.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The cause of an [`Error`], for the log only.
pub type BoxedCause = Box<dyn std::error::Error + Send + Sync>;

/// The kind of an error, which every dialect matches exhaustively.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is no token, or one that is not valid.
    Unauthenticated,
    /// The caller is not allowed to do it.
    Forbidden,
    /// There is no such thing, or none of the caller's.
    NotFound,
    /// The request does not fit what it asks for.
    Invalid,
    /// It would contradict what exists.
    Conflict,
    /// The caller's view of the thing is out of date.
    Stale,
    /// The limit is reached.
    LimitReached,
    /// The service exists but cannot be used, or does not exist.
    Disabled,
    /// A plugin wants the user to sign in elsewhere first.
    LoginRequired,
    /// A plugin refused, with a sentence for the caller.
    Refused,
    /// A plugin failed: a trap, an invalid answer.
    PluginFailed,
    /// A plugin did not answer in time.
    PluginTimeout,
    /// A system that the daemon depends on did not answer.
    Upstream,
    /// Too much is under way; later it may work.
    Busy,
    /// A fault of the daemon's own.
    Internal,
}

/// A field of a request. Every dialect spells it in its own words, exhaustively.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestField {
    /// The name of a user, a type, a credential or a field.
    Name,
    /// The picture of a user.
    Image,
    /// The names of a user's roles.
    Roles,
    /// The number of a page.
    Page,
    /// How many entries a page has.
    PerPage,
    /// The permission that narrows a type.
    PermissionScope,
    /// Whether a user is suspended.
    Suspended,
    /// The picture of a type.
    Icon,
    /// The plugin of a type.
    Plugin,
    /// The fields of a type; in a credential, their values.
    Fields,
    /// The id of a field, in the definition of a type.
    Id,
    /// Whether a field is required.
    Required,
    /// Whether a field is secure.
    Secure,
    /// The type of a field's values.
    ValueType,
    /// The values that a field allows.
    Choices,
    /// Whether the plugin fills a field in.
    Computed,
    /// The type of a credential.
    Type,
    /// The company of a credential.
    Company,
    /// The id of the field that a value is for.
    Field,
    /// The value of a field.
    Value,
    /// The provider of a sign-in.
    Provider,
    /// The state of a sign-in, as the browser brings it back.
    State,
    /// The key with which a client waits for a sign-in.
    CallbackKey,
    /// The token of the page that asks the user of a sign-in.
    Token,
}

impl RequestField {
    /// Its name for logs and operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Image => "image",
            Self::Roles => "roles",
            Self::Page => "page",
            Self::PerPage => "per_page",
            Self::PermissionScope => "permission_scope",
            Self::Suspended => "suspended",
            Self::Icon => "icon",
            Self::Plugin => "plugin",
            Self::Fields => "fields",
            Self::Id => "id",
            Self::Required => "required",
            Self::Secure => "secure",
            Self::ValueType => "value_type",
            Self::Choices => "choices",
            Self::Computed => "computed",
            Self::Type => "type",
            Self::Company => "company",
            Self::Field => "field",
            Self::Value => "value",
            Self::Provider => "provider",
            Self::State => "state",
            Self::CallbackKey => "callback_key",
            Self::Token => "token",
        }
    }
}

/// One step on the way into a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// The place in a list, from 0.
    Index(usize),
    /// A field of the request, which the dialect spells.
    Field(RequestField),
    /// A key as it was written: by a client, by a plugin, or as the id of a field.
    Key(Cow<'static, str>),
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => index.fmt(f),
            Self::Field(field) => f.write_str(field.as_str()),
            Self::Key(key) => f.write_str(key),
        }
    }
}

impl From<RequestField> for Segment {
    fn from(field: RequestField) -> Self {
        Self::Field(field)
    }
}

impl From<&'static str> for Segment {
    fn from(key: &'static str) -> Self {
        Self::Key(Cow::Borrowed(key))
    }
}

impl From<String> for Segment {
    fn from(key: String) -> Self {
        Self::Key(Cow::Owned(key))
    }
}

impl From<usize> for Segment {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl PartialEq<&str> for Segment {
    fn eq(&self, key: &&str) -> bool {
        matches!(self, Self::Key(own) if own == key)
    }
}

/// One fault of a request: its place, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// Segments from the root of the request's body, or of its query.
    pub path: Vec<Segment>,
    /// A sentence for the caller.
    pub message: String,
}

impl FieldProblem {
    /// A fault at `path`.
    pub fn new(path: impl IntoIterator<Item = Segment>, message: impl Into<String>) -> Self {
        Self { path: path.into_iter().collect(), message: message.into() }
    }

    /// The path as one text, its segments joined by dots, for people.
    pub fn place(&self) -> String {
        let segments: Vec<_> = self.path.iter().map(ToString::to_string).collect();
        segments.join(".")
    }
}

/// A failed use-case. Logged once, at the edge; [`Error::cause`] never reaches a caller. A clone
/// shares the cause: several callers can wait for one result.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    public: Cow<'static, str>,
    fields: Vec<FieldProblem>,
    retry_after: Option<Duration>,
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// `public` is ours or a plugin's refusal, never the text of a provider or of a library.
    pub fn new(kind: Kind, public: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, public: public.into(), fields: Vec::new(), retry_after: None, cause: None }
    }

    /// A fault of the daemon's own: the caller learns that it happened, the log has the cause.
    pub fn internal(cause: impl Into<BoxedCause>) -> Self {
        Self::new(Kind::Internal, "Something went wrong in the daemon; its log says what.")
            .because(cause)
    }

    /// Adds the cause for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<BoxedCause>) -> Self {
        self.cause = Some(Arc::from(cause.into()));
        self
    }

    /// Replaces the sentence for the caller; kind, cause and retry hint stay.
    #[must_use]
    pub fn with_public(mut self, public: impl Into<Cow<'static, str>>) -> Self {
        self.public = public.into();
        self
    }

    /// Adds the faults that make up the error.
    #[must_use]
    pub fn with_fields(mut self, fields: Vec<FieldProblem>) -> Self {
        self.fields = fields;
        self
    }

    /// Adds the time after which a new attempt makes sense.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence for the caller.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The single faults, where there are some.
    pub fn fields(&self) -> &[FieldProblem] {
        &self.fields
    }

    /// When a new attempt makes sense, if that is known.
    pub fn retry_hint(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The cause for the log: the whole chain of causes, joined by `: `.
    pub fn cause(&self) -> Option<String> {
        let cause = self.cause.as_deref()?;
        let mut text = cause.to_string();
        let mut next = cause.source();
        while let Some(deeper) = next {
            text = format!("{text}: {deeper}");
            next = deeper.source();
        }
        Some(text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.public)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
