//! Time and size of the dashboard's pages, in a project with many keys.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use gatepost_domain::change::Topic;
use hdrhistogram::Histogram;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::gatepost::{self, GatepostProcess, StartOptions};
use crate::machine::Core;
use crate::report::Table;
use crate::store_fixture::StoreFixture;

const KEYS: usize = 100_000;
/// Keys that are created after a webhook listens to them.
const DELIVERED_KEYS: usize = 60;
/// Nothing listens there, so deliveries fail and stay in lists.
const CLOSED: &str = "http://127.0.0.1:9/";
/// How long the control plane may take until all keys are fanned out.
const FAN_OUT_TIMEOUT: Duration = Duration::from_secs(600);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A signed-in browser without pages.
struct Visitor {
    connection: http1::SendRequest<Full<Bytes>>,
    origin: String,
    cookie: String,
}

pub(super) async fn run(params: ScenarioParams) -> anyhow::Result<Findings> {
    let (fixture, directory) = (StoreFixture::start().await?, tempfile::tempdir()?);
    let key = fixture.create_keys_with_records(KEYS).await?.swap_remove(KEYS / 2);
    let webhook = fixture.create_webhook(CLOSED.to_owned(), vec![Topic::ApiKeyCreated]).await?;
    fixture.create_keys(DELIVERED_KEYS).await?;
    let access_key = gatepost::create_access_key(&fixture.redis.url())?;
    let control_plane = start_control_plane(&fixture, &directory)?;
    await_fan_out(&fixture).await?;
    let mut visitor = Visitor::sign_in(&control_plane, &access_key).await?;

    let (project, mut table) = (&fixture.project.id, Table::with_columns(&["page", "p50", "p99", "max", "bytes"]));
    let mut json = serde_json::Map::new();
    for (name, path) in paths(&mut visitor, project.as_str(), key.record.id.as_str(), webhook.as_str()).await? {
        let mut times = Histogram::<u64>::new(3)?;
        let mut bytes = 0;
        for _ in 0..params.repetitions {
            let started_at = Instant::now();
            bytes = visitor.get(&path).await?.len();
            times.record(u64::try_from(started_at.elapsed().as_micros())?)?;
        }
        let ms = |us: u64| us as f64 / 1000.0;
        let figures = [ms(times.value_at_quantile(0.5)), ms(times.value_at_quantile(0.99)), ms(times.max())];
        table.add_row(
            [vec![name.to_owned()], figures.map(|ms| format!("{ms:.1} ms")).to_vec(), vec![bytes.to_string()]].concat(),
        );
        json.insert(name.to_owned(), json!({"p50_p99_max_ms": figures, "bytes": bytes}));
    }
    let title = format!("Pages of the dashboard, with {KEYS} keys in a project");
    Ok(Findings::of_table(&title, table, json.into()))
}

