//! How single values are written in answers.

use std::borrow::Cow;

use credsmith_core::ids::{CompanyId, CredentialId, SecureValueId, TypeId, UserId};
use credsmith_core::time::Timestamp;
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
