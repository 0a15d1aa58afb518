//! Reads the JSON of a provider strictly. It is hostile input: it decides the identity of a user,
//! and two lenient readers can understand one answer differently.

use std::fmt;

use credsmith_http::StrictJson;
use serde::de::{DeserializeSeed as _, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// How deep objects and lists may nest.
const MAX_DEPTH: usize = 16;

/// A JSON object read strictly: no member twice, at most [`MAX_DEPTH`] levels, no control
/// characters in names, and in strings only tab, newline and carriage return.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object(pub(crate) Map<String, Value>);

impl Object {
    /// Reads the whole of `bytes`. A byte order mark in front is ignored (RFC 8259 section 8.1).
    ///
    /// # Errors
    /// What is wrong and where, without quoting the answer.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        serde_json::from_slice(bytes).map_err(|error| Malformed::at(&error))
    }
}

/// Why an answer could not be read. Quotes nothing: an answer may contain secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(String);

impl Malformed {
    fn at(error: &serde_json::Error) -> Self {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "the JSON ends too early",
            serde_json::error::Category::Syntax => "it is not JSON",
            serde_json::error::Category::Data => {
                "it is no JSON object, or a name repeats, or it nests too deep, or it has control characters"
            }
            serde_json::error::Category::Io => "it could not be read",
        };
        Self(format!("{what} (line {}, column {})", error.line(), error.column()))
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match StrictJson::new(MAX_DEPTH).printable().deserialize(deserializer)? {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(D::Error::custom("not an object")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_value_is_kept() {
        let text = r#"{"a":null,"b":[true,-1,18446744073709551615,1.5,"x\ny"],"c":{"d":{}}}"#;
        let expected = json!({"a": null, "b": [true, -1, u64::MAX, 1.5, "x\ny"], "c": {"d": {}}});
        assert_eq!(Value::Object(Object::parse(text.as_bytes()).unwrap().0), expected);
    }

    #[test]
    fn a_byte_order_mark_is_ignored() {
        assert_eq!(Object::parse("\u{feff}{}".as_bytes()), Ok(Object(Map::new())));
        assert!(Object::parse("\u{feff}\u{feff}{}".as_bytes()).is_err());
    }

    #[test]
    fn ambiguous_json_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        let cases = [
            "",
            "null",
            "[]",
            "\"text\"",
            "{",
            "{} {}",
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            r#"{"sub":"a\u0000"}"#,
            r#"{"sub":"a\u001b[31m"}"#,
            r#"{"a\n":1}"#,
            r#"{"a":1e999}"#,
            r#"{"a":NaN}"#,
            deep.as_str(),
        ];
        for case in cases {
            assert!(Object::parse(case.as_bytes()).is_err(), "{case}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn the_reason_quotes_nothing() {
        let reason = Object::parse(br#"{"sub":"canary","sub":"canary"}"#).unwrap_err().to_string();
        assert!(!reason.contains("canary"), "{reason}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Object::parse(&bytes);
        }
    }
}
