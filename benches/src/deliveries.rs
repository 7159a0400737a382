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

use crate::gatepost::{Gatepost, Start};
use crate::machine::{self, Core};
use crate::report::{self, Table, Watch, tell};
use crate::scenarios::Findings;
use crate::site::Site;
use receiver::Receiver;

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
struct Extent {
    /// Deliveries of a throughput.
    deliveries: usize,
    /// How long events are made at a rate.
    span: Duration,
    /// Events that are told one by one.
    singles: usize,
    /// Deliveries that are due at once.
    due: usize,
}

const QUICK: Extent = Extent { deliveries: 10_000, span: Duration::from_secs(10), singles: 100, due: 100_000 };
const FULL: Extent = Extent { deliveries: 100_000, span: Duration::from_secs(40), singles: 500, due: 1_000_000 };

type Part = fn(Extent) -> futures::future::BoxFuture<'static, anyhow::Result<Findings>>;

const PARTS: &[(&str, Part)] = &[
    ("throughput", |extent| Box::pin(throughput::run(extent))),
    ("responsive", |extent| Box::pin(responsive::run(extent))),
    ("hanging", |extent| Box::pin(hanging::run(extent))),
    ("backlog", |extent| Box::pin(backlog::run(extent))),
];

/// Runs all parts, or the one that was named.
pub(crate) async fn run(options: &DeliveryOptions) -> anyhow::Result<()> {
    let chosen: Vec<_> =
        PARTS.iter().filter(|(name, _)| options.name.as_deref().is_none_or(|one| one == *name)).collect();
    anyhow::ensure!(!chosen.is_empty(), "there is no such part; there are throughput, responsive, hanging, backlog");
    for (name, part) in chosen {
        let watch = Watch::start();
        let findings = part(if options.quick { QUICK } else { FULL }).await?;
        for (title, table) in &findings.tables {
            tell(&format!("### {title}\n\n{}", table.markdown()));
        }
        let noise = watch.noise();
        tell(&noise.sentence());
        let json = json!({"noise": noise, "found": findings.json});
        let file = report::write_json(&format!("deliveries-{name}"), &json)?;
        tell(&format!("{}\n", file.display()));
    }
    Ok(())
}

/// A store, receivers, and later a deliverer.
struct Scene {
    directory: TempDir,
    site: Site,
    receiver: Receiver,
}

impl Scene {
    /// With so many webhooks that ask for created keys, at paths `/0`, `/1` and so on.
    async fn start(webhooks: usize) -> anyhow::Result<Self> {
        let scene =
            Self { directory: tempfile::tempdir()?, site: Site::start().await?, receiver: Receiver::start().await? };
        for number in 0..webhooks {
            scene.webhook(&number.to_string()).await?;
        }
        Ok(scene)
    }

    async fn webhook(&self, path: &str) -> anyhow::Result<()> {
        let url = format!("http://{}/{path}", self.receiver.address());
        self.site.webhook(url, vec![Topic::ApiKeyCreated]).await?;
        Ok(())
    }

    fn deliverer(&self) -> anyhow::Result<Gatepost> {
        Gatepost::start(Start {
            directory: self.directory.path(),
            name: "deliverer",
            arguments: vec!["deliverer".to_owned()],
            store: self.site.redis.url(),
            core: Core::Any,
            environment: Vec::new(),
        })
    }

    /// Processor time so far: of the deliverer, of Redis.
    fn cpu_times(&self, deliverer: &Gatepost) -> anyhow::Result<(Duration, Duration)> {
        Ok((deliverer.process.cpu_time(), machine::cpu_time(self.site.redis_pid()?)))
    }

    /// Makes events at a constant rate, each when it is due whatever the others do. Answers nothing: who wants to
    /// know asks the receiver.
    async fn events_at(&self, rate: f64, span: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        let count = (span.as_secs_f64() * rate) as u64;
        let events = (0..count).map(|number| async move {
            tokio::time::sleep_until(began + Duration::from_secs_f64(number as f64 / rate)).await;
            self.event().await
        });
        futures::future::try_join_all(events).await?;
        Ok(())
    }

    /// Makes one event, and tells the receiver of it.
    async fn event(&self) -> anyhow::Result<()> {
        let sent = Instant::now();
        let made = self.site.made_keys(1).await?;
        self.receiver.was_sent(made[0].event.as_str(), sent);
        Ok(())
    }
}

/// A table of latencies, in ms.
fn latency_table(first: &str) -> Table {
    Table::of(&[first, "deliveries", "p50", "p99", "greatest"])
}
