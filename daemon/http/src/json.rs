//! Strict reading of JSON from outside: two readers can understand an object with a repeated name
//! differently, so it is refused, and so is a value that nests deeper than the reader allows.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What is wrong with the encoding of a JSON text that could not be read, as a predicate for a
/// sentence (`is not UTF-8 ...`); `None` if the fault is another one. JSON is UTF-8 without a byte
/// order mark (RFC 8259 section 8.1).
pub fn encoding_fault(text: &[u8]) -> Option<&'static str> {
    match text {
        [0xef, 0xbb, 0xbf, ..] => {
            Some("begins with a byte order mark (BOM), expected UTF-8 without one")
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("is UTF-16, expected UTF-8"),
        _ if std::str::from_utf8(text).is_err() => Some("is not UTF-8, which JSON has to be"),
        _ => None,
    }
}

/// Reads one JSON value strictly. A seed for any deserializer of serde; serde_json's own limit of
/// 128 levels applies as well.
#[derive(Debug, Clone, Copy)]
pub struct StrictJson {
    levels_left: usize,
    printable: bool,
}

impl StrictJson {
    /// Objects and lists may nest `levels` deep.
    pub const fn new(levels: usize) -> Self {
        Self { levels_left: levels, printable: false }
    }

    /// Refuses control characters too: all of them in names, and in strings all but tab, newline
    /// and carriage return.
    #[must_use]
    pub const fn printable(self) -> Self {
        Self { printable: true, ..self }
    }

    fn inside<E: Error>(self) -> Result<Self, E> {
        let levels_left =
            self.levels_left.checked_sub(1).ok_or_else(|| E::custom("it nests too deep"))?;
        Ok(Self { levels_left, ..self })
    }

    fn admits_text(self, text: &str) -> bool {
        !self.printable || text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'))
    }

    fn admits_name(self, name: &str) -> bool {
        !self.printable || !name.chars().any(char::is_control)
    }
}

impl<'de> DeserializeSeed<'de> for StrictJson {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictJson {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("it is no number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        if self.admits_text(&value) {
            Ok(Value::String(value))
        } else {
            Err(E::custom("it has control characters"))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if !self.admits_name(&name) || object.contains_key(&name) {
                return Err(A::Error::custom("a name repeats or cannot be printed"));
            }
            let value = members.next_value_seed(inside)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(reader: StrictJson, text: &str) -> Option<Value> {
        reader.deserialize(&mut serde_json::Deserializer::from_str(text)).ok()
    }

    #[test]
    fn an_encoding_that_is_not_plain_utf_8_is_named() {
        for (text, words) in [
            (&b"\xef\xbb\xbf{}"[..], "byte order mark"),
            (b"\xff\xfe{\0", "UTF-16"),
            (b"\xfe\xff\0{", "UTF-16"),
            (b"{\"a\":\"\xe9\"}", "not UTF-8"),
            (b"\xef\xbb", "not UTF-8"),
        ] {
            assert!(encoding_fault(text).is_some_and(|fault| fault.contains(words)), "{text:?}");
        }
        for plain in ["", "{", "{\"\u{e9}\":1}", "x\u{feff}"] {
            assert_eq!(encoding_fault(plain.as_bytes()), None, "{plain}");
        }
    }

    #[test]
    fn every_kind_of_value_is_kept() {
        let text = r#"{"a":null,"b":[true,-1,18446744073709551615,1.5,"x\ny"],"c":{"d":{}}}"#;
        let expected = json!({"a": null, "b": [true, -1, u64::MAX, 1.5, "x\ny"], "c": {"d": {}}});
        assert_eq!(read(StrictJson::new(3).printable(), text), Some(expected));
    }

    #[test]
    fn a_repeated_name_is_refused_however_it_is_spelled() {
        for twice in [r#"{"k":1,"k":1}"#, r#"{"k":1,"\u006b":2}"#, r#"[{"a":{"k":1,"k":2}}]"#] {
            assert_eq!(read(StrictJson::new(9), twice), None, "{twice}");
        }
    }

    #[test]
    fn the_reader_limits_the_depth() {
        assert!(read(StrictJson::new(2), "[[1]]").is_some());
        assert!(read(StrictJson::new(2), "[[[1]]]").is_none());
        assert!(read(StrictJson::new(2), r#"{"a":[{}]}"#).is_none());
        assert!(read(StrictJson::new(usize::MAX), &"[".repeat(5000)).is_none());
    }

    #[test]
    fn control_characters_are_refused_on_request() {
        for text in [r#""a\u0000b""#, r#"{"a\nb":1}"#, r#"["\u001b"]"#] {
            assert!(read(StrictJson::new(9), text).is_some(), "{text}");
            assert!(read(StrictJson::new(9).printable(), text).is_none(), "{text}");
        }
    }
}
