//! How answers write single values, and the bodies that several resources share.

use std::borrow::Cow;
use std::collections::HashMap;

use credsmith_core::field::{Field, ValueType};
use credsmith_core::ids::{CompanyId, CredentialId, SecureValueId, TypeId, UserId};
use credsmith_core::secret::Secret;
use credsmith_core::time::Timestamp;
use credsmith_core::vault::credentials::CredentialView;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A point in time: RFC 3339 in UTC, with milliseconds and `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.rfc3339())
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
            "description": "A point in time in UTC.",
        })
    }
}

/// The id of a record.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(super) struct RecordId(String);

macro_rules! record_ids {
    ($($id:ty),*) => {$(
        impl From<$id> for RecordId {
            fn from(id: $id) -> Self {
                Self(id.to_string())
            }
        }
    )*};
}

record_ids!(UserId, CompanyId, TypeId, CredentialId, SecureValueId);

impl JsonSchema for RecordId {
    fn schema_name() -> Cow<'static, str> {
        "RecordId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^c[a-z0-9]{24}$", "description": "The id of a record." })
    }
}

/// A field of a type.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CredentialTypeField")]
#[serde(rename_all = "camelCase")]
pub(super) struct FieldBody {
    id: String,
    name: String,
    required: bool,
    /// Kept sealed, and shown only when it is revealed.
    secure: bool,
    value_type: Kind,
    /// The values allowed; only there for a choice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<String>,
    /// Filled in by the plugin; only there when true.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    computed: bool,
}

/// The type of a field's values.
pub(super) struct Kind(ValueType);

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl JsonSchema for Kind {
    fn schema_name() -> Cow<'static, str> {
        "ValueType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = ValueType::ALL.map(ValueType::as_str);
        json_schema!({ "type": "string", "enum": names, "description": "What values of a field look like." })
    }
}

/// A credential where its type is known.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CredentialOfType")]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialOfType {
    id: RecordId,
    name: String,
    type_id: RecordId,
    company_id: RecordId,
    fields: Values,
}

/// Plain values by field, in the order of the definition.
pub(super) struct Values(pub(super) Vec<(String, String)>);

/// Secure values by field, in the order of the definition.
pub(super) struct Revealed(pub(super) Vec<(String, Secret)>);

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, value)| (field, value)))
    }
}

impl Serialize for Revealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Values arrived as JSON strings: all of them are UTF-8.
        let text = |value: &Secret| String::from_utf8_lossy(value.expose()).into_owned();
        serializer.collect_map(self.0.iter().map(|(field, value)| (field, text(value))))
    }
}

macro_rules! map_of_texts {
    ($($name:ident),*) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                HashMap::<String, String>::json_schema(generator)
            }
        }
    )*};
}

map_of_texts!(Values, Revealed);

impl From<Field> for FieldBody {
    fn from(field: Field) -> Self {
        Self {
            id: field.id,
            name: field.name,
            required: field.required,
            secure: field.secure,
            value_type: Kind(field.value_type),
            choices: field.choices,
            computed: field.computed,
        }
    }
}

impl From<CredentialView> for CredentialOfType {
    fn from(view: CredentialView) -> Self {
        Self {
            id: view.id.into(),
            name: view.name,
            type_id: view.credential_type.id.into(),
            company_id: view.company.id.into(),
            fields: Values(view.values),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn moments_have_milliseconds() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_771_027_200_000, "2026-02-14T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_230, "1970-01-01T00:00:01.230Z"),
        ] {
            assert_eq!(json!(Moment(Timestamp::from_millis(millis))), json!(text));
        }
        let never = json!(Moment(Timestamp::from_millis(u64::MAX)));
        assert!(never.as_str().unwrap().starts_with("9999-12-3"), "{never}");
    }
}
