//! Completes the OpenAPI document with the parts that all operations share: errors, headers, examples.

mod body_schemas;
mod examples;
mod list_operations;

use gatepost_domain::problem::ErrorCode;
use serde_json::{Map, Value, json};

use crate::api::extract::context::CONDITIONAL_POSTS;
use crate::api::middleware::authorization::is_read_only;

/// Statuses of every operation.
const ALWAYS: [u16; 3] = [400, 500, 503];
/// Statuses of every operation that requires an access key.
const WITH_ACCESS_KEY: [u16; 3] = [401, 403, 429];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub(super) fn complete(document: &mut Value) {
    document["components"]["schemas"]["Problem"] = problem_schema();
    document["components"]["headers"] = header_components();
    document["servers"] = json!([
        {"url": "/", "description": "The admin API that serves this document"},
        {"url": "http://127.0.0.1:8081", "description": "Admin API at its default listen address"},
    ]);
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, operations) in paths.iter_mut() {
        for method in METHODS {
            if let Some(operation) = operations.get_mut(method) {
                complete_operation(path, method, operation);
            }
        }
    }
    document["paths"]["/events/stream"]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"] =
        event_schema();
    body_schemas::complete(document);
    examples::add(document);
}

/// Returns the schema of a server-sent event, in the form that OpenAPI tools read.
fn event_schema() -> Value {
    json!({
        "type": "object",
        "required": ["data"],
        "properties": {
            "id": {"type": "string", "description": "Cursor of the change"},
            "event": {"type": "string", "description": "`gap` if changes in between are missing; otherwise absent"},
            "data": {"type": "string", "contentMediaType": "application/json", "description": "A `ChangeBody`"},
        },
    })
}

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let common_parameters = request_headers(path, method);
    let mut parameters: Vec<Value> = parameters.into_iter().map(describe_leniency).chain(common_parameters).collect();
    if matches!(method, "post" | "patch") {
        add_prefer(&mut parameters);
    }
    operation["parameters"] = Value::Array(parameters);
    list_operations::complete(operation);
    if let Some(body) = operation.get_mut("requestBody") {
        let description = "JSON, regardless of the content type; up to 64 KiB. Unknown members are refused, or with \
            `Prefer: handling=lenient` ignored and listed in the response header `Gatepost-Ignored`. Any user agent is \
            accepted.";
        body["description"] = Value::from(description);
    }
    let is_open = operation
        .get("security")
        .and_then(Value::as_array)
        .is_some_and(|security| security.iter().all(|one| one.as_object().is_none_or(Map::is_empty)));
    let responses = &mut operation["responses"];
    let with_body: &[u16] = if method == "get" { &[] } else { &[413] };
    let of_method: &[u16] = match method {
        "post" if is_conditional(path, method) => &[409, 412],
        "post" => &[409],
        "patch" | "delete" => &[409, 412],
        _ => &[],
    };
    let with_access_key: &[u16] = if is_open { &[] } else { &WITH_ACCESS_KEY };
    let of_path: &[u16] = if path.contains('{') || !is_open { &[404] } else { &[] };
    for status in ALWAYS.iter().chain(with_body).chain(of_method).chain(with_access_key).chain(of_path) {
        let status = status.to_string();
        if responses.get(&status).is_none() {
            responses[status] = json!({});
        }
    }
    for (status, response) in responses.as_object_mut().into_iter().flatten() {
        complete_response(status, response);
        if status.starts_with('2') && matches!(method, "post" | "patch") {
            response["headers"]["Gatepost-Ignored"] = json!({"$ref": "#/components/headers/Gatepost-Ignored"});
        }
    }
}

/// Describes the strings that JavaScript and Python clients send for absent values and booleans.
fn describe_leniency(mut parameter: Value) -> Value {
    let schema = without_null(parameter["schema"].take());
    let note = match schema["type"].as_str() {
        Some("boolean") => "`True` and `False` are accepted as well; empty, `null` and `undefined` mean absent",
        Some("integer") => "Empty, `null` and `undefined` mean absent",
        _ => "",
    };
    if parameter["in"] == "query" && !note.is_empty() {
        let before = parameter["description"].as_str().map(|before| format!("{before}. ")).unwrap_or_default();
        parameter["description"] = Value::from(format!("{before}{note}"));
    }
    parameter["schema"] = schema;
    parameter
}

/// Removes null from a type: absent parameters are not sent.
fn without_null(mut schema: Value) -> Value {
    if let Some(kinds) = schema["type"].as_array() {
        let kind = kinds.iter().find(|kind| **kind != "null").cloned();
        schema["type"] = kind.unwrap_or_default();
    }
    schema
}

