//! Client of the admin API.

use std::net::SocketAddr;
use std::path::Path;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::process::{EMPTY_DIRECTORY, run};

/// Client with one access key.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) address: SocketAddr,
    pub(crate) access_key: String,
    client: Client,
}

/// Returns an HTTP client that does not use a proxy of the environment.
pub(crate) fn client() -> Client {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

/// Creates the store on Redis with its first access key.
pub(crate) fn create_access_key(url: &str) -> String {
    let output = run(Path::new(EMPTY_DIRECTORY), &["access-key", "create", "--store", url, "--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    printed["key"].as_str().unwrap().to_owned()
}

impl Admin {
    pub(crate) fn new(address: SocketAddr, access_key: &str) -> Self {
        Self { address, access_key: access_key.to_owned(), client: client() }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: String) -> Response {
        self.try_send(method, path, body).await.unwrap()
    }

    /// Sends a request to a server that may not be running.
    pub(crate) async fn try_send(&self, method: Method, path: &str, body: String) -> reqwest::Result<Response> {
        let url = format!("http://{}{path}", self.address);
        self.client.request(method, url).header("x-api-key", &self.access_key).body(body).send().await
    }

    /// Sends a request whose response waits until every gateway has applied the change.
    pub(crate) async fn send_fenced(&self, method: Method, path: &str, body: String) -> Response {
        let request = self.client.request(method, format!("http://{}{path}", self.address)).body(body);
        request.header("x-api-key", &self.access_key).header("prefer", "wait=20").send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let response = self.send(Method::POST, path, body.to_string()).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 201, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Creates a project and returns its id.
    pub(crate) async fn create_project(&self) -> String {
        let project = self.post("/projects", json!({"name": "p", "env": "live"})).await;
        project["id"].as_str().unwrap().to_owned()
    }

    /// Creates a key and returns its value and id.
    pub(crate) async fn create_api_key(&self, project: &str) -> (String, String) {
        let key = self.post("/api-keys", json!({"name": "k", "projectId": project})).await;
        (key["key"].as_str().unwrap().to_owned(), key["id"].as_str().unwrap().to_owned())
    }

    /// Creates a webhook for key events and returns its secret.
    pub(crate) async fn create_webhook(&self, url: &str) -> String {
        let topics = ["api-key.created", "api-key.firstUsed", "api-key.deleted"];
        let webhook = self.post("/webhooks", json!({"name": "w", "url": url, "topics": topics})).await;
        webhook["secret"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn revoke_key(&self, key: &str) {
        let response = self.send(Method::DELETE, &format!("/api-keys/{key}"), String::new()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), "true");
    }
}
