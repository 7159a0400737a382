//! Sign-in links to the dashboard: `gatepost dashboard`, and `up` and `demo` on a terminal.

use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::sync::Arc;

use gatepost_test_support::{MockServer, free_port};
use reqwest::{Client, Response, redirect};
use serde_json::json;

use crate::printed::Printed;
use crate::process::{EMPTY_DIRECTORY, Gatepost, command, run};
use crate::single_process::{DEMO, read_first_access_key};
use crate::terminal;
use crate::test_cluster::TestCluster;

/// A browser without pages, which follows no redirects.
pub(crate) fn browser() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap()
}

/// Sends the form of a sign-in link.
async fn confirm(link: &str) -> Response {
    let (page, token) = link.split_once("?link=").unwrap();
    sign_in(page, "link", token).await
}

/// Sends the form of the sign-in page with one field.
async fn sign_in(page: &str, field: &str, text: &str) -> Response {
    let form = browser().post(page).header("sec-fetch-site", "same-origin");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    form.body(format!("{field}={text}")).send().await.unwrap()
}

/// Signs in with a link, and returns the page at a path.
async fn page_after_sign_in(link: &str, path: &str) -> String {
    let answer = confirm(link).await;
    assert_eq!(answer.status(), 303);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let (base, _) = link.split_once("/dashboard").unwrap();
    let page = browser().get(format!("{base}/dashboard{path}")).header("cookie", cookie).send().await.unwrap();
    assert_eq!(page.status(), 200);
    page.text().await.unwrap()
}

fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("once and within 10 minutes"), "{stderr}");
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

