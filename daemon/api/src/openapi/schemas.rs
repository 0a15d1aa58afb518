//! What types say about themselves, as schemas that refer to each other by name.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::docs::SchemaOf;

/// Collects schemas. What is written and what is read are two views of a type: a key may be
/// optional in one and not in the other.
pub(super) struct Schemas {
    written: SchemaGenerator,
    read: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12()
                .with(|settings| settings.definitions_path = "/components/schemas".into())
        };
        Self {
            written: settings().for_serialize().into_generator(),
            read: settings().for_deserialize().into_generator(),
        }
    }

    /// The schema of what an answer has in it.
    pub(super) fn written(&mut self, schema: SchemaOf) -> Value {
        closed(schema(&mut self.written))
    }

    /// The schema of what a request has in it.
    pub(super) fn read(&mut self, schema: SchemaOf) -> Value {
        closed(schema(&mut self.read))
    }

    /// What is called the same in both views and is not the same.
    #[cfg(test)]
    pub(super) fn conflicts(&self) -> Vec<&String> {
        let read = self.read.definitions();
        let differs = |(name, schema): &(&String, &Value)| {
            read.get(*name).is_some_and(|other| other != *schema)
        };
        self.written.definitions().iter().filter(differs).map(|(name, _)| name).collect()
    }

    /// All that have a name. What is read and what is written are called the same only where they
    /// are the same.
    pub(super) fn into_named(mut self) -> Map<String, Value> {
        let mut named = self.written.take_definitions(true);
        named.extend(self.read.take_definitions(true));
        named.values_mut().for_each(close);
        named
    }
}

fn closed(schema: Schema) -> Value {
    let mut schema = schema.to_value();
    close(&mut schema);
    schema
}

/// Objects have the keys that they name and no others, unless they say something else.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") && members.get("type") == Some(&json!("object")) {
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
