//! The OpenAPI document: a change of it is a change of the API, to be seen in review.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::fixture::Fixture;

#[tokio::test]
async fn the_document_is_the_committed_one() {
    let fixture = Fixture::start().await;
    let served = fixture.request(Method::GET, "/openapi.json").send().await.unwrap().text().await.unwrap();
    assert_eq!(served, gatepost_admin::openapi_json());
    let document: Value = serde_json::from_str(&served).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    insta::assert_snapshot!(served);
}

#[test]
fn everything_in_it_has_an_example_and_every_refusal_a_body() {
    let document = document();
    let mut without = Vec::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (member, found) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let refers =
                found.get("$ref").is_some() || found.get("oneOf").is_some() || found["items"].get("$ref").is_some();
            if found.get("example").is_none() && !refers {
                without.push(format!("{name}.{member}"));
            }
        }
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for parameter in operation["parameters"].as_array().unwrap() {
                if parameter.get("example").is_none() {
                    without.push(format!("{method} {path} {}", parameter["name"]));
                }
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                let is_refusal = status.starts_with('4') || status.starts_with('5');
                let problem = &response["content"]["application/problem+json"];
                assert!(!is_refusal || problem.get("example").is_some(), "{method} {path} {status}");
            }
        }
    }
    assert!(without.is_empty(), "without an example: {without:#?}; src/api/document/examples.rs has one for each name");
}

fn document() -> Value {
    serde_json::from_str(&gatepost_admin::openapi_json()).unwrap()
}

/// Every object of a document, with where it stands.
fn objects<'a>(path: &str, value: &'a Value, found: &mut Vec<(String, &'a Map<String, Value>)>) {
    match value {
        Value::Object(members) => {
            found.push((path.to_owned(), members));
            members.iter().for_each(|(name, member)| objects(&format!("{path}/{name}"), member, found));
        }
        Value::Array(values) => values.iter().for_each(|value| objects(path, value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Generators name functions and types by them.
#[test]
fn ids_of_operations_and_members_of_enumerations_differ_as_names_do() {
    let document = document();
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let mut ids = HashSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(plain(id)), "{method} {path}: {id} is the id of another operation as well");
        }
    }
    let mut found = Vec::new();
    objects("", &document, &mut found);
    for (path, object) in found {
        let Some(members) = object.get("enum").and_then(Value::as_array) else { continue };
        let names: HashSet<String> = members.iter().map(|member| plain(member.as_str().unwrap())).collect();
        assert!(names.len() == members.len() && !names.contains(""), "{path}: {members:?}");
    }
}

#[test]
fn examples_are_of_the_type_of_what_they_are_examples_of() {
    let document = document();
    let mut found = Vec::new();
    objects("", &document, &mut found);
    let mut checked = 0;
    for (path, object) in found {
        let schema = object.get("schema").and_then(Value::as_object).unwrap_or(object);
        let (Some(example), Some(kinds)) = (object.get("example"), schema.get("type")) else { continue };
        let own = match example {
            Value::Null => &["null"][..],
            Value::Bool(_) => &["boolean"],
            Value::Number(number) if number.is_f64() => &["number"],
            Value::Number(_) => &["integer", "number"],
            Value::String(_) => &["string"],
            Value::Array(_) => &["array"],
            Value::Object(_) => &["object"],
        };
        let is_one =
            own.iter().any(|own| kinds == own || kinds.as_array().is_some_and(|kinds| kinds.contains(&json!(own))));
        assert!(is_one, "{path}: {example} is no {kinds}");
        checked += 1;
    }
    assert!(checked > 200, "{checked}");
}

/// What is refused when it is sent must not be in the document: unknown members at any depth.
#[test]
fn bodies_of_requests_are_closed_and_there_is_a_server() {
    let document = document();
    assert_eq!(document["servers"][0]["url"], "/");
    let mut names: Vec<String> = Vec::new();
    for operations in document["paths"].as_object().unwrap().values() {
        for operation in operations.as_object().unwrap().values() {
            let Some(body) = operation.get("requestBody") else { continue };
            let reference = body["content"]["application/json"]["schema"]["$ref"].as_str();
            names.push(reference.unwrap_or_else(|| panic!("no named schema: {body}")).to_owned());
        }
    }
    assert!(names.len() >= 14, "{names:?}");
    let mut seen = HashSet::new();
    while let Some(name) = names.pop() {
        if seen.insert(name.clone()) {
            let schema = document.pointer(name.strip_prefix('#').unwrap()).unwrap();
            assert_eq!(schema["additionalProperties"], false, "{name}");
            let mut found = Vec::new();
            objects(&name, schema, &mut found);
            names.extend(found.iter().filter_map(|(_, object)| Some(object.get("$ref")?.as_str()?.to_owned())));
        }
    }
}
