//! `gatepost listen` and `gatepost trigger`: events and samples on the developer's machine.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gatepost_test_support::{Fault, FaultProxy, MockServer, RecordedRequest, free_port};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::admin::Admin;
use crate::printed::Printed;
use crate::process::{Gatepost, command};
use crate::single_process::read_first_access_key;
use crate::test_cluster::{DEADLINE, get_status};
use crate::webhooks;

/// How long a relay is cut off, and the number of events around it.
const CUT_OFF: Duration = Duration::from_secs(30);
const EVENTS: usize = 1000;
/// Maximum time until all events are relayed after the connection is back.
const RELAY_DEADLINE: Duration = Duration::from_secs(90);

/// A running `gatepost listen`, which is killed when dropped.
pub(crate) struct Listener {
    child: Child,
    pub(crate) stdout: Arc<Printed>,
    pub(crate) stderr: Arc<Printed>,
}

/// Returns a command whose user has the home directory `directory/home`.
pub(crate) fn command_of_user(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = command(directory, arguments);
    command.env("HOME", directory.join("home")).stdin(Stdio::null());
    command
}

pub(crate) fn run_as_user(directory: &Path, arguments: &[&str]) -> Output {
    command_of_user(directory, arguments).output().unwrap()
}

/// Returns the exit code, standard output and standard error of a command.
pub(crate) fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

impl Listener {
    fn start(directory: &Path, admin: &str, target: &str, options: &[&str]) -> Self {
        Self::start_with(directory, &[&["--admin-url", admin, "--forward-to", target], options].concat())
    }

