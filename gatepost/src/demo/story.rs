//! The demo's story: a key's life, told as it happens. Every line was checked before it is printed.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gatepost_control_plane::Created;
use gatepost_deliverer::sign;
use gatepost_domain::id::EventId;
use gatepost_domain::time::Timestamp;
use http::Request;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::receiver::Receiver;

/// How long a request of the demo may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a revoked key may still pass before the demo calls it a failure.
const MAX_REVOKING: Duration = Duration::from_secs(5);

/// Where everything listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) upstream: SocketAddr,
    pub(crate) receiver: SocketAddr,
}

/// The story and who is in it.
pub(crate) struct Story {
    places: Places,
    access_key: Created,
    receiver: Receiver,
    client: Client,
}

impl Story {
    pub(crate) fn new(places: Places, access_key: Created, receiver: Receiver) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().timeout(DEADLINE).build()?;
        Ok(Self { places, access_key, receiver, client })
    }

    /// Tells it. The first thing that is not as it should be ends it.
    pub(crate) async fn tell(&self) -> anyhow::Result<()> {
        say("Gatepost demo: gateway, control plane and deliverer in this process, on a temporary store.\n")?;
        let project = self.post("/projects", &json!({"name": "demo", "env": "live"})).await?;
        say(&format!("1. project {} was made", text(&project, "id")?))?;
        let webhook = self.make_webhook().await?;
        let input = json!({
            "name": "Jane's key", "projectId": text(&project, "id")?, "customAccountId": "customer-42",
        });
        let key = self.post("/api-keys", &input).await?;
        let value = text(&key, "key")?;
        say(&format!("3. API key {} was made: {value}", text(&key, "id")?))?;
        self.requests(value).await?;
        self.webhooks(text(&webhook, "secret")?, text(&key, "id")?).await?;
        self.revocation(value).await
    }

    /// Tells how to go on.
    pub(crate) fn invite(&self) -> anyhow::Result<()> {
        let Places { gateway, admin, ops, upstream, receiver } = self.places;
        say(&format!(
            "\nStill running, until Ctrl-C:\n  gateway    http://{gateway}\n  admin API  http://{admin}  (x-api-key: {})\n  \
             metrics    http://{ops}/metrics\n  sample API http://{upstream}\n  receiver   http://{receiver}\n\nMake a key, \
             then use it:\n  curl -s http://{admin}/api-keys -H 'x-api-key: {}' -d '{{\"name\": \"mine\", \"projectId\": \
             \"…\"}}'\n  curl -s http://{gateway}/anything -H 'Authorization: Bearer …'",
            self.access_key.secret.expose(),
            self.access_key.secret.expose(),
        ))
    }

    async fn make_webhook(&self) -> anyhow::Result<Value> {
        let input = json!({
            "name": "demo", "url": format!("http://{}/hook", self.places.receiver), "httpMethod": "POST",
            "topics": ["api-key.created", "api-key.firstUsed", "api-key.deleted"],
        });
        let webhook = self.post("/webhooks", &input).await?;
        say(&format!("2. webhook {} was made for {}", text(&webhook, "id")?, text(&webhook, "url")?))?;
        Ok(webhook)
    }

    async fn requests(&self, key: &str) -> anyhow::Result<()> {
        let refused = self.client.get(self.at_gateway()).send().await?;
        ensure!(refused.status() == StatusCode::UNAUTHORIZED, "without a key the answer was {}", refused.status());
        say(&format!("4. a request without a key: {}", refused.status()))?;
        let passed = self.with_key(key).await?;
        ensure!(passed.status() == StatusCode::OK, "with the key the answer was {}", passed.status());
        let seen: Value = serde_json::from_slice(&passed.bytes().await?)?;
        say("5. with the key: 200 OK; the sample API saw:")?;
        for name in ["x-gatepost-key-id", "x-gatepost-project-id", "x-gatepost-env", "x-gatepost-custom-account-id"] {
            say(&format!("     {name}: {}", text(&seen["headers"], name)?))?;
        }
        ensure!(seen["headers"].get("authorization").is_none(), "the sample API saw the key");
        say("     and no credential")?;
        for _ in 0..10 {
            ensure!(self.with_key(key).await?.status() == StatusCode::OK, "a later request was refused");
        }
        let ops = format!("http://{}/metrics", self.places.ops);
        let metrics = self.client.get(ops).send().await?.text().await?;
        ensure!(metrics.contains("gatepost_first_use_total 1\n"), "the first use was not detected once");
        say("6. ten more requests with the key: 200 OK; its first use was detected once")?;
        Ok(())
    }

    /// Waits for both events, in whichever order they come.
    async fn webhooks(&self, secret: &str, key_id: &str) -> anyhow::Result<()> {
        let mut awaited = vec!["api-key.created", "api-key.firstUsed"];
        while !awaited.is_empty() {
            let request = self.receiver.next().await?;
            verify(secret, &request)?;
            let body: Value = serde_json::from_slice(request.body())?;
            let kind = text(&body, "type")?;
            ensure!(text(&body["data"], "id")? == key_id, "a webhook speaks of another key");
            let Some(place) = awaited.iter().position(|topic| *topic == kind) else { bail!("{kind} came twice") };
            awaited.remove(place);
            say(&format!("7. webhook received and its signature verified: {kind} ({})", text(&body, "id")?))?;
        }
        Ok(())
    }

    async fn revocation(&self, key: &str) -> anyhow::Result<()> {
        let path = format!("http://{}/api-keys/{key}", self.places.admin);
        let deleted = self.client.delete(path).header("x-api-key", self.access_key.secret.expose()).send().await?;
        ensure!(deleted.status() == StatusCode::OK, "revoking was answered {}", deleted.status());
        let answered = Instant::now();
        loop {
            let status = self.with_key(key).await?.status();
            let after = answered.elapsed();
            match status {
                StatusCode::UNAUTHORIZED => {
                    say(&format!(
                        "8. the key was revoked; refused {:.1} ms after that was answered",
                        after.as_secs_f64() * 1e3
                    ))?;
                    return Ok(());
                }
                StatusCode::OK if after < MAX_REVOKING => {}
                other => bail!("the revoked key was answered {other} after {} ms", after.as_millis()),
            }
        }
    }

    async fn with_key(&self, key: &str) -> anyhow::Result<Response> {
        Ok(self.client.get(self.at_gateway()).bearer_auth(key).send().await?)
    }

    fn at_gateway(&self) -> String {
        format!("http://{}/hello", self.places.gateway)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(format!("http://{}{path}", self.places.admin));
        let request = request.header("x-api-key", self.access_key.secret.expose()).body(body.to_string());
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status == StatusCode::CREATED, "{path} was answered {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

/// Verifies a signature as a receiver does, from the secret in its text form.
fn verify(secret: &str, request: &Request<Bytes>) -> anyhow::Result<()> {
    let header = |name: &str| -> anyhow::Result<&str> {
        Ok(request.headers().get(name).with_context(|| format!("a webhook without {name}"))?.to_str()?)
    };
    let secret = STANDARD.decode(secret.trim_start_matches("whsec_"))?;
    let at = Timestamp::from_ms(header("webhook-timestamp")?.parse::<u64>()? * 1000);
    let expected = sign::signature(&secret, &EventId::parse(header("webhook-id")?)?, at, request.body());
    ensure!(header("webhook-signature")? == expected, "a webhook's signature is wrong");
    Ok(())
}

fn text<'a>(value: &'a Value, member: &str) -> anyhow::Result<&'a str> {
    value[member].as_str().with_context(|| format!("an answer lacks {member}"))
}

fn say(line: &str) -> anyhow::Result<()> {
    crate::output::line(line)
}
