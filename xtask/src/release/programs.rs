//! The two programs of a release: one that needs glibc, and one that needs nothing.

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::dist;
use crate::run::{output_of, print_progress, root, run, run_with_env};

/// Directory of the builds, from the root.
const DIRECTORY: &str = "target/release-build";
/// Separates flags, which may contain spaces.
const SEPARATOR: &str = "\u{1f}";

/// How to build.
#[derive(Clone, Copy)]
pub(super) enum Optimization<'a> {
    /// As releases are: the program of the packages with a profile of it under load.
    Guided,
    /// With a profile of cargo.
    Profile(&'a str),
}

pub(super) struct Programs {
    pub(super) glibc: PathBuf,
    /// Static.
    pub(super) musl: PathBuf,
    /// Profile of the program under load that the first one was built with.
    pub(super) profile: Option<PathBuf>,
}

/// Builds both programs. They contain no path of this machine, so that another machine can build the same.
pub(super) fn build(optimization: Optimization) -> anyhow::Result<Programs> {
    let (cargo_profile, profile) = match optimization {
        Optimization::Guided => (dist::PROFILE, Some(dist::ensure_profile()?)),
        Optimization::Profile(profile) => (profile, None),
    };
    let profile_flag = profile.as_ref().map(|profile| format!("-Cprofile-use={}", profile.display()));
    let glibc = compile("gnu", cargo_profile, profile_flag)?;
    // The profile does not fit this one: names of functions depend on the target.
    let musl = compile("musl", cargo_profile, None)?;
    Ok(Programs { glibc, musl, profile })
}

fn compile(library: &str, profile: &str, flag: Option<String>) -> anyhow::Result<PathBuf> {
    let target = format!("{ARCH}-unknown-linux-{library}");
    print_progress(&format!("xtask: building for {target} with the profile {profile}"));
    ensure_target(&target)?;
    let removed =
        [(root(), "/gatepost"), (cargo_home()?, "/cargo")].map(|(path, name)| (path.display().to_string(), name));
    let rust = removed.iter().map(|(path, name)| format!("--remap-path-prefix={path}={name}")).chain(flag);
    let rust = rust.collect::<Vec<_>>().join(SEPARATOR);
    let c = removed.iter().map(|(path, name)| format!("-ffile-prefix-map={path}={name}")).collect::<Vec<_>>().join(" ");
    let arguments = [
        "build",
        "--locked",
        "--package",
        "gatepost",
        "--profile",
        profile,
        "--target",
        &target,
        "--target-dir",
        DIRECTORY,
    ];
    run_with_env("cargo", &arguments, &[("CARGO_ENCODED_RUSTFLAGS", &rust), ("CFLAGS", &c), ("CXXFLAGS", &c)])?;
    // Cargo names the directory of one profile otherwise.
    let directory = if profile == "dev" { "debug" } else { profile };
    let program = root().join(DIRECTORY).join(&target).join(directory).join("gatepost");
    for (path, _) in &removed {
        check_absent(path, &program)?;
    }
    Ok(program)
}

/// Installs the standard library of a target if it is missing.
fn ensure_target(target: &str) -> anyhow::Result<()> {
    let libraries = output_of("rustc", &["--print", "target-libdir", "--target", target])?;
    if Path::new(libraries.trim()).exists() {
        return Ok(());
    }
    run("rustup", &["target", "add", target])
}

fn cargo_home() -> anyhow::Result<PathBuf> {
    Ok(PathBuf::from(output_of("sh", &["-c", "printf %s \"${CARGO_HOME:-$HOME/.cargo}\""])?))
}

/// Checks that a program does not contain a path.
fn check_absent(path: &str, program: &Path) -> anyhow::Result<()> {
    let program = program.display().to_string();
    let script = "! grep --quiet --text --fixed-strings -- \"$1/\" \"$2\"";
    if run("sh", &["-c", script, "sh", path, &program]).is_err() {
        bail!("{program} contains the path {path}");
    }
    Ok(())
}
