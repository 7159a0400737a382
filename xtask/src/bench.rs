//! `cargo xtask bench`: builds the program, its plain peer and the benchmarks as they are shipped, and runs them.

use crate::install;
use crate::run::{root, run};

/// The profile of packages and benchmarks, and its directory.
const PROFILE: &str = "dist";

/// Builds, and hands the arguments on.
pub(crate) fn run_bench(arguments: &[String]) -> anyhow::Result<()> {
    install::peers();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    build_and_run(&arguments)
}

/// Counts the instructions of the hot path, and compares them with the baseline.
pub(crate) fn instructions() -> anyhow::Result<()> {
    build_and_run(&["instructions"])
}

fn build_and_run(arguments: &[&str]) -> anyhow::Result<()> {
    let build = ["build", "--locked", "--profile", PROFILE, "--package", "gatepost", "--package", "gatepost-benches"];
    run("cargo", &build)?;
    let program = root().join("target").join(PROFILE).join("gatepost-bench");
    run(&program.display().to_string(), arguments)
}
