//! Examples of the OpenAPI document: one for each name, so that the same member looks the same everywhere.

use serde_json::{Map, Value, json};

/// Returns the example of a member or parameter.
fn example_for(name: &str) -> Option<Value> {
    let text = match name {
        "id" | "key" | "subject" | "apiKeyId" | "keyId" => "key_00aZ3kT9cQmX1pLr7vWn5sYd",
        "maskedKey" => "live_00a…x7Qz",
        "accountId" => "acc_00bQ2mT8cRnX4pKr6vWj3sHd",
        "projectId" => "prj_00cW5nT7cSoX9pJr1vWk2sGd",
        "createdBy" | "lastChangedBy" => "ak_00dE8oT6cUpX2pHr3vWl4sFd",
        "createdByType" | "lastChangedByType" => "ACCESS_KEY",
        "name" => "Jane's key",
        "env" => "live",
        "role" => "admin",
        "customAccountId" => "customer-17",
        "customUserId" => "jane@example.com",
        "clientIP" | "clientIp" | "address" | "x-origin-ip" => "192.0.2.1",
        "clientUserAgent" => "Mozilla/5.0",
        "from" | "since" | "lastAttemptAt" | "nextAttemptAt" | "oldestDueAt" | "at" | "createdAt" | "updatedAt"
        | "finishedAt" | "lastHeartbeatAt" | "firstUsedAt" | "lastUsedAt" | "refusesAt" | "timestamp"
        | "oldSecretUntil" | "stateSince" | "pausedUntil" => "2026-11-25T10:00:00.000Z",
        "expiry" | "expiresAt" | "to" => "2099-01-01T00:00:00.000Z",
        "url" => "https://example.com/hook",
        "httpMethod" => "POST",
        "status" => "live",
        "pauseReason" => "the receiver responded with 429 or 503 and Retry-After",
        "stateReason" => "the receiver responded with 410",
        "whenPaused" => "drop",
        "secret" => "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "publicKey" => "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
        "theauthapiToken" => "wht_0123456789abcdefghijABCDEFGHIJ0123456789abc",
        "eventId" => "evt_00cZ2kT8cQmX3pLr6vWn4sYd",
        "webhookId" => "hook_00fZ5kT7cQmX2pLr9vWn3sYd",
        "recoveryId" => "rec_00eZ4kT6cQmX5pLr8vWn7sYd",
        "excerpt" => "try again later",
        "topic" | "kind" | "type" => "api-key.created",
        "message" => "Gatepost admin API",
        "version" => env!("CARGO_PKG_VERSION"),
        "openapi" => "/openapi.json",
        "api_key" => "live_00…",
        "Prefer" => "wait=5",
        "Last-Event-ID" | "after" | "next" | "cursor" => "1860000000000000000",
        "period" | "dateGrouping" => "day",
        "date" => "2026-11-25",
        "x-origin-domain" => "https://app.example.com",
        _ => return non_text_example(name),
    };
    Some(Value::from(text))
}

fn non_text_example(name: &str) -> Option<Value> {
    Some(match name {
        "isActive" | "authenticated" | "delivered" | "theauthapiSignature" => json!(true),
        "hasMore" | "omitSecrets" | "dryRun" => json!(false),
        "durationMs" => json!(87),
        "number" | "attempts" => json!(2),
        "lastStatus" => json!(503),
        "lastError" => json!("the receiver responded with 503"),
        "pending" | "inFlight" | "dead" | "dropped" | "delivered24h" | "failed24h" | "recoverable" => json!(3),
        "total" => json!(4711),
        "count" => json!(12),
        "recovered" => json!(1200),
        "skipped" => json!(3),
        "error" | "errorClass" | "responseNote" => json!(null),
        "data" | "previous" | "body" => json!({"id": "key_00aZ3kT9cQmX1pLr7vWn5sYd", "name": "Jane's key"}),
        "limit" => json!(100),
        "offset" => json!(0),
        "rateLimit" => json!(100),
        "rateLimitTtl" => json!(60),
        "overlapSeconds" => json!(3600),
        "retrySchedule" => json!([10, 60, 600, 3600]),
        "maxInFlight" => json!(4),
        "ratePerSecond" => json!(50),
        "signatures" => json!(["v1", "v1a"]),
        "lagMs" => json!(12),
        "upcoming" => json!(["2026-11-25T10:00:00.000Z", "2026-11-25T10:05:00.000Z"]),
        "topics" => json!(["api-key.created", "api-key.firstUsed"]),
        "permissions" => json!(["read"]),
        "allowedDomains" => json!(["example.com"]),
        "allowedIps" => json!(["192.0.2.0/24"]),
        "customMetaData" => json!({"plan": "gold"}),
        "customHeaders" | "headers" => json!({"x-team": "billing"}),
        _ => return None,
    })
}

/// Adds examples wherever there is none yet.
pub(super) fn add(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object_mut();
    for schema in schemas.into_iter().flat_map(|schemas| schemas.values_mut()) {
        add_to_schema(schema);
    }
    let paths = document["paths"].as_object_mut();
    for operation in paths.into_iter().flat_map(|paths| paths.values_mut()).filter_map(Value::as_object_mut) {
        for parameter in parameters_of(operation) {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            let name = if parameter["in"] == "path" { "id".to_owned() } else { name };
            if parameter.get("example").is_none()
                && let Some(example) = example_for(&name)
            {
                parameter["example"] = example;
            }
        }
    }
}

fn add_to_schema(schema: &mut Value) {
    for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        add_to_schema(part);
    }
    let members = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, member) in members.into_iter().flatten() {
        let has_example = member.get("example").is_some() || member.get("$ref").is_some();
        if !has_example && let Some(example) = example_for(name) {
            member["example"] = example;
        }
    }
}

fn parameters_of(operations: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    operations.values_mut().filter_map(|one| one.get_mut("parameters")?.as_array_mut()).flatten()
}
