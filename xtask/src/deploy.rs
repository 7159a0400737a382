//! Checks of the files in `deploy` that need no running program. Tests of the crate `gatepost` run them.

pub(crate) mod api_server;
mod chart;
mod compositions;
mod units;

use crate::run::{root, run};
use crate::{install, python_environment};

/// Directory of the tools, and of what they make, below the root.
const DIRECTORY: &str = "target/deploy";
const REQUIREMENTS: &str = "xtask/deploy/requirements.txt";
/// The oldest supported Debian, in which the tests install packages.
const SUITE: &str = "bookworm";

pub(crate) fn check() -> anyhow::Result<()> {
    install_tools()?;
    run(&tool("hadolint"), &["deploy/container/Dockerfile"])?;
    compositions::check()?;
    chart::check()?;
    units::check()
}

/// Writes the manifests that the chart renders.
pub(crate) fn write_manifests() -> anyhow::Result<()> {
    install_tools()?;
    chart::write_manifests()
}

/// Prepares what the tests of packages and services need: tools, and a Debian with systemd.
pub(crate) fn prepare_long() -> anyhow::Result<()> {
    install::packages_of_long_steps()?;
    install_tools()?;
    let system = root().join(DIRECTORY).join("system.tar");
    if system.exists() {
        return Ok(());
    }
    // Renamed when it is complete.
    let unfinished = system.with_extension("unfinished.tar").display().to_string();
    let include = "--include=systemd,ca-certificates,procps";
    run("mmdebstrap", &["--quiet", "--variant=minbase", include, SUITE, &unfinished])?;
    Ok(std::fs::rename(unfinished, system)?)
}

/// Returns the path of a tool of the Python environment.
fn tool(name: &str) -> String {
    root().join(DIRECTORY).join("venv/bin").join(name).display().to_string()
}

fn install_tools() -> anyhow::Result<()> {
    python_environment::install(&root().join(DIRECTORY).join("venv"), &root().join(REQUIREMENTS))
}
