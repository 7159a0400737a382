//! Test cluster: two gateways, a control plane and Redis, each a process.

use std::process::{Command, Stdio};
use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer};
use reqwest::StatusCode;
use tokio::task::JoinSet;

use crate::admin::{Admin, client, create_access_key};
use crate::process::Gatepost;
use crate::webhooks;

/// Maximum time until a change takes effect, on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Complete installation, on any kind of Redis.
pub(crate) struct TestCluster<R = RedisServer> {
    pub(crate) redis: R,
    pub(crate) control_plane: Gatepost,
    pub(crate) gateways: Vec<Gatepost>,
    pub(crate) admin: Admin,
}

impl TestCluster {
    pub(crate) async fn start(gateways: usize) -> Self {
        let redis = RedisServer::start();
        let url = redis.url();
        Self::start_on(redis, &vec![url.as_str(); gateways + 1]).await
    }
}

impl<R> TestCluster<R> {
    /// Starts a cluster. The URLs are those of the store for the control plane and for each gateway.
    pub(crate) async fn start_on(redis: R, urls: &[&str]) -> Self {
        let origin = MockServer::start();
        let access_key = create_access_key(urls[0]);
        let control_plane = Gatepost::start_on_store(urls[0], &["control-plane"]).await;
        let mut started = Vec::new();
        for url in &urls[1..] {
            started.push(Gatepost::start_on_store(url, &["gateway", "--upstream", &origin.url()]).await);
        }
        let admin = Admin::new(control_plane.admin.unwrap(), &access_key);
        Self { redis, control_plane, gateways: started, admin }
    }

    /// Returns the status of a request to a gateway with a key.
    pub(crate) async fn get_status(&self, gateway: usize, key: &str) -> StatusCode {
        get_status(&self.gateways[gateway].url("/x"), key).await
    }

    /// Sends requests to a gateway until it returns the status.
    pub(crate) async fn await_status(&self, gateway: usize, key: &str, status: u16) {
        let polling = async {
            while self.get_status(gateway, key).await != status {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, polling).await.is_ok(), "gateway {gateway} never returned {status}");
    }
}

pub(crate) async fn get_status(url: &str, key: &str) -> StatusCode {
    client().get(url).header("x-api-key", key).send().await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_from_creation_to_revocation_over_two_gateways() {
    let mut cluster = TestCluster::start(2).await;
    let receiver = MockServer::start();
    let secret = cluster.admin.create_webhook(&receiver.url()).await;
    let project = cluster.admin.create_project().await;
    let (key, key_id) = cluster.admin.create_api_key(&project).await;

    // 200 concurrent requests with an unused key, over both gateways.
    let (client, mut requests) = (client(), JoinSet::new());
    for number in 0..200 {
        // All requests share one client: creating one takes so long that a gateway could close an idle connection.
        let request = client.get(cluster.gateways[number % 2].url("/x")).header("x-api-key", &key);
        requests.spawn(async move { request.send().await.unwrap().status() });
    }
    let statuses = requests.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let firsts = cluster.gateways[0].metric("gatepost_first_use_total").await
        + cluster.gateways[1].metric("gatepost_first_use_total").await;
    assert!((firsts - 1.0).abs() < f64::EPSILON, "{firsts} first uses");

    cluster.admin.revoke_key(&key).await;
    cluster.await_status(0, &key, 401).await;
    cluster.await_status(1, &key, 401).await;

    assert_eq!(receiver.await_count(3, DEADLINE), 3);
    let received = receiver.take_requests();
    webhooks::verify(&secret, &received);
    for topic in ["api-key.created", "api-key.firstUsed", "api-key.deleted"] {
        let bodies = webhooks::bodies_of_topic(&received, topic);
        assert_eq!(bodies.len(), 1, "{topic}");
        assert_eq!(bodies[0]["data"]["id"], key_id.as_str());
    }
    assert_eq!(webhooks::bodies_of_topic(&received, "api-key.created")[0]["data"]["key"], key.as_str());
    assert_eq!(webhooks::bodies_of_topic(&received, "api-key.firstUsed")[0]["data"]["key"], key_id.as_str());

    let log = cluster.gateways[0].log().join("\n");
    let passed = log
        .lines()
        .filter(|line| line.contains(&format!("\"key_id\":\"{key_id}\"")) && line.contains("\"status\":200"));
    assert_eq!(passed.count(), 100, "one line for each request");
    for gateway in &mut cluster.gateways {
        assert_eq!(gateway.terminate(), Some(0));
    }
    assert_eq!(cluster.control_plane.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_accepts_the_metrics_of_every_process() {
    let cluster = TestCluster::start(1).await;
    let deliverer = Gatepost::start_on_store(&cluster.redis.url(), &["deliverer"]).await;
    let project = cluster.admin.create_project().await;
    let (key, _) = cluster.admin.create_api_key(&project).await;
    assert_eq!(cluster.get_status(0, &key).await, 200);
    for process in [&cluster.control_plane, &cluster.gateways[0], &deliverer] {
        let metrics = process.metrics().await;
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), metrics.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_env_is_forbidden_and_an_expired_one_is_rejected() {
    let cluster = TestCluster::start(1).await;
    let test_project = cluster.admin.post("/projects", serde_json::json!({"name": "t", "env": "test"})).await;
    let (key, _) = cluster.admin.create_api_key(test_project["id"].as_str().unwrap()).await;
    assert!(key.starts_with("test_"));
    assert_eq!(cluster.get_status(0, &key).await, 403);
    let project = cluster.admin.create_project().await;
    let input = serde_json::json!({"name": "k", "projectId": project, "expiry": "2020-01-01"});
    let expired = cluster.admin.post("/api-keys", input).await;
    assert_eq!(cluster.get_status(0, expired["key"].as_str().unwrap()).await, 401);
}
