//! Changes that wait for a replica, next to changes that do not.

use std::sync::Arc;
use std::time::Duration;

use gatepost_store::{CellStore, Replicas};
use hdrhistogram::Histogram;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ScenarioParams;
use crate::findings::Findings;
use crate::report::{self, Table};
use crate::statistics::{MedianRange, Ratio};
use crate::store_fixture::StoreFixture;

/// Numbers of concurrent changes: a single caller, and more than there are connections for waiting.
const IN_FLIGHT: [usize; 2] = [1, 64];
const REPLICA_TIMEOUT: Duration = Duration::from_secs(5);

struct Case {
    name: String,
    store: Arc<CellStore>,
    in_flight: usize,
    /// Changes per second, one value per round.
    rates: Vec<f64>,
    /// Latencies of all rounds in µs.
    latency: Histogram<u64>,
}

pub(super) async fn run(params: ScenarioParams) -> anyhow::Result<Findings> {
    let store_fixture = Arc::new(StoreFixture::start().await?);
    let _replica = store_fixture.redis.start_replica();
    let mut cases = Vec::new();
    for in_flight in IN_FLIGHT {
        for count in [0, 1] {
            let store = Arc::new(store_fixture.open_store(Replicas { count, timeout: REPLICA_TIMEOUT }).await?);
            let name = format!("{in_flight} at a time, store.replicas = {count}");
            let latency = Histogram::new_with_bounds(1, 60_000_000, 3)?;
            cases.push(Case { name, store, in_flight, rates: Vec::new(), latency });
        }
    }
    let mut rng = StdRng::seed_from_u64(params.plan.seed);
    let bar = report::progress_bar(params.plan.rounds * cases.len());
    for _ in 0..params.plan.rounds {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        order.shuffle(&mut rng);
        for number in order {
            measure(&store_fixture, &mut cases[number], params.plan.duration).await?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(findings(&cases))
}

/// Creates keys for a duration, with the concurrency of the case.
async fn measure(store_fixture: &Arc<StoreFixture>, case: &mut Case, duration: Duration) -> anyhow::Result<()> {
    let started_at = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..case.in_flight {
        let (store_fixture, store) = (Arc::clone(store_fixture), Arc::clone(&case.store));
        workers.spawn(async move {
            let mut latencies = Vec::new();
            while started_at.elapsed() < duration {
                let sent_at = Instant::now();
                store_fixture.create_key_in(&store).await?;
                latencies.push(sent_at.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut count = 0;
    while let Some(latencies) = workers.join_next().await {
        for latency in latencies?? {
            case.latency.saturating_record(u64::try_from(latency.as_micros())?);
            count += 1;
        }
    }
    case.rates.push(f64::from(count) / started_at.elapsed().as_secs_f64());
    Ok(())
}

fn findings(cases: &[Case]) -> Findings {
    let mut table =
        Table::with_columns(&["keys made", "a second", "range", "in parts of replicas = 0 [95 %]", "p50", "p99"]);
    let mut figures = serde_json::Map::new();
    for pair in cases.chunks(2) {
        for case in pair {
            let (rate, ratio) = (MedianRange::from_values(&case.rates), Ratio::paired(&case.rates, &pair[0].rates));
            let quantiles = [0.5, 0.99].map(|quantile| case.latency.value_at_quantile(quantile) as f64 / 1000.0);
            let mut row = vec![case.name.clone(), format!("{:.0}", rate.median)];
            row.push(format!("{:.0} to {:.0}", rate.min, rate.max));
            row.push(format!("{:.2} [{:.2} to {:.2}]", ratio.median, ratio.low, ratio.high));
            row.extend(quantiles.map(|ms| format!("{ms:.2} ms")));
            table.add_row(row);
            figures.insert(case.name.clone(), json!({"rates": case.rates, "p50_p99_ms": quantiles}));
        }
    }
    Findings::of_table("Changes that wait for a replica", table, figures.into())
}
