//! `cargo xtask bench`: builds the program, its plain peer and the benchmarks as they are shipped, and runs them.

use crate::install;
use crate::run::{root, run};

/// The profile of packages and benchmarks, and its directory.
const PROFILE: &str = "dist";

/// Builds, and hands the arguments on.
pub(crate) fn run_bench(arguments: &[String]) -> anyhow::Result<()> {
    install::peers();
    let build = ["build", "--locked", "--profile", PROFILE, "--package", "gatepost", "--package", "gatepost-benches"];
    run("cargo", &build)?;
    let program = root().join("target").join(PROFILE).join("gatepost-bench");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run(&program.display().to_string(), &arguments)
}