    pub(crate) fn start_with(directory: &Path, options: &[&str]) -> Self {
        let arguments = [&["listen"], options].concat();
        let mut command = command_of_user(directory, &arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Printed::collect(child.stdout.take().unwrap());
        let stderr = Printed::collect(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Starts a listener, and waits until it is connected.
    fn connect(directory: &Path, admin: &str, target: &str, options: &[&str]) -> Self {
        let listener = Self::start(directory, admin, target, options);
        listener.stdout.wait_for("connected to", 1);
        listener
    }

    fn secret(&self) -> String {
        self.stdout.wait_for("signing secret: ", 1).rsplit(' ').next().unwrap().to_owned()
    }

    fn press_r(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"r\n").unwrap();
    }

    /// Sends SIGINT, as Ctrl-C does, and returns the exit code.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn event_id(request: &RecordedRequest) -> String {
    request.header("webhook-id")[0].to_owned()
}

/// Returns the ids of all events of a type, in their order.
async fn ids_of_events(admin: &Admin, kind: &str) -> Vec<String> {
    let path = format!("/events?type={kind}&limit=1000");
    let page = admin.send(Method::GET, &path, String::new()).await.text().await.unwrap();
    let page: Value = serde_json::from_str(&page).unwrap();
    page["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

fn cursor_file(directory: &Path) -> PathBuf {
    let cursors = directory.join("home/.config/gatepost/cursors");
    std::fs::read_dir(cursors).unwrap().next().unwrap().unwrap().path()
}

/// Changes something for each topic, and waits for the first use. Returns the number of events.
async fn change_everything(up: &Gatepost, admin: &Admin) -> usize {
    let project = admin.create_project().await;
    let (key, id) = admin.create_api_key(&project).await;
    assert_eq!(get_status(&up.url("/x"), &key).await, 200);
    let access_key = admin.post("/access-keys", json!({"name": "a"})).await;
    let changes = [
        (Method::PATCH, format!("/api-keys/{id}"), json!({"name": "new", "customMetaData": {"a": 1.5}})),
        (Method::DELETE, format!("/api-keys/{id}"), Value::Null),
        (Method::PATCH, format!("/projects/{project}"), json!({"name": "renamed"})),
        (Method::DELETE, format!("/projects/{project}"), Value::Null),
        (Method::PATCH, format!("/access-keys/{}", access_key["id"].as_str().unwrap()), json!({"name": "b"})),
        (Method::DELETE, format!("/access-keys/{}", access_key["id"].as_str().unwrap()), Value::Null),
    ];
    let count = changes.len() + 3;
    for (method, path, body) in changes {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        assert_eq!(admin.send(method, &path, body).await.status(), 200, "{path}");
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_receiver_gets_the_bytes_that_a_webhook_gets() {
    let directory = tempfile::tempdir().unwrap();
    let (remote, local) = (MockServer::start(), MockServer::start());
    let up = Gatepost::start(directory.path(), &["up", "--upstream", &MockServer::start().url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    // Receivers of webhooks that a user creates see no values.
    let user = admin.post("/access-keys", json!({"name": "user", "role": "user"})).await;
    let user = Admin::new(admin.address, user["key"].as_str().unwrap());
    let topics = admin.send(Method::GET, "/webhooks/topics", String::new()).await.text().await.unwrap();
    let topics: Value = serde_json::from_str(&topics).unwrap();
    let webhook = json!({"name": "w", "url": remote.url(), "httpMethod": "POST", "topics": topics});
    let webhook = user.post("/webhooks", webhook).await;
    let admin_url = format!("http://{}", admin.address);
    let mut listener = Listener::connect(directory.path(), &admin_url, &local.url(), &[]);

    let count = change_everything(&up, &admin).await;
    assert_eq!((remote.await_count(count, DEADLINE), local.await_count(count, DEADLINE)), (count, count));
    let relayed = local.take_requests();
    webhooks::verify(&listener.secret(), &relayed);
    let delivered: HashMap<String, RecordedRequest> =
        remote.take_requests().into_iter().map(|request| (event_id(&request), request)).collect();
    for request in &relayed {
        let id = event_id(request);
        let same = &delivered[&id];
        assert_eq!(String::from_utf8_lossy(&request.body), String::from_utf8_lossy(&same.body));
        for header in ["content-type", "user-agent", "accept-encoding"] {
            assert_eq!(request.header(header), same.header(header));
        }
        let line = listener.stdout.wait_for(&id, 1);
        let kind = webhooks::body(request)["type"].as_str().unwrap().to_owned();
        assert!(line.contains(&kind) && line.contains("  200  ") && line.ends_with(" ms"), "{line}");
    }
    let last = relayed.last().unwrap();
    listener.press_r();
    assert_eq!(local.await_count(count + 1, DEADLINE), count + 1);
    let again = local.take_requests().pop().unwrap();
    assert_eq!((event_id(&again), &again.body), (event_id(last), &last.body));
    listener.stdout.wait_for(&event_id(last), 2);
    assert_eq!(listener.interrupt(), Some(0));

    check_samples(directory.path(), &admin_url, &local, &remote, webhook["id"].as_str().unwrap());
}

/// Samples go where events went last, or to a webhook.
fn check_samples(directory: &Path, admin_url: &str, local: &MockServer, remote: &MockServer, webhook: &str) {
    let (code, stdout, stderr) = outcome(&run_as_user(directory, &["trigger", "access-key.created"]));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let sample = local.take_requests().pop().unwrap();
    let body = webhooks::body(&sample);
    assert_eq!((&body["type"], &body["test"]), (&json!("access-key.created"), &json!(true)));
    assert!(stdout.contains(&event_id(&sample)) && stdout.contains("  200  "), "{stdout}");
    let secret = std::fs::read_to_string(directory.join("home/.config/gatepost/webhook-secret")).unwrap();
    webhooks::verify(secret.trim(), &[sample]);

    let trigger = ["trigger", "api-key.deleted", "--webhook", webhook, "--admin-url", admin_url];
    let (code, stdout, stderr) = outcome(&run_as_user(directory, &trigger));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let sample = remote.take_requests().pop().unwrap();
    assert_eq!(webhooks::body(&sample)["test"], json!(true));
    assert!(stdout.contains("api-key.deleted") && stdout.contains(&event_id(&sample)), "{stdout}");
    let unknown = ["trigger", "api-key.deleted", "--webhook", "wh_00unknown", "--admin-url", admin_url];
    let (code, _, stderr) = outcome(&run_as_user(directory, &unknown));
    assert!(code == Some(1) && stderr.contains("there is no such webhook (404"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_continues_after_the_last_event_with_the_same_secret() {
    let directory = tempfile::tempdir().unwrap();
    let local = MockServer::start();
    let up = Gatepost::start(directory.path(), &["up", "--upstream", &local.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    admin.create_api_key(&project).await;
    let admin_url = format!("http://{}", admin.address);
    let options = ["--project", &project, "--topics", "api-key.created,api-key.deleted"];
    let start = || Listener::connect(directory.path(), &admin_url, &local.url(), &options);

    let listener = start();
    let secret = listener.secret();
    let (_, first) = admin.create_api_key(&project).await;
    assert_eq!(local.await_count(1, DEADLINE), 1, "it begins with new events");
    assert_eq!(listener.interrupt(), Some(0));
    admin.create_api_key(&other).await;
    let (second_value, second) = admin.create_api_key(&project).await;
    let renamed = admin.send(Method::PATCH, &format!("/api-keys/{second}"), json!({"name": "n"}).to_string()).await;
    assert_eq!(renamed.status(), 200);
    let listener = start();
    admin.revoke_key(&second_value).await;
    assert_eq!(local.await_count(3, DEADLINE), 3);
    assert_eq!((listener.secret(), listener.interrupt()), (secret.clone(), Some(0)));
    let requests = local.take_requests();
    webhooks::verify(&secret, &requests);
    let received: Vec<Value> = requests.iter().map(|request| webhooks::body(request)["data"]["id"].clone()).collect();
    assert_eq!(received, [json!(first), json!(second), json!(second)]);

    let file = directory.path().join("home/.config/gatepost/webhook-secret");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(cursor_file(directory.path()), "12345\n").unwrap();
    let listener = start();
    listener.stdout.wait_for("events are missing here", 1);
    assert_eq!(local.await_count(7, DEADLINE), 7, "all of this project that the store still has");
    assert_eq!(listener.interrupt(), Some(0));

    let since = [&options[..], &["--since", "1h"]].concat();
    let listener = Listener::connect(directory.path(), &admin_url, &local.url(), &since);
    assert_eq!(local.await_count(11, DEADLINE), 11);
    assert_eq!(listener.stdout.count("events are missing here"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_cut_off_for_thirty_seconds_relays_every_event_once_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let local = MockServer::start();
    let up = Gatepost::start(directory.path(), &["up", "--upstream", &local.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let project = admin.create_project().await;
    let proxy = FaultProxy::start(admin.address.port());
    let admin_url = format!("http://127.0.0.1:{}", proxy.port());
    let listener = Listener::connect(directory.path(), &admin_url, &local.url(), &["--topics", "api-key.created"]);

    let (creator, of_project) = (admin.clone(), project.clone());
    let creating = tokio::spawn(async move {
        for _ in 0..EVENTS {
            creator.create_api_key(&of_project).await;
        }
    });
    assert!(local.await_count(EVENTS / 4, RELAY_DEADLINE) >= EVENTS / 4);
    proxy.set_fault(Fault::Reset);
    let cut_off_at = Instant::now();
    creating.await.unwrap();
    let mut failures = 0;
    while cut_off_at.elapsed() < CUT_OFF {
        failures += 1;
        listener.stderr.wait_for("not connected", failures);
    }
    assert!(local.request_count() < EVENTS, "it was cut off after the last event");
    assert_eq!(listener.stdout.count("connected to"), 1, "it says so only if it is");
    proxy.set_fault(Fault::None);
    assert_eq!(local.await_count(EVENTS, RELAY_DEADLINE), EVENTS);
    listener.stdout.wait_for("connected to", 2);
    let (_, last) = admin.create_api_key(&project).await;
    assert_eq!(local.await_count(EVENTS + 1, DEADLINE), EVENTS + 1);

    let requests = local.take_requests();
    let received: Vec<String> = requests.iter().map(event_id).collect();
    let sent = ids_of_events(&admin, "api-key.created").await;
    assert_eq!(received[..EVENTS], sent[..EVENTS]);
    assert_eq!(webhooks::body(requests.last().unwrap())["data"]["id"], last);
    assert_eq!(listener.stdout.count("events are missing"), 0);
    webhooks::verify(&listener.secret(), &requests);
}

#[test]
fn a_sample_needs_a_receiver_that_accepts_it() {
    let directory = tempfile::tempdir().unwrap();
    let trigger = |options: &[&str]| {
        outcome(&run_as_user(directory.path(), &[&["trigger", "api-key.created"], options].concat()))
    };
    let (code, _, stderr) = trigger(&[]);
    assert!(code == Some(2) && stderr.contains("name the receiver with --forward-to or --webhook"), "{stderr}");
    let refusing = MockServer::with_statuses(|_| (500, Duration::ZERO));
    let (code, stdout, stderr) = trigger(&["--forward-to", &refusing.url()]);
    assert!(code == Some(1) && stdout.contains("  500  "), "{stdout}{stderr}");
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    let (code, stdout, _) = trigger(&["--forward-to", &nobody]);
    assert!(code == Some(1) && stdout.contains("connection refused"), "{stdout}");
    assert_eq!(trigger(&["--forward-to", "localhost:3000"]).0, Some(2));
    assert_eq!(trigger(&["--webhook", "hook"]).0, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_without_a_usable_access_key_ends() {
    let directory = tempfile::tempdir().unwrap();
    let local = MockServer::start();
    let listen = ["listen", "--forward-to", &local.url(), "--admin-url"];
    let (code, _, stderr) = outcome(&run_as_user(directory.path(), &[&listen[..], &["http://127.0.0.1:9"]].concat()));
    assert!(code == Some(2) && stderr.contains("gatepost-data/first-access-key"), "{stderr}");
    let remote = [&listen[..], &["https://gatepost.example.com"]].concat();
    let (code, _, stderr) = outcome(&run_as_user(directory.path(), &remote));
    assert!(code == Some(2) && stderr.contains("set GATEPOST_ACCESS_KEY to an access key of https"), "{stderr}");

    let up = Gatepost::start(directory.path(), &["up", "--upstream", &local.url()]).await;
    let admin_url = format!("http://{}", up.admin.unwrap());
    let listen = [&listen[..], &[admin_url.as_str()]].concat();
    let mut wrong = command_of_user(directory.path(), &listen);
    let (code, stdout, stderr) = outcome(&wrong.env("GATEPOST_ACCESS_KEY", "live_access_wrong").output().unwrap());
    assert!(code == Some(1) && stderr.contains("(401 Unauthorized)"), "{stderr}");
    assert!(!stdout.contains("connected"), "{stdout}");
    let file = directory.path().join("gatepost-data/first-access-key");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, stderr) = outcome(&run_as_user(directory.path(), &listen));
    assert!(code == Some(2) && stderr.contains("may be read by others"), "{stderr}");
    let unknown_topic = [&listen[..], &["--topics", "api-key.lost"]].concat();
    let (code, _, stderr) = outcome(&run_as_user(directory.path(), &unknown_topic));
    assert!(code == Some(2) && stderr.contains("api-key.firstUsed"), "{stderr}");
}
