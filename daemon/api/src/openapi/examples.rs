//! Adds an example to each body and each success of the document.

use serde_json::{Map, Value};

use super::parts::set;
use super::properties::example;

/// Adds examples to the operations of `paths`. The schemas that they refer to are `named`.
pub(super) fn add(paths: &mut Map<String, Value>, named: &Map<String, Value>) {
    let operations = paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    for operation in operations {
        if let Some(body) = operation.get_mut("requestBody") {
            add_to(body, named);
        }
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
        let responses = responses.into_iter().flatten();
        responses.for_each(|(_, response)| add_to(response, named));
    }
}

fn add_to(part: &mut Value, named: &Map<String, Value>) {
    let json = part.get_mut("content").and_then(|content| content.get_mut("application/json"));
    let Some(json) = json else { return };
    let Some(schema) = json.get("schema") else { return };
    let example = example(schema, named);
    set(json, "example", example);
}
