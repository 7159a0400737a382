//! Test of `./demo` and `./test` on fresh Debian systems with only Rust installed.

use crate::run::{print_progress, run, succeeds};

/// Script that tests one Debian release.
const SCRIPT: &str = "xtask/bare-machine.sh";
/// Debian 12 and 13.
pub(crate) const SUITES: &[&str] = &["bookworm", "trixie"];
/// Requirements of the script, and a command that checks each.
const REQUIREMENTS: &[(&str, &str)] = &[
    ("root", "test \"$(id -u)\" = 0"),
    ("mmdebstrap (apt-get install mmdebstrap)", "mmdebstrap --version"),
    ("namespaces and ip (iproute2)", "unshare --mount --pid --net --fork ip link set lo up"),
    ("a Rust of rustup", "rustup --version"),
];

/// Runs the script for each release, or reports which requirements this machine lacks.
pub(crate) fn check() -> anyhow::Result<()> {
    let missing = missing_requirements();
    if !missing.is_empty() {
        print_progress(&format!("xtask: bare SKIPPED: this machine lacks {}", missing.join(", ")));
        return Ok(());
    }
    SUITES.iter().try_for_each(|suite| run("sh", &[SCRIPT, suite]))
}

/// Returns what this machine lacks for fresh Debian roots.
pub(crate) fn missing_requirements() -> Vec<&'static str> {
    let missing = REQUIREMENTS.iter().filter(|(_, check)| !succeeds("sh", &["-c", check]));
    missing.map(|(requirement, _)| *requirement).collect()
}
