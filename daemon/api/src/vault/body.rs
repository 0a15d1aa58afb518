//! Reading bodies: a decoder that goes on after a fault, so that one answer reports all of them.
//!
//! A body is read into a draft by asking for its keys one after the other. A value that cannot be
//! read is `None` in the draft, with its problem recorded; unknown keys are problems too. Core adds
//! the faults that it finds to the same list.
//!
//! ```text
//! let (draft, problems) = cx.body()?.decode(|object| Draft {
//!     name: object.required("name", Decoder::string),
//!     icon: object.nullable("icon", Decoder::string),
//!     fields: object.required("fields", |decoder, value| decoder.list(value, field)),
//! });
//!
//! fn field(decoder: &mut Decoder, value: Value) -> Option<FieldDraft> {
//!     decoder.object(value, |object| FieldDraft { id: object.required("id", Decoder::string) })
//! }
//! ```

use credsmith_core::error::{FieldProblem, Segment};
use credsmith_core::secret::Secret;
use credsmith_http::{StrictJson, encoding_fault};
use serde::Serialize;
use serde::de::DeserializeSeed as _;
use serde_json::{Map, Value};

use super::refuse::Refusal;

/// How deep a body may nest.
const MAX_DEPTH: usize = 32;

/// How many values a body may hold. A small object takes eighty times the memory of its text: one
/// megabyte of small objects would take most of a hundred.
const MOST_VALUES: usize = 10_000;

/// How many problems are reported. The answer to a body of nothing but faults would otherwise be
/// many times its size.
const MOST_PROBLEMS: usize = 1000;

/// A body that is a JSON object, not decoded yet.
#[derive(Debug)]
pub(super) struct Body(Map<String, Value>);

impl Body {
    /// # Errors
    /// A 400 at `[]` when the body is no JSON, is no object, repeats a key, nests too deep or holds
    /// too many values. It is not decoded any further.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if values(bytes) > MOST_VALUES {
            return Err(Refusal::invalid([], format!("Expected at most {MOST_VALUES} values.")));
        }
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let value = StrictJson::new(MAX_DEPTH).deserialize(&mut reader);
        match value.and_then(|value| reader.end().map(|()| value)) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Refusal::invalid([], EXPECTED_OBJECT)),
            Err(_) => Err(Refusal::invalid([], unreadable(bytes))),
        }
    }

    /// The draft that `read` makes of it, and all problems, in the order in which `read` asked for
    /// the keys; unknown keys come last.
    pub(super) fn decode<T>(
        self,
        read: impl FnOnce(&mut Object<'_>) -> T,
    ) -> (T, Vec<FieldProblem>) {
        let mut decoder = Decoder::default();
        let draft = decoder.members(self.0, read);
        (draft, decoder.problems)
    }
}

fn unreadable(bytes: &[u8]) -> String {
    match encoding_fault(bytes) {
        Some(fault) => format!("The body {fault}."),
        None => format!(
            "Expected JSON in which no key stands twice and nothing nests deeper than {MAX_DEPTH}."
        ),
    }
}

/// An upper bound of the values in JSON text: each but the first follows one of four characters.
/// Text that is no JSON has no more values than that either.
fn values(bytes: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b',' | b':' | b'[' | b'{' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

const EXPECTED_OBJECT: &str = "Expected an object.";

/// Reads values, keeps the path of the present one, and collects problems.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    path: Vec<Segment>,
    problems: Vec<FieldProblem>,
}

impl Decoder {
    /// Records a problem at the present path.
    pub(super) fn problem(&mut self, message: &str) {
        match self.problems.len() {
            MOST_PROBLEMS => {
                self.problems.push(FieldProblem::new([], "There are more problems than these."))
            }
            more if more > MOST_PROBLEMS => {}
            _ => self
                .problems
                .push(FieldProblem { path: self.path.clone(), message: message.to_owned() }),
        }
    }

