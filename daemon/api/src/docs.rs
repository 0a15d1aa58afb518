//! The documentation of a route, written by the dialect that serves it. `openapi` makes a document
//! of it; the schemas of answers are derived from the types that write them, so that the two cannot
//! disagree.

use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

/// Writes the schema of a type, and the schemas that it refers to.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`.
pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Removes `null` from the schema of an `Option`: the key may be left out, but not be `null`.
pub(crate) fn never_null(schema: &mut Schema) {
    let Some(Value::Array(types)) = schema.get_mut("type") else { return };
    types.retain(|of| of != "null");
    if let [of] = types.as_slice() {
        let of = of.clone();
        schema.insert("type".to_owned(), of);
    }
}

/// The documentation of a route.
#[derive(Default)]
pub(crate) struct Docs {
    /// The id of the operation, in words that people would choose.
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<SchemaOf>,
    pub(crate) body_type: BodyType,
    /// Its answers when it succeeds.
    pub(crate) answers: Vec<Answer>,
    /// Statuses of its failures, beyond those that follow from the rest.
    pub(crate) failures: Vec<StatusCode>,
    /// Whether the record has an entity tag.
    pub(crate) tagged: bool,
}

/// The type of a body that a route reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum BodyType {
    #[default]
    Json,
    /// The fields of a form of a page.
    Form,
}

impl BodyType {
    /// Its media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }
}

/// The place of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Query,
    Header,
}

/// A parameter outside of path and body.
pub(crate) struct Parameter {
    pub(crate) place: Place,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) required: bool,
    pub(crate) schema: SchemaOf,
}

/// An answer: a success, or a failure whose content differs from that of failures.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content: Content,
}

/// The content of an answer.
pub(crate) enum Content {
    /// The envelope of the vault dialect.
    Envelope { message: &'static str, data: Data },
    /// JSON without an envelope.
    Json { about: &'static str, schema: SchemaOf },
    /// Something of this media type.
    Other { about: &'static str, media_type: &'static str },
    /// No body.
    Nothing { about: &'static str },
}

/// The `data` of an envelope.
#[derive(Clone, Copy)]
pub(crate) enum Data {
    /// There is no such key.
    Absent,
    /// One value, which may be a list.
    One(SchemaOf),
    /// A page of a list of these, with `pagination`.
    Page(SchemaOf),
    /// A list of these, with `pagination` where it may not be all of them.
    Part(SchemaOf),
}
