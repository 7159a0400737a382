//! `deliveries`: benchmarks of the deliverer, with receivers in this process.

mod against;
mod backlog;
mod hanging;
mod page;
mod receiver;
mod responsive;
mod throughput;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use gatepost_domain::change::Topic;
use gatepost_domain::id::WebhookId;
use gatepost_store::Format;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::findings::Findings;
use crate::gatepost::{GatepostProcess, StartOptions};
use crate::machine::{self, Core};
use crate::report::{NoiseMonitor, Table};
use crate::store_fixture::StoreFixture;
use receiver::WebhookReceiver;

#[derive(Debug, Args)]
pub(crate) struct DeliveryOptions {
    /// Benchmark to run [default: all]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Fewer deliveries
    #[arg(long)]
    quick: bool,
    /// Compare throughput and backlog with a program that `cargo xtask earlier-release NAME` has built
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
struct DeliveryParams {
    /// Number of deliveries to measure throughput.
    deliveries: usize,
    /// Duration of a constant event rate.
    duration: Duration,
    /// Number of events that are created one at a time.
    single_events: usize,
    /// Number of deliveries that are due at once.
    due_deliveries: usize,
    /// Rounds next to an earlier release. Every second one begins with the earlier one. Short rounds vary more.
    paired_rounds: usize,
}

const QUICK: DeliveryParams = DeliveryParams {
    deliveries: 10_000,
    duration: Duration::from_secs(10),
    single_events: 100,
    due_deliveries: 100_000,
    paired_rounds: 60,
};
const FULL: DeliveryParams = DeliveryParams {
    deliveries: 100_000,
    duration: Duration::from_secs(40),
    single_events: 500,
    due_deliveries: 1_000_000,
    paired_rounds: 9,
};

/// Interval between two looks at the queues.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

type DeliveryScenario = fn(DeliveryParams) -> futures::future::BoxFuture<'static, anyhow::Result<Findings>>;

const SCENARIOS: &[(&str, DeliveryScenario)] = &[
    ("throughput", |params| Box::pin(throughput::run(params))),
    ("responsive", |params| Box::pin(responsive::run(params))),
    ("hanging", |params| Box::pin(hanging::run(params))),
    ("backlog", |params| Box::pin(backlog::run(params))),
    ("page", |params| Box::pin(page::run(params))),
];

/// Runs all benchmarks, or the named one.
pub(crate) async fn run(options: &DeliveryOptions) -> anyhow::Result<()> {
    let params = if options.quick { QUICK } else { FULL };
    if let Some(earlier) = &options.against {
        return report_findings("against", against::run(params, earlier, options.name.as_deref())).await;
    }
    let selected: Vec<_> =
        SCENARIOS.iter().filter(|(name, _)| options.name.as_deref().is_none_or(|one| one == *name)).collect();
    anyhow::ensure!(
        !selected.is_empty(),
        "unknown benchmark; choose one of throughput, responsive, hanging, backlog, page"
    );
    for (name, scenario) in selected {
        report_findings(name, scenario(params)).await?;
    }
    Ok(())
}

/// Runs a benchmark, prints its tables, and writes its figures to a file.
async fn report_findings(name: &str, measuring: impl Future<Output = anyhow::Result<Findings>>) -> anyhow::Result<()> {
    let monitor = NoiseMonitor::start();
    let findings = measuring.await?;
    findings.report(&format!("deliveries-{name}"), None, &monitor)
}

/// Store and receiver of webhooks, on which a deliverer can be started.
struct DelivererFixture {
    directory: TempDir,
    store_fixture: StoreFixture,
    receiver: WebhookReceiver,
}

impl DelivererFixture {
    /// Starts a fixture with webhooks for created keys, whose paths are `/0`, `/1` and so on.
    async fn start(webhooks: usize) -> anyhow::Result<Self> {
        Self::start_in(webhooks, Format::LATEST).await
    }

    /// Starts a fixture on a store that the first release can read.
    async fn start_in_first_format(webhooks: usize) -> anyhow::Result<Self> {
        Self::start_in(webhooks, Format::FIRST).await
    }

    async fn start_in(webhooks: usize, format: Format) -> anyhow::Result<Self> {
        let fixture = Self {
            directory: tempfile::tempdir()?,
            store_fixture: StoreFixture::start_in(format).await?,
            receiver: WebhookReceiver::start().await?,
        };
        for number in 0..webhooks {
            fixture.create_webhook(&number.to_string()).await?;
        }
        Ok(fixture)
    }

    async fn create_webhook(&self, path: &str) -> anyhow::Result<WebhookId> {
        let url = format!("http://{}/{path}", self.receiver.address());
        self.store_fixture.create_webhook(url, vec![Topic::ApiKeyCreated]).await
    }

    fn start_deliverer(&self) -> anyhow::Result<GatepostProcess> {
        self.start_program(None)
    }

    /// Starts the deliverer of a program, by default of the one that was built together with this one.
    fn start_program(&self, program: Option<&Path>) -> anyhow::Result<GatepostProcess> {
        self.start_process("deliverer", program)
    }

    fn start_control_plane(&self) -> anyhow::Result<GatepostProcess> {
        self.start_process("control-plane", None)
    }

    fn start_process(&self, command: &'static str, program: Option<&Path>) -> anyhow::Result<GatepostProcess> {
        GatepostProcess::start(StartOptions {
            program,
            directory: self.directory.path(),
            name: command,
            arguments: vec![command.to_owned()],
            store: self.store_fixture.redis.url(),
            core: Core::Any,
            environment: Vec::new(),
        })
    }

    /// Waits until every event has its deliveries. Returns the number of those that wait or are sent.
    async fn wait_for_fan_out(&self, timeout: Duration) -> anyhow::Result<u64> {
        let started_at = Instant::now();
        loop {
            let numbers = self.store_fixture.store.queue_stats().await?;
            if numbers.fan_out_backlog == 0 {
                return Ok(numbers.pending + numbers.leased);
            }
            anyhow::ensure!(started_at.elapsed() < timeout, "{} entries are not fanned out", numbers.fan_out_backlog);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns the CPU time so far of the deliverer and of Redis.
    fn cpu_times(&self, deliverer: &GatepostProcess) -> anyhow::Result<(Duration, Duration)> {
        Ok((deliverer.process.cpu_time(), machine::process_cpu_time(self.store_fixture.redis_pid()?)))
    }

    /// Creates events at a constant rate, each at its time, independent of the duration of the others.
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

    /// Creates an event, and records its time at the receiver.
    async fn create_event(&self) -> anyhow::Result<()> {
        let sent_at = Instant::now();
        let created = self.store_fixture.create_keys_with_records(1).await?;
        self.receiver.record_sent(created[0].event.as_str(), sent_at);
        Ok(())
    }
}

/// Returns an empty table of latencies in ms.
fn latency_table(first_column: &str) -> Table {
    Table::with_columns(&[first_column, "deliveries", "p50", "p99", "greatest"])
}
