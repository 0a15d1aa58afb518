//! Reading the bodies of the dialect: one JSON value, in which no key stands twice (`spec/watts.md` section 14); what follows it is
//! ignored, as clients are used to.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

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

/// Whether a body that nobody asked for is JSON: such a request is malformed, any other body is ignored.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde::de::IgnoredAny::deserialize(&mut reader).is_ok()
}

fn first_value(bytes: &[u8]) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Strict.deserialize(&mut reader).ok()
}

/// Builds a `Value` and refuses repeated keys: two readers of such a body would see two different requests.
#[derive(Clone, Copy)]
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated keys")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Self)?;
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
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
        for malformed in ["", "{}", "[]", "{\"service_id\":5}", "{\"service_id\":\"a\"", "nonsense"] {
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
        let deep =
            format!("{{\"service_id\":\"a\",\"params\":{{\"k\":{}{}}}}}", "[".repeat(5000), "]".repeat(5000));
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
