//! Parts of API descriptions, for comparison.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Follows references; of something that may be null, what else it may be.
pub(in crate::control) fn resolved<'a>(document: &'a Value, mut value: &'a Value) -> &'a Value {
    loop {
        if let Some(reference) = value["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').unwrap();
            let found = document.pointer(pointer);
            value = found.unwrap_or_else(|| panic!("no {reference}"));
            continue;
        }
        let choices = value["oneOf"].as_array();
        let choices = choices.filter(|choices| choices.iter().any(|one| one["type"] == "null"));
        match choices.and_then(|choices| choices.iter().find(|one| one["type"] != "null")) {
            Some(choice) => value = choice,
            None => return value,
        }
    }
}

/// Names of an object's fields.
pub(in crate::control) fn names(value: &Value) -> BTreeSet<String> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, _)| name.clone()).collect()
}

/// Texts of a list.
pub(in crate::control) fn words(value: &Value) -> BTreeSet<String> {
    let words = value.as_array().into_iter().flatten();
    let words = words.filter_map(|word| word.as_str().map(str::to_owned));
    words.collect()
}

/// Fields of a schema, with those of what it is made of, and which of them must be there.
pub(in crate::control) fn fields(
    document: &Value,
    schema: &Value,
) -> (Map<String, Value>, BTreeSet<String>) {
    let nullable = schema["oneOf"].is_array();
    let schema = resolved(document, schema);
    let properties = schema["properties"].as_object().cloned();
    let mut properties = properties.unwrap_or_default();
    let mut required = words(&schema["required"]);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let (more, needed) = fields(document, part);
        properties.extend(more);
        required.extend(needed);
    }
    // Of what may be null as a whole nothing must be there.
    match nullable {
        true => (properties, BTreeSet::new()),
        false => (properties, required),
    }
}

/// The types that a value may have.
pub(in crate::control) fn types(document: &Value, schema: &Value) -> BTreeSet<String> {
    let mut types = words(&schema["type"]);
    types.extend(schema["type"].as_str().map(str::to_owned));
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    for choice in choices {
        types.extend(self::types(document, choice));
    }
    if schema["$ref"].is_string() {
        types.extend(self::types(document, resolved(document, schema)));
    }
    types
}
