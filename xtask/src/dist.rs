//! `cargo xtask dist`: the program as packages carry it, laid out by the compiler for what it does under load.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::install;
use crate::run::{Presence, check_installed, print_progress, root, run, run_with_env};

/// The profile of packages and benchmarks, and its directory.
pub(crate) const PROFILE: &str = "dist";
/// What is built: the program, and what measures it.
pub(crate) const BUILD_ARGUMENTS: &[&str] =
    &["--profile", PROFILE, "--package", "gatepost", "--package", "gatepost-benches"];
/// The program that measures.
pub(crate) const BENCH_PROGRAM: &str = "gatepost-bench";
/// Where all of this is kept.
const DIRECTORY: &str = "target/guided";
/// What the program does while its profile is taken: hits, misses, refusals, first uses, bodies, deliveries.
const TRAINING_RUNS: &[&[&str]] = &[
    &["load", "--quick", "--rounds", "3"],
    &["scenarios", "strangers", "--quick"],
    &["scenarios", "bodies", "--quick"],
    &["deliveries", "throughput", "--quick"],
];

/// Takes a new profile, builds with it, and tells where the program is.
pub(crate) fn build() -> anyhow::Result<()> {
    let profile = profile_path();
    if profile.exists() {
        std::fs::remove_file(&profile)?;
    }
    let programs = build_programs()?;
    print_progress(&format!("xtask: {}", programs.join("gatepost").display()));
    Ok(())
}

/// The directory of the programs, built with the profile that was taken last, or with a new one.
pub(crate) fn build_programs() -> anyhow::Result<PathBuf> {
    let profile = profile_path();
    if !profile.exists() {
        record_profile(&profile)?;
    }
    compile("final", &format!("-Cprofile-use={}", profile.display()))
}

fn profile_path() -> PathBuf {
    root().join(DIRECTORY).join("gatepost.profdata")
}

/// Builds programs that count what they do, has them do it, and sums up.
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

/// Builds with flags of the compiler, and answers where the programs are. For a target that is named, so that what
/// only the build itself runs is built without them.
fn compile(name: &str, flags: &str) -> anyhow::Result<PathBuf> {
    let directory = root().join(DIRECTORY).join(name);
    let (target, target_directory) = (host_triple()?, directory.display().to_string());
    let build =
        [&["build", "--locked", "--target", &target, "--target-dir", &target_directory], BUILD_ARGUMENTS].concat();
    run_with_env("cargo", &build, &[("RUSTFLAGS", flags)])?;
    Ok(directory.join(target).join(PROFILE))
}

/// The tool that reads profiles, a component of the toolchain.
fn ensure_llvm_profdata() -> anyhow::Result<PathBuf> {
    let library = PathBuf::from(rustc_output(&["--print", "target-libdir"])?);
    let tool = library.with_file_name("bin").join("llvm-profdata");
    if check_installed(&tool.display().to_string(), &["--version"]) == Presence::Missing {
        run("rustup", &["component", "add", "llvm-tools"])
            .context("llvm-profdata is missing: it is in the component llvm-tools of the toolchain")?;
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