    fn at<T>(&mut self, segment: Segment, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment);
        let value = read(self);
        self.path.pop();
        value
    }

    fn expected<T>(&mut self, message: &str) -> Option<T> {
        self.problem(message);
        None
    }

    /// A string.
    pub(super) fn string(&mut self, value: Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text),
            _ => self.expected("Expected a string."),
        }
    }

    /// A string that is never logged or written back.
    pub(super) fn secret(&mut self, value: Value) -> Option<Secret> {
        self.string(value).map(Secret::new)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, value: Value) -> Option<bool> {
        match value {
            Value::Bool(yes) => Some(yes),
            _ => self.expected("Expected true or false."),
        }
    }

    /// A list. An item that cannot be read keeps its place as `None`.
    pub(super) fn list<T>(
        &mut self,
        value: Value,
        mut item: impl FnMut(&mut Self, Value) -> Option<T>,
    ) -> Option<Vec<Option<T>>> {
        let Value::Array(items) = value else { return self.expected("Expected a list.") };
        let items = items.into_iter().enumerate();
        Some(
            items
                .map(|(index, value)| self.at(index.into(), |decoder| item(decoder, value)))
                .collect(),
        )
    }

    /// An object.
    pub(super) fn object<T>(
        &mut self,
        value: Value,
        read: impl FnOnce(&mut Object<'_>) -> T,
    ) -> Option<T> {
        match value {
            Value::Object(members) => Some(self.members(members, read)),
            _ => self.expected(EXPECTED_OBJECT),
        }
    }

    fn members<T>(
        &mut self,
        members: Map<String, Value>,
        read: impl FnOnce(&mut Object<'_>) -> T,
    ) -> T {
        let mut object = Object { decoder: self, members };
        let draft = read(&mut object);
        object.refuse_the_rest();
        draft
    }
}

/// An object that is being read.
#[derive(Debug)]
pub(super) struct Object<'d> {
    decoder: &'d mut Decoder,
    /// The members that were not asked for yet.
    members: Map<String, Value>,
}

impl Object<'_> {
    /// The value of a key that is required and not `null`.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Decoder, Value) -> Option<T>,
    ) -> Option<T> {
        match self.members.remove(key) {
            Some(value) => self.decoder.at(key.into(), |decoder| read(decoder, value)),
            None => self.decoder.at(key.into(), |decoder| decoder.expected("This is required.")),
        }
    }

    /// The value of a key that may be left out, but is not `null`.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Decoder, Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.members.remove(key)?;
        self.decoder.at(key.into(), |decoder| read(decoder, value))
    }

    /// The value of a key that may be left out, or be `null`, which is `Some(None)`.
    pub(super) fn nullable<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Decoder, Value) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.members.remove(key)? {
            Value::Null => Some(None),
            value => self.decoder.at(key.into(), |decoder| read(decoder, value)).map(Some),
        }
    }

    /// The value of a key that is required and may be `null`, which is `Some(None)`.
    pub(super) fn required_or_null<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Decoder, Value) -> Option<T>,
    ) -> Option<Option<T>> {
        self.required(key, |decoder, value| match value {
            Value::Null => Some(None),
            value => read(decoder, value).map(Some),
        })
    }

    /// A key that is allowed and ignored.
    pub(super) fn ignored(&mut self, key: &'static str) {
        self.members.remove(key);
    }

    /// Allows the remaining keys where their values equal those of `present`, the record's own
    /// view: a client may send back the record that it got. To be called last.
    pub(super) fn read_only(&mut self, present: &impl Serialize) {
        let Ok(Value::Object(present)) = serde_json::to_value(present) else { return };
        for (key, value) in present {
            match self.members.remove(&key) {
                Some(sent) if sent != value => {
                    self.decoder
                        .at(key.into(), |decoder| decoder.problem("This cannot be changed here."));
                }
                _ => {}
            }
        }
    }

    fn refuse_the_rest(self) {
        for (key, _) in self.members {
            self.decoder.at(key.into(), |decoder| decoder.problem("There is no such key here."));
        }
    }
}

