//! `deliveries`: the deliverer in every situation that matters, with receivers in this process.

mod backlog;
mod hanging;
mod receiver;
mod responsive;
mod throughput;

use std::time::Duration;

use clap::Args;
use gatepost_domain::change::Topic;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::gatepost::{GatepostProcess, StartOptions};
use crate::machine::{self, Core};
use crate::report::{self, NoiseMonitor, Table, print_line};
use crate::scenarios::Findings;
use crate::store_fixture::StoreFixture;
use receiver::WebhookReceiver;

/// Options of `deliveries`.
#[derive(Debug, Args)]
pub(crate) struct DeliveryOptions {
    /// Only this one
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Fewer deliveries
    #[arg(long)]
    quick: bool,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct DeliveryParams {
    /// Deliveries of a throughput.
    deliveries: usize,
    /// How long events are made at a rate.
    duration: Duration,
    /// Events that are told one by one.
    single_events: usize,
    /// Deliveries that are due at once.
    due_deliveries: usize,
}

const QUICK: DeliveryParams = DeliveryParams {
    deliveries: 10_000,
    duration: Duration::from_secs(10),
    single_events: 100,
    due_deliveries: 100_000,
};
const FULL: DeliveryParams = DeliveryParams {
    deliveries: 100_000,
    duration: Duration::from_secs(40),
    single_events: 500,
    due_deliveries: 1_000_000,
};

type DeliveryScenario = fn(DeliveryParams) -> futures::future::BoxFuture<'static, anyhow::Result<Findings>>;

const SCENARIOS: &[(&str, DeliveryScenario)] = &[
    ("throughput", |extent| Box::pin(throughput::run(extent))),
    ("responsive", |extent| Box::pin(responsive::run(extent))),
    ("hanging", |extent| Box::pin(hanging::run(extent))),
    ("backlog", |extent| Box::pin(backlog::run(extent))),
];

/// Runs all parts, or the one that was named.
pub(crate) async fn run(options: &DeliveryOptions) -> anyhow::Result<()> {
    let selected: Vec<_> =
        SCENARIOS.iter().filter(|(name, _)| options.name.as_deref().is_none_or(|one| one == *name)).collect();
    anyhow::ensure!(!selected.is_empty(), "there is no such part; there are throughput, responsive, hanging, backlog");
    for (name, scenario) in selected {
        let monitor = NoiseMonitor::start();
        let findings = scenario(if options.quick { QUICK } else { FULL }).await?;
        for (title, table) in &findings.tables {
            print_line(&format!("### {title}\n\n{}", table.to_markdown()));
        }
        let noise = monitor.noise();
        print_line(&noise.summary());
        let json = json!({"noise": noise, "found": findings.json});
        let file = report::write_json(&format!("deliveries-{name}"), &json)?;
        print_line(&format!("{}\n", file.display()));
    }
    Ok(())
}

/// A store, receivers, and later a deliverer.
struct DelivererFixture {
    directory: TempDir,
    store_fixture: StoreFixture,
    receiver: WebhookReceiver,
}

impl DelivererFixture {
    /// With so many webhooks that ask for created keys, at paths `/0`, `/1` and so on.
    async fn start(webhooks: usize) -> anyhow::Result<Self> {
        let fixture = Self {
            directory: tempfile::tempdir()?,
            store_fixture: StoreFixture::start().await?,
            receiver: WebhookReceiver::start().await?,
        };
        for number in 0..webhooks {
            fixture.create_webhook(&number.to_string()).await?;
        }
        Ok(fixture)
    }

    async fn create_webhook(&self, path: &str) -> anyhow::Result<()> {
        let url = format!("http://{}/{path}", self.receiver.address());
        self.store_fixture.create_webhook(url, vec![Topic::ApiKeyCreated]).await?;
        Ok(())
    }

    fn start_deliverer(&self) -> anyhow::Result<GatepostProcess> {
        GatepostProcess::start(StartOptions {
            directory: self.directory.path(),
            name: "deliverer",
            arguments: vec!["deliverer".to_owned()],
            store: self.store_fixture.redis.url(),
            core: Core::Any,
            environment: Vec::new(),
        })
    }

    /// Processor time so far: of the deliverer, of Redis.
    fn cpu_times(&self, deliverer: &GatepostProcess) -> anyhow::Result<(Duration, Duration)> {
        Ok((deliverer.process.cpu_time(), machine::process_cpu_time(self.store_fixture.redis_pid()?)))
    }

    /// Makes events at a constant rate, each when it is due whatever the others do. Answers nothing: who wants to
    /// know asks the receiver.
    async fn create_events_at_rate(&self, rate: f64, duration: Duration) -> anyhow::Result<()> {
        let started_at = Instant::now();
        let count = (duration.as_secs_f64() * rate) as u64;
        let events = (0..count).map(|number| async move {
            tokio::time::sleep_until(started_at + Duration::from_secs_f64(number as f64 / rate)).await;
            self.create_event().await
        });
        futures::future::try_join_all(events).await?;
        Ok(())
    }

    /// Makes one event, and tells the receiver of it.
    async fn create_event(&self) -> anyhow::Result<()> {
        let sent_at = Instant::now();
        let created = self.store_fixture.create_keys_with_records(1).await?;
        self.receiver.record_sent(created[0].event.as_str(), sent_at);
        Ok(())
    }
}

/// A table of latencies, in ms.
fn latency_table(first_column: &str) -> Table {
    Table::with_columns(&[first_column, "deliveries", "p50", "p99", "greatest"])
}
