//! The units in `deploy/systemd`: what systemd says about them, and how much they can do to a machine.

use std::fs;
use std::process::Command;

use anyhow::{Context, bail};

use super::DIRECTORY;
use crate::run::{create_empty_directory, root, run};

const UNITS: &str = "deploy/systemd";
const SYSTEM_UNITS: &str = "usr/lib/systemd/system";
/// Ten times the highest exposure level that a service may have.
const MAX_EXPOSURE: &str = "15";
/// First line of the part that all services have in common.
const COMMON_PART: &str = "CapabilityBoundingSet=";

pub(crate) fn check() -> anyhow::Result<()> {
    let mut units = Vec::new();
    for entry in fs::read_dir(root().join(UNITS))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".service") || name.ends_with(".socket") {
            units.push(name);
        }
    }
    units.sort_unstable();
    verify(&units)?;
    let services: Vec<&String> = units.iter().filter(|unit| unit.ends_with(".service")).collect();
    for service in &services {
        let exposure = format!("--threshold={MAX_EXPOSURE}");
        let file = format!("{UNITS}/{service}");
        run_quietly(Command::new("systemd-analyze").args(["security", "--offline=yes", &exposure, &file]))?;
    }
    check_common_part(&services)
}

/// Has systemd read the units below a root in which their programs exist. Its warnings are errors.
fn verify(units: &[String]) -> anyhow::Result<()> {
    let tree = root().join(DIRECTORY).join("root");
    create_empty_directory(&tree)?;
    fs::create_dir_all(tree.join(SYSTEM_UNITS))?;
    let system = format!("/{SYSTEM_UNITS}/.");
    run("cp", &["--recursive", &system, &tree.join(SYSTEM_UNITS).display().to_string()])?;
    for unit in units {
        fs::copy(root().join(UNITS).join(unit), tree.join(SYSTEM_UNITS).join(unit))?;
    }
    for program in ["usr/bin/gatepost", "bin/kill"] {
        let program = tree.join(program);
        fs::create_dir_all(program.parent().unwrap_or(&tree))?;
        fs::copy("/bin/true", program)?;
    }
    let names = units.iter().map(|unit| unit.replace("@.", "@name."));
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).arg(format!("--root={}", tree.display())).args(names);
    run_quietly(&mut command)
}

/// Checks that no service has lost a restriction that the others have.
fn check_common_part(services: &[&String]) -> anyhow::Result<()> {
    let mut parts = Vec::new();
    for service in services {
        let text = fs::read_to_string(root().join(UNITS).join(service))?;
        let (_, part) = text.split_once(COMMON_PART).with_context(|| format!("{service} has no {COMMON_PART}"))?;
        parts.push((service, part.to_owned()));
    }
    match parts.iter().find(|(_, part)| *part != parts[0].1) {
        Some((service, _)) => bail!("{service} and {} differ from {COMMON_PART} on", services[0]),
        None => Ok(()),
    }
}

/// Runs a command. If it fails or warns, the error contains what it printed.
fn run_quietly(command: &mut Command) -> anyhow::Result<()> {
    let output = command.current_dir(root()).output().with_context(|| format!("cannot run {command:?}"))?;
    if output.status.success() && output.stderr.is_empty() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    bail!("{command:?} ({}): {}", output.status, printed.concat())
}
