//! The schemas of types, which refer to each other by name.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::properties;
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
        let mut schema = schema(&mut self.written).to_value();
        tidy(&mut schema, self.written.definitions());
        schema
    }

    /// The schema of a type that requests contain.
    pub(super) fn read(&mut self, schema: SchemaOf) -> Value {
        let mut schema = schema(&mut self.read).to_value();
        tidy(&mut schema, self.read.definitions());
        schema
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
        let untidied = named.clone();
        for (name, schema) in &mut named {
            tidy(schema, &untidied);
            properties::describe(name, schema);
        }
        named
    }
}

/// Makes of a derived schema one that generators of clients understand. `named` are the schemas
/// that it may refer to.
fn tidy(schema: &mut Value, named: &Map<String, Value>) {
    spell_out(schema, named);
    close(schema);
}

/// Writes the schemas of "anything" and of "nothing" in words: `true` and `{"type": "null"}` stop
/// generators of clients.
fn spell_out(schema: &mut Value, named: &Map<String, Value>) {
    match schema {
        Value::Bool(true) => *schema = json!({ "description": "Any JSON." }),
        Value::Object(members) if is_null(members) => {
            *schema = json!({
                "type": ["object", "null"],
                "maxProperties": 0,
                "description": "Always `null`.",
            });
        }
        Value::Object(members) => {
            if let Some(nullable) = nullable(members, named) {
                *schema = nullable;
                return spell_out(schema, named);
            }
            let properties = members.get_mut("properties").and_then(Value::as_object_mut);
            properties.into_iter().flat_map(Map::values_mut).for_each(|one| spell_out(one, named));
            for key in ["anyOf", "oneOf", "allOf"] {
                let listed = members.get_mut(key).and_then(Value::as_array_mut);
                listed.into_iter().flatten().for_each(|one| spell_out(one, named));
            }
            members.get_mut("items").into_iter().for_each(|items| spell_out(items, named));
        }
        _ => {}
    }
}

fn is_null(members: &Map<String, Value>) -> bool {
    members.get("type") == Some(&json!("null"))
}

/// Of "this or `null`", a copy of this whose type includes `null`.
fn nullable(members: &Map<String, Value>, named: &Map<String, Value>) -> Option<Value> {
    let [of, null] = members.get("anyOf")?.as_array()?.as_slice() else { return None };
    if !null.as_object().is_some_and(is_null) {
        return None;
    }
    let reference = of.get("$ref").and_then(Value::as_str);
    let name = reference.and_then(|reference| reference.rsplit('/').next());
    let mut copy = name.map_or(Some(of), |name| named.get(name))?.clone();
    let types = json!([copy.get("type")?, "null"]);
    let of = copy.as_object_mut()?;
    of.insert("type".to_owned(), types);
    if let Some(values) = of.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    if let Some(about) = members.get("description") {
        of.insert("description".to_owned(), about.clone());
    }
    Some(copy)
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
