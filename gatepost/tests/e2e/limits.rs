//! One rate limit over two gateways under load.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin::client;
use crate::test_cluster::{DEADLINE, TestCluster};

/// The limit, its window in seconds, and the duration of the load.
const LIMIT: u64 = if cfg!(feature = "long") { 1000 } else { 400 };
const WINDOW_S: u64 = if cfg!(feature = "long") { 10 } else { 3 };
const LOAD_DURATION: Duration = Duration::from_secs(if cfg!(feature = "long") { 42 } else { 10 });
/// Requests per second, over both gateways.
const REQUESTS_PER_SECOND: u64 = 4000;
/// Number of concurrent clients.
const CLIENTS: u64 = 32;
/// Minimum percentage of the limit that is used if there are more than enough requests.
const MIN_USED_PERCENT: u64 = 95;

/// Accepted requests by the end of their window in the response, and the number of all requests.
#[derive(Default)]
struct LoadResult {
    passed: Mutex<BTreeMap<u64, u64>>,
    requests: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_share_one_limit_to_the_request() {
    let cluster = TestCluster::start(2).await;
    let project = cluster.admin.create_project().await;
    let limit = json!({"rateLimit": LIMIT, "rateLimitTtl": WINDOW_S});
    let key =
        cluster.admin.post("/api-keys", json!({"name": "k", "projectId": project, "rateLimitConfigs": limit})).await;
    let key = key["key"].as_str().unwrap();
    let result = Arc::new(LoadResult::default());
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let url = cluster.gateways[usize::from(number % 2 == 1)].url("/x");
        clients.spawn(run_client(Arc::clone(&result), url, key.to_owned(), number, began));
    }
    clients.join_all().await;

    let passed = result.passed.lock().unwrap().clone();
    let requests = result.requests.load(Ordering::Relaxed);
    println!("{requests} requests in {:?}, passed by window: {passed:?}", began.elapsed());
    // The last window may be incomplete.
    let whole = passed.len() - 1;
    assert!(whole >= 2, "{passed:?}");
    assert!(passed.values().all(|count| *count <= LIMIT), "{passed:?}");
    assert!(passed.values().take(whole).all(|count| *count >= LIMIT * MIN_USED_PERCENT / 100), "{passed:?}");
}

/// Sends one client's share of the requests.
async fn run_client(result: Arc<LoadResult>, url: String, key: String, number: u64, began: Instant) {
    let client = client();
    let every = Duration::from_micros(1_000_000 * CLIENTS / REQUESTS_PER_SECOND);
    let mut next = began + every / u32::try_from(CLIENTS).unwrap() * u32::try_from(number).unwrap();
    while began.elapsed() < LOAD_DURATION {
        // This is the pace of the load, not a wait for a condition.
        tokio::time::sleep_until(next).await;
        next = (next + every).max(Instant::now());
        let response = client.get(&url).header("x-api-key", &key).send().await.unwrap();
        result.requests.fetch_add(1, Ordering::Relaxed);
        let header = |name: &str| response.headers()[name].to_str().unwrap().parse::<u64>().unwrap();
        assert_eq!(header("ratelimit-limit"), LIMIT);
        assert_eq!(header("ratelimit-remaining") + header("ratelimit-consumed"), LIMIT);
        match response.status() {
            StatusCode::OK => *result.passed.lock().unwrap().entry(header("ratelimit-reset")).or_default() += 1,
            StatusCode::TOO_MANY_REQUESTS => assert!((1..=WINDOW_S).contains(&header("retry-after"))),
            status => panic!("{status}"),
        }
    }
}

/// Sends a burst of requests over both gateways, and returns the number of accepted ones by the window in the response.
async fn send_burst(cluster: &TestCluster, key: &str, requests: usize) -> BTreeMap<u64, u64> {
    let mut passed = BTreeMap::new();
    let mut sending = JoinSet::new();
    for number in 0..requests {
        let request = client().get(cluster.gateways[number % 2].url("/x")).header("x-api-key", key);
        sending.spawn(async move {
            let response = request.send().await.unwrap();
            let reset = response.headers()["ratelimit-reset"].to_str().unwrap().parse::<u64>().unwrap();
            (response.status(), reset)
        });
        while sending.len() >= 16 {
            count(&mut passed, sending.join_next().await.unwrap().unwrap());
        }
    }
    sending.join_all().await.into_iter().for_each(|response| count(&mut passed, response));
    passed
}

