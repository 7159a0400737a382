//! `cargo xtask bench`: builds the program, its plain peer and the benchmarks as they are shipped, and runs them.

use std::path::PathBuf;

use crate::dist::{PROFILE, PROGRAM, SELECTION};
use crate::run::{root, run};
use crate::{BenchOptions, dist, install};

/// Builds, and hands the arguments on.
pub(crate) fn run_bench(options: &BenchOptions) -> anyhow::Result<()> {
    install::peers();
    let programs = if options.guided { dist::programs()? } else { build()? };
    let arguments: Vec<&str> = options.arguments.iter().map(String::as_str).collect();
    run(&programs.join(PROGRAM).display().to_string(), &arguments)
}

/// Counts the instructions of the hot path, and compares them with the baseline.
pub(crate) fn instructions() -> anyhow::Result<()> {
    let measured = ["--bin", "gatepost", "--bin", "hot-path", "--bin", "plain-pingora"];
    run("cargo", &[&["build", "--locked"], SELECTION, &measured].concat())?;
    let programs = root().join("target").join(PROFILE).display().to_string();
    // What counts need not be fast. It is built with the features of the workspace, as all is for the tests.
    run("cargo", &["build", "--locked", "--workspace", "--bin", PROGRAM])?;
    let counting = root().join("target/debug").join(PROGRAM).display().to_string();
    run(&counting, &["instructions", "--programs", &programs])
}

/// Builds, and answers where the programs are.
fn build() -> anyhow::Result<PathBuf> {
    run("cargo", &[&["build", "--locked"], SELECTION].concat())?;
    Ok(root().join("target").join(PROFILE))
}
