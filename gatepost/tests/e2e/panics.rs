//! A panic ends one connection, request, delivery or operation. A background task that panics is restarted. Fail
//! points, which only exist in debug builds, make each task panic once.

use std::collections::HashMap;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use gatepost_runtime::Task;
use gatepost_test_support::{MockServer, RedisServer};
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::admin::{Admin, client, create_access_key};
use crate::certificates::Authority;
use crate::dashboard::browser;
use crate::process::{EMPTY_DIRECTORY, Gatepost, command, run};
use crate::single_process::{DEMO, read_first_access_key};
use crate::webhooks;

/// Maximum time until every task has panicked. Housekeeping runs every five seconds.
const PANIC_DEADLINE: Duration = Duration::from_secs(60);
/// Tasks that only the demo has.
const DEMO_TASKS: [Task; 2] = [Task::DemoServer, Task::DemoConnection];
/// Tasks that only the embedded store has.
const EMBEDDED_TASKS: [Task; 5] =
    [Task::StoreWriter, Task::StoreWrite, Task::StoreRead, Task::ControlSocket, Task::ControlSocketConnection];
/// Tasks of an import, which the running process executes if the store is embedded.
const IMPORT_TASKS: [Task; 1] = [Task::ImportFile];
/// Tasks that only Redis has.
const REDIS_TASKS: [Task; 1] = [Task::FailoverReplay];

/// Tasks that only a listener with TLS has.
const TLS_TASKS: [Task; 1] = [Task::CertificateRefresh];

/// Returns fail points that make each task panic once. Tasks that are needed for the start panic a little later.
fn fail_points(tasks: &[Task]) -> String {
    let later = HashMap::from([
        (Task::StoreWriter, ":60"),
        (Task::StoreWrite, ":60"),
        (Task::StoreRead, ":6"),
        // It is only polled at its start and at its end.
        (Task::GatewayListener, ":0"),
    ]);
    let point = |task: &Task| format!("{}:1{}", task.as_str(), later.get(task).unwrap_or(&""));
    tasks.iter().map(point).collect::<Vec<_>>().join(",")
}

fn tasks_except(others: &[&[Task]]) -> Vec<Task> {
    let others = others.concat();
    Task::ALL.iter().copied().filter(|task| !others.contains(task)).collect()
}

/// Returns the URL of a server by a name, which is resolved again and again.
fn named_url(server: &MockServer) -> String {
    format!("http://localhost:{}", server.address().port())
}

/// Returns a service manager that reads nothing, and the name of its socket.
fn service_manager(directory: &Path) -> (UnixDatagram, String) {
    let path = directory.join("notify");
    (UnixDatagram::bind(&path).unwrap(), path.display().to_string())
}

/// Returns the number of panics of each task.
async fn panic_counts(up: &Gatepost) -> HashMap<String, u64> {
    let response = client().get(format!("http://{}/metrics", up.ops)).send().await;
    let Ok(response) = response else { return HashMap::new() };
    let text = response.text().await.unwrap_or_default();
    let counters =
        text.lines().filter_map(|line| line.strip_prefix("gatepost_panics_total{task=\"")?.split_once("\"} "));
    counters.map(|(task, count)| (task.to_owned(), count.parse().unwrap())).collect()
}

/// Uses every feature once. Any of the operations may be the one that fails because of a panic.
async fn exercise_everything(up: &Gatepost, admin: &Admin, project: &str, directory: &Path) {
    let limits = json!({"rateLimit": 10_000, "rateLimitTtl": 60});
    let body = json!({"name": "k", "projectId": project, "rateLimitConfigs": limits});
    let Ok(response) = admin.try_send(Method::POST, "/api-keys", body.to_string()).await else { return };
    let text = response.text().await.unwrap_or_default();
    let Ok(key) = serde_json::from_str::<serde_json::Value>(&text) else { return };
    for _ in 0..20 {
        let _ = client().get(up.url("/x")).header("x-api-key", key["key"].as_str().unwrap_or_default()).send().await;
    }
    let _ = admin.try_send(Method::GET, "/api-keys", String::new()).await;
    up.signal("-HUP");
    std::fs::write(directory.join("keys.csv"), "key,name\nan-imported-key,i\n").unwrap();
    let import = ["import", "--format", "csv", "--project", project, "keys.csv"];
    let _ = command(directory, &import).output();
}

