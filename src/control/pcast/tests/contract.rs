//! The description that is generated from the code, beside the contract's.

use std::collections::BTreeSet;

use super::*;
use crate::control::tests::description::{names, resolved};

/// The channel part of the contract's OpenAPI document.
const CONTRACT: &str = include_str!("../../../../tests/data/contract/pcast.json");

/// What a schema is made of, for comparison: names of fields, of those that must be there, and of words.
fn compare(
    (ours, our_schema): (&Value, &Value),
    (contract, schema): (&Value, &Value),
    is_answer: bool,
    place: &str,
) {
    let (mine, theirs) = (resolved(ours, our_schema), resolved(contract, schema));
    let (our_fields, fields) = (names(&mine["properties"]), names(&theirs["properties"]));
    let missing: Vec<_> = fields.difference(&our_fields).collect();
    assert!(missing.is_empty(), "{place}: {missing:?} are not described");
    let required = |schema: &Value| -> BTreeSet<String> {
        let words = schema["required"].as_array().into_iter().flatten();
        words
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    let (our_required, their_required) = (required(mine), required(theirs));
    match is_answer {
        true => assert!(
            their_required.is_subset(&our_required),
            "{place}: {our_required:?}"
        ),
        false => assert_eq!(our_required, their_required, "{place}"),
    }
    for field in fields {
        let sides = (&mine["properties"][&field], &theirs["properties"][&field]);
        let place = format!("{place}.{field}");
        let types = |schema: &Value| -> BTreeSet<String> {
            match &schema["type"] {
                Value::String(word) => [word.clone()].into(),
                Value::Array(words) => {
                    let words = words.iter().filter_map(Value::as_str);
                    words.map(str::to_owned).collect()
                }
                _ => BTreeSet::new(),
            }
        };
        let (our_types, their_types) = (
            types(resolved(ours, sides.0)),
            types(resolved(contract, sides.1)),
        );
        let nullable = |schema: &Value| {
            let choices = schema["oneOf"].as_array().into_iter().flatten();
            types(schema).contains("null") || choices.into_iter().any(|one| one["type"] == "null")
        };
        assert_eq!(nullable(sides.0), nullable(sides.1), "{place}: null");
        let same = our_types.is_empty()
            || their_types.iter().all(|word| {
                our_types.contains(word) || word == "number" && our_types.contains("integer")
            });
        assert!(same, "{place}: {our_types:?} in place of {their_types:?}");
        compare((ours, sides.0), (contract, sides.1), is_answer, &place);
        let items = (
            &resolved(ours, sides.0)["items"],
            &resolved(contract, sides.1)["items"],
        );
        if !items.1.is_null() {
            compare(
                (ours, items.0),
                (contract, items.1),
                is_answer,
                &format!("{place}[]"),
            );
        }
    }
}

#[test]
fn the_description_says_of_channels_what_the_contract_says() {
    let ours: Value = serde_json::from_str(crate::control::api_description()).unwrap();
    let contract: Value = serde_json::from_str(CONTRACT).unwrap();
    for (path, operations) in contract["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let place = format!("{method} {path}");
            let mine = &ours["paths"][path][method];
            assert!(mine.is_object(), "{place} is not described");
            assert_eq!(mine["operationId"], operation["operationId"], "{place}");
            assert_eq!(mine["tags"], operation["tags"], "{place}");
            let schemes = |operation: &Value| -> BTreeSet<String> {
                let lists = operation["security"].as_array().into_iter().flatten();
                lists.flat_map(names).collect()
            };
            assert_eq!(schemes(mine), schemes(operation), "{place}");
            // Whole classes stand for words that vary: each code of ours is one of its own.
            let codes = |operation: &Value| {
                let codes = names(&operation["responses"]).into_iter();
                codes
                    .filter(|code| !code.ends_with("XX"))
                    .collect::<BTreeSet<String>>()
            };
            let (our_codes, their_codes) = (codes(mine), codes(operation));
            assert!(their_codes.is_subset(&our_codes), "{place}: {our_codes:?}");
            let more: Vec<&String> = our_codes.difference(&their_codes).collect();
            let known = ["409", "413", "500"];
            assert!(
                more.iter().all(|code| known.contains(&code.as_str())),
                "{place}: {more:?}"
            );
            let parameters = |operation: &Value| -> BTreeSet<(String, String, bool)> {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                parameters
                    .map(|one| {
                        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
                        (text("name"), text("in"), one["required"] == true)
                    })
                    .collect()
            };
            assert_eq!(parameters(mine), parameters(operation), "{place}");
            let content = |body: &'_ Value| body["content"]["application/json"]["schema"].clone();
            let (mine_body, body) = (&mine["requestBody"], &operation["requestBody"]);
            assert_eq!(
                mine_body["required"] == true,
                body["required"] == true,
                "{place}"
            );
            if body.is_object() {
                let (a, b) = (content(mine_body), content(body));
                compare(
                    (&ours, &a),
                    (&contract, &b),
                    false,
                    &format!("{place} body"),
                );
            }
            let answers = (&mine["responses"]["200"], &operation["responses"]["200"]);
            let (a, b) = (
                content(resolved(&ours, answers.0)),
                content(resolved(&contract, answers.1)),
            );
            compare((&ours, &a), (&contract, &b), true, &format!("{place} 200"));
        }
    }
}
