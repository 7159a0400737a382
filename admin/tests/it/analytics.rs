//! Usage of keys through the API.

use std::time::Duration;

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fixture::{Caller, Fixture, code, text};

/// Asks until the sum of a report is this, and answers it.
async fn await_total(caller: &Caller<'_>, path: &str, total: u64) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (status, report) = caller.get(path).await;
        assert_eq!(status, 200, "{report}");
        let sum: u64 = report.as_array().unwrap().iter().map(|row| row["total"].as_u64().unwrap()).sum();
        if sum == total {
            return report;
        }
        assert!(sum < total && Instant::now() < deadline, "{report}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn usage_is_reported_by_project_and_by_key_in_hours_days_and_months() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let project = caller.create_project().await;
    let (first, second) = (caller.create_key(&project, json!({})).await, caller.create_key(&project, json!({})).await);
    let limited = caller.create_key(&project, json!({"rateLimitConfigs": {"rateLimit": 1, "rateLimitTtl": 60}})).await;
    assert_eq!(first.get("lastUsedAt"), None);
    // The last one is refused, and no use.
    for key in [&first, &first, &second, &limited, &limited] {
        caller.send(Method::POST, &format!("/api-keys/auth/{}", text(key, "key")), None).await;
    }
    for (grouping, pattern) in [("hour", ":00:00.000Z"), ("day", "T00:00:00.000Z"), ("month", "-01T00:00:00.000Z")] {
        let query = format!("projectId={project}&dateGrouping={grouping}");
        let report = await_total(&caller, &format!("/analytics/project-totals?{query}"), 4).await;
        assert!(report[0]["date"].as_str().unwrap().ends_with(pattern), "{report}");
        assert_eq!(report[0]["projectId"], project.as_str());
        let report = await_total(&caller, &format!("/analytics/api-key-totals?{query}"), 4).await;
        let of = |key: &Value| {
            let rows = report.as_array().unwrap().iter().filter(|row| row["apiKeyId"] == key["id"]);
            rows.map(|row| row["total"].as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!((of(&first), of(&second), of(&limited)), (2, 1, 1));
    }
    for (key, total) in [(&first, 2), (&second, 1), (&limited, 1)] {
        let id = text(key, "id");
        for grouping in ["hour", "day", "month"] {
            let (_, all) =
                caller.get(&format!("/analytics/api-key-totals?projectId={project}&dateGrouping={grouping}")).await;
            let rows = all.as_array().unwrap().iter().filter(|row| row["apiKeyId"] == key["id"]);
            let totals: Vec<Value> = rows.map(|row| json!({"date": row["date"], "total": row["total"]})).collect();
            let expected = json!({"apiKeyId": id, "projectId": project, "total": total, "totals": totals});
            assert_eq!(caller.get(&format!("/api-keys/{id}/usage?dateGrouping={grouping}")).await, (200, expected));
        }
    }
    let (_, top) = caller.get(&format!("/analytics/top-api-keys?projectId={project}&limit=1")).await;
    assert_eq!(top, json!([{"apiKeyId": first["id"], "projectId": project, "total": 2}]));
    let (_, top) = caller.get(&format!("/analytics/top-api-keys?projectId={project}")).await;
    assert_eq!(top.as_array().unwrap().iter().map(|row| row["total"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 1, 1]);
    let (_, read) = caller.get(&format!("/api-keys/{}", text(&first, "id"))).await;
    let (_, listed) = caller.get(&format!("/api-keys?projectId={project}")).await;
    assert!(read["lastUsedAt"].is_string());
    assert_eq!(listed[0]["lastUsedAt"], read["lastUsedAt"]);
    let path = format!("/analytics/project-totals?projectId={project}&from=2020-01-01&to=2020-02-01");
    assert_eq!(caller.get(&path).await, (200, json!([])));
}

#[tokio::test]
async fn an_invalid_report_query_is_refused_with_a_reason() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Viewer).await;
    let project = fixture.caller("a", None, Role::Admin).await.create_project().await;
    for (query, detail) in [
        ("dateGrouping=day".to_owned(), "projectId: is missing"),
        (format!("projectId={project}&dateGrouping=year"), "dateGrouping: must be hour, day or month"),
        (format!("projectId={project}&from=soon"), "from: not a time"),
    ] {
        for kind in ["project-totals", "api-key-totals"] {
            let (status, problem) = caller.get(&format!("/analytics/{kind}?{query}")).await;
            assert_eq!((status, code(&problem)), (400, "validation"), "{query}");
            assert!(text(&problem, "detail").starts_with(detail), "{problem}");
        }
    }
}

#[tokio::test]
async fn an_invalid_query_of_one_keys_usage_is_refused() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let project = caller.create_project().await;
    let id = text(&caller.create_key(&project, json!({})).await, "id");
    let empty = json!({"apiKeyId": id, "projectId": project, "total": 0, "totals": []});
    assert_eq!(caller.get(&format!("/api-keys/{id}/usage")).await, (200, empty));
    let top = format!("/analytics/top-api-keys?projectId={project}");
    for path in [
        format!("/api-keys/{id}/usage?dateGrouping=year"),
        format!("/api-keys/{id}/usage?from=soon"),
        format!("{top}&limit=0"),
        format!("{top}&limit=101"),
        format!("{top}&from={}", fixture.now().minus(Duration::from_secs(9 * 24 * 3600))),
    ] {
        let (status, problem) = caller.get(&path).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{path}");
    }
    let (status, problem) = caller.get("/api-keys/nobody-has-this-value/usage").await;
    assert_eq!((status, code(&problem)), (404, "invalid-client-key"));
}
