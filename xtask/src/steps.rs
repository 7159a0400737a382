//! The list of checks. There is no other.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::TestOptions;
use crate::bench::{Counted, instructions};
use crate::build_time::{BuildTime, cores};
use crate::depth::Depth;
use crate::run::{run, run_with, tell};
use crate::time_limit::within;
use crate::{bare, deny, install, names, npm, openapi, release, schemathesis, servers, tidy};

/// The cores that limits are for. On fewer, all take as many times longer.
const CORES: u64 = 2;
/// Build and run of everything from nothing, measured on a 2.6 GHz server processor.
const EVERYTHING: BuildTime = BuildTime { serial_s: 420, parallel_core_s: 1500 };

/// A check by its name.
struct Step {
    name: &'static str,
    /// Seconds that it may take, from nothing, on [`CORES`]: about half as many again as it does.
    limit_s: u64,
    check: fn() -> anyhow::Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "install", limit_s: 110, check: install::system },
    Step { name: "tidy", limit_s: 20, check: tidy::check },
    Step { name: "names", limit_s: 10, check: names::check },
    Step { name: "fmt", limit_s: 20, check: || run("cargo", &["fmt", "--all", "--check"]) },
    Step {
        name: "clippy",
        limit_s: 290,
        check: || run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    },
    Step { name: "npm", limit_s: 60, check: npm::install },
    Step { name: "test", limit_s: 930, check: test },
    Step { name: "servers", limit_s: 150, check: || servers::check(Depth::Brief) },
    Step { name: "schemathesis", limit_s: 160, check: || schemathesis::check(Depth::Brief) },
    Step { name: "openapi", limit_s: 190, check: openapi::check },
    Step { name: "instructions", limit_s: 480, check: || instructions(Counted::Steps) },
    Step { name: "docs", limit_s: 60, check: docs },
    Step { name: "deny", limit_s: 220, check: deny::check },
];

/// Further steps of `--long`, which come last and have a budget of their own.
const LONG_STEPS: &[Step] = &[
    Step { name: "servers-whole", limit_s: 300, check: || servers::check(Depth::Whole) },
    Step { name: "fuzz", limit_s: 1_200, check: || schemathesis::check(Depth::Whole) },
    Step { name: "request", limit_s: 1_200, check: || instructions(Counted::All) },
    Step { name: "long", limit_s: 5_400, check: long },
    Step { name: "bare", limit_s: 3_600, check: bare::check },
];

/// Runs all steps in order, or the one that was asked for.
pub(crate) fn run_all(options: &TestOptions) -> anyhow::Result<()> {
    let chosen = chosen(options)?;
    if options.only.is_none() {
        tell(&format!("xtask: {} steps, from nothing {}", chosen.len(), EVERYTHING.estimate()));
    }
    for step in chosen {
        tell(&format!("xtask: {}", step.name));
        let began = now();
        let checked = if options.no_time_limits { (step.check)() } else { within(limit(step, cores()), step.check) };
        checked.with_context(|| format!("step {}", step.name))?;
        tell(&format!("xtask: {} passed in {:.1} s", step.name, (now() - began).as_secs_f64()));
    }
    tell("xtask: all passed");
    Ok(())
}

fn chosen(options: &TestOptions) -> anyhow::Result<Vec<&'static Step>> {
    let Some(only) = &options.only else {
        let long = if options.long { LONG_STEPS } else { &[] };
        return Ok(STEPS.iter().chain(long).collect());
    };
    let all = || STEPS.iter().chain(LONG_STEPS);
    let Some(step) = all().find(|step| step.name == only) else {
        let names: Vec<&str> = all().map(|step| step.name).collect();
        bail!("there is no step {only}; there are {}", names.join(", "));
    };
    if !options.long && LONG_STEPS.iter().any(|long| long.name == only) {
        bail!("the step {only} runs only with --long: cargo xtask test --long --only {only}");
    }
    Ok(vec![step])
}

/// What a step may take on so many cores.
fn limit(step: &Step, cores: u64) -> Duration {
    Duration::from_secs(step.limit_s * CORES / cores.clamp(1, CORES))
}

/// Unit tests, conformance and end to end: one binary for each crate.
fn test() -> anyhow::Result<()> {
    run("cargo", &["test", "--workspace", "--locked"])
}

/// End to end once more, with storms and with the numbers that take minutes. Tells what it measures.
fn long() -> anyhow::Result<()> {
    // Its own step comes before, unless this one was asked for alone.
    npm::install()?;
    release::build_all()?;
    // As it is shipped: what is measured here is told to others.
    let arguments = ["test", "--release", "--package", "gatepost", "--features", "long", "--test", "e2e", "--locked"];
    run("cargo", &[&arguments[..], &["--", "--nocapture", "--test-threads", "2"]].concat())
}

fn docs() -> anyhow::Result<()> {
    let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    run_with("cargo", &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
}

/// Time since some moment, to tell how long a step took.
#[expect(clippy::disallowed_methods, reason = "nothing here is tested under another clock")]
fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds that all steps of a plain run may take together, from nothing, on [`CORES`].
    const MAX_S: u64 = 45 * 60;

    #[test]
    fn all_steps_together_stay_within_their_budget() {
        let all_s: u64 = STEPS.iter().map(|step| step.limit_s).sum();
        assert!(all_s <= MAX_S, "{all_s}");
    }

    #[test]
    fn one_core_takes_twice_as_long_and_four_no_less() {
        let step = Step { name: "", limit_s: 300, check: || Ok(()) };
        assert_eq!([0, 1, 2, 4].map(|cores| limit(&step, cores).as_secs()), [600, 600, 300, 300]);
    }
}
