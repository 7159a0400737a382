//! `gatepost project`, `key`, `webhook`, `event` and `gateway list`, as a user types them next to `gatepost up`.

use std::path::Path;

use gatepost_test_support::MockServer;
use serde_json::Value;

use crate::listen::{command_of_user, outcome, run_as_user};
use crate::process::Gatepost;

/// `gatepost up`, and the address of its admin API for the commands next to it.
struct Fixture<'a> {
    directory: &'a Path,
    up: Gatepost,
    admin_url: String,
}

impl<'a> Fixture<'a> {
    async fn start(directory: &'a Path, upstream: &MockServer) -> Self {
        let up = Gatepost::start(directory, &["up", "--upstream", &upstream.url()]).await;
        let admin_url = format!("http://{}", up.admin.unwrap());
        Self { directory, up, admin_url }
    }

    fn try_run(&self, arguments: &str) -> (Option<i32>, String, String) {
        let mut command = command_of_user(self.directory, &arguments.split(' ').collect::<Vec<_>>());
        outcome(&command.env("GATEPOST_ADMIN_URL", &self.admin_url).output().unwrap())
    }

    fn run(&self, arguments: &str) -> String {
        let (code, stdout, stderr) = self.try_run(arguments);
        assert_eq!(code, Some(0), "{arguments}: {stdout}{stderr}");
        stdout
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.run(&format!("{arguments} --output json"))).unwrap()
    }

    async fn status_with(&self, key: &str) -> u16 {
        let url = format!("http://{}/", self.up.gateway.unwrap());
        reqwest::Client::new().get(url).bearer_auth(key.trim()).send().await.unwrap().status().as_u16()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_created_used_changed_and_revoked_without_copying_an_id() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = MockServer::start();
    let gatepost = Fixture::start(directory.path(), &upstream).await;

    let key = gatepost.run("key create --name Jane");
    assert_eq!(gatepost.status_with(&key).await, 200);

    let listed = gatepost.json("key list --name Jane");
    let id = listed[0]["id"].as_str().unwrap();
    let projects = gatepost.json("project list");
    assert_eq!((projects.as_array().unwrap().len(), &projects[0]["name"]), (1, &Value::from("default")));
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["projectId"]), (1, &projects[0]["id"]));
    let table = gatepost.run("key list");
    assert!(table.starts_with("ID ") && table.contains("Jane") && table.lines().count() == 2, "{table}");
    assert!(gatepost.run(&format!("key get {id}")).contains("Jane"));

    let set = "--rate-limit 2/1h --permissions read,write --custom-account-id acme";
    let updated = gatepost.json(&format!("key update {id} {set}"));
    assert_eq!(updated["rateLimitConfigs"]["rateLimitTtl"], 3600.0);
    assert_eq!(updated["permissions"], serde_json::json!(["read", "write"]));
    let cleared = gatepost.json(&format!("key update {id} --rate-limit= --permissions= --custom-account-id="));
    assert!(cleared["rateLimitConfigs"].is_null() && cleared["customAccountId"].is_null(), "{cleared}");
    assert_eq!(cleared["permissions"], serde_json::json!([]));

    let new_value = gatepost.run(&format!("key rotate {id} --overlap 1h"));
    assert_eq!((gatepost.status_with(&key).await, gatepost.status_with(&new_value).await), (200, 200));
    let revoked = gatepost.run(&format!("key revoke {id} --wait 10"));
    assert_eq!(revoked, format!("revoked {id}; 1 of 1 gateways refuse it\n"));
    assert_eq!((gatepost.status_with(&key).await, gatepost.status_with(&new_value).await), (401, 401));

    gatepost.run("project create --name second --env test");
    let (code, _, stderr) = gatepost.try_run("key create --name Joe");
    assert!(code == Some(2) && stderr.contains("--project") && stderr.contains("(second)"), "{stderr}");
    for project in gatepost.json("project list").as_array().unwrap() {
        gatepost.run(&format!("project delete {}", project["id"].as_str().unwrap()));
    }
    let (code, _, stderr) = gatepost.try_run("key create --name Joe");
    assert!(code == Some(1) && stderr.contains("gatepost project create"), "{stderr}");
    let events = gatepost.json(&format!("event list --subject {id} --since 1h"));
    let kinds: Vec<_> = events.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"api-key.deleted"), Some(&"api-key.created")), "{kinds:?}");
    assert!(gatepost.run("gateway list").contains("LAG MS"));
    assert_eq!(gatepost.json("gateway list").as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_continue_where_they_ended() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = MockServer::start();
    let gatepost = Fixture::start(directory.path(), &upstream).await;
    for number in 0..3 {
        gatepost.run(&format!("project create --name p{number}"));
    }
    for list in ["project list", "event list"] {
        let all = gatepost.json(list);
        let (mut rows, mut after) = (Vec::new(), String::new());
        loop {
            let (code, stdout, stderr) = gatepost.try_run(&format!("{list} --limit 2 --output json{after}"));
            assert_eq!(code, Some(0), "{stderr}");
            let page: Vec<Value> = serde_json::from_str(&stdout).unwrap();
            assert!(page.len() <= 2, "{page:?}");
            rows.extend(page);
            let Some((_, cursor)) = stderr.split_once("--after ") else { break };
            after = format!(" --after {}", cursor.trim());
        }
        assert_eq!(Value::from(rows), all, "{list}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_created_changed_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = MockServer::start();
    let gatepost = Fixture::start(directory.path(), &upstream).await;
    let created = gatepost
        .json("webhook create --name crm --url https://crm.example.com/hook --topics api-key.created,api-key.deleted");
    let id = created["id"].as_str().unwrap();
    assert_eq!(created["topics"], serde_json::json!(["api-key.created", "api-key.deleted"]));
    assert_eq!(gatepost.json(&format!("webhook update {id} --status paused"))["status"], "paused");
    assert!(gatepost.run("webhook list").contains("paused"));
    assert_eq!(gatepost.run(&format!("webhook delete {id}")), format!("deleted {id}\n"));
    assert_eq!(gatepost.json("webhook list"), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = MockServer::start();
    let gatepost = Fixture::start(directory.path(), &upstream).await;
    for (arguments, expected, text) in [
        ("key get key_00unknown", 1, "there is no such key (404 Not Found)"),
        ("key get ../projects?x=1", 1, "(404 Not Found)"),
        ("key update key_00unknown", 2, "name what changes"),
        ("key update key_00unknown --rate-limit 5", 2, "100/1m"),
        ("key list --limit 0", 2, "--limit"),
        ("project create --name a --env prod", 2, "live"),
        ("project delete prj_00unknown --wait 31", 2, "--wait"),
        ("webhook create --name a --url http://a/ --topics lost", 1, "topics"),
    ] {
        let (code, stdout, stderr) = gatepost.try_run(arguments);
        assert!(code == Some(expected) && stderr.contains(text), "{arguments}: {code:?} {stdout}{stderr}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let (code, _, stderr) = outcome(&run_as_user(elsewhere.path(), &["project", "list"]));
    assert!(code == Some(2) && stderr.contains("set GATEPOST_ACCESS_KEY"), "{stderr}");
    assert!(stderr.contains("`gatepost access-key create` makes one"), "{stderr}");
    let remote = ["project", "list", "--admin-url", "https://gatepost.example.com"];
    let (code, _, stderr) = outcome(&run_as_user(directory.path(), &remote));
    assert!(code == Some(2) && stderr.contains("set GATEPOST_ACCESS_KEY to an access key of https"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_access_key_and_a_wrong_address_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = MockServer::start();
    let gatepost = Fixture::start(directory.path(), &upstream).await;
    let run = |url: &str, key: &str| {
        let mut command = command_of_user(directory.path(), &["project", "list"]);
        outcome(&command.env("GATEPOST_ADMIN_URL", url).env("GATEPOST_ACCESS_KEY", key).output().unwrap())
    };
    let admin = &gatepost.admin_url;
    let (code, _, stderr) = run(admin, "live_access_wrong");
    let expected = format!("Invalid access key in GATEPOST_ACCESS_KEY: set it to an access key of {admin} (401 ");
    assert!(code == Some(1) && stderr.contains(&expected), "{stderr}");

    gatepost.run("access-key create");
    let first = gatepost.json("access-key list")[0]["id"].as_str().unwrap().to_owned();
    gatepost.run(&format!("access-key revoke {first}"));
    let (code, _, stderr) = gatepost.try_run("project list");
    let expected = "Invalid access key in gatepost-data/first-access-key: set GATEPOST_ACCESS_KEY to an access key of";
    assert!(code == Some(1) && stderr.contains(expected), "{stderr}");
    assert!(stderr.contains("`gatepost access-key create` makes one"), "{stderr}");

    let gateway = format!("http://{}", gatepost.up.gateway.unwrap());
    for stranger in [gateway.as_str(), upstream.url().trim_end_matches('/')] {
        let (code, _, stderr) = run(stranger, "live_access_wrong");
        assert!(code == Some(1) && stderr.contains("is not from an admin API of Gatepost: http://"), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_has_every_resource_once_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = MockServer::start();
    let gatepost = Fixture::start(directory.path(), &upstream).await;
    let lines = |arguments: &str| -> Vec<Value> {
        gatepost.run(arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let mut values = Vec::new();
    for number in 0..23 {
        values.push(gatepost.run(&format!("key create --name key-{number}")).trim().to_owned());
    }
    let origin = upstream.url().trim_end_matches('/').to_owned();
    let url = format!("{origin}/secret-path?token=secret-query");
    gatepost.run(&format!("webhook create --name crm --topics api-key.created --url {url}"));

    let keys = lines("export keys");
    let names: Vec<&str> = keys.iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, (0..23).map(|number| format!("key-{number}")).collect::<Vec<_>>());
    let webhooks = lines("export webhooks");
    assert_eq!((webhooks.len(), &webhooks[0]["url"]), (1, &Value::from(format!("{origin}/…"))));
    let events = lines("export events");
    let created = events.iter().filter(|event| event["type"] == "api-key.created");
    assert_eq!(created.count(), 23);
    let all = format!("{keys:?}{webhooks:?}{events:?}");
    assert!(!all.contains("secret-") && values.iter().all(|value| !all.contains(value.as_str())));

    let middle = events[events.len() / 2]["cursor"].as_str().unwrap();
    assert_eq!(lines(&format!("export events --after {middle}")), events[events.len() / 2 + 1..]);
    let (code, _, stderr) = gatepost.try_run("export keys --after nowhere");
    assert!(code == Some(1) && stderr.contains("after"), "{stderr}");
}
