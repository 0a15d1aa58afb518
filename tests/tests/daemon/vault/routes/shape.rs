//! What an example says of an answer: every key, every kind, and every value that is not made up on
//! the spot.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::document::{COMMENT, Document, MORE};

/// What a value has to be.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// This one.
    Is(Value),
    /// Anything; the list says no more of it.
    Anything,
    Number,
    Boolean,
    Text,
    /// A text, or `null` for what is unknown.
    TextOrNull,
    TextThat(&'static str, fn(&str) -> bool),
    /// A text that begins so.
    Begins(String),
    /// A text that ends so, behind the id of a record.
    OfRecord(String),
    /// Texts by any key.
    Texts,
    Object(BTreeMap<String, Shape>),
    /// Beginning with these; any further ones are like the other.
    Items(Vec<Shape>, Box<Shape>),
    /// At least one path with a message.
    Faults,
}

/// Keys that are ours: an object with the first two has the third, a text.
const OURS: (&str, &str, &str) = ("permissionScope", "icon", "plugin");

/// Keys that are ours, and there only when they say something.
const SOMETIMES: [&str; 4] = ["choices", "computed", "missingSince", "errors"];

/// Keys of what may be unknown.
const UNKNOWN: [&str; 6] =
    ["email", "image", "icon", "cw_CompanyId", "cw_Identifier", "permissionScope"];

/// The examples that others refer to where they leave something out.
pub(crate) struct Shapes {
    of_credential: Shape,
    of_field: Shape,
}

impl Shapes {
    pub(crate) fn of(document: &Document) -> Self {
        let answer = |name: &str| document.example(name).answer.as_ref().unwrap()["data"].clone();
        let of_type = answer("GET /credential-type/credential-types/:identifier");
        let of_field = like(&literal("fields", &of_type["fields"][0]));
        let unfinished = Self { of_credential: Shape::Anything, of_field };
        let of_credential = unfinished.read("data", &answer("GET /credential/credentials/:id"));
        Self { of_credential, ..unfinished }
    }

    /// What `value`, which stands under `key`, says.
    pub(crate) fn read(&self, key: &str, value: &Value) -> Shape {
        match value {
            Value::Object(members) => self.object(key, members),
            Value::Array(_) if key == "errors" => Shape::Faults,
            Value::Array(items) => self.items(key, items),
            _ => literal(key, value),
        }
    }

    fn object(&self, key: &str, members: &Map<String, Value>) -> Shape {
        if members.contains_key(COMMENT) {
            return Shape::Anything;
        }
        if members.len() == 1 && members.contains_key(MORE) {
            return self.left_out(key);
        }
        let mut shapes: BTreeMap<_, _> = members
            .iter()
            .filter(|(key, _)| *key != MORE)
            .map(|(key, value)| (key.clone(), self.read(key, value)))
            .collect();
        if members.contains_key(MORE) {
            for (key, shape) in self.of_credential.members() {
                shapes.entry(key.clone()).or_insert_with(|| under(key, shape));
            }
        }
        if shapes.contains_key(OURS.0) && shapes.contains_key(OURS.1) {
            shapes.insert(OURS.2.to_owned(), Shape::Text);
        }
        Shape::Object(shapes)
    }

    /// What `{...}` under `key` stands for.
    fn left_out(&self, key: &str) -> Shape {
        match key {
            "fields" => Shape::Texts,
            _ => like(&self.of_credential.members()[key]),
        }
    }

    fn items(&self, key: &str, items: &[Value]) -> Shape {
        if items == [Value::from(MORE)] {
            return Shape::Items(Vec::new(), Box::new(self.of_field.clone()));
        }
        let shapes: Vec<_> = items.iter().map(|item| self.read(key, item)).collect();
        let other = like(shapes.last().unwrap());
        Shape::Items(shapes, Box::new(other))
    }
}

impl Shape {
    fn members(&self) -> &BTreeMap<String, Shape> {
        match self {
            Self::Object(members) => members,
            other => panic!("no object: {other:?}"),
        }
    }

    /// Returns every difference of `value`, which is at `place`.
    pub(crate) fn compare(&self, place: &str, value: &Value, faults: &mut Vec<String>) {
        match (self, value) {
            (Self::Object(shapes), Value::Object(members)) => {
                compare_members(place, shapes, members, faults)
            }
            (Self::Items(first, other), Value::Array(items)) => {
                if items.len() < first.len() {
                    faults.push(format!("{place}: {} items are documented: {value}", first.len()));
                }
                let shapes = first.iter().chain(std::iter::repeat(&**other));
                for (index, (shape, item)) in shapes.zip(items).enumerate() {
                    shape.compare(&format!("{place}.{index}"), item, faults);
                }
            }
            _ if self.fits(value) => {}
            _ => faults.push(format!("{place}: {value} is not {}", self.wanted())),
        }
    }

