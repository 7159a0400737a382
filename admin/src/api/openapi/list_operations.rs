//! Lists as bare arrays in the OpenAPI document: the paging parameters, and the headers that identify the next page.

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
        Some("limit") => ("Maximum number of items; by default all", json!(100), Some(MAX_LIMIT)),
        Some("offset") => ("Number of items to skip. Cannot be combined with `after`", json!(0), Some(MAX_OFFSET)),
        Some("after") => (
            "`Gatepost-Next` of the previous page. A page may then contain fewer than `limit` items, or none, without \
             being the last: only the last page has no `Gatepost-Next`",
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