fn count(passed: &mut BTreeMap<u64, u64>, (status, reset): (StatusCode, u64)) {
    assert!(matches!(status, StatusCode::OK | StatusCode::TOO_MANY_REQUESTS), "{status}");
    *passed.entry(reset).or_default() += u64::from(status == StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_limit_is_exact_over_all_gateways_after_the_change() {
    let cluster = TestCluster::start(2).await;
    let project = cluster.admin.create_project().await;
    let limits = |limit: u64, ttl: u64| json!({"rateLimitConfigs": {"rateLimit": limit, "rateLimitTtl": ttl}});
    let mut body = json!({"name": "k", "projectId": project});
    body.as_object_mut().unwrap().extend(limits(200, 600).as_object().unwrap().clone());
    let created = cluster.admin.post("/api-keys", body).await;
    let (key, id) = (created["key"].as_str().unwrap(), created["id"].as_str().unwrap());
    let change = async |limits: serde_json::Value| {
        let path = format!("/api-keys/{id}");
        let response = cluster.admin.send_fenced(Method::PATCH, &path, limits.to_string()).await;
        assert_eq!(response.headers()["gatepost-propagated"], "2/2");
    };
    let first = send_burst(&cluster, key, 150).await;
    assert_eq!(first.values().copied().collect::<Vec<_>>(), vec![150]);
    let window = *first.keys().next().unwrap();

    // With only the number changed, earlier requests still count in the same window.
    change(limits(100, 600)).await;
    assert_eq!(send_burst(&cluster, key, 50).await, BTreeMap::from([(window, 0)]));
    change(limits(300, 600)).await;
    // Gateways return their leases of the old limit asynchronously. Another burst can use them later.
    let mut raised = send_burst(&cluster, key, 400).await;
    let began = Instant::now();
    while raised[&window] < 150 {
        assert!(began.elapsed() < DEADLINE, "{raised:?}");
        *raised.get_mut(&window).unwrap() += send_burst(&cluster, key, 20).await[&window];
    }
    assert_eq!(raised, BTreeMap::from([(window, 150)]));

    // Another window length, and the same limit set again, start a new window, exactly.
    for changes in [vec![limits(120, 300)], vec![json!({"rateLimitConfigs": null}), limits(120, 300)]] {
        for limits in changes {
            change(limits).await;
        }
        let mut passed = send_burst(&cluster, key, 300).await;
        let began = Instant::now();
        while passed.values().sum::<u64>() < 120 {
            assert!(began.elapsed() < DEADLINE, "{passed:?}");
            for (window, more) in send_burst(&cluster, key, 20).await {
                *passed.entry(window).or_default() += more;
            }
        }
        assert_eq!(passed.values().copied().collect::<Vec<_>>(), vec![120], "{passed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restricted_key_works_from_its_networks_and_pages_only() {
    let cluster = TestCluster::start(1).await;
    let project = cluster.admin.create_project().await;
    let restricted = async |restrictions: serde_json::Value| {
        let mut body = json!({"name": "k", "projectId": project});
        body.as_object_mut().unwrap().extend(restrictions.as_object().unwrap().clone());
        cluster.admin.post("/api-keys", body).await["key"].as_str().unwrap().to_owned()
    };
    let near = restricted(json!({"allowedIps": ["127.0.0.0/8"]})).await;
    let far = restricted(json!({"allowedIps": ["10.0.0.0/8"]})).await;
    let page = restricted(json!({"allowedDomains": ["example.com"]})).await;
    for (key, header, expected) in [
        (&near, ("x-forwarded-for", "10.0.0.1"), 200),
        (&far, ("x-forwarded-for", "10.0.0.1"), 403),
        (&page, ("origin", "https://example.com"), 200),
        (&page, ("referer", "https://example.com/page"), 200),
        (&page, ("origin", "https://evil.example"), 403),
        (&page, ("x-origin-domain", "example.com"), 403),
    ] {
        let request = client().get(cluster.gateways[0].url("/x")).header("x-api-key", key).header(header.0, header.1);
        assert_eq!(request.send().await.unwrap().status(), expected, "{header:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_requests_are_counted_within_seconds() {
    let mut cluster = TestCluster::start(2).await;
    let project = cluster.admin.create_project().await;
    let (key, id) = cluster.admin.create_api_key(&project).await;
    let (never, _) = cluster.admin.create_api_key(&project).await;
    let revoked = cluster.admin.send(Method::DELETE, &format!("/api-keys/{never}"), String::new()).await;
    assert_eq!(revoked.status(), 200);
    for number in 0..20 {
        assert_eq!(cluster.get_status(number % 2, &key).await, 200);
        assert_eq!(cluster.get_status(number % 2, &never).await, 401);
    }
    let check = cluster.admin.send(Method::POST, &format!("/api-keys/auth/{key}"), String::new()).await;
    assert_eq!(check.status(), 200);
    // The counts of a gateway are flushed when it stops.
    assert_eq!(cluster.gateways[1].terminate(), Some(0));
    let began = Instant::now();
    loop {
        let path = format!("/analytics/api-key-totals?projectId={project}&dateGrouping=month");
        let report = cluster.admin.send(Method::GET, &path, String::new()).await.text().await.unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let rows = report.as_array().unwrap();
        assert!(rows.iter().all(|row| row["apiKeyId"] == id.as_str()), "{report}");
        if rows.iter().map(|row| row["total"].as_u64().unwrap()).sum::<u64>() == 21 {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "{report}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