    fn wanted(&self) -> String {
        match self {
            Self::TextThat(what, _) => (*what).to_owned(),
            other => format!("{other:?}"),
        }
    }

    fn fits(&self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Anything => true,
            Self::Is(known) => value == known,
            Self::Number => value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::Text => text.is_some(),
            Self::TextOrNull => text.is_some() || value.is_null(),
            Self::TextThat(_, fits) => text.is_some_and(fits),
            Self::Begins(beginning) => {
                text.is_some_and(|text| text.starts_with(beginning.as_str()))
            }
            Self::OfRecord(end) => {
                text.and_then(|text| text.strip_suffix(end.as_str())).is_some_and(is_id)
            }
            Self::Texts => {
                value.as_object().is_some_and(|members| members.values().all(Value::is_string))
            }
            Self::Faults => value
                .as_array()
                .is_some_and(|faults| !faults.is_empty() && faults.iter().all(is_fault)),
            Self::Object(_) | Self::Items(..) => false,
        }
    }
}

fn compare_members(
    place: &str,
    shapes: &BTreeMap<String, Shape>,
    members: &Map<String, Value>,
    faults: &mut Vec<String>,
) {
    let always = |key: &&String| !SOMETIMES.contains(&key.as_str());
    let documented: BTreeSet<_> = shapes.keys().filter(always).collect();
    let there: BTreeSet<_> = members.keys().filter(always).collect();
    for key in documented.symmetric_difference(&there) {
        let what = if shapes.contains_key(*key) { "is missing" } else { "is not documented" };
        faults.push(format!("{place}.{key} {what}"));
    }
    for (key, shape) in shapes {
        if let Some(value) = members.get(key) {
            shape.compare(&format!("{place}.{key}"), value, faults);
        }
    }
}

/// What a single value says. What the list made up on the spot, or abbreviated, is recognised by
/// its form.
fn literal(key: &str, value: &Value) -> Shape {
    let Some(text) = value.as_str() else {
        return match (key, value) {
            // How many there are is for other tests to count.
            ("credentialCount", _) => Shape::Number,
            (_, Value::Object(members)) => Shape::Object(
                members.iter().map(|(key, value)| (key.clone(), literal(key, value))).collect(),
            ),
            _ => Shape::Is(value.clone()),
        };
    };
    match (key, text) {
        ("callbackKey", _) => Shape::TextThat("a callback key", is_callback_key),
        ("accessToken" | "refreshToken", _) => Shape::TextThat("a token", is_token),
        // The provider is another one here.
        ("uri", _) => Shape::Begins("http".to_owned()),
        ("createdAt" | "updatedAt", _) => Shape::TextThat("a moment", is_moment),
        ("value", "base64EncryptedValue==") => Shape::TextThat("base64", is_base64),
        ("id", _) if text.starts_with("ckx-") => {
            Shape::OfRecord(text.trim_start_matches("ckx").to_owned())
        }
        ("id" | "typeId" | "companyId", _) if text.starts_with('c') && text.ends_with(MORE) => {
            Shape::TextThat("an id", is_id)
        }
        _ => match text.strip_suffix(MORE) {
            Some(beginning) => Shape::Begins(beginning.to_owned()),
            None => Shape::Is(value.clone()),
        },
    }
}

/// The same keys and kinds with any values.
fn like(shape: &Shape) -> Shape {
    match shape {
        Shape::Is(Value::String(_)) | Shape::Begins(_) | Shape::OfRecord(_) => Shape::Text,
        Shape::Is(Value::Number(_)) => Shape::Number,
        Shape::Is(Value::Bool(_)) => Shape::Boolean,
        Shape::Object(members) => Shape::Object(
            members.iter().map(|(key, shape)| (key.clone(), under(key, shape))).collect(),
        ),
        Shape::Items(_, other) => Shape::Items(Vec::new(), other.clone()),
        other => other.clone(),
    }
}

fn under(key: &str, shape: &Shape) -> Shape {
    match like(shape) {
        Shape::Text if UNKNOWN.contains(&key) => Shape::TextOrNull,
        // Which fields a credential has is its type's to say.
        Shape::Object(_) if key == "fields" => Shape::Texts,
        other => other,
    }
}

fn is_fault(fault: &Value) -> bool {
    let path = fault["path"].as_array();
    let path_fits =
        path.is_some_and(|path| path.iter().all(|step| step.is_string() || step.is_u64()));
    fault.as_object().is_some_and(|members| members.len() == 2)
        && path_fits
        && fault["message"].is_string()
}

fn is_id(text: &str) -> bool {
    let rest = text.strip_prefix('c').unwrap_or_default();
    rest.len() == 24 && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn is_callback_key(text: &str) -> bool {
    text.strip_prefix("ck")
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn is_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == 3
}

fn is_moment(text: &str) -> bool {
    let form = "0000-00-00T00:00:00.000Z";
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        })
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - digits.len() <= 2
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
