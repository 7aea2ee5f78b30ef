//! The description that is generated from the code, beside the contract's.

use std::collections::BTreeSet;

use super::*;
use crate::control::tests::description::{fields, names, resolved, types, words};

/// The part of the contract's OpenAPI document about tenants, users, broadcasts and chats.
const CONTRACT: &str = include_str!("../../../../tests/data/contract/api.json");
/// Codes that every call may have beside the contract's: limits of ours, faults, and a credential that is sent
/// where none is needed.
const MORE_CODES: [&str; 11] = [
    "400", "401", "403", "409", "413", "415", "429", "431", "500", "503", "507",
];

/// Two descriptions, and where they differ.
struct Comparison {
    ours: Value,
    contract: Value,
    differences: Vec<String>,
}

impl Comparison {
    fn check(&mut self, is_so: bool, place: &str, what: impl std::fmt::Debug) {
        if !is_so {
            self.differences.push(format!("{place}: {what:?}"));
        }
    }

    /// Who reads an answer must find in it what the contract says and nothing else for it; who writes a
    /// request may write all that the contract allows.
    fn schema(&mut self, ours: &Value, contract: &Value, is_answer: bool, place: &str) {
        let (our_fields, our_required) = fields(&self.ours, ours);
        let (their_fields, their_required) = fields(&self.contract, contract);
        let is_needed = match is_answer {
            true => their_required.is_subset(&our_required),
            false => our_required.is_subset(&their_required),
        };
        self.check(
            is_needed,
            place,
            ("required", &our_required, &their_required),
        );
        for (field, theirs) in &their_fields {
            let place = format!("{place}.{field}");
            let Some(mine) = our_fields.get(field) else {
                // What is done says no more than that.
                if is_answer && field == "message" {
                    continue;
                }
                self.differences.push(format!("{place} is not described"));
                continue;
            };
            let (our_types, their_types) = (types(&self.ours, mine), types(&self.contract, theirs));
            let (narrow, wide) = match is_answer {
                true => (&our_types, &their_types),
                false => (&their_types, &our_types),
            };
            let fits = narrow
                .iter()
                .all(|word| wide.contains(word) || word == "integer" && wide.contains("number"));
            self.check(fits || wide.is_empty(), &place, (&our_types, &their_types));
            self.schema(mine, theirs, is_answer, &place);
            let items = (
                resolved(&self.ours, mine)["items"].clone(),
                resolved(&self.contract, theirs)["items"].clone(),
            );
            if !items.1.is_null() {
                self.schema(&items.0, &items.1, is_answer, &format!("{place}[]"));
            }
        }
    }

