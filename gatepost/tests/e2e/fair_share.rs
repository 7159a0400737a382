//! Fair shares: one caller uses as much as it can of a shared resource, and others are still served.

use std::net::SocketAddr;
use std::time::Duration;

use gatepost_test_support::{Gate, MockServer};
use reqwest::{Method, Response, StatusCode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin::{Admin, client};
use crate::process::run;
use crate::test_cluster::{DEADLINE, TestCluster};

/// Number of connections, as many as the admin API serves at a time.
const CROWD_SIZE: usize = 1000;
/// Maximum number of responses of a process that wait for gateways, and a number above it.
const MAX_FENCED_WAITS: usize = 500;
const FENCED_WAITS: usize = 520;
/// Maximum number of event streams of a process.
const STREAMS: usize = 64;
/// Number of requests of others next to the crowd.
const REQUESTS: usize = if cfg!(feature = "long") { 2000 } else { 50 };
/// Timeout of each of these requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Raises the limit of open files to the maximum that the system allows.
pub(crate) fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// Opens connections that each send a text, and then neither send nor read.
async fn open_crowd(address: SocketAddr, text: &str) -> Vec<TcpStream> {
    raise_open_files_limit();
    let mut crowd = Vec::with_capacity(CROWD_SIZE);
    for _ in 0..CROWD_SIZE {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close it at once to make space for a newer one.
        let _ = stream.write_all(text.as_bytes()).await;
        crowd.push(stream);
    }
    crowd
}

/// Sends requests on new connections, and reports their latency.
async fn check_all_served(url: &str, access_key: &str, beside: &str) {
    let mut took = Vec::new();
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    for _ in 0..REQUESTS {
        let began = Instant::now();
        let sending = client.get(url).header("x-api-key", access_key).send();
        let response =
            tokio::time::timeout(REQUEST_TIMEOUT, sending).await.expect("the request gets no response").unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let [half, most] = [50, 99].map(|percent| took[REQUESTS * percent / 100]);
    report(&format!("next to {beside}: p50 {half:?}, p99 {most:?}, longest {:?}", took[REQUESTS - 1]));
}

/// Creates another account.
pub(crate) async fn create_account(operator: &Admin) -> (Admin, String) {
    let created = operator.post("/accounts", json!({"name": "a"})).await;
    let access_key = created["accessKey"]["key"].as_str().unwrap();
    (Admin::new(operator.address, access_key), created["id"].as_str().unwrap().to_owned())
}

/// Opens an event stream. Returns none if no slot is free.
async fn open_stream(admin: &Admin) -> Option<Response> {
    let response = admin.send(Method::GET, "/events/stream", String::new()).await;
    (response.status() == 200).then_some(response)
}

/// Reads a stream to its end.
async fn read_to_end(mut stream: Response) {
    while let Ok(Some(_)) = stream.chunk().await {}
}

#[expect(clippy::print_stderr, reason = "measurements, shown with --nocapture")]
pub(crate) fn report(line: &str) {
    eprintln!("{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_never_sent_and_responses_that_are_never_read_do_not_block_others() {
    let cluster = TestCluster::start(0).await;
    let (admin, operator) = (cluster.control_plane.admin.unwrap(), &cluster.admin);
    let viewer = operator.post("/access-keys", json!({"name": "v", "role": "viewer"})).await;
    let url = format!("http://{admin}/projects");
    let post = |access_key: &str| {
        format!(
            "POST /projects HTTP/1.1\r\nhost: localhost\r\nx-api-key: {access_key}\r\nidempotency-key: k\r\n\
             content-length: 1000\r\n\r\n"
        )
    };
    for (name, text) in [
        ("bodies of a viewer", post(viewer["key"].as_str().unwrap())),
        ("bodies of an admin", post(&operator.access_key)),
        ("headers that do not end", "GET /projects HTTP/1.1\r\nhost: localhost\r\n".to_owned()),
        ("an unread document", "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(20)),
        ("nothing", String::new()),
    ] {
        let crowd = open_crowd(admin, &text).await;
        check_all_served(&url, &operator.access_key, name).await;
        drop(crowd);
    }
    let metrics = cluster.control_plane.metrics().await;
    let evicted = metrics.lines().find(|line| line.contains("listener=\"admin\"") && line.contains("for-another"));
    assert!(evicted.is_some_and(|line| !line.ends_with(" 0")), "{evicted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_write_is_rejected_before_its_body_arrives() {
    let cluster = TestCluster::start(0).await;
    let viewer = cluster.admin.post("/access-keys", json!({"name": "v", "role": "viewer"})).await;
    let mut stream = TcpStream::connect(cluster.control_plane.admin.unwrap()).await.unwrap();
    let text = format!(
        "POST /api-keys HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\nidempotency-key: k\r\ncontent-length: 9\r\n\r\n",
        viewer["key"].as_str().unwrap()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut response = [0; 12];
    let reading = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut response);
    tokio::time::timeout(REQUEST_TIMEOUT, reading).await.expect("the response waits for the body").unwrap();
    assert_eq!(std::str::from_utf8(&response).unwrap(), "HTTP/1.1 403");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_are_served_next_to_unread_metrics() {
    let cluster = TestCluster::start(0).await;
    let ops = cluster.control_plane.ops;
    let text = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(50);
    let crowd = open_crowd(ops, &text).await;
    for page in ["livez", "readyz", "metrics"] {
        check_all_served(&format!("http://{ops}/{page}"), "", "unread metrics").await;
    }
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_account_gets_all_streams_and_yields_the_fair_share_of_others() {
    let cluster = TestCluster::start(0).await;
    let (first, _) = create_account(&cluster.admin).await;
    let mut ended = JoinSet::new();
    for _ in 0..STREAMS {
        let stream = open_stream(&first).await.expect("a single account gets all streams");
        ended.spawn(read_to_end(stream));
    }
    assert!(open_stream(&first).await.is_none(), "all streams are in use");
    let mut others = Vec::new();
    for _ in 0..3 {
        let (other, _) = create_account(&cluster.admin).await;
        for _ in 0..2 {
            others.push(open_stream(&other).await.expect("the account has less than its fair share"));
        }
    }
    for _ in 0..others.len() {
        tokio::time::timeout(DEADLINE, ended.join_next())
            .await
            .expect("the first account yields a stream")
            .unwrap()
            .unwrap();
    }
    assert_eq!(ended.len(), STREAMS - others.len(), "only as many as needed are closed");
    assert!(open_stream(&first).await.is_none(), "it has more than its fair share");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_their_access_key_or_account() {
    let cluster = TestCluster::start(0).await;
    let (admin, id) = create_account(&cluster.admin).await;
    let created = admin.post("/access-keys", json!({"name": "s"})).await;
    let other = Admin::new(admin.address, created["key"].as_str().unwrap());
    let (of_key, of_account) = (open_stream(&other).await.unwrap(), open_stream(&admin).await.unwrap());
    for (what, path, stream) in [
        ("the access key", format!("/access-keys/{}", created["id"].as_str().unwrap()), of_key),
        ("the account", format!("/accounts/{id}"), of_account),
    ] {
        let response = admin.send(Method::DELETE, &path, String::new()).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        let began = Instant::now();
        tokio::time::timeout(DEADLINE, read_to_end(stream)).await.expect("the stream does not end");
        report(&format!("{what} was deleted: the stream ended after {:?}", began.elapsed()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_can_wait_for_gateways_next_to_an_account_that_uses_all_waits() {
    let cluster = TestCluster::start(1).await;
    let (first, _) = create_account(&cluster.admin).await;
    let project = first.create_project().await;
    let (key, _) = first.create_api_key(&project).await;
    // The gateway is registered, but receives nothing.
    cluster.gateways[0].signal("-STOP");
    let mut waits = JoinSet::new();
    for _ in 0..FENCED_WAITS {
        let (first, path) = (first.clone(), format!("/api-keys/{key}"));
        waits.spawn(async move { first.send_fenced(Method::DELETE, &path, String::new()).await.status() });
    }
    let refused = format!("gatepost_admin_no_place_total{{of=\"waits\"}} {}", FENCED_WAITS - MAX_FENCED_WAITS);
    let refusing = async { while !cluster.control_plane.metrics().await.contains(&refused) {} };
    tokio::time::timeout(DEADLINE, refusing).await.expect("all waits are in use");
    let (other, _) = create_account(&cluster.admin).await;
    let project = other.create_project().await;
    let (key, _) = other.create_api_key(&project).await;
    let request = client().delete(format!("http://{}/api-keys/{key}", other.address)).header("prefer", "wait=2");
    let began = Instant::now();
    let response = request.header("x-api-key", &other.access_key).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["gatepost-propagated"], "0/1");
    assert!(began.elapsed() >= Duration::from_secs(2), "it did not wait: {:?}", began.elapsed());
    cluster.gateways[0].signal("-CONT");
    while let Some(status) = waits.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_of_another_account_is_sent_next_to_all_pings_of_two_others() {
    let cluster = TestCluster::start(0).await;
    let gate = Gate::default();
    let (silent, receiver) = (MockServer::with_gate(&gate), MockServer::start());
    let mut pings = JoinSet::new();
    for _ in 0..2 {
        let (admin, _) = create_account(&cluster.admin).await;
        for _ in 0..10 {
            let (admin, body) = (admin.clone(), json!({"url": silent.url(), "httpMethod": "POST"}).to_string());
            pings.spawn(async move { admin.send(Method::POST, "/webhooks/ping", body).await.status() });
        }
    }
    assert_eq!(silent.await_count(20, DEADLINE), 20, "all of them are in flight");
    let (other, _) = create_account(&cluster.admin).await;
    let body = json!({"url": receiver.url(), "httpMethod": "POST"}).to_string();
    let response =
        tokio::time::timeout(REQUEST_TIMEOUT, other.send(Method::POST, "/webhooks/ping", body)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    gate.open();
    while let Some(status) = pings.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
}

/// Number of listed keys of an account, and of concurrent lists.
const LISTED_KEYS: usize = 20_000;
const CONCURRENT_LISTS: usize = 40;

/// Lists all keys in a loop.
async fn list_forever(admin: Admin) {
    loop {
        let list = admin.send(Method::GET, "/api-keys", String::new()).await;
        let _ = list.bytes().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lists_of_an_account_delay_neither_probes_nor_others() {
    let cluster = TestCluster::start(1).await;
    let project = cluster.admin.create_project().await;
    let (directory, url) = (tempfile::tempdir().unwrap(), cluster.redis.url());
    let keys = directory.path().join("keys.csv");
    let rows: String = (0..LISTED_KEYS).map(|number| format!("listed-key-{number},n\n")).collect();
    std::fs::write(&keys, format!("key,name\n{rows}")).unwrap();
    let import = ["import", "--store", &url, "--format", "csv", "--project", &project, keys.to_str().unwrap()];
    assert!(run(directory.path(), &import).status.success());

    let (other, _) = create_account(&cluster.admin).await;
    let mut lists = JoinSet::new();
    for _ in 0..CONCURRENT_LISTS {
        lists.spawn(list_forever(Admin::new(cluster.admin.address, &cluster.admin.access_key)));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ops = cluster.control_plane.ops;
    check_all_served(&format!("http://{ops}/livez"), "", "long lists, /livez").await;
    let projects = format!("http://{}/projects", other.address);
    check_all_served(&projects, &other.access_key, "long lists, another account").await;
    lists.abort_all();
}
