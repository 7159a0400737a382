//! Walkthrough of a key's life. Every line is verified before it is printed.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gatepost_domain::id::EventId;
use gatepost_domain::time::Timestamp;
use gatepost_webhook_client::sign;
use http::Request;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::admin_api::{AdminApi, text_member};
use super::receiver::Receiver;
use crate::next_command::NextCommand;

/// Timeout of one request.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a revoked key may still be accepted before the demo fails.
const MAX_REVOCATION_DELAY: Duration = Duration::from_secs(5);

/// Addresses of all parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) upstream: SocketAddr,
    pub(crate) receiver: SocketAddr,
}

pub(crate) struct Walkthrough {
    addresses: Addresses,
    admin: AdminApi,
    receiver: Receiver,
    client: Client,
}

impl Walkthrough {
    pub(crate) fn new(addresses: Addresses, admin: AdminApi, receiver: Receiver) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().timeout(DEADLINE).build()?;
        Ok(Self { addresses, admin, receiver, client })
    }

    /// Runs all steps, and fails at the first unexpected result. Returns the id of its project.
    pub(crate) async fn run(&self) -> anyhow::Result<String> {
        print("Gatepost demo: gateway, control plane and deliverer in this process, on a temporary store.\n")?;
        let project = self.admin.post("/projects", &json!({"name": "demo", "env": "live"})).await?;
        let project = text_member(&project, "id")?;
        print(&format!("1. project {project} was created"))?;
        let webhook = self.create_webhook().await?;
        let input = json!({
            "name": "Jane's key", "projectId": project, "customAccountId": "customer-42",
        });
        let key = self.admin.post("/api-keys", &input).await?;
        let value = text_member(&key, "key")?;
        print(&format!("3. API key {} was created: {value}", text_member(&key, "id")?))?;
        self.check_requests(value).await?;
        self.check_webhooks(text_member(&webhook, "secret")?, text_member(&key, "id")?).await?;
        self.check_revocation(value).await?;
        Ok(project.to_owned())
    }

    /// Prints how to continue while the demo runs, with keys of a project.
    pub(crate) fn print_next_steps(&self, project: &str) -> anyhow::Result<()> {
        let Addresses { gateway, admin, ops, upstream, receiver } = self.addresses;
        let access_key = self.admin.access_key();
        let next = NextCommand {
            access_key: format!("GATEPOST_ACCESS_KEY={access_key} ").into(),
            admin,
            gateway: Some(gateway),
        };
        print(&format!(
            "\nStill running, until Ctrl-C:\n  dashboard  http://{admin}/dashboard\n  gateway    http://{gateway}\n  \
             admin API  http://{admin}  (x-api-key: {access_key})\n  metrics    http://{ops}/metrics\n  sample API \
             http://{upstream}\n  receiver   http://{receiver}\n\nCreate a key, in another terminal. The command prints \
             another one, which uses the key:\n  {}",
            next.create_key(&format!("--name mine --project {project}"))
        ))
    }

    async fn create_webhook(&self) -> anyhow::Result<Value> {
        let input = json!({
            "name": "demo", "url": format!("http://{}/hook", self.addresses.receiver), "httpMethod": "POST",
            "topics": ["api-key.created", "api-key.firstUsed", "api-key.deleted"],
        });
        let webhook = self.admin.post("/webhooks", &input).await?;
        print(&format!(
            "2. webhook {} was created for {}",
            text_member(&webhook, "id")?,
            text_member(&webhook, "url")?
        ))?;
        Ok(webhook)
    }

    async fn check_requests(&self, key: &str) -> anyhow::Result<()> {
        let refused = self.client.get(self.gateway_url()).send().await?;
        ensure!(refused.status() == StatusCode::UNAUTHORIZED, "a request without a key returned {}", refused.status());
        print(&format!("4. a request without a key: {}", refused.status()))?;
        let passed = self.get_with_key(key).await?;
        ensure!(passed.status() == StatusCode::OK, "a request with the key returned {}", passed.status());
        let seen: Value = serde_json::from_slice(&passed.bytes().await?)?;
        print("5. with the key: 200 OK; the sample API saw:")?;
        for name in ["x-gatepost-key-id", "x-gatepost-project-id", "x-gatepost-env", "x-gatepost-custom-account-id"] {
            print(&format!("     {name}: {}", text_member(&seen["headers"], name)?))?;
        }
        ensure!(seen["headers"].get("authorization").is_none(), "the sample API saw the key");
        print("     and no credential")?;
        for _ in 0..10 {
            ensure!(self.get_with_key(key).await?.status() == StatusCode::OK, "a later request was rejected");
        }
        let ops = format!("http://{}/metrics", self.addresses.ops);
        let metrics = self.client.get(ops).send().await?.text().await?;
        ensure!(metrics.contains("gatepost_first_use_total 1\n"), "the first use was not detected exactly once");
        print("6. ten more requests with the key: 200 OK; its first use was detected once")?;
        Ok(())
    }

    /// Waits for both events, in any order.
    async fn check_webhooks(&self, secret: &str, key_id: &str) -> anyhow::Result<()> {
        let mut missing = vec!["api-key.created", "api-key.firstUsed"];
        while !missing.is_empty() {
            let request = self.receiver.next().await?;
            verify(secret, &request)?;
            let body: Value = serde_json::from_slice(request.body())?;
            let kind = text_member(&body, "type")?;
            ensure!(text_member(&body["data"], "id")? == key_id, "a webhook is about another key");
            let Some(index) = missing.iter().position(|topic| *topic == kind) else {
                bail!("{kind} was received twice")
            };
            missing.remove(index);
            print(&format!("7. webhook received and its signature verified: {kind} ({})", text_member(&body, "id")?))?;
        }
        Ok(())
    }

    async fn check_revocation(&self, key: &str) -> anyhow::Result<()> {
        self.admin.delete(&format!("/api-keys/{key}")).await?;
        let revoked_at = Instant::now();
        loop {
            let status = self.get_with_key(key).await?.status();
            let after = revoked_at.elapsed();
            match status {
                StatusCode::UNAUTHORIZED => {
                    print(&format!(
                        "8. the key was revoked, and rejected {:.1} ms after the response",
                        after.as_secs_f64() * 1e3
                    ))?;
                    return Ok(());
                }
                StatusCode::OK if after < MAX_REVOCATION_DELAY => {}
                other => bail!("the revoked key returned {other} after {} ms", after.as_millis()),
            }
        }
    }

    async fn get_with_key(&self, key: &str) -> anyhow::Result<Response> {
        Ok(self.client.get(self.gateway_url()).bearer_auth(key).send().await?)
    }

    fn gateway_url(&self) -> String {
        format!("http://{}/hello", self.addresses.gateway)
    }
}

/// Verifies a webhook signature as a receiver does, from the text form of the secret.
fn verify(secret: &str, request: &Request<Bytes>) -> anyhow::Result<()> {
    let header = |name: &str| -> anyhow::Result<&str> {
        Ok(request.headers().get(name).with_context(|| format!("a webhook lacks the header {name}"))?.to_str()?)
    };
    let secret = STANDARD.decode(secret.trim_start_matches("whsec_"))?;
    let at = Timestamp::from_ms(header("webhook-timestamp")?.parse::<u64>()? * 1000);
    let expected = sign::signature(&secret, &EventId::parse(header("webhook-id")?)?, at, request.body());
    ensure!(header("webhook-signature")? == expected, "a webhook's signature is wrong");
    Ok(())
}

fn print(line: &str) -> anyhow::Result<()> {
    crate::output::print_line(line)
}
