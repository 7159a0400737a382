//! Latency of requests at a constant rate while the gateway reloads a configuration with many routes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::TlsBench;
use super::routes::{MANY_ROUTES, start_case, write_configuration};
use crate::findings::Findings;
use crate::generator::LoadModel;
use crate::machine::Core;
use crate::peers::Peer;
use crate::report::Table;
use crate::rounds::{self, Case};

/// Requests per second.
const RATE: f64 = 1000.0;
/// Time between two reloads.
const RELOAD_INTERVAL: Duration = Duration::from_millis(250);
/// Timeouts of all routes, in milliseconds, of which each reload takes the next one.
const UPSTREAM_TIMEOUTS_MS: [u64; 2] = [60_000, 61_000];

pub(super) fn run(bench: &TlsBench) -> anyhow::Result<Findings> {
    let file = bench.fixture.directory().join("reloads.toml");
    write_configuration(&file, 0..MANY_ROUTES, UPSTREAM_TIMEOUTS_MS[0])?;
    let mut calm = start_case(bench, "no reloads", &file)?;
    calm.load_model = LoadModel::ConstantRate(RATE);
    let gateway = Arc::clone(&calm.peer);
    let mut reloading = bench.case("4 reloads a second", &gateway, "/services/0/resource")?;
    reloading.load_model = LoadModel::ConstantRate(RATE);
    let is_enabled = Arc::new(AtomicBool::new(false));
    reloading.background_changes = Some(Arc::clone(&is_enabled));
    let mut cases = [calm, reloading];

    let ops = gateway.ops.context("the gateway has no metrics")?;
    let before = applied_reloads(ops)?;
    measure_with_reloads(&mut cases, bench, &Reloads { gateway: &gateway, file: &file, is_enabled: &is_enabled })?;
    let reloads = applied_reloads(ops)? - before;
    ensure!(reloads > 0, "the gateway did not reload its configuration");

    let mut findings = Findings::of_cases("Reloads of 500 routes", Table::default(), &cases);
    findings.tables = vec![("Reloads of 500 routes".to_owned(), latencies(&cases))];
    findings.notes = vec![format!("The gateway applied {reloads} reloads. Every request got the status 200.")];
    findings.json["reloads"] = json!(reloads);
    Ok(findings)
}

struct Reloads<'a> {
    gateway: &'a Peer,
    file: &'a Path,
    is_enabled: &'a AtomicBool,
}

fn measure_with_reloads(cases: &mut [Case], bench: &TlsBench, reloads: &Reloads<'_>) -> anyhow::Result<()> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reloading = scope.spawn(|| reload_repeatedly(reloads, &is_over));
        let measured = rounds::measure(cases, bench.plan);
        is_over.store(true, Ordering::SeqCst);
        let reloaded = reloading.join().map_err(|_| anyhow::anyhow!("the thread that reloads panicked"))?;
        measured.and(reloaded)
    })
}

/// Changes the file and asks the gateway to reload it, at intervals, while that is enabled.
fn reload_repeatedly(reloads: &Reloads<'_>, is_over: &AtomicBool) -> anyhow::Result<()> {
    Core::Load.pin_thread()?;
    let pid = Pid::from_raw(i32::try_from(reloads.gateway.pid())?).context("the gateway has no process id")?;
    for timeout in UPSTREAM_TIMEOUTS_MS.iter().rev().cycle() {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        if reloads.is_enabled.load(Ordering::SeqCst) {
            write_configuration(reloads.file, 0..MANY_ROUTES, *timeout)?;
            kill_process(pid, Signal::HUP).context("cannot signal the gateway")?;
        }
        std::thread::sleep(RELOAD_INTERVAL);
    }
    Ok(())
}

/// Returns how many reloads the gateway has applied since its start.
fn applied_reloads(ops: SocketAddr) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(ops)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let count = text.lines().find_map(|line| line.strip_prefix("gatepost_config_reloads_total{outcome=\"applied\"} "));
    // There is no line before the first reload.
    Ok(count.map(|count| count.trim().parse()).transpose()?.unwrap_or_default())
}

fn latencies(cases: &[Case]) -> Table {
    let mut table =
        Table::with_columns(&["1,000 requests a second", "p50", "p99", "p99.9", "greatest", "CPU µs a request"]);
    for case in cases {
        let mut row = vec![case.name.clone()];
        row.extend([0.5, 0.99, 0.999, 1.0].map(|quantile| format!("{:.2} ms", case.figures.latency_ms(quantile))));
        row.push(format!("{:.1}", case.cpu().median));
        table.add_row(row);
    }
    table
}
