//! An explanation says what a gateway responds.

use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::client;
use crate::test_cluster::TestCluster;

/// Returns status and code of a gateway's response; no code if the upstream responded.
async fn gateway_response(cluster: &TestCluster, request: &Value) -> (Option<u16>, Option<String>) {
    let method = Method::from_bytes(request["method"].as_str().unwrap_or("GET").as_bytes()).unwrap();
    let url = cluster.gateways[0].url(request["path"].as_str().unwrap_or("/"));
    let mut sent = client().request(method, url);
    for (member, header) in [("key", "x-api-key"), ("origin", "origin")] {
        if let Some(value) = request[member].as_str() {
            sent = sent.header(header, value);
        }
    }
    let response = sent.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let problem: Option<Value> = serde_json::from_str(&text).ok();
    let code = problem.and_then(|problem| Some(problem.get("code")?.as_str()?.to_owned()));
    (code.is_some().then_some(status), code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_agrees_with_a_gateway() {
    let cluster = TestCluster::start(1).await;
    let admin = &cluster.admin;
    let project = admin.create_project().await;
    let create = async |further: Value| {
        let mut body = json!({"name": "k", "projectId": project});
        body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        admin.post("/api-keys", body).await["key"].as_str().unwrap().to_owned()
    };
    let plain = create(json!({})).await;
    let revoked = create(json!({})).await;
    let expired = create(json!({"expiry": "2020-01-01T00:00:00Z"})).await;
    let elsewhere = create(json!({"allowedIps": ["192.0.2.0/24"]})).await;
    let here = create(json!({"allowedIps": ["127.0.0.0/8"]})).await;
    let page = create(json!({"allowedDomains": ["example.com"]})).await;
    let rotated = create(json!({})).await;
    admin.revoke_key(&revoked).await;
    admin.post(&format!("/api-keys/{rotated}/rotate"), json!({})).await;
    cluster.await_status(0, &revoked, 401).await;
    cluster.await_status(0, &rotated, 401).await;
    for request in [
        json!({"key": plain}),
        json!({"key": plain, "method": "POST", "path": "/v1/items?x=1"}),
        json!({}),
        json!({"key": "short"}),
        json!({"key": "nobody-has-this-value"}),
        json!({"key": revoked}),
        json!({"key": expired}),
        json!({"key": elsewhere}),
        json!({"key": here}),
        json!({"key": page}),
        json!({"key": page, "origin": "https://example.com"}),
        json!({"key": page, "origin": "https://evil.example"}),
        json!({"key": rotated}),
        json!({"key": plain, "path": "/a%2Fb"}),
        json!({"key": plain, "path": "/a%00b"}),
        json!({"key": plain, "method": "TRACE"}),
    ] {
        let mut described = request.clone();
        described["ip"] = json!("127.0.0.1");
        described["host"] = json!("127.0.0.1");
        let response = admin.send(Method::POST, "/api-keys/explain", described.to_string()).await;
        let explanation: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let (status, code) = gateway_response(&cluster, &request).await;
        assert_eq!(
            (&explanation["status"], &explanation["code"], &explanation["forwarded"]),
            (&json!(status), &json!(code), &json!(status.is_none())),
            "{request}: {explanation}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_shown_by_name_with_what_it_has_applied() {
    let cluster = TestCluster::start(1).await;
    let admin = &cluster.admin;
    let (key, _) = admin.create_api_key(&admin.create_project().await).await;
    let revoked = admin.send_fenced(Method::DELETE, &format!("/api-keys/{key}"), String::new()).await;
    assert_eq!(revoked.status(), 200);
    let get = async |path: &str| {
        let response = admin.send(Method::GET, path, String::new()).await;
        serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap()
    };
    let gateways = get("/gateways").await;
    assert!(gateways[0]["name"].as_str().unwrap().contains(':'), "{gateways}");
    assert_eq!(gateways[0]["version"], env!("CARGO_PKG_VERSION"));
    let last = get("/events?order=desc&limit=1&type=api-key.deleted").await;
    let cursor = last["events"][0]["cursor"].as_str().unwrap().to_owned();
    let report = get(&format!("/events/{cursor}/propagation")).await;
    assert_eq!((&report["applied"], &report["known"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!(report["gateways"][0]["id"], gateways[0]["id"]);
}
