//! Rate limits and quotas through the API.

use std::time::Duration;

use gatepost_domain::record::Role;
use gatepost_domain::time::Timestamp;
use gatepost_store::AccountLimits;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

async fn check(fixture: &Fixture, caller: &Caller<'_>, value: &str) -> Response {
    let request = fixture.request(Method::POST, &format!("/api-keys/auth/{value}"));
    request.header("x-api-key", &caller.access_key).send().await.unwrap()
}

/// Status and the headers of limits: limit, remaining, consumed.
async fn status_and_limits(fixture: &Fixture, caller: &Caller<'_>, value: &str) -> (u16, [u64; 3]) {
    let response = check(fixture, caller, value).await;
    let numbers = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-consumed"];
    (response.status().as_u16(), numbers.map(|name| header_number(&response, name)))
}

fn header_number(response: &Response, name: &str) -> u64 {
    response.headers()[name].to_str().unwrap().parse().unwrap()
}

/// Trap 15: refused requests are repeated at once, and must not count. Trap 16: the four headers and `Retry-After`.
#[tokio::test]
async fn limits_of_an_account_are_shown_with_their_use() {
    let bounds = AccountLimits { api_keys: 2, bytes: 0, ..AccountLimits::DEFAULT };
    let fixture = Fixture::with_account_bounds(bounds).await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    admin.create_key(&project, json!({})).await;
    let (_, accounts) = admin.get("/accounts").await;
    let (status, body) = admin.get(&format!("/accounts/{}/limits", text(&accounts[0], "id"))).await;
    assert_eq!(status, 200, "{body}");
    let limits = body["limits"].as_array().unwrap();
    assert_eq!(limits[0], json!({"resource": "apiKeys", "used": 1, "limit": 2}));
    assert_eq!(limits[1], json!({"resource": "projects", "used": 1, "limit": 10_000}));
    assert_eq!((&limits[3]["resource"], &limits[3]["limit"]), (&json!("bytes"), &json!(null)));
}

#[tokio::test]
async fn a_refused_request_is_not_counted_and_the_window_ends_as_announced() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let limit = json!({"rateLimitConfigs": {"rateLimit": 3, "rateLimitTtl": 60, "rateLimitedEntity": "ApiKey"}});
    let made = caller.create_key(&caller.create_project().await, limit).await;
    assert_eq!(made["rateLimitConfigs"], json!({"rateLimit": 3, "rateLimitTtl": 60.0}));
    let value = text(&made, "key");
    for consumed in 1..=3 {
        assert_eq!(status_and_limits(&fixture, &caller, &value).await, (200, [3, 3 - consumed, consumed]));
    }
    for _ in 0..4 {
        assert_eq!(status_and_limits(&fixture, &caller, &value).await, (429, [3, 0, 3]));
    }
    let refused = check(&fixture, &caller, &value).await;
    let (reset_s, retry_after_s) = (header_number(&refused, "ratelimit-reset"), header_number(&refused, "retry-after"));
    let now_s = fixture.now().as_seconds();
    assert!((now_s + 50..=now_s + 61).contains(&reset_s) && (50..=60).contains(&retry_after_s), "{refused:?}");
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!((code(&problem), &problem["message"]), ("rate-limited", &json!("Too many requests")));
    fixture.advance(Duration::from_secs(retry_after_s));
    assert_eq!(status_and_limits(&fixture, &caller, &value).await, (200, [3, 2, 1]));
}

/// Trap 28: the counters follow the key.
#[tokio::test]
async fn a_renamed_or_rotated_key_has_no_fresh_limit() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    // Trap 25: some clients send it flat.
    let made = caller.create_key(&caller.create_project().await, json!({"rateLimit": 3, "rateLimitTtl": 60})).await;
    let id = text(&made, "id");
    assert_eq!(check(&fixture, &caller, &text(&made, "key")).await.status(), 200);
    caller.send(Method::PATCH, &format!("/api-keys/{id}"), Some(json!({"key": "another-value"}))).await;
    assert_eq!(status_and_limits(&fixture, &caller, "another-value").await, (200, [3, 1, 2]));
    let (_, rotated) = caller.post(&format!("/api-keys/{id}/rotate"), json!({"overlapSeconds": 60})).await;
    assert_eq!(status_and_limits(&fixture, &caller, &text(&rotated, "key")).await, (200, [3, 0, 3]));
    assert_eq!(status_and_limits(&fixture, &caller, "another-value").await, (429, [3, 0, 3]));
    let higher = json!({"rateLimitConfigs": {"rateLimit": 5, "rateLimitTtl": 60}});
    caller.send(Method::PATCH, &format!("/api-keys/{id}"), Some(higher)).await;
    assert_eq!(status_and_limits(&fixture, &caller, "another-value").await, (200, [5, 1, 4]));
    let (status, _) =
        caller.send(Method::PATCH, &format!("/api-keys/{id}"), Some(json!({"rateLimitConfigs": null}))).await;
    assert_eq!(status, 200);
    let response = check(&fixture, &caller, "another-value").await;
    assert_eq!((response.status().as_u16(), response.headers().get("ratelimit-limit")), (200, None));
}

