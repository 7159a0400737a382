//! `cargo xtask bench`: builds the program, its plain peer and the benchmarks as they are shipped, and runs them.

use std::path::PathBuf;

use crate::dist::{BENCH_PROGRAM, BUILD_ARGUMENTS, PROFILE};
use crate::run::{root, run};
use crate::{BenchOptions, dist, install};

/// Builds, and hands the arguments on.
pub(crate) fn run_bench(options: &BenchOptions) -> anyhow::Result<()> {
    install::peers();
    let programs = if options.guided { dist::build_programs()? } else { build_programs()? };
    let arguments: Vec<&str> = options.arguments.iter().map(String::as_str).collect();
    run(&programs.join(BENCH_PROGRAM).display().to_string(), &arguments)
}

/// What of the hot path is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstructionScope {
    /// Each step alone.
    Steps,
    /// The whole gateway too. To build it takes minutes.
    All,
}

/// Counts the instructions of the hot path, and compares them with the baseline.
pub(crate) fn check_instructions(scope: InstructionScope) -> anyhow::Result<()> {
    let (programs, options): (&[&str], &[&str]) = match scope {
        InstructionScope::Steps => (&["--bin", "hot-path"], &["--steps"]),
        InstructionScope::All => (&["--bin", "hot-path", "--bin", "gatepost", "--bin", "plain-pingora"], &[]),
    };
    run("cargo", &[&["build", "--locked"], BUILD_ARGUMENTS, programs].concat())?;
    // What counts need not be fast. It is built with the features of the workspace, as all is for the tests.
    run("cargo", &["build", "--locked", "--workspace", "--bin", BENCH_PROGRAM])?;
    let target = root().join("target");
    let (bench_program, programs) = (target.join("debug").join(BENCH_PROGRAM), target.join(PROFILE));
    let arguments = ["instructions", "--programs", &programs.display().to_string()];
    run(&bench_program.display().to_string(), &[&arguments, options].concat())
}

/// Builds, and answers where the programs are.
fn build_programs() -> anyhow::Result<PathBuf> {
    run("cargo", &[&["build", "--locked"], BUILD_ARGUMENTS].concat())?;
    Ok(root().join("target").join(PROFILE))
}
