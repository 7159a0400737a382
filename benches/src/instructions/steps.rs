//! Each step of a request separately.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::callgrind::CallgrindRun;
use crate::gatepost::built_program_in;

/// Two numbers of runs, whose difference excludes the cost of the start.
const FEW_RUNS: u64 = 1_000;
const MANY_RUNS: u64 = 20_000;
/// Number of runs of steps that cost less than [`CHEAP`]: the start costs more on a busy machine, which would show in the
/// count of a few instructions.
const RUNS_OF_CHEAP: u64 = 200_000;
/// Instructions.
const CHEAP: u64 = 5_000;

/// Program that runs the steps.
const PROGRAM: &str = "hot-path";

/// Returns the names of all steps.
pub(super) fn list_steps(programs: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new(built_program_in(programs, PROGRAM)?).output().context("cannot run hot-path")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// Returns the number of instructions of one run of a step.
pub(super) fn count(step: &str, programs: &Path, directory: &Path) -> anyhow::Result<u64> {
    let run = |times: u64| {
        let mut callgrind =
            CallgrindRun::new(&built_program_in(programs, PROGRAM)?, directory, &format!("step-{times}"));
        callgrind.command.args([step, &times.to_string()]);
        callgrind.run()
    };
    let start = run(FEW_RUNS)?;
    let count_with = |times: u64| Ok(run(times)?.saturating_sub(start) / (times - FEW_RUNS));
    match count_with(MANY_RUNS)? {
        ..CHEAP => count_with(RUNS_OF_CHEAP),
        count => Ok(count),
    }
}
