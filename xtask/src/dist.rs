//! `cargo xtask dist`: builds the program for packages, with profile-guided optimization.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::install;
use crate::run::{print_progress, root, run, run_with_env, succeeds};

/// Cargo profile of packages and benchmarks, and name of its directory.
pub(crate) const PROFILE: &str = "dist";
/// Arguments that select the packages to build: the program and the benchmarks.
pub(crate) const BUILD_ARGUMENTS: &[&str] =
    &["--profile", PROFILE, "--package", "gatepost", "--package", "gatepost-benches"];
/// Program of the benchmarks.
pub(crate) const BENCH_PROGRAM: &str = "gatepost-bench";
/// Directory of profile-guided builds.
const DIRECTORY: &str = "target/guided";
/// Benchmarks that record the profile: hits, misses, rejections, first uses, bodies, TLS, deliveries.
const TRAINING_RUNS: &[&[&str]] = &[
    &["load", "--quick", "--rounds", "3"],
    &["scenarios", "strangers", "--quick"],
    &["scenarios", "bodies", "--quick"],
    &["tls", "handshakes", "--quick"],
    &["tls", "requests", "--quick"],
    &["deliveries", "throughput", "--quick"],
];

/// Records a new profile, builds with it, and prints the path of the program.
pub(crate) fn build() -> anyhow::Result<()> {
    let profile = profile_path();
    if profile.exists() {
        std::fs::remove_file(&profile)?;
    }
    let programs = build_programs()?;
    print_progress(&format!("xtask: {}", programs.join("gatepost").display()));
    Ok(())
}

/// Builds the programs with the existing profile, or records one first, and returns their directory.
pub(crate) fn build_programs() -> anyhow::Result<PathBuf> {
    let profile = ensure_profile()?;
    compile("final", &format!("-Cprofile-use={}", profile.display()))
}

/// Returns the path of the existing profile, or records one first.
pub(crate) fn ensure_profile() -> anyhow::Result<PathBuf> {
    let profile = profile_path();
    if !profile.exists() {
        record_profile(&profile)?;
    }
    Ok(profile)
}

fn profile_path() -> PathBuf {
    root().join(DIRECTORY).join("gatepost.profdata")
}

/// Builds instrumented programs, runs the benchmarks with them, and merges the counts into a profile.
fn record_profile(profile: &Path) -> anyhow::Result<()> {
    let tool = ensure_llvm_profdata()?;
    install::peers();
    let counts = root().join(DIRECTORY).join("counts");
    if counts.exists() {
        std::fs::remove_dir_all(&counts)?;
    }
    let programs = compile("counting", &format!("-Cprofile-generate={}", counts.display()))?;
    let bench = programs.join(BENCH_PROGRAM).display().to_string();
    for arguments in TRAINING_RUNS {
        run(&bench, arguments)?;
    }
    run(&tool.display().to_string(), &["merge", "-o", &profile.display().to_string(), &counts.display().to_string()])
}

/// Builds with compiler flags, and returns the directory of the programs. The target is set explicitly, so that build
/// scripts and procedural macros are built without the flags.
fn compile(name: &str, flags: &str) -> anyhow::Result<PathBuf> {
    let directory = root().join(DIRECTORY).join(name);
    let (target, target_directory) = (host_triple()?, directory.display().to_string());
    let build =
        [&["build", "--locked", "--target", &target, "--target-dir", &target_directory], BUILD_ARGUMENTS].concat();
    run_with_env("cargo", &build, &[("RUSTFLAGS", flags)])?;
    Ok(directory.join(target).join(PROFILE))
}

/// Returns the path of llvm-profdata, a component of the toolchain, and installs it if it is missing.
fn ensure_llvm_profdata() -> anyhow::Result<PathBuf> {
    let library = PathBuf::from(rustc_output(&["--print", "target-libdir"])?);
    let tool = library.with_file_name("bin").join("llvm-profdata");
    if !succeeds(&tool.display().to_string(), &["--version"]) {
        run("rustup", &["component", "add", "llvm-tools"])
            .context("llvm-profdata is missing: it is part of the toolchain component llvm-tools")?;
    }
    Ok(tool)
}

fn host_triple() -> anyhow::Result<String> {
    rustc_output(&["--print", "host-tuple"])
}

fn rustc_output(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("rustc").args(arguments).current_dir(root()).output().context("cannot run rustc")?;
    if !output.status.success() {
        bail!("rustc {} failed ({})", arguments.join(" "), output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
