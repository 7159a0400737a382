//! Lists as bare arrays in the OpenAPI document: the parameters of a page, and the headers that name the next one.

use gatepost_control_plane::{MAX_LIMIT, MAX_OFFSET};
use serde_json::{Value, json};

/// Headers of a page.
const HEADERS: [&str; 2] = ["Link", "Gatepost-Next"];

/// Completes an operation if it lists something as a bare array.
pub(super) fn complete(operation: &mut Value) {
    let parameters = operation["parameters"].as_array_mut();
    let mut parameters: Vec<&mut Value> = parameters.into_iter().flatten().collect();
    let is_list = ["limit", "offset", "after"]
        .iter()
        .all(|name| parameters.iter().any(|parameter| parameter["name"] == *name && parameter["in"] == "query"));
    if !is_list {
        return;
    }
    for parameter in &mut parameters {
        complete_parameter(parameter);
    }
    for name in HEADERS {
        operation["responses"]["200"]["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
    }
}

fn complete_parameter(parameter: &mut Value) {
    let (description, example, bound) = match parameter["name"].as_str() {
        Some("limit") => ("How many at most; without it, all", json!(100), Some(MAX_LIMIT)),
        Some("offset") => ("How many are left out at the beginning. Not beside `after`", json!(0), Some(MAX_OFFSET)),
        Some("after") => (
            "The `Gatepost-Next` of the page before. With it, a page may have fewer than `limit`, or none, and not be \
             the last: that is the one without `Gatepost-Next`",
            json!("q83v"),
            None,
        ),
        _ => return,
    };
    let absent = parameter["description"].as_str().map(|absent| format!(". {absent}")).unwrap_or_default();
    parameter["description"] = Value::from(format!("{description}{absent}"));
    parameter["example"] = example;
    if let Some(bound) = bound {
        parameter["schema"]["maximum"] = json!(bound);
    }
}
