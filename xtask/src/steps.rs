//! The list of checks, the only one.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::TestOptions;
use crate::bench::{InstructionScope, check_instructions};
use crate::build_time::{BuildTime, cores};
use crate::depth::Depth;
use crate::run::{print_progress, run, run_with_env};
use crate::time_limit::run_within;
use crate::{
    bare_machine, circles, crate_map, deny, deploy, earlier_release, fuzz, install, names, openapi, packages,
    redis_versions, release, schemathesis, third_party, tidy,
};

/// The cores that limits are for. With fewer, each limit is as many times longer.
const REFERENCE_CORES: u64 = 2;
/// Build and run of everything from nothing, measured on a 2.6 GHz server processor.
const FULL_TEST_TIME: BuildTime = BuildTime { serial_s: 450, parallel_core_s: 1640 };

/// A check by its name.
struct Step {
    name: &'static str,
    /// Seconds that it may take, from nothing, on [`REFERENCE_CORES`]: about half as many again as it does.
    limit_s: u64,
    check: fn() -> anyhow::Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "install", limit_s: 130, check: install::system },
    Step { name: "tidy", limit_s: 5, check: tidy::check },
    Step { name: "structure", limit_s: 10, check: structure },
    Step { name: "names", limit_s: 10, check: names::check },
    Step { name: "fmt", limit_s: 10, check: || run("cargo", &["fmt", "--all", "--check"]) },
    Step {
        name: "clippy",
        limit_s: 220,
        check: || run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    },
    Step { name: "docs", limit_s: 90, check: docs },
    Step { name: "packages", limit_s: 35, check: packages::install },
    Step { name: "test", limit_s: 1_080, check: test },
    Step { name: "examples", limit_s: 50, check: examples },
    Step { name: "servers", limit_s: 110, check: || redis_versions::check(Depth::Quick) },
    Step { name: "schemathesis", limit_s: 165, check: || schemathesis::check(Depth::Quick) },
    Step { name: "openapi", limit_s: 100, check: openapi::check },
    Step { name: "deploy", limit_s: 40, check: deploy::check },
    Step { name: "fuzz", limit_s: 70, check: || fuzz::check(Depth::Quick) },
    Step { name: "instructions", limit_s: 465, check: || check_instructions(InstructionScope::Steps) },
    Step { name: "deny", limit_s: 110, check: deny::check },
];

/// Seconds that all of [`STEPS`] may take together.
const MAX_LIMITS_S: u64 = 45 * 60;
const _: () = assert!(total_limit_s(STEPS) <= MAX_LIMITS_S, "the limits of all steps together exceed their budget");

/// Further steps of `--long`, which come last and have a budget of their own.
const LONG_STEPS: &[Step] = &[
    Step { name: "servers-whole", limit_s: 300, check: || redis_versions::check(Depth::Full) },
    Step { name: "schemathesis-whole", limit_s: 1_200, check: || schemathesis::check(Depth::Full) },
    Step { name: "fuzz-whole", limit_s: 1_200, check: || fuzz::check(Depth::Full) },
    Step { name: "request", limit_s: 1_200, check: || check_instructions(InstructionScope::All) },
    Step { name: "kubernetes", limit_s: 900, check: deploy::api_server::check },
    Step { name: "long", limit_s: 5_400, check: long },
    Step { name: "release", limit_s: 5_400, check: release::rehearse },
    Step { name: "bare", limit_s: 3_600, check: bare_machine::check },
];

/// Runs all steps in order, or the one that was asked for.
pub(crate) fn run_all(options: &TestOptions) -> anyhow::Result<()> {
    let selected = select_steps(options)?;
    if options.only.is_none() {
        print_progress(&format!("xtask: {} steps, from nothing {}", selected.len(), FULL_TEST_TIME.estimate()));
    }
    for step in selected {
        print_progress(&format!("xtask: {}", step.name));
        let started_at = unix_time();
        let result =
            if options.no_time_limits { (step.check)() } else { run_within(time_limit(step, cores()), step.check) };
        result.with_context(|| format!("step {}", step.name))?;
        print_progress(&format!("xtask: {} passed in {:.1} s", step.name, (unix_time() - started_at).as_secs_f64()));
    }
    print_progress("xtask: all passed");
    Ok(())
}

fn select_steps(options: &TestOptions) -> anyhow::Result<Vec<&'static Step>> {
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

const fn total_limit_s(mut steps: &[Step]) -> u64 {
    let mut total_s = 0;
    while let [step, rest @ ..] = steps {
        total_s += step.limit_s;
        steps = rest;
    }
    total_s
}

/// What a step may take on so many cores.
fn time_limit(step: &Step, cores: u64) -> Duration {
    Duration::from_secs(step.limit_s * REFERENCE_CORES / cores.clamp(1, REFERENCE_CORES))
}

/// Unit tests, conformance and end to end: one binary for each crate.
fn test() -> anyhow::Result<()> {
    run("cargo", &["test", "--workspace", "--locked"])
}

/// Checks the webhook receivers of docs/examples. Other steps leave their tests out, which need compilers.
fn examples() -> anyhow::Result<()> {
    // With the whole workspace, dependencies have the features with which they are built already.
    let tests = ["--workspace", "--test", "examples", "--locked"];
    run("cargo", &[&["clippy"], &tests[..], &["--", "-D", "warnings"]].concat())?;
    run("cargo", &[&["test"], &tests[..]].concat())
}

/// End to end once more, with storms and with the numbers that take minutes. Prints what it measures.
fn long() -> anyhow::Result<()> {
    // Its own step comes before, unless this one was asked for alone.
    packages::install()?;
    earlier_release::build_all()?;
    deploy::prepare_long()?;
    // As it is shipped: these figures are published.
    let arguments = ["test", "--release", "--package", "gatepost", "--features", "long", "--test", "e2e", "--locked"];
    run("cargo", &[&arguments[..], &["--", "--nocapture", "--test-threads", "2"]].concat())
}

/// Checks that imports have no circles, and that the map of crates and the list of those from outside are right.
fn structure() -> anyhow::Result<()> {
    circles::check()?;
    crate_map::check()?;
    third_party::check()
}

fn docs() -> anyhow::Result<()> {
    let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    run_with_env("cargo", &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
}

/// Time since an arbitrary moment, to measure how long a step took.
#[expect(clippy::disallowed_methods, reason = "nothing here is tested under another clock")]
fn unix_time() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_takes_twice_as_long_and_four_no_less() {
        let step = Step { name: "", limit_s: 300, check: || Ok(()) };
        assert_eq!([0, 1, 2, 4].map(|cores| time_limit(&step, cores).as_secs()), [600, 600, 300, 300]);
    }
}
