//! `cargo xtask bench`: builds the program, plain Pingora and the benchmarks with the dist profile, and runs the
//! benchmarks.

use std::path::PathBuf;

use crate::dist::{BENCH_PROGRAM, BUILD_ARGUMENTS, PROFILE};
use crate::run::{root, run};
use crate::{BenchOptions, dist, install};

/// Builds the programs, and passes the arguments on to the benchmarks.
pub(crate) fn run_bench(options: &BenchOptions) -> anyhow::Result<()> {
    install::peers();
    let programs = if options.guided { dist::build_programs()? } else { build_programs()? };
    let arguments: Vec<&str> = options.arguments.iter().map(String::as_str).collect();
    run(&programs.join(BENCH_PROGRAM).display().to_string(), &arguments)
}

/// Scope of the instruction counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstructionScope {
    /// Each step separately.
    Steps,
    /// The whole gateway too, which takes minutes to build.
    All,
}

/// Counts the instructions of the hot path, and compares them with the baseline.
pub(crate) fn check_instructions(scope: InstructionScope) -> anyhow::Result<()> {
    let (programs, options): (&[&str], &[&str]) = match scope {
        InstructionScope::Steps => (&["--bin", "hot-path"], &["--steps"]),
        InstructionScope::All => (&["--bin", "hot-path", "--bin", "gatepost", "--bin", "plain-pingora"], &[]),
    };
    run("cargo", &[&["build", "--locked"], BUILD_ARGUMENTS, programs].concat())?;
    // The counting program need not be fast. It is built with the features of the workspace, like the tests.
    run("cargo", &["build", "--locked", "--workspace", "--bin", BENCH_PROGRAM])?;
    let target = root().join("target");
    let (bench_program, programs) = (target.join("debug").join(BENCH_PROGRAM), target.join(PROFILE));
    let arguments = ["instructions", "--programs", &programs.display().to_string()];
    run(&bench_program.display().to_string(), &[&arguments, options].concat())
}

/// Builds the programs, and returns their directory.
fn build_programs() -> anyhow::Result<PathBuf> {
    run("cargo", &[&["build", "--locked"], BUILD_ARGUMENTS].concat())?;
    Ok(root().join("target").join(PROFILE))
}
