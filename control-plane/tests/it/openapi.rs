//! The OpenAPI document: a change of it is a change of the API, to be seen in review.

use reqwest::Method;
use serde_json::Value;

use crate::fixture::Fixture;

#[tokio::test]
async fn the_document_is_the_committed_one() {
    let fixture = Fixture::start().await;
    let served = fixture.request(Method::GET, "/openapi.json").send().await.unwrap().text().await.unwrap();
    assert_eq!(served, gatepost_control_plane::openapi_json());
    let document: Value = serde_json::from_str(&served).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    insta::assert_snapshot!(served);
}

#[test]
fn everything_in_it_has_an_example_and_every_refusal_a_body() {
    let document: Value = serde_json::from_str(&gatepost_control_plane::openapi_json()).unwrap();
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