    fn operation(&mut self, path: &str, method: &str, theirs: &Value) {
        let place = format!("{method} {path}");
        let mine = self.ours["paths"][path][method].clone();
        if mine.is_null() {
            self.check(false, &place, "it is not described");
            return;
        }
        self.check(
            mine["operationId"] == theirs["operationId"],
            &place,
            &mine["operationId"],
        );
        self.check(mine["tags"] == theirs["tags"], &place, &mine["tags"]);
        let schemes = |operation: &Value| -> BTreeSet<String> {
            let lists = operation["security"].as_array().into_iter().flatten();
            lists.flat_map(names).map(renamed).collect()
        };
        let (our_schemes, their_schemes) = (schemes(&mine), schemes(theirs));
        let is_known = their_schemes.is_subset(&our_schemes);
        self.check(is_known, &place, ("security", &our_schemes, &their_schemes));
        let (our_codes, their_codes) = (names(&mine["responses"]), names(&theirs["responses"]));
        let missing: Vec<_> = their_codes.difference(&our_codes).collect();
        self.check(
            missing.is_empty(),
            &place,
            ("codes that are missing", missing),
        );
        let more = our_codes.difference(&their_codes);
        let more: Vec<_> = more
            .filter(|code| !MORE_CODES.contains(&code.as_str()))
            .collect();
        self.check(more.is_empty(), &place, ("codes too many", more));
        let parameters = |operation: &Value| -> BTreeSet<(String, String, bool)> {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
            let each = |one| (text(one, "name"), text(one, "in"), one["required"] == true);
            parameters.map(each).collect()
        };
        let (ours, contract) = (parameters(&mine), parameters(theirs));
        let is_there = contract.is_subset(&ours);
        let is_optional = ours.difference(&contract).all(|(.., required)| !required);
        self.check(
            is_there && is_optional,
            &place,
            ("parameters", ours, contract),
        );
        let (our_body, body) = (&mine["requestBody"], &theirs["requestBody"]);
        let is_needed = |body: &Value| body["required"] == true;
        self.check(
            is_needed(our_body) == is_needed(body),
            &place,
            "whether there is a body",
        );
        for kind in names(&body["content"]) {
            let schema = |body: &Value| body["content"][&kind]["schema"].clone();
            self.schema(
                &schema(our_body),
                &schema(body),
                false,
                &format!("{place} {kind}"),
            );
        }
        for code in names(&theirs["responses"]) {
            let answer = |document: &Value, operation: &Value| {
                let answer = resolved(document, &operation["responses"][&code]);
                answer["content"]["application/json"]["schema"].clone()
            };
            let ours = answer(&self.ours, &mine);
            let contract = answer(&self.contract, theirs);
            let place = format!("{place} {code}");
            self.schema(&ours, &contract, true, &place);
            let items = (ours["items"].clone(), contract["items"].clone());
            if !items.1.is_null() {
                self.schema(&items.0, &items.1, true, &format!("{place}[]"));
            }
        }
    }
}

/// A way of security as the contract calls it.
fn renamed(scheme: String) -> String {
    match scheme.as_str() {
        "userToken" => "bearer".to_owned(),
        "adminBearer" => "bearerAdmin".to_owned(),
        _ => scheme,
    }
}

#[test]
fn the_description_says_of_api_what_the_contract_says() {
    let ours = serde_json::from_str(crate::control::api_description()).unwrap();
    let contract: Value = serde_json::from_str(CONTRACT).unwrap();
    let paths = contract["paths"].clone();
    let mut comparison = Comparison {
        ours,
        contract,
        differences: Vec::new(),
    };
    for (path, operations) in paths.as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            comparison.operation(path, method, operation);
        }
    }
    let differences = comparison.differences;
    assert!(differences.is_empty(), "\n{}\n", differences.join("\n"));
}

/// What a description points to is in it.
fn dangling<'a>(document: &'a Value, value: &'a Value, found: &mut BTreeSet<&'a str>) {
    if let Some(reference) = value["$ref"].as_str()
        && document.pointer(&reference[1..]).is_none()
    {
        found.insert(reference);
    }
    let fields = value
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.values());
    let items = value.as_array().into_iter().flatten();
    fields
        .chain(items)
        .for_each(|value| dangling(document, value, found));
}

#[test]
fn nothing_is_pointed_to_that_is_not_described() {
    let document: Value = serde_json::from_str(crate::control::api_description()).unwrap();
    let mut found = BTreeSet::new();
    dangling(&document, &document, &mut found);
    assert_eq!(found, BTreeSet::new());
}

/// Every way of security that a call names is one that the description defines.
#[test]
fn no_call_names_a_credential_that_is_not_described() {
    let document: Value = serde_json::from_str(crate::control::api_description()).unwrap();
    let defined = names(&document["components"]["securitySchemes"]);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let ways = operation["security"].as_array().into_iter().flatten();
            let named: BTreeSet<String> = ways.flat_map(names).collect();
            assert!(named.is_subset(&defined), "{method} {path}: {named:?}");
            assert!(!words(&operation["tags"]).is_empty(), "{method} {path}");
        }
    }
}
