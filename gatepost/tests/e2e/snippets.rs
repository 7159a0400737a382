//! The calls and the verifications that the dashboard shows, run as they stand on the page.

use std::path::Path;
use std::process::Command;

use gatepost_test_support::{MockServer, RecordedRequest};
use reqwest::Response;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::dashboard::browser;
use crate::https_receiver::PYTHON;
use crate::process::Gatepost;
use crate::single_process::read_first_access_key;
use crate::test_cluster::DEADLINE;
use crate::webhooks::verifier_input;

/// Address that the calls have.
const EXAMPLE_GATEWAY: &str = "http://127.0.0.1:8080/";
/// Where Node finds `standardwebhooks`.
const NPM_DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/npm");

/// A visitor of the dashboard who is signed in.
struct Visitor {
    base: String,
    cookie: String,
}

impl Visitor {
    async fn sign_in(admin: &Admin) -> Self {
        let base = format!("http://{}/dashboard", admin.address);
        let visitor = Self { base, cookie: String::new() };
        let signed_in = visitor.post("/sign-in", &format!("key={}", admin.access_key)).await;
        let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { cookie, ..visitor }
    }

    async fn page(&self, path: &str) -> String {
        let request = browser().get(format!("{}{path}", self.base)).header("cookie", &self.cookie);
        request.send().await.unwrap().text().await.unwrap()
    }

    async fn post(&self, path: &str, form: &str) -> Response {
        let request = browser().post(format!("{}{path}", self.base)).header("cookie", &self.cookie);
        let request = request.header("sec-fetch-site", "same-origin").body(form.to_owned());
        request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap()
    }
}

/// Returns the snippets of a page: language and text.
fn snippets(page: &str) -> Vec<(String, String)> {
    let between =
        |text: &str, start: &str, end: &str| text.split_once(start).unwrap().1.split_once(end).unwrap().0.to_owned();
    let snippets = page.split(r#"<details class="snippet""#).skip(1);
    snippets
        .map(|snippet| (between(snippet, "<summary>", "<"), decode(&between(snippet, "<code>", "</code>"))))
        .collect()
}

/// Decodes the entities that pages have.
fn decode(html: &str) -> String {
    html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// Runs a program with variables, and returns what it prints, if it succeeds.
fn output(command: &mut Command, variables: &[(&str, &str)]) -> Result<String, String> {
    let command = command.env("NO_PROXY", "127.0.0.1").envs(variables.iter().copied());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn shell(text: &str, directory: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-ec", text]).current_dir(directory);
    shell
}

fn node(text: &str) -> Command {
    let mut node = Command::new("node");
    node.args(["--input-type=module", "--eval", text]).current_dir(NPM_DIRECTORY);
    node
}

fn python(text: &str) -> Command {
    let mut python = Command::new(PYTHON);
    python.args(["-c", text]);
    python
}

fn go(text: &str, directory: &Path) -> Command {
    std::fs::write(directory.join("call.go"), text).unwrap();
    let mut go = Command::new("go");
    go.args(["run", "call.go"]).current_dir(directory);
    go
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_that_the_dashboard_shows_pass_the_gateway() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let up = Gatepost::start(directory.path(), &["up", "--upstream", &upstream.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let visitor = Visitor::sign_in(&admin).await;
    let path = format!("/projects/{}/keys/new", admin.create_project().await);
    let form = visitor.page(&path).await;
    let once = form.split(r#"name="once" value=""#).nth(1).unwrap().split('"').next().unwrap();
    let created = visitor.post(&path, &format!("name=k&once={once}&period=day")).await.text().await.unwrap();

    let (gateway, snippets) = (up.url("/"), snippets(&created));
    for (number, (language, text)) in snippets.iter().enumerate() {
        assert!(text.contains(EXAMPLE_GATEWAY), "{text}");
        let text = text.replace(EXAMPLE_GATEWAY, &gateway);
        let mut command = match language.as_str() {
            "curl" => shell(&text, directory.path()),
            "Node" => node(&text),
            "Python" => python(&text),
            "Go" => go(&text, directory.path()),
            other => panic!("{other} is not tested"),
        };
        output(&mut command, &[]).unwrap_or_else(|error| panic!("{language}: {error}"));
        assert_eq!(upstream.await_count(number + 1, DEADLINE), number + 1, "{language} was not let through");
    }
    assert_eq!(snippets.len(), 4);
}

/// Runs the verification of a language, and returns whether it accepts a request.
fn is_accepted(language: &str, text: &str, secret: &str, request: &RecordedRequest, body: &str) -> bool {
    let headers = verifier_input(secret, request)["headers"].to_string();
    let header = |name: &str| request.header(name)[0].to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let variables =
        [("WEBHOOK_SECRET", secret), ("BODY", body), ("HEADERS", &headers), ("id", &id), ("timestamp", &timestamp)];
    match language {
        "Node" => {
            let before =
                "const rawBody = process.env.BODY; const request = { headers: JSON.parse(process.env.HEADERS) };";
            let program = format!("{before}\n{text}\nconsole.log(event.type);");
            output(&mut node(&program), &variables).is_ok_and(|printed| printed == "api-key.created")
        }
        "Python" => {
            let before = "import json, os, types\nraw_body = os.environ['BODY'].encode()\n\
                          request = types.SimpleNamespace(headers=json.loads(os.environ['HEADERS']))";
            let program = format!("{before}\n{text}\nprint(event['type'])");
            output(&mut python(&program), &variables).is_ok_and(|printed| printed == "api-key.created")
        }
        "openssl" => {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("body.json"), body).unwrap();
            let printed = output(&mut shell(text, directory.path()), &variables).unwrap();
            header("webhook-signature") == format!("v1,{printed}")
        }
        other => panic!("{other} is not tested"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verifications_that_the_dashboard_shows_accept_deliveries_and_no_others() {
    let (directory, receiver) = (tempfile::tempdir().unwrap(), MockServer::start());
    let up = Gatepost::start(directory.path(), &["up", "--upstream", &receiver.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let hook = json!({"name": "w", "url": receiver.url(), "topics": ["api-key.created"]});
    let hook = admin.post("/webhooks", hook).await;
    let text = |hook: &Value, name: &str| hook[name].as_str().unwrap().to_owned();
    let project = admin.create_project().await;
    admin.create_api_key(&project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    let request = receiver.take_requests().pop().unwrap();
    let body = String::from_utf8(request.body.clone()).unwrap();

    let visitor = Visitor::sign_in(&admin).await;
    let path = format!("/webhooks/{}/deliveries/{}", text(&hook, "id"), request.header("webhook-id")[0]);
    let snippets = snippets(&visitor.page(&path).await);
    let secret = text(&hook, "secret");
    for (language, text) in &snippets {
        assert!(is_accepted(language, text, &secret, &request, &body), "{language}");
        let changed = body.replacen("\"isActive\":true", "\"isActive\":null", 1);
        assert!(!is_accepted(language, text, &secret, &request, &changed), "{language} accepts another body");
    }
    assert_eq!(snippets.len(), 3);
}
