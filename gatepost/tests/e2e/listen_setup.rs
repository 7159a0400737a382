//! `gatepost listen` and `gatepost trigger` where something is not as it should be yet: the receiver is not started, the
//! admin API is elsewhere, the receiver refuses.

use std::path::Path;
use std::time::Duration;

use gatepost_test_support::{AfterReply, MockServer, Reply, free_port};
use reqwest::Method;
use serde_json::json;

use crate::admin::Admin;
use crate::listen::{Listener, command_of_user, outcome, run_as_user};
use crate::process::Gatepost;
use crate::single_process::read_first_access_key;
use crate::test_cluster::DEADLINE;

async fn start(directory: &Path) -> (Gatepost, Admin) {
    let up = Gatepost::start(directory, &["up", "--upstream", &MockServer::start().url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory));
    (up, admin)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_until_the_receiver_is_started() {
    let directory = tempfile::tempdir().unwrap();
    let (_up, admin) = start(directory.path()).await;
    let (admin_url, port) = (format!("http://{}", admin.address), free_port());
    let target = format!("http://127.0.0.1:{port}/hook");
    let connect = || {
        let listener = Listener::start_with(directory.path(), &["--admin-url", &admin_url, "--forward-to", &target]);
        listener.stdout.wait_for("connected to", 1);
        listener
    };

    let listener = connect();
    let project = admin.create_project().await;
    for name in ["first", "second"] {
        let path = format!("/projects/{project}");
        assert_eq!(admin.send(Method::PATCH, &path, json!({"name": name}).to_string()).await.status(), 200);
    }
    listener.stdout.wait_for("waiting until the receiver accepts connections", 1);
    assert_eq!(listener.stdout.count("connection refused"), 1, "it says so once");
    assert_eq!(listener.interrupt(), Some(0), "a listener that waits stops at once");

    let listener = connect();
    listener.stdout.wait_for("waiting until the receiver accepts connections", 1);
    let local = MockServer::start_at(port);
    assert_eq!(local.await_count(2, DEADLINE), 2);
    listener.stdout.wait_for("  200  ", 2);
    let bodies = local.take_requests();
    let names: Vec<_> = bodies.iter().map(|request| crate::webhooks::body(request)["data"]["name"].clone()).collect();
    assert_eq!(names, [json!("first"), json!("second")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_api_is_where_the_configuration_says() {
    let directory = tempfile::tempdir().unwrap();
    let (_up, admin) = start(directory.path()).await;
    let local = MockServer::start();
    let address = admin.address.to_string();
    let listener = Listener::start_with(directory.path(), &["--admin-listen", &address, "--forward-to", &local.url()]);
    listener.stdout.wait_for(&format!("connected to http://{address}"), 1);
    let mut listen = command_of_user(directory.path(), &["trigger", "project.updated", "--webhook", "wh_00unknown"]);
    let (code, _, stderr) = outcome(&listen.env("GATEPOST_CONTROL_PLANE__LISTEN", &address).output().unwrap());
    assert!(code == Some(1) && stderr.contains("there is no such webhook (404"), "{stderr}");

    let nowhere = format!("127.0.0.1:{}", free_port());
    let listener = Listener::start_with(directory.path(), &["--admin-listen", &nowhere, "--forward-to", &local.url()]);
    let line = listener.stderr.wait_for("not connected", 1);
    let expected = format!("not connected to http://{nowhere}: connection refused; retrying");
    assert!(line.contains(&expected) && line.contains("--admin-url"), "{line}");
    assert!(!listener.stderr.wait_for("not connected", 2).contains("--admin-url"), "it gives the hint once");
    let trigger = ["trigger", "project.updated", "--webhook", "wh_00unknown", "--admin-listen", &nowhere];
    let (code, _, stderr) = outcome(&run_as_user(directory.path(), &trigger));
    assert_eq!(code, Some(1), "{stderr}");
    let expected = format!("http://{nowhere} did not respond: connection refused; if the admin API is elsewhere");
    assert!(stderr.contains(&expected) && !stderr.contains("os error"), "{stderr}");
}

#[test]
fn the_text_of_a_receiver_that_refuses_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let text = "\r\n\x1b[31mno such order\x07\nat line 3";
    let reply = format!("HTTP/1.1 500 Error\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    let refusing = MockServer::with_script(move |_| Reply::raw(reply.clone(), AfterReply::Close));
    let trigger = ["trigger", "api-key.created", "--forward-to", &refusing.url()];
    let (code, stdout, stderr) = outcome(&run_as_user(directory.path(), &trigger));
    assert!(code == Some(1) && stdout.contains("  500  "), "{stdout}{stderr}");
    assert!(stdout.ends_with(" ms\n    [31mno such order\n"), "{stdout:?}");
    assert_eq!(refusing.await_count(1, Duration::ZERO), 1);
}
