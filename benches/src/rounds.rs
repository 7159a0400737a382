//! Cases that are measured in rounds, each round in random order, so that noise affects all of them alike, and each
//! case is compared with the others of the same round.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Serialize;

use crate::generator::{self, LoadConfig, LoadModel, LoadResult, Requests, StopAfter};
use crate::machine::Core;
use crate::peers::Peer;
use crate::report::{self, Table};
use crate::statistics::{MedianRange, Ratio};

/// What is measured in rounds.
pub(crate) trait Measurable {
    fn name(&self) -> &str;

    /// Adds a measurement of some duration.
    fn measure(&mut self, duration: Duration) -> anyhow::Result<()>;
}

/// Number of keep-alive connections.
const CONNECTIONS: usize = 64;
/// Time before a measurement in which caches get warm.
pub(crate) const WARM_UP: Duration = Duration::from_millis(200);

/// Number and duration of rounds, and seed of their order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
}

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) peer: Arc<Peer>,
    pub(crate) requests: Requests,
    pub(crate) expected_statuses: &'static [u16],
    pub(crate) load_model: LoadModel,
    /// Core of the load generator.
    pub(crate) core: Core,
    pub(crate) connections: usize,
    /// Switch of background changes, which is on during the measurement.
    pub(crate) background_changes: Option<Arc<AtomicBool>>,
    pub(crate) figures: Figures,
}

/// Measurements of a case, one per round.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) cpu_us: Vec<f64>,
    pub(crate) rate: Vec<f64>,
    /// Latencies of all rounds in µs.
    #[serde(skip)]
    pub(crate) latency: Option<Histogram<u64>>,
}

impl Figures {
    /// Adds a measurement: the CPU time of a number of operations, and how many were done in a second.
    pub(crate) fn record(&mut self, cpu_time: Duration, count: u64, rate: f64) {
        self.cpu_us.push(cpu_time.as_secs_f64() * 1e6 / count as f64);
        self.rate.push(rate);
    }

    /// Returns the median and range of the CPU times.
    pub(crate) fn cpu(&self) -> MedianRange {
        MedianRange::from_values(&self.cpu_us)
    }

    /// Returns a quantile of all latencies in ms.
    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency.as_ref().map_or(0.0, |latency| latency.value_at_quantile(quantile) as f64 / 1000.0)
    }
}

impl Case {
    /// Returns a case with a closed loop of requests, which expects 200.
    pub(crate) fn new(name: impl Into<String>, peer: &Arc<Peer>, requests: Requests) -> Self {
        Self {
            name: name.into(),
            peer: Arc::clone(peer),
            requests,
            expected_statuses: &[200],
            load_model: LoadModel::ClosedLoop,
            core: Core::Load,
            connections: CONNECTIONS,
            background_changes: None,
            figures: Figures::default(),
        }
    }

    /// Sends requests until a duration or number of responses is reached.
    pub(crate) fn send_requests(&mut self, stop_after: StopAfter) -> anyhow::Result<LoadResult> {
        self.send_requests_from_start(stop_after, || {})
    }

    fn send_requests_from_start(
        &mut self,
        stop_after: StopAfter,
        at_start: impl FnOnce() + Send,
    ) -> anyhow::Result<LoadResult> {
        let (connections, load_model, core) = (self.connections, self.load_model, self.core);
        let load = LoadConfig { target: self.peer.target(), connections, load_model, stop_after, core };
        let result = generator::run_from_start(&load, &mut self.requests, at_start);
        let result = result.with_context(|| self.name.clone())?;
        self.peer.truncate_log()?;
        result.expect_only(self.expected_statuses).with_context(|| self.name.clone())?;
        Ok(result)
    }

    /// Returns the median and range of the CPU times.
    pub(crate) fn cpu(&self) -> MedianRange {
        self.figures.cpu()
    }
}

impl Measurable for Case {
    fn name(&self) -> &str {
        &self.name
    }

    fn measure(&mut self, duration: Duration) -> anyhow::Result<()> {
        if let Some(background_changes) = &self.background_changes {
            background_changes.store(true, Ordering::SeqCst);
        }
        // Large bodies may take longer than the warm-up, so that it may get no response.
        let _ = self.send_requests(StopAfter::Elapsed(WARM_UP));
        let (peer, mut before) = (Arc::clone(&self.peer), Duration::ZERO);
        let result = self.send_requests_from_start(StopAfter::Elapsed(duration), || before = peer.cpu_time())?;
        let cpu_time = self.peer.cpu_time().saturating_sub(before);
        if let Some(background_changes) = &self.background_changes {
            background_changes.store(false, Ordering::SeqCst);
        }
        self.figures.record(cpu_time, result.responses(), result.rate());
        match &mut self.figures.latency {
            Some(latency) => latency.add(&result.latency)?,
            none => *none = Some(result.latency),
        }
        Ok(())
    }
}

pub(crate) fn measure<C: Measurable>(cases: &mut [C], plan: Plan) -> anyhow::Result<()> {
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let bar = report::progress_bar(plan.rounds * cases.len());
    for _ in 0..plan.rounds {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        order.shuffle(&mut rng);
        for index in order {
            bar.set_message(cases[index].name().to_owned());
            cases[index].measure(plan.duration)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Returns a table of the CPU time of all cases, relative to the first.
pub(crate) fn table(cases: &[Case]) -> Table {
    let Some(base) = cases.first() else { return Table::default() };
    let of_base = format!("in parts of \"{}\" [95 %]", base.name);
    let mut table = Table::with_columns(&["case", "CPU µs a request", "range", "requests/s", &of_base]);
    for case in cases {
        let (cpu, rate) = (case.cpu(), MedianRange::from_values(&case.figures.rate));
        table.add_row(vec![
            case.name.clone(),
            format!("{:.1}", cpu.median),
            format!("{:.1} to {:.1}", cpu.min, cpu.max),
            format!("{:.0}", rate.median),
            Ratio::paired(&case.figures.cpu_us, &base.figures.cpu_us).to_string(),
        ]);
    }
    table
}