/// Signs in to the dashboard, and returns the cookie of the session.
async fn sign_in(dashboard: &str, access_key: &str) -> String {
    loop {
        let form = browser().post(format!("{dashboard}/sign-in")).header("sec-fetch-site", "same-origin");
        let form = form.header("content-type", "application/x-www-form-urlencoded").body(format!("key={access_key}"));
        let Ok(response) = form.send().await else { continue };
        if let Some(cookie) = response.headers().get("set-cookie") {
            return cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
    }
}

/// Uploads a file of keys in the dashboard, which tries its import.
async fn upload_keys(dashboard: &str, cookie: &str, project: &str) {
    let part = |disposition: &str, content: &str| {
        format!("--limit\r\ncontent-disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    };
    let file = part("name=\"file\"; filename=\"keys.csv\"", "key,name\nan-uploaded-key,u\n");
    let body = format!("{}{file}--limit--\r\n", part("name=\"projectId\"", project));
    let form = browser().post(format!("{dashboard}/import")).header("sec-fetch-site", "same-origin");
    let form = form.header("content-type", "multipart/form-data; boundary=limit").header("cookie", cookie);
    let _ = form.body(body).send().await;
}

/// Waits until each of the tasks has panicked, then checks that everything works and each has panicked once.
async fn check_each_panics_once(mut up: Gatepost, access_key: &str, directory: &Path, tasks: &[Task]) {
    let admin = Admin::new(up.admin.unwrap(), access_key);
    let receiver = MockServer::start();
    let began = Instant::now();
    let project = loop {
        let body = json!({"name": "p", "env": "live"}).to_string();
        let response = admin.try_send(Method::POST, "/projects", body).await;
        let text = match response {
            Ok(response) if response.status() == 201 => response.text().await.unwrap(),
            Ok(_) | Err(_) => continue,
        };
        break serde_json::from_str::<serde_json::Value>(&text).unwrap()["id"].as_str().unwrap().to_owned();
    };
    let hook =
        json!({"name": "w", "url": receiver.url(), "topics": ["api-key.created", "api-key.firstUsed"]}).to_string();
    while !admin.try_send(Method::POST, "/webhooks", hook.clone()).await.is_ok_and(|response| response.status() == 201)
    {
    }
    let dashboard = format!("http://{}/dashboard", up.admin.unwrap());
    let cookie = sign_in(&dashboard, access_key).await;
    let mut missing: Vec<Task> = tasks.to_vec();
    while !missing.is_empty() {
        assert!(began.elapsed() < PANIC_DEADLINE, "{missing:?} never panicked:\n{}", up.log().join("\n"));
        exercise_everything(&up, &admin, &project, directory).await;
        upload_keys(&dashboard, &cookie, &project).await;
        let panics = panic_counts(&up).await;
        missing.retain(|task| panics.get(task.as_str()).is_none_or(|count| *count == 0));
    }
    up.await_ready().await;
    let (key, id) = admin.create_api_key(&project).await;
    let response = client().get(up.url("/x")).header("x-api-key", &key).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut received = Vec::new();
    let delivered = async {
        while !webhooks::bodies_of_topic(&received, "api-key.firstUsed")
            .iter()
            .any(|body| body["data"]["id"] == id.as_str())
        {
            received.extend(receiver.take_requests());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PANIC_DEADLINE, delivered).await.is_ok(), "{} were delivered", received.len());
    let panics = panic_counts(&up).await;
    for task in Task::ALL {
        assert_eq!(panics[task.as_str()], u64::from(tasks.contains(task)), "{task:?}");
    }
    let logged = up.log().iter().filter(|line| line.contains("a task panicked")).count();
    assert_eq!(logged, tasks.len(), "each panic is logged once");
    assert_eq!(up.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_task_of_a_process_with_an_embedded_store_panics_alone() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let certificate = Authority::create(directory.path(), "ca").issue("server", &["api.example.com"]).toml();
    let listener = "[[gateway.listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n";
    let toml = format!("{listener}[gateway.listener.tls]\ncertificates = [{certificate}]\n");
    std::fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
    let tasks = tasks_except(&[&DEMO_TASKS, &REDIS_TASKS]);
    let (_manager, notify_socket) = service_manager(directory.path());
    let environment = [("FAIL_POINTS", fail_points(&tasks)), ("NOTIFY_SOCKET", notify_socket)];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let up = Gatepost::start_with(directory.path(), &["up", "--upstream", &named_url(&upstream)], &environment).await;
    check_each_panics_once(up, &read_first_access_key(directory.path()), directory.path(), &tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_task_of_a_process_on_redis_panics_alone() {
    let (directory, redis, upstream) = (tempfile::tempdir().unwrap(), RedisServer::start(), MockServer::start());
    let access_key = create_access_key(&redis.url());
    let tasks = tasks_except(&[&DEMO_TASKS, &EMBEDDED_TASKS, &IMPORT_TASKS, &TLS_TASKS]);
    let (_manager, notify_socket) = service_manager(directory.path());
    let environment = [("FAIL_POINTS", fail_points(&tasks)), ("NOTIFY_SOCKET", notify_socket)];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let arguments = ["up", "--upstream", &named_url(&upstream), "--store", &redis.url()];
    let up = Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &arguments, &environment).await;
    check_each_panics_once(up, &access_key, directory.path(), &tasks).await;
}

#[test]
fn a_demo_server_that_panics_is_restarted_and_a_connection_is_closed() {
    let _only = DEMO.blocking_lock();
    let demo = |task: Task| {
        let mut command = command(Path::new(EMPTY_DIRECTORY), &["demo", "--exit"]);
        command.env("FAIL_POINTS", format!("{}:1:0", task.as_str())).output().unwrap()
    };
    let server = demo(Task::DemoServer);
    assert!(server.status.success(), "{}", String::from_utf8_lossy(&server.stderr));
    let connection = demo(Task::DemoConnection);
    let logged = String::from_utf8_lossy(&connection.stderr).into_owned();
    assert_eq!(logged.matches("a task panicked").count(), 1, "{logged}");
    assert!(connection.status.code().is_some_and(|code| code < 2), "it exits normally: {logged}");
    assert!(run(Path::new(EMPTY_DIRECTORY), &["demo", "--exit"]).status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_third_panic_of_a_task_in_a_minute_ends_the_process_after_a_drain() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let environment = [("FAIL_POINTS", "heartbeat:3:12")];
    let mut up = Gatepost::start_with(directory.path(), &["up", "--upstream", &upstream.url()], &environment).await;
    let mut seen = String::new();
    // Until the process exits, `/readyz` reports the task.
    while let Ok(response) = client().get(format!("http://{}/readyz", up.ops)).send().await {
        let text = response.text().await.unwrap_or_default();
        if text.contains("heartbeat") {
            seen = text;
        }
    }
    assert!(seen.contains("heartbeat"), "{seen}");
    assert_eq!(up.await_exit(), Some(1));
    let log = up.log().join("\n");
    assert!(log.contains("draining") && log.contains("the task heartbeat panicked three times in a minute"), "{log}");
}
