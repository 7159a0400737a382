//! Admin API of the demo, called as anybody calls it: over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use gatepost_domain::key::Secret;
use reqwest::{Client, Method};
use serde_json::Value;

/// Timeout of one request.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct AdminApi {
    address: SocketAddr,
    access_key: Secret,
    client: Client,
}

impl AdminApi {
    pub(crate) fn new(address: SocketAddr, access_key: Secret) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().timeout(DEADLINE).build()?;
        Ok(Self { address, access_key, client })
    }

    pub(super) fn access_key(&self) -> &str {
        self.access_key.expose()
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, body.to_string()).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PATCH, path, body.to_string()).await
    }

    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, String::new()).await
    }

    async fn send(&self, method: Method, path: &str, body: String) -> anyhow::Result<Value> {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        let response = request.header("x-api-key", self.access_key.expose()).body(body).send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{path} returned {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

pub(super) fn text_member<'a>(value: &'a Value, member: &str) -> anyhow::Result<&'a str> {
    value[member].as_str().with_context(|| format!("a response lacks {member}"))
}