/// Returns the pages with their paths.
async fn paths(
    visitor: &mut Visitor,
    project: &str,
    key: &str,
    webhook: &str,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let (project, key, webhook) =
        (format!("/projects/{project}"), format!("/keys/{key}"), format!("/webhooks/{webhook}"));
    let second = visitor.link_on(&format!("{project}/keys"), "after=").await?;
    let change = visitor.link_on("/changes", "/changes/").await?;
    let delivery = visitor.link_on(&format!("{webhook}/deliveries"), "/deliveries/evt_").await?;
    Ok(vec![
        ("projects", "/projects".to_owned()),
        ("a project", project.clone()),
        ("its usage in 90 days", format!("{project}?usage=90d")),
        ("its keys", format!("{project}/keys")),
        ("their second page", second),
        ("its revoked keys, of which there is none", format!("{project}/keys?status=revoked")),
        ("keys that a name finds", format!("{project}/keys?q=k")),
        ("keys that no name finds", format!("{project}/keys?q=nothing-like-this")),
        ("the form of a new key", format!("{project}/keys/new")),
        ("a key", key.clone()),
        ("the form of a key", format!("{key}/edit")),
        ("the form that revokes it", format!("{key}/revoke")),
        ("webhooks", format!("{project}/webhooks")),
        ("the form of a webhook", format!("{project}/webhooks/new")),
        ("a webhook", webhook.clone()),
        ("its deliveries", format!("{webhook}/deliveries")),
        ("a delivery", delivery),
        ("dead letters", format!("{webhook}/dead-letters")),
        ("changes of a project", format!("{project}/changes")),
        ("changes of the account", "/changes".to_owned()),
        ("changes of a key", format!("/changes?subject={}", key.trim_start_matches("/keys/"))),
        ("changes of a kind of which there is none", "/changes?type=webhook.deleted".to_owned()),
        ("a change", change),
        ("search that finds nothing", "/search?q=nothing-like-this".to_owned()),
        ("access keys", "/access-keys".to_owned()),
        ("gateways", "/gateways".to_owned()),
        ("account", "/account".to_owned()),
        ("system", "/system".to_owned()),
    ])
}

fn start_control_plane(fixture: &StoreFixture, directory: &TempDir) -> anyhow::Result<GatepostProcess> {
    GatepostProcess::start(StartOptions {
        program: None,
        directory: directory.path(),
        name: "control-plane",
        arguments: vec!["control-plane".to_owned()],
        store: fixture.redis.url(),
        core: Core::Any,
        environment: Vec::new(),
    })
}

/// Waits until every event has its deliveries, which would disturb the measurement.
async fn await_fan_out(fixture: &StoreFixture) -> anyhow::Result<()> {
    let started_at = Instant::now();
    while fixture.store.queue_stats().await?.fan_out_backlog > 0 {
        ensure!(started_at.elapsed() < FAN_OUT_TIMEOUT, "the keys are not fanned out");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

impl Visitor {
    async fn sign_in(control_plane: &GatepostProcess, access_key: &str) -> anyhow::Result<Self> {
        let address = control_plane.admin.context("the control plane logs no address")?;
        let (connection, task) = http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
        tokio::spawn(task);
        let mut visitor = Self { connection, origin: format!("http://{address}"), cookie: String::new() };
        let request = Request::post("/dashboard/sign-in").header("host", address.to_string());
        let request =
            request.header("origin", &visitor.origin).header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(Full::from(format!("key={access_key}")))?;
        let response = visitor.connection.send_request(request).await?;
        ensure!(response.status() == StatusCode::SEE_OTHER, "the sign-in is refused: {}", response.status());
        let cookie = response.headers().get("set-cookie").context("there is no cookie")?.to_str()?;
        visitor.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        response.into_body().collect().await?;
        Ok(visitor)
    }

    /// Returns a page below the dashboard.
    async fn get(&mut self, path: &str) -> anyhow::Result<String> {
        let host = self.origin.trim_start_matches("http://");
        let request = Request::get(format!("/dashboard{path}")).header("host", host).header("cookie", &self.cookie);
        self.connection.ready().await?;
        let response = self.connection.send_request(request.body(Full::default())?).await?;
        let status = response.status();
        let body = String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?;
        ensure!(status == StatusCode::OK, "{path}: {status}: {body}");
        Ok(body)
    }

    /// Returns the path below the dashboard of the first link with a text in it.
    async fn link_on(&mut self, path: &str, part: &str) -> anyhow::Result<String> {
        let started_at = Instant::now();
        loop {
            let page = self.get(path).await?;
            let mut links = page.split("href=\"/dashboard").skip(1).filter_map(|rest| rest.split('"').next());
            if let Some(link) = links.find(|link| link.contains(part)) {
                return Ok(link.replace("&amp;", "&"));
            }
            ensure!(started_at.elapsed() < FAN_OUT_TIMEOUT, "{path} has no link with {part}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}
