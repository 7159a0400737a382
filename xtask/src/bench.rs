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

/// What of the hot path is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Each step alone.
    Steps,
    /// The whole gateway too. To build it takes minutes.
    All,
}

/// Counts the instructions of the hot path, and compares them with the baseline.
pub(crate) fn instructions(counted: Counted) -> anyhow::Result<()> {
    let (programs, options): (&[&str], &[&str]) = match counted {
        Counted::Steps => (&["--bin", "hot-path"], &["--steps"]),
        Counted::All => (&["--bin", "hot-path", "--bin", "gatepost", "--bin", "plain-pingora"], &[]),
    };
    run("cargo", &[&["build", "--locked"], SELECTION, programs].concat())?;
    // What counts need not be fast. It is built with the features of the workspace, as all is for the tests.
    run("cargo", &["build", "--locked", "--workspace", "--bin", PROGRAM])?;
    let target = root().join("target");
    let (counting, programs) = (target.join("debug").join(PROGRAM), target.join(PROFILE));
    let arguments = ["instructions", "--programs", &programs.display().to_string()];
    run(&counting.display().to_string(), &[&arguments, options].concat())
}

/// Builds, and answers where the programs are.
fn build() -> anyhow::Result<PathBuf> {
    run("cargo", &[&["build", "--locked"], SELECTION].concat())?;
    Ok(root().join("target").join(PROFILE))
}