/// The draft, when it has no problems.
///
/// # Errors
/// A 400 with all problems.
pub(super) fn without_problems<T>((draft, problems): (T, Vec<FieldProblem>)) -> Result<T, Refusal> {
    if problems.is_empty() { Ok(draft) } else { Err(Refusal::Invalid(problems)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Default)]
    struct Draft {
        name: Option<String>,
        icon: Option<Option<String>>,
        parts: Option<Vec<Option<Part>>>,
    }

    #[derive(Debug, PartialEq)]
    struct Part {
        on: Option<bool>,
        value: Option<Option<String>>,
    }

    fn draft(object: &mut Object<'_>) -> Draft {
        Draft {
            name: object.required("name", Decoder::string),
            icon: object.nullable("icon", Decoder::string),
            parts: object.optional("parts", |decoder, value| decoder.list(value, part)),
        }
    }

    fn part(decoder: &mut Decoder, value: Value) -> Option<Part> {
        decoder.object(value, |object| {
            object.ignored("id");
            Part {
                on: object.optional("on", Decoder::boolean),
                value: object.required_or_null("value", Decoder::string),
            }
        })
    }

    fn read(body: &Value) -> (Draft, Vec<String>) {
        let (draft, problems) = Body::parse(body.to_string().as_bytes()).unwrap().decode(draft);
        (
            draft,
            problems
                .iter()
                .map(|problem| format!("{}: {}", problem.place(), problem.message))
                .collect(),
        )
    }

    #[test]
    fn a_good_body_has_no_problems() {
        let body =
            json!({ "name": "x", "icon": null, "parts": [{ "id": 5, "on": true, "value": null }] });
        let (draft, problems) = read(&body);
        assert_eq!(problems, [""; 0]);
        let part = Part { on: Some(true), value: Some(None) };
        let expected =
            Draft { name: Some("x".into()), icon: Some(None), parts: Some(vec![Some(part)]) };
        assert_eq!(draft, expected);
        assert_eq!(read(&json!({ "name": "x" })).1, [""; 0]);
    }

    #[test]
    fn every_fault_is_found_at_its_place() {
        let body = json!({
            "nmae": "x",
            "icon": 5,
            "parts": [{ "on": "yes", "value": "v" }, 7, { "value": ["v"], "x": 1 }, { "on": null }],
        });
        let (draft, problems) = read(&body);
        assert_eq!(
            problems,
            [
                "name: This is required.",
                "icon: Expected a string.",
                "parts.0.on: Expected true or false.",
                "parts.1: Expected an object.",
                "parts.2.value: Expected a string.",
                "parts.2.x: There is no such key here.",
                "parts.3.on: Expected true or false.",
                "parts.3.value: This is required.",
                "nmae: There is no such key here.",
            ]
        );
        assert_eq!((draft.name, draft.icon), (None, None));
        let parts = draft.parts.unwrap();
        assert_eq!(parts.len(), 4, "places are kept");
        assert_eq!(parts[0], Some(Part { on: None, value: Some(Some("v".into())) }));
        assert_eq!(parts[1], None);
        assert_eq!(
            read(&json!({ "name": null, "parts": {} })).1,
            ["name: Expected a string.", "parts: Expected a list."]
        );
    }

    #[test]
    fn a_client_may_send_back_what_it_got() {
        let present = json!({ "id": "c1", "name": "x", "type": { "id": "t" }, "image": null });
        let read = |body: Value| {
            let (_, problems) =
                Body::parse(body.to_string().as_bytes()).unwrap().decode(|object| {
                    object.optional("name", Decoder::string);
                    object.read_only(&present);
                });
            problems
                .iter()
                .map(|problem| format!("{}: {}", problem.place(), problem.message))
                .collect::<Vec<_>>()
        };
        assert_eq!(read(present.clone()), [""; 0]);
        assert_eq!(read(json!({ "name": "y" })), [""; 0], "what has a reader may change");
        assert_eq!(
            read(json!({ "id": "c2", "type": {}, "other": 1 })),
            [
                "id: This cannot be changed here.",
                "type: This cannot be changed here.",
                "other: There is no such key here.",
            ]
        );
    }

    #[test]
    fn a_body_in_another_encoding_is_told_so() {
        for (bytes, words) in [
            (&b"\xef\xbb\xbf{}"[..], "byte order mark"),
            (b"\xff\xfe{\0}\0", "UTF-16"),
            (b"\xfe\xff\0{\0}", "UTF-16"),
            (b"{\"a\":\"\xe9\"}", "not UTF-8"),
            (b"{\"a\xff\":1}", "not UTF-8"),
        ] {
            let Err(Refusal::Invalid(problems)) = Body::parse(bytes) else { panic!("{words}") };
            assert!(problems[0].message.contains(words), "{problems:?}");
        }
    }

    #[test]
    fn what_is_no_object_is_one_problem_at_the_root() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
        for bytes in [
            "",
            " ",
            "{",
            "nonsense",
            "{} {}",
            "{}x",
            "[]",
            "null",
            "\"x\"",
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            "{'a':1}",
            "\u{feff}{}",
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00\ud800"}"#,
            "{\"a\":\"\u{0}\"}",
            "{\"a\":\"\n\"}",
            "{}\u{0}",
            r#"{"a":1e400}"#,
            r#"{"a":01}"#,
            r#"{"a":NaN}"#,
            r#"{"a":1,}"#,
            &deep,
        ] {
            let Err(Refusal::Invalid(problems)) = Body::parse(bytes.as_bytes()) else {
                panic!("{bytes}")
            };
            assert_eq!((problems.len(), problems[0].path.len()), (1, 0), "{bytes}");
        }
        assert!(Body::parse(b"{\"a\":\"\xff\"}").is_err());
        assert!(Body::parse(b" {}\n").is_ok());
        // A JSON value of the wrong kind is a problem at its path.
        for (value, fault) in [
            ("123456789012345678901234567890", "name: Expected a string."),
            ("-0.0e-400", "name: Expected a string."),
            ("[[]]", "name: Expected a string."),
        ] {
            let body = Body::parse(format!("{{\"name\":{value}}}").as_bytes()).unwrap();
            let problems = body.decode(draft).1;
            let reported: Vec<_> =
                problems.iter().map(|one| format!("{}: {}", one.place(), one.message)).collect();
            assert_eq!(reported, [fault], "{value}");
        }
    }

    /// Attack: a megabyte of small objects, which would take up eighty.
    #[test]
    fn a_body_holds_so_much_and_no_more() {
        let of = |count: usize| json!({ "name": "x", "parts": vec![json!({}); count] }).to_string();
        assert!(Body::parse(of(MOST_VALUES / 2 - 4).as_bytes()).is_ok());
        let Err(Refusal::Invalid(problems)) = Body::parse(of(MOST_VALUES).as_bytes()) else {
            panic!("it fits")
        };
        assert_eq!(problems, [FieldProblem::new([], "Expected at most 10000 values.")]);
        let text = json!({ "name": ",:[{\\\"".repeat(MOST_VALUES) }).to_string();
        assert!(Body::parse(text.as_bytes()).is_ok(), "what stands in a text is no value");
    }

    #[test]
    fn values_are_counted_without_being_read() {
        for (text, count) in
            [("1", 1), ("{}", 2), (r#"{"a":1,"b":[2,3]}"#, 7), (r#"["\"," ,"]"#, 3), ("", 1)]
        {
            assert_eq!(values(text.as_bytes()), count, "{text}");
        }
    }

    /// Attack: thousands of faults, whose report would be many times as large.
    #[test]
    fn a_flood_of_faults_is_cut() {
        let body = json!({ "name": "x", "parts": vec![0; 9_000] });
        let (_, problems) = read(&body);
        assert_eq!(problems.len(), MOST_PROBLEMS + 1);
        assert_eq!(problems[MOST_PROBLEMS], ": There are more problems than these.");
    }

    #[test]
    fn secrets_are_not_printed() {
        let (value, _) = Body::parse(br#"{"v":"hunter2"}"#)
            .unwrap()
            .decode(|o| o.required("v", Decoder::secret));
        assert!(value.as_ref().unwrap().verify(b"hunter2"));
        assert!(!format!("{value:?}").contains("hunter2"));
    }

    #[test]
    fn problems_refuse_a_draft_that_core_does_not_look_at() {
        assert_eq!(without_problems((5, vec![])).unwrap(), 5);
        assert!(without_problems((5, vec![FieldProblem::new([], "x")])).is_err());
    }
}
