//! A gateway with many routes next to one with a single route.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::TlsBench;
use crate::findings::Findings;
use crate::rounds::{self, Case};

pub(super) const MANY_ROUTES: usize = 500;
/// Route that gets all requests.
const ROUTE: usize = MANY_ROUTES / 2;
/// Default of a route, in milliseconds.
const UPSTREAM_TIMEOUT_MS: u64 = 60_000;

pub(super) fn run(bench: &TlsBench) -> anyhow::Result<Findings> {
    let mut cases = Vec::new();
    for (name, routes) in [("1 route", ROUTE..ROUTE + 1), ("500 routes", 0..MANY_ROUTES)] {
        let file = bench.fixture.directory().join(format!("{} routes.toml", routes.len()));
        write_configuration(&file, routes, UPSTREAM_TIMEOUT_MS)?;
        cases.push(start_case(bench, name, &file)?);
    }
    rounds::measure(&mut cases, bench.plan)?;
    Ok(Findings::of_cases("Routes", rounds::table(&cases), &cases))
}

/// Starts a gateway with a configuration file, and returns a case of requests for one of its routes.
pub(super) fn start_case(bench: &TlsBench, name: &str, file: &Path) -> anyhow::Result<Case> {
    let gateway = bench.gateway(name, &["--config".to_owned(), file.display().to_string()])?;
    bench.case(name, &gateway, &format!("{}/resource", path(ROUTE)))
}

/// Writes a configuration with some routes, all with a timeout.
pub(super) fn write_configuration(
    file: &Path,
    routes: std::ops::Range<usize>,
    upstream_timeout_ms: u64,
) -> anyhow::Result<()> {
    let mut text = String::new();
    for route in routes {
        let path = path(route);
        write!(text, "[[gateway.route]]\npath = \"{path}\"\nupstream_timeout_ms = {upstream_timeout_ms}\n")?;
    }
    // As a whole, since the gateway may read it at any time.
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, file)?)
}

fn path(route: usize) -> String {
    format!("/services/{route}")
}
