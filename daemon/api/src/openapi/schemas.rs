//! The schemas of types, which refer to each other by name.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::docs::SchemaOf;

/// Collects schemas. Writing and reading have two views of a type: a key may be optional in one and
/// not in the other.
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

    /// The schema of a type that answers contain.
    pub(super) fn written(&mut self, schema: SchemaOf) -> Value {
        closed(schema(&mut self.written))
    }

    /// The schema of a type that requests contain.
    pub(super) fn read(&mut self, schema: SchemaOf) -> Value {
        closed(schema(&mut self.read))
    }

    /// The names that have different schemas in the two views.
    #[cfg(test)]
    pub(super) fn conflicts(&self) -> Vec<&String> {
        let read = self.read.definitions();
        let differs = |(name, schema): &(&String, &Value)| {
            read.get(*name).is_some_and(|other| other != *schema)
        };
        self.written.definitions().iter().filter(differs).map(|(name, _)| name).collect()
    }

    /// All schemas that have a name. Both views share a name only where the schema is the same.
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

/// Allows objects only the keys that they name, unless their schema says otherwise.
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