#[tokio::test]
async fn another_length_or_a_limit_set_again_starts_a_window_and_another_number_does_not() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let rate = |limit: u64, ttl: u64| json!({"rateLimitConfigs": {"rateLimit": limit, "rateLimitTtl": ttl}});
    let quota = |limit: u64, period: &str| json!({"quota": {"limit": limit, "period": period}});
    for (limits, lower, higher, other_length, none) in [
        (rate(4, 600), rate(2, 600), rate(5, 600), rate(4, 60), json!({"rateLimitConfigs": null})),
        (quota(4, "day"), quota(2, "day"), quota(5, "day"), quota(4, "month"), json!({"quota": null})),
    ] {
        let made = caller.create_key(&caller.create_project().await, limits.clone()).await;
        let (id, value) = (text(&made, "id"), text(&made, "key"));
        let change = async |limits: &Value| {
            let (status, body) = caller.send(Method::PATCH, &format!("/api-keys/{id}"), Some(limits.clone())).await;
            assert_eq!(status, 200, "{body}");
        };
        let reset = async || header_number(&check(&fixture, &caller, &value).await, "ratelimit-reset");
        for consumed in 1..=3 {
            assert_eq!(status_and_limits(&fixture, &caller, &value).await, (200, [4, 4 - consumed, consumed]));
        }
        change(&lower).await;
        assert_eq!(status_and_limits(&fixture, &caller, &value).await.0, 429, "{lower}");
        let reset_before = reset().await;
        change(&higher).await;
        assert_eq!(status_and_limits(&fixture, &caller, &value).await, (200, [5, 1, 4]), "{higher}");
        assert_eq!(reset().await, reset_before, "the number alone keeps the window");
        assert_eq!(status_and_limits(&fixture, &caller, &value).await, (429, [5, 0, 5]));
        change(&other_length).await;
        assert_eq!(status_and_limits(&fixture, &caller, &value).await, (200, [4, 3, 1]), "{other_length}");
        for limits in [&none, &other_length] {
            change(limits).await;
        }
        for consumed in 1..=4 {
            assert_eq!(
                status_and_limits(&fixture, &caller, &value).await,
                (200, [4, 4 - consumed, consumed]),
                "set again"
            );
        }
        assert_eq!(status_and_limits(&fixture, &caller, &value).await, (429, [4, 0, 4]));
    }
}

#[tokio::test]
async fn a_quota_is_one_of_the_calendar() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let project = caller.create_project().await;
    for (period, message) in [("day", "Daily request quota exceeded"), ("month", "Monthly request quota exceeded")] {
        let made = caller.create_key(&project, json!({"quota": {"limit": 2, "period": period}})).await;
        assert_eq!(made["quota"], json!({"limit": 2, "period": period}));
        let value = text(&made, "key");
        assert_eq!(status_and_limits(&fixture, &caller, &value).await, (200, [2, 1, 1]));
        assert_eq!(status_and_limits(&fixture, &caller, &value).await, (200, [2, 0, 2]));
        let refused = check(&fixture, &caller, &value).await;
        assert_eq!(refused.status(), 429);
        let reset = Timestamp::from_ms(1000 * header_number(&refused, "ratelimit-reset"));
        let retry_after = Duration::from_secs(header_number(&refused, "retry-after"));
        let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
        assert_eq!(problem["message"], message);
        let expected = if period == "day" { "T00:00:00.000Z" } else { "-01T00:00:00.000Z" };
        assert!(reset.to_string().ends_with(expected), "{reset}");
        fixture.advance(retry_after);
        assert_eq!(status_and_limits(&fixture, &caller, &value).await, (200, [2, 1, 1]));
    }
}

#[tokio::test]
async fn a_rate_limit_and_a_quota_both_apply() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let both = json!({
        "rateLimitConfigs": {"rateLimit": 2, "rateLimitTtl": 1}, "quota": {"limit": 3, "period": "month"},
    });
    let value = text(&caller.create_key(&caller.create_project().await, both).await, "key");
    assert_eq!(status_and_limits(&fixture, &caller, &value).await, (200, [2, 1, 1]));
    assert_eq!(status_and_limits(&fixture, &caller, &value).await, (200, [2, 0, 2]));
    assert_eq!(status_and_limits(&fixture, &caller, &value).await, (429, [2, 0, 2]));
    fixture.advance(Duration::from_secs(1));
    assert_eq!(status_and_limits(&fixture, &caller, &value).await, (200, [2, 1, 1]));
    assert_eq!(status_and_limits(&fixture, &caller, &value).await, (429, [3, 0, 3]));
}

#[tokio::test]
async fn invalid_limits_are_refused_with_a_reason() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let id = text(&caller.create_key(&caller.create_project().await, json!({})).await, "id");
    for (body, detail) in [
        (
            json!({"rateLimitConfigs": {}}),
            "rateLimit: must be a whole number from 1 to 1000000000000; rateLimitTtl: must be",
        ),
        (json!({"rateLimitConfigs": {"rateLimitTtl": 1}}), "rateLimit: must be"),
        (json!({"rateLimitConfigs": {"rateLimit": 0, "rateLimitTtl": 1}}), "rateLimit: must be"),
        (json!({"rateLimitConfigs": {"rateLimit": 1, "rateLimitTtl": 0.9}}), "rateLimitTtl: must be"),
        (json!({"rateLimitConfigs": {"rateLimit": 1, "rateLimitTtl": 1e9}}), "rateLimitTtl: must be"),
        (
            json!({"rateLimitConfigs": {"rateLimit": "1", "rateLimitTtl": 1}}),
            "rateLimitConfigs.rateLimit: must be a whole number",
        ),
        (json!({"quota": {"limit": 1, "period": "year"}}), "quota.period: must be day or month"),
        (json!({"quota": {"period": "day"}}), "quota.limit: must be"),
    ] {
        let (status, problem) = caller.send(Method::PATCH, &format!("/api-keys/{id}"), Some(body.clone())).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{body}");
        assert!(text(&problem, "detail").starts_with(detail), "{body}: {problem}");
    }
}
