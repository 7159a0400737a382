//! Bodies in the OpenAPI document. Request schemas are closed: they allow only the members in the document. A PATCH
//! also accepts every member of the response that its body may be a copy of.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Bodies of PATCH requests, and the responses that they may be copies of. The response to creating an account has all
/// members that other responses with an account have.
const PATCH_BODIES: [(&str, &str); 5] = [
    ("UpdateAccount", "NewAccountBody"),
    ("UpdateProject", "ProjectBody"),
    ("UpdateApiKey", "ApiKeyBody"),
    ("UpdateAccessKey", "AccessKeyBody"),
    ("UpdateWebhook", "WebhookBody"),
];
const SCHEMAS: &str = "#/components/schemas/";

/// Returns members that clients of The Auth API send and that have no effect, with an example.
fn members_without_effect() -> Vec<(&'static str, &'static str, Value)> {
    let of_copies = PATCH_BODIES.map(|(body, _)| (body, "createdIn", json!(null)));
    let others = [
        ("RateLimitMembers", "rateLimitedEntity", json!("ApiKey")),
        ("Authenticate", "timestamp", json!(1_795_600_800_000_u64)),
        ("Authenticate", "sentAt", json!(1_795_600_800_000_u64)),
        ("CreateAccessKey", "rateLimit", json!(100)),
        ("CreateAccessKey", "rateLimitTtl", json!(60)),
        ("UpdateAccessKey", "rateLimit", json!(100)),
        ("UpdateAccessKey", "rateLimitTtl", json!(60)),
    ];
    of_copies.into_iter().chain(others).collect()
}

pub(super) fn complete(document: &mut Value) {
    merge_parts(document);
    add_read_only(document);
    for (body, member, example) in members_without_effect() {
        let description = "Accepted for compatibility with clients of The Auth API; has no effect";
        document["components"]["schemas"][body]["properties"][member] =
            json!({"description": description, "example": example});
    }
    unwrap_optional(document);
    close(document);
    remove_unused(document);
}

/// Copies the parts of a schema into it: a closed schema cannot be a part of another one.
fn merge_parts(document: &mut Value) {
    let Some(mut schemas) = document["components"]["schemas"].as_object().cloned() else { return };
    let known = schemas.clone();
    for schema in schemas.values_mut() {
        let Some(parts) = schema.as_object_mut().and_then(|schema| schema.remove("allOf")) else { continue };
        for part in parts.as_array().into_iter().flatten() {
            let part = schema_name(part).and_then(|name| known.get(name)).unwrap_or(part);
            merge(schema, part);
        }
    }
    document["components"]["schemas"] = Value::Object(schemas);
}

fn merge(schema: &mut Value, part: &Value) {
    schema["type"] = json!("object");
    for (name, member) in part["properties"].as_object().into_iter().flatten() {
        schema["properties"][name] = member.clone();
    }
    let required = part["required"].as_array().cloned().unwrap_or_default();
    if !required.is_empty() {
        let before = schema["required"].as_array().cloned().unwrap_or_default();
        schema["required"] = Value::Array([before, required].concat());
    }
}

fn add_read_only(document: &mut Value) {
    let schemas = &mut document["components"]["schemas"];
    for (body, answer) in PATCH_BODIES {
        for (name, member) in schemas[answer]["properties"].as_object().cloned().into_iter().flatten() {
            if schemas[body]["properties"].get(&name).is_none() {
                schemas[body]["properties"][name] = read_only(member);
            }
        }
    }
}

/// Returns a member of a response as a member of a request that has no effect (`readOnly`). Its value is not validated.
fn read_only(member: Value) -> Value {
    let text = member["description"].as_str().unwrap_or_default();
    let description = Value::from(format!("{text} Has no effect in a request"));
    if member.get("$ref").is_some() {
        return json!({"description": description, "readOnly": true, "example": {}});
    }
    let mut member = member;
    member["description"] = description;
    member["readOnly"] = json!(true);
    member
}

/// Removes null from the schemas of optional bodies.
fn unwrap_optional(document: &mut Value) {
    for schema in bodies(document) {
        let choices = schema["oneOf"].as_array().into_iter().flatten();
        if let Some(only) = choices.into_iter().find(|choice| schema_name(choice).is_some()).cloned() {
            *schema = only;
        }
    }
}

fn close(document: &mut Value) {
    let mut waiting: Vec<String> =
        bodies(document).filter_map(|schema| schema_name(schema).map(str::to_owned)).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        let schema = &mut document["components"]["schemas"][&name];
        if seen.insert(name) && schema.get("properties").is_some() {
            schema["additionalProperties"] = json!(false);
            waiting.extend(references(schema));
        }
    }
}

fn remove_unused(document: &mut Value) {
    let used = references(document);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| used.contains(name));
    }
}

/// Returns the schemas of all bodies of requests.
fn bodies(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    operations.filter_map(|operation| operation.pointer_mut("/requestBody/content/application~1json/schema"))
}

/// Returns the names of all schemas that a value refers to, at any depth.
fn references(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(members) => {
            let own = schema_name(value).map(str::to_owned);
            members.values().flat_map(references).chain(own).collect()
        }
        Value::Array(values) => values.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => BTreeSet::new(),
    }
}

fn schema_name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix(SCHEMAS)
}
