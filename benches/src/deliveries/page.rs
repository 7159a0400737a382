//! Time of a page of deliveries of a webhook with many that wait, through the admin API.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{DelivererFixture, DeliveryParams, receiver};
use crate::findings::Findings;
use crate::gatepost;
use crate::report::Table;

/// Deliveries that wait: as many as the queue of a webhook may have.
const WAITING: usize = 200_000;
/// Pages that are read, one after the other.
const PAGES: usize = 200;
/// Timeout of the fan-out.
const FAN_OUT_TIMEOUT: Duration = Duration::from_secs(600);

type Connection = http1::SendRequest<Empty<Bytes>>;

pub(super) async fn run(_params: DeliveryParams) -> anyhow::Result<Findings> {
    let fixture = DelivererFixture::start(0).await?;
    let webhook = fixture.create_webhook(receiver::HANGING_PATH).await?;
    fixture.store_fixture.create_keys(WAITING).await?;
    let deliverer = fixture.start_deliverer()?;
    fixture.wait_for_fan_out(FAN_OUT_TIMEOUT).await?;
    drop(deliverer);
    let access_key = gatepost::create_access_key(&fixture.store_fixture.redis.url())?;
    let control_plane = fixture.start_control_plane()?;
    let address = control_plane.admin.context("the control plane logs no address")?;
    let (mut connection, task) = http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    tokio::spawn(task);

    let mut table = Table::with_columns(&["page", "p50", "p99", "max"]);
    let mut json = serde_json::Map::new();
    for (name, query) in [("the newest 100", "?limit=100"), ("100 of a state", "?limit=100&status=pending")] {
        let mut times = Histogram::<u64>::new(3)?;
        for _ in 0..PAGES {
            let started_at = Instant::now();
            let page = get(&mut connection, &format!("/webhooks/{webhook}/deliveries{query}"), &access_key).await?;
            times.record(u64::try_from(started_at.elapsed().as_micros())?)?;
            ensure!(page["deliveries"].as_array().is_some_and(|page| page.len() == 100), "a page is short: {page}");
        }
        let ms = |us: u64| us as f64 / 1000.0;
        let figures = [ms(times.value_at_quantile(0.5)), ms(times.value_at_quantile(0.99)), ms(times.max())];
        table.add_row([vec![name.to_owned()], figures.map(|ms| format!("{ms:.1} ms")).to_vec()].concat());
        json.insert(name.to_owned(), json!(figures));
    }
    Ok(Findings::of_table(&format!("A page of {WAITING} deliveries that wait"), table, json.into()))
}

async fn get(connection: &mut Connection, path: &str, access_key: &str) -> anyhow::Result<Value> {
    let request = Request::get(path).header("host", "localhost").header("x-api-key", access_key).body(Empty::new())?;
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
    Ok(serde_json::from_slice(&body)?)
}