/// Checks that a link shows whom it signs in, works once, and is not in a log.
async fn check_link(link: &str, name: &str, process: &Gatepost) {
    let form = browser().get(link).send().await.unwrap().text().await.unwrap();
    assert!(form.contains(&format!("Sign in as {name}")), "{form}");
    assert!(page_after_sign_in(link, "/projects").await.contains("default"));
    assert_eq!(confirm(link).await.status(), 410);
    let (_, token) = link.split_once("?link=").unwrap();
    assert!(!process.log().join("\n").contains(token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_prints_a_link_through_the_process_that_holds_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &MockServer::start().url()]).await;
    let link = stdout(&run(directory.path(), &["dashboard"]));
    assert!(link.starts_with(&format!("http://{}/dashboard/sign-in?link=", up.admin.unwrap())), "{link}");
    check_link(&link, "first", &up).await;

    let access_key = read_first_access_key(directory.path());
    let page = format!("http://{}/dashboard/sign-in", up.admin.unwrap());
    assert_eq!(sign_in(&page, "key", &access_key).await.status(), 303, "the key of the file signs in, too");
    let admin = crate::admin::Admin::new(up.admin.unwrap(), &access_key);
    let viewer = admin.post("/access-keys", json!({"name": "Vera", "role": "viewer"})).await;
    let link = stdout(&run(directory.path(), &["dashboard", "--access-key", viewer["id"].as_str().unwrap()]));
    check_link(&link, "Vera", &up).await;

    // The browser reaches the admin API at another address than that at which it listens, as behind a proxy.
    let elsewhere = format!("http://localhost:{}", up.admin.unwrap().port());
    let link = stdout(&run(directory.path(), &["dashboard", "--admin-url", &elsewhere]));
    assert!(link.starts_with(&format!("{elsewhere}/dashboard/sign-in?link=")), "{link}");
    check_link(&link, "first", &up).await;

    let refused = run(directory.path(), &["dashboard", "--access-key", &admin.access_key]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr.contains("there is no access key of this id") && !stderr.contains(&admin.access_key), "{stderr}");

    assert_eq!(up.terminate(), Some(0));
    let alone = run(directory.path(), &["dashboard"]);
    let stderr = String::from_utf8_lossy(&alone.stderr);
    assert!(stderr.contains("no process serves the dashboard") && stderr.contains("`gatepost up`"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_prints_a_link_for_a_store_on_redis() {
    let cluster = TestCluster::start(0).await;
    let address = cluster.admin.address.to_string();
    let arguments = ["dashboard", "--store", &cluster.redis.url(), "--admin-listen", &address];
    let link = stdout(&run(Path::new(EMPTY_DIRECTORY), &arguments));
    assert!(page_after_sign_in(&link, "/projects").await.contains("No project yet"));
    let mut turned_off = command(Path::new(EMPTY_DIRECTORY), &arguments);
    let refused = turned_off.env("GATEPOST_DASHBOARD__ENABLED", "false").output().unwrap();
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("the dashboard is turned off: set dashboard.enabled"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_leads_to_where_the_admin_api_listens() {
    let upstream = MockServer::start().url();
    for (listen, host) in [("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]"), ("127.0.0.2", "127.0.0.2")] {
        let (directory, admin) = (tempfile::tempdir().unwrap(), format!("{listen}:{}", free_port()));
        let up = Gatepost::start_at_admin(directory.path(), &admin, &["up", "--upstream", &upstream]).await;
        let link = stdout(&run(directory.path(), &["dashboard"]));
        let expected = admin.replace(listen, host);
        assert!(link.starts_with(&format!("http://{expected}/dashboard/sign-in?link=")), "{listen}: {link}");
        check_link(&link, "first", &up).await;
    }
    let (directory, origin) = (tempfile::tempdir().unwrap(), "https://keys.example.com");
    let configuration = format!("[dashboard]\norigin = \"{origin}\"\n");
    std::fs::write(directory.path().join("gatepost.toml"), configuration).unwrap();
    let _up = Gatepost::start(directory.path(), &["up", "--upstream", &upstream]).await;
    let link = stdout(&run(directory.path(), &["dashboard"]));
    assert!(link.starts_with(&format!("{origin}/dashboard/sign-in?link=")), "{link}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_prints_a_link_to_a_terminal_and_nowhere_else() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start().url());
    let arguments = ["up", "--upstream", &upstream];
    let (stdout, printed) = terminal::open();
    let mut up = Gatepost::start_with_stdout(directory.path(), &arguments, stdout).await;
    let line = printed.wait_for("  dashboard  http", 1);
    printed.wait_for("the link signs in as \"first\" (admin), once and within 10 minutes", 1);
    check_link(line.trim().strip_prefix("dashboard  ").unwrap(), "first", &up).await;
    up.terminate();

    let file = directory.path().join("stdout");
    let stdout = Stdio::from(std::fs::File::create(&file).unwrap());
    let mut up = Gatepost::start_with_stdout(directory.path(), &arguments, stdout).await;
    up.terminate();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "");
    assert!(!up.log().join("\n").contains("sign-in"));
}

/// A running demo, which is killed when dropped.
struct Demo {
    child: Child,
    printed: Arc<Printed>,
}

impl Demo {
    fn start(directory: &Path) -> Self {
        let (stdout, printed) = terminal::open();
        let child = command(directory, &["demo"]).stdout(stdout).stderr(Stdio::null()).spawn().unwrap();
        Self { child, printed }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_begins_with_a_link_and_has_something_to_look_at() {
    let _only = DEMO.lock().await;
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(directory.path());
    // In its last line.
    demo.printed.wait_for("key create --name mine --project prj_", 1);
    let text = demo.printed.text();
    let link = text.lines().next().unwrap().strip_prefix("dashboard: ").unwrap();
    let projects = page_after_sign_in(link, "/projects").await;
    assert!(projects.contains("demo") && projects.contains("sandbox"), "{projects}");
    let access_key = text.split("x-api-key: ").nth(1).unwrap().split(['\'', ')']).next().unwrap();
    let (_, address) = link.split_once("http://").unwrap();
    let address = address.split_once('/').unwrap().0.parse().unwrap();
    let admin = crate::admin::Admin::new(address, access_key);
    await_failed_delivery(&admin).await;
    assert!(
        std::process::Command::new("kill").args(["-INT", &demo.child.id().to_string()]).status().unwrap().success()
    );
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
}

/// Waits until the unreliable receiver has accepted one delivery and refused another.
async fn await_failed_delivery(admin: &crate::admin::Admin) {
    let get = async |path: String| -> serde_json::Value {
        let text = admin.send(reqwest::Method::GET, &path, String::new()).await.text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let webhooks = get("/webhooks".to_owned()).await;
    let unreliable =
        webhooks.as_array().unwrap().iter().find(|webhook| webhook["name"] == "Unreliable receiver").unwrap();
    let path = format!("/webhooks/{}/stats", unreliable["id"].as_str().unwrap());
    let waiting = async {
        loop {
            let stats = get(path.clone()).await;
            if stats["failed24h"].as_u64() > Some(0) && stats["delivered24h"].as_u64() > Some(0) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::test_cluster::DEADLINE, waiting)
        .await
        .expect("a delivery fails and another one does not");
}
