//! Builds the fuzz targets of the parsers with the pinned compiler and coverage, and runs them with libFuzzer.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, bail};

use crate::FuzzOptions;
use crate::build_time::cores;
use crate::depth::Depth;
use crate::run::{print_progress, root, run, run_with_env};

/// Names of the targets, and of their seeds in `fuzz/seeds` and dictionaries in `fuzz/dictionaries`.
const TARGETS: &[&str] = &[
    "path",
    "host",
    "client-address",
    "credential",
    "request",
    "proxy-protocol",
    "traceparent",
    "entry",
    "record",
    "configuration",
    "event-stream",
];
/// Compiler wrapper that adds coverage to the crates of the workspace.
const INSTRUMENT: &str = "fuzz/instrument.sh";
/// Directory with a subdirectory for each target: found inputs, failed inputs, and the log.
const DIRECTORY: &str = "target/fuzz";
/// Maximum size of an input: more than a request target may have, so that too long ones occur.
const MAX_INPUT_BYTES: u32 = 16 * 1024;
/// Time after which an input counts as a hang.
const TIMEOUT_S: u32 = 10;
/// Resident memory above which libFuzzer reports a failure.
const MAX_MEMORY_MB: u32 = 512;
/// Number of lines that are printed of a failed target's log, from its end.
const SHOWN_LOG_LINES: usize = 40;

/// A quick run always begins with the same inputs, so that it fails because of a change and not by chance. A full one
/// looks for new ones.
fn run_arguments(depth: Depth) -> Vec<String> {
    match depth {
        Depth::Quick => vec!["-max_total_time=4".into(), "-seed=1".into()],
        Depth::Full => vec!["-max_total_time=180".into()],
    }
}

/// Runs all targets, one per core at a time. One that fails does not stop the others.
pub(crate) fn check(depth: Depth) -> anyhow::Result<()> {
    build(TARGETS)?;
    let mut failures = Vec::new();
    for batch in TARGETS.chunks(usize::try_from(cores())?) {
        let started: anyhow::Result<Vec<(&str, Child)>> =
            batch.iter().map(|target| Ok((*target, start(target, depth)?))).collect();
        for (target, mut child) in started? {
            if !child.wait()?.success() {
                failures.push(report_failure(target)?);
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

/// Runs one target until it fails or is interrupted, or on one input if the options name a file.
pub(crate) fn run_one(options: &FuzzOptions) -> anyhow::Result<()> {
    let Some(target) = TARGETS.iter().find(|target| **target == options.target) else {
        bail!("there is no target {}; there are {}", options.target, TARGETS.join(", "));
    };
    build(&[target])?;
    let arguments = match &options.file {
        Some(file) => [limit_arguments(), vec![std::path::absolute(file)?.display().to_string()]].concat(),
        None => [limit_arguments(), input_arguments(target)?].concat(),
    };
    run(&program(target).display().to_string(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Builds targets together with the package `gatepost`, so that their dependencies have the same features as in the
/// build of the program and are not compiled twice.
fn build(targets: &[&str]) -> anyhow::Result<()> {
    let programs: Vec<String> = targets.iter().map(|target| format!("fuzz-{target}")).collect();
    let programs = programs.iter().flat_map(|program| ["--bin", program.as_str()]);
    let arguments = ["build", "--package", "gatepost", "--package", "gatepost-fuzz", "--locked"];
    let arguments: Vec<&str> = arguments.into_iter().chain(programs).collect();
    let instrument = root().join(INSTRUMENT).display().to_string();
    // Incremental builds take longer the first time.
    let environment = [("RUSTC_WORKSPACE_WRAPPER", instrument.as_str()), ("CARGO_INCREMENTAL", "0")];
    run_with_env("cargo", &arguments, &environment)
}

fn start(target: &str, depth: Depth) -> anyhow::Result<Child> {
    let inputs = input_arguments(target)?;
    let log = File::create(log_of(target))?;
    Command::new(program(target))
        .args(run_arguments(depth))
        .args(limit_arguments())
        .args(inputs)
        .current_dir(root())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start the fuzz target {target}"))
}

fn limit_arguments() -> Vec<String> {
    vec![
        format!("-timeout={TIMEOUT_S}"),
        format!("-rss_limit_mb={MAX_MEMORY_MB}"),
        format!("-max_len={MAX_INPUT_BYTES}"),
    ]
}

/// Returns where libFuzzer writes inputs that fail, the dictionary, and the directories that it reads inputs from. It
/// adds inputs that reach new code to the first of them.
fn input_arguments(target: &str) -> anyhow::Result<Vec<String>> {
    let found = directory_of(target).join("found");
    let failed = directory_of(target).join("failed");
    for directory in [&found, &failed] {
        std::fs::create_dir_all(directory)?;
    }
    Ok(vec![
        format!("-artifact_prefix={}/", failed.display()),
        format!("-dict=fuzz/dictionaries/{target}.dict"),
        found.display().to_string(),
        failed.display().to_string(),
        format!("fuzz/seeds/{target}"),
    ])
}

/// Prints the end of a failed target's log. Returns a message with the command that repeats the failure.
fn report_failure(target: &str) -> anyhow::Result<String> {
    let log = log_of(target);
    let text = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(SHOWN_LOG_LINES)..].join("\n");
    let input = text.lines().rev().find_map(|line| line.split_once("Test unit written to "));
    let advice = match input {
        Some((_, file)) => {
            let relative = Path::new(file).strip_prefix(root()).unwrap_or(Path::new(file));
            format!("the input is in {0}; run it again: cargo xtask fuzz {target} {0}", relative.display())
        }
        None => format!("the log is in {}", log.display()),
    };
    print_progress(&end);
    Ok(format!("fuzz target {target} failed; {advice}"))
}

fn program(target: &str) -> PathBuf {
    root().join("target/debug").join(format!("fuzz-{target}"))
}

fn directory_of(target: &str) -> PathBuf {
    root().join(DIRECTORY).join(target)
}

fn log_of(target: &str) -> PathBuf {
    directory_of(target).join("log")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names_in(directory: &str) -> BTreeSet<String> {
        let entries = std::fs::read_dir(root().join(directory)).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().replace('_', "-");
        entries.map(|entry| stem(entry.unwrap().path())).collect()
    }

    #[test]
    fn every_target_is_run_and_has_seeds_and_a_dictionary() {
        let targets: BTreeSet<String> = TARGETS.iter().map(|target| (*target).to_owned()).collect();
        for directory in ["fuzz/targets", "fuzz/seeds", "fuzz/dictionaries"] {
            assert_eq!(names_in(directory), targets, "{directory}");
        }
    }
}