fn complete_response(status: &str, response: &mut Value) {
    response["headers"]["X-Request-Id"] = json!({"$ref": "#/components/headers/X-Request-Id"});
    let is_error = status.starts_with('4') || status.starts_with('5');
    if is_error {
        let code = ErrorCode::ALL.iter().find(|code| is_example_code(**code) && code.status().to_string() == status);
        let title = code.map_or("Error", |code| code.title());
        response["description"] = Value::from(title);
        let schema = json!({"$ref": "#/components/schemas/Problem"});
        let mut content = json!({"schema": schema});
        if let Some(code) = code {
            let problem = gatepost_domain::problem::Problem::from(*code).with_request_id("req_0a1B2c3D4e5F6g7H8i9J0k");
            content["example"] = serde_json::from_str(&problem.to_json()).unwrap_or_default();
        }
        response["content"] = json!({"application/problem+json": content});
        if matches!(status, "429" | "503") {
            response["headers"]["Retry-After"] = json!({"$ref": "#/components/headers/Retry-After"});
        }
        return;
    }
    if response["description"].as_str().is_none_or(str::is_empty) {
        response["description"] = Value::from(if status == "201" { "Made" } else { "Done" });
    }
    if response["content"]["application/json"]["schema"]["$ref"].is_string() {
        response["headers"]["ETag"] = json!({"$ref": "#/components/headers/ETag"});
    }
}

/// Returns whether a code is the example of its status: one that the admin API returns.
fn is_example_code(code: ErrorCode) -> bool {
    !matches!(code, ErrorCode::BadRequest | ErrorCode::BadPath | ErrorCode::AmbiguousPath | ErrorCode::BadHost)
        && !matches!(code, ErrorCode::InvalidJson | ErrorCode::MissingKey | ErrorCode::InvalidKey)
}

fn request_headers(path: &str, method: &str) -> Vec<Value> {
    let parameter = |name: &str, description: &str, example: &str, schema: Value| {
        json!({"name": name, "in": "header", "required": false, "description": description, "example": example,
            "schema": schema})
    };
    let mut headers = vec![parameter(
        "X-Request-Id",
        "Your own id for the request; an invalid id is replaced",
        "order-4711",
        json!({"type": "string"}),
    )];
    match method {
        "post" if !is_read_only(path) => headers.push(parameter(
            "Idempotency-Key",
            "A request repeated with the same key within 24 hours is processed once and gets the same response",
            "5f0c1a52-7d0e-4b6a-9a54-3f1f0a8f8f11",
            json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}),
        )),
        _ => {}
    }
    if is_conditional(path, method) {
        headers.push(parameter(
            "If-Match",
            "ETag of the version to change; any other current version returns 412",
            "\"1860000000000000000\"",
            json!({"type": "string"}),
        ));
    }
    headers
}

/// Returns whether an operation compares `If-Match` with the version of its resource.
fn is_conditional(path: &str, method: &str) -> bool {
    match method {
        "patch" | "delete" => true,
        "post" => CONDITIONAL_POSTS.contains(&path),
        _ => false,
    }
}

/// Adds `Prefer` to requests with a body; some also wait for gateways.
fn add_prefer(parameters: &mut Vec<Value>) {
    let note = "`handling=lenient`: unknown members of the body are ignored and listed in `Gatepost-Ignored`";
    match parameters.iter_mut().find(|parameter| parameter["name"] == "Prefer") {
        Some(waiting) => {
            let both = format!("`wait=N`: the response waits up to N seconds for all gateways. {note}");
            waiting["description"] = Value::from(both);
        }
        None => parameters.push(json!({
            "name": "Prefer", "in": "header", "required": false, "description": note, "example": "handling=lenient",
            "schema": {"type": "string"},
        })),
    }
}

fn header_components() -> Value {
    json!({
        "X-Request-Id": {"description": "Id of the request in the log",
            "schema": {"type": "string"}, "example": "req_0a1B2c3D4e5F6g7H8i9J0k"},
        "ETag": {"description": "Version of the resource, for If-Match", "schema": {"type": "string"},
            "example": "\"1860000000000000000\""},
        "Gatepost-Ignored": {"description": "Unknown members of the body that were ignored: names separated by \
            commas, percent-encoded, at most 20", "schema": {"type": "string"}, "example": "color, quota.limits"},
        "Link": {"description": "Next page, with `rel=\"next\"`, if there may be one (RFC 8288)",
            "schema": {"type": "string"}, "example": "</api-keys?limit=100&after=q83v>; rel=\"next\""},
        "Gatepost-Next": {"description": "Cursor to pass as `after` for the next page, if there may be one",
            "schema": {"type": "string"}, "example": "q83v"},
        "Retry-After": {"description": "Seconds to wait before a retry", "schema": {"type": "integer"},
            "example": 1},
    })
}

fn problem_schema() -> Value {
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
    json!({
        "type": "object",
        "description": "Error of a request (RFC 9457), with the members that clients of The Auth API read.",
        "required": ["type", "title", "status", "detail", "code", "statusCode", "message", "error"],
        "properties": {
            "type": {"type": "string", "description": "Type of the problem", "example": "urn:gatepost:problem:validation"},
            "title": {"type": "string", "description": "Short description of the type", "example": "Validation failed"},
            "status": {"type": "integer", "description": "HTTP status", "example": 400},
            "detail": {"type": "string", "description": "Cause of the error in this request", "example": "name: is missing"},
            "code": {"type": "string", "enum": codes, "description": "Machine-readable error code", "example": "validation"},
            "requestId": {"type": "string", "description": "Id of the request in the log",
                "example": "req_0a1B2c3D4e5F6g7H8i9J0k"},
            "statusCode": {"type": "integer", "description": "The same as `status`", "example": 400},
            "message": {"type": "string", "description": "The same as `detail`, or the text that the \
                hosted product has for this error", "example": "name: is missing"},
            "error": {"type": "string", "description": "HTTP reason phrase of the status", "example": "Bad Request"},
        },
    })
}
