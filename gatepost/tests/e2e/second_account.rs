//! A second account that is created by a typing error: the command, `/readyz` and the responses say what happened.

use std::path::Path;
use std::process::Output;

use gatepost_test_support::MockServer;
use serde_json::Value;

use crate::admin::{Admin, client};
use crate::process::{Gatepost, run};
use crate::single_process::read_first_access_key;
use crate::test_cluster::{DEADLINE, get_status};

fn create_access_key(directory: &Path, arguments: &[&str]) -> Output {
    run(directory, &[&["access-key", "create"], arguments].concat())
}

fn stderr_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_account_is_announced_wherever_its_effect_shows() {
    let directory = tempfile::tempdir().unwrap();
    let origin = MockServer::start();
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let (key, _) = admin.create_api_key(&admin.create_project().await).await;
    let known = create_access_key(directory.path(), &["--account-name", "default"]);
    assert!(known.status.success() && stderr_text(&known).is_empty(), "{}", stderr_text(&known));
    assert_eq!(get_status(&up.url("/x"), &key).await, 200);
    assert!(!up.readiness().await.1.contains("several accounts"));

    let created = create_access_key(directory.path(), &["--account-name", "defualt", "--output", "json"]);
    let (stderr, printed) = (stderr_text(&created), serde_json::from_slice::<Value>(&created.stdout).unwrap());
    let id = printed["accountId"].as_str().unwrap();
    assert!(stderr.contains(&format!("a NEW account was created: {id}. The store already had: \"default\" (acc_")));
    assert_eq!((&printed["accountWas"], printed.get("otherAccounts")), (&Value::from("added"), None), "{printed}");
    let waiting = async { while !up.readiness().await.1.contains("several accounts: /; list their projects") {} };
    tokio::time::timeout(DEADLINE, waiting).await.expect("a warning");
    let response = client().get(up.url("/x")).header("x-api-key", &key).send().await.unwrap();
    assert_eq!(response.status(), 403);
    let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("This route accepts no key: the store has several accounts"), "{detail}");
    assert_eq!(get_status(&up.url("/x"), "not-a-key").await, 401);

    // By the running process, then by the command itself.
    for is_running in [true, false] {
        let refused = create_access_key(directory.path(), &[]);
        let stderr = stderr_text(&refused);
        assert_eq!(refused.status.code(), Some(1), "{stderr}");
        let expected = "there are several accounts: name one with --account-name: \"default\" (acc_";
        assert!(stderr.contains(expected) && stderr.contains(&format!("\"defualt\" ({id})")), "{stderr}");
        if is_running {
            assert_eq!(up.terminate(), Some(0));
        }
    }
}
