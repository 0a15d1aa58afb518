//! Checks that a route reads the body that its row declares.

use std::collections::BTreeSet;

use credsmith_core::FieldProblem;
use credsmith_core::error::Segment;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::body::{Body, Object};

/// Panics unless `read` asks for the keys that the schema of `T` has, in nested objects too: it
/// misses those that are required, takes all others, and no more than these.
pub(super) fn assert_reads<T: JsonSchema>(read: impl Fn(&mut Object<'_>)) {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.for_deserialize().into_generator().into_root_schema_for::<T>().to_value();
    compare(&schema, &[], &|body| body, &|body| {
        let body = Body::parse(body.to_string().as_bytes()).unwrap();
        body.decode(|object| read(object)).1
    });
}

/// `wrap` puts an object at `place` of a body.
fn compare(
    schema: &Value,
    place: &[Segment],
    wrap: &dyn Fn(Value) -> Value,
    problems: &dyn Fn(Value) -> Vec<FieldProblem>,
) {
    let at_place = |object: Value| -> BTreeSet<String> {
        let here = |problem: &FieldProblem| {
            problem
                .path
                .split_last()
                .filter(|(_, before)| *before == place)
                .map(|(key, _)| (key.to_string(), problem.message.clone()))
        };
        problems(wrap(object))
            .iter()
            .filter_map(here)
            .map(|(key, message)| format!("{key}: {message}"))
            .collect()
    };
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let missing = required
        .iter()
        .map(|key| format!("{}: This is required.", key.as_str().unwrap()))
        .collect();
    assert_eq!(at_place(json!({})), missing, "what is required at {place:?}");
    let none = "There is no such key here.";
    assert!(
        at_place(json!({ "\u{1}": 1 })).contains(&format!("\u{1}: {none}")),
        "unknown keys at {place:?}"
    );
    for (key, property) in schema["properties"].as_object().unwrap_or(&Map::new()) {
        let unknown = format!("{key}: {none}");
        assert!(
            !at_place(json!({ key: [[]] })).contains(&unknown),
            "{key} at {place:?} is not read"
        );
        let (inner, step): (&Value, Option<Segment>) = match property.get("items") {
            Some(items) => (items, Some(0.into())),
            None => (property, None),
        };
        if inner.get("properties").is_none() {
            continue;
        }
        let below: Vec<_> =
            place.iter().cloned().chain([key.clone().into()]).chain(step.clone()).collect();
        let wrap_below =
            |object| wrap(json!({ key: if step.is_some() { json!([object]) } else { object } }));
        compare(inner, &below, &wrap_below, problems);
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::Decoder;
    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "it is looked at by its schema alone")]
    struct Sent {
        name: String,
        icon: Option<String>,
        parts: Vec<Part>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "it is looked at by its schema alone")]
    struct Part {
        id: Option<String>,
        value: String,
    }

    fn part(decoder: &mut Decoder, value: Value) -> Option<()> {
        decoder.object(value, |object| {
            object.ignored("id");
            object.required("value", Decoder::string);
        })
    }

    fn good(object: &mut Object<'_>) {
        object.required("name", Decoder::string);
        object.nullable("icon", Decoder::string);
        object.required("parts", |decoder, value| decoder.list(value, part));
    }

    #[test]
    fn a_decoder_fits_its_schema() {
        assert_reads::<Sent>(good);
    }

    #[test]
    #[should_panic(expected = "what is required")]
    fn a_key_that_is_not_demanded_is_noticed() {
        assert_reads::<Sent>(|object| {
            object.optional("name", Decoder::string);
            object.nullable("icon", Decoder::string);
            object.required("parts", |decoder, value| decoder.list(value, part));
        });
    }

    #[test]
    #[should_panic(expected = "icon at [] is not read")]
    fn a_key_that_is_not_read_is_noticed() {
        assert_reads::<Sent>(|object| {
            object.required("name", Decoder::string);
            object.required("parts", |decoder, value| decoder.list(value, part));
        });
    }

    #[test]
    #[should_panic(expected = "id at [Key(\"parts\"), Index(0)] is not read")]
    fn so_it_is_inside_of_lists() {
        assert_reads::<Sent>(|object| {
            object.required("name", Decoder::string);
            object.nullable("icon", Decoder::string);
            object.required("parts", |decoder, value| {
                decoder.list(value, |decoder, value| {
                    decoder.object(value, |object| object.required("value", Decoder::string))
                })
            });
        });
    }
}
