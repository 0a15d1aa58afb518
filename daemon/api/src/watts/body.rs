//! Reading the bodies of the dialect: one JSON value, in which no key stands twice
//! (`daemon/dialects/watts.md` section 14). Anything behind it is ignored, as in the original.

use credsmith_http::StrictJson;
use serde::de::{Deserialize as _, DeserializeSeed as _};
use serde_json::{Map, Value};

/// How deep a body may nest.
const MAX_DEPTH: usize = 32;

/// A body that asks for a credential.
#[derive(Debug, PartialEq)]
pub(super) struct IssueBody {
    pub(super) service: String,
    /// `None`: `params` is something else than an object, which no service accepts.
    pub(super) parameters: Option<Map<String, Value>>,
}

/// Reads the body of `POST credential`; `None` when it is malformed.
pub(super) fn issue(bytes: &[u8]) -> Option<IssueBody> {
    let Value::Object(mut object) = first_value(bytes)? else { return None };
    let Some(Value::String(service)) = object.remove("service_id") else { return None };
    let parameters = match object.remove("params") {
        None => Some(Map::new()),
        Some(Value::Object(parameters)) => Some(parameters),
        Some(_) => None,
    };
    Some(IssueBody { service, parameters })
}

/// Whether the body of a request that takes none is JSON: such a request is malformed, any other
/// body is ignored.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde::de::IgnoredAny::deserialize(&mut reader).is_ok()
}

fn first_value(bytes: &[u8]) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    StrictJson::new(MAX_DEPTH).deserialize(&mut reader).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_a_service() {
        let body = issue(br#"{"service_id":"py","params":{"a":1},"other":[]}"#).unwrap();
        assert_eq!(body.service, "py");
        assert_eq!(body.parameters.unwrap().len(), 1);
        assert_eq!(issue(br#"{"service_id":"py"} trailing"#).unwrap().parameters, Some(Map::new()));
        assert_eq!(issue(br#"{"service_id":"py","params":[]}"#).unwrap().parameters, None);
        for malformed in ["", "{}", "[]", "{\"service_id\":5}", "{\"service_id\":\"a\"", "nonsense"]
        {
            assert_eq!(issue(malformed.as_bytes()), None, "{malformed}");
        }
    }

    #[test]
    fn a_repeated_key_is_refused_at_any_depth() {
        for twice in [
            r#"{"service_id":"a","service_id":"b"}"#,
            r#"{"service_id":"a","params":{"k":"1","k":"2"}}"#,
            r#"{"service_id":"a","params":{"k":[{"x":1,"x":2}]}}"#,
            r#"{"service_id":"a","params":{"k":"1","\u006b":"2"}}"#,
        ] {
            assert_eq!(issue(twice.as_bytes()), None, "{twice}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!(
            "{{\"service_id\":\"a\",\"params\":{{\"k\":{}{}}}}}",
            "[".repeat(5000),
            "]".repeat(5000)
        );
        assert_eq!(issue(deep.as_bytes()), None);
    }

    #[test]
    fn what_counts_as_json() {
        for json in ["{}", " 5", "null", "\"x\"", "[1] tail"] {
            assert!(is_json(json.as_bytes()), "{json}");
        }
        for not in ["", " ", "hello", "{", "{\"a\"}"] {
            assert!(!is_json(not.as_bytes()), "{not}");
        }
    }
}
