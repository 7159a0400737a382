//! `./demo` and `./test` on machines that have Rust and nothing else: fresh Debian roots.

use crate::run::{Presence, check_installed, print_progress, run};

/// Tries them in the root of one Debian release.
const SCRIPT: &str = "xtask/bare-machine.sh";
/// Debian 12 and 13.
const SUITES: &[&str] = &["bookworm", "trixie"];
/// What the script cannot do without, and how it is seen.
const REQUIREMENTS: &[(&str, &str)] = &[
    ("root", "test \"$(id -u)\" = 0"),
    ("mmdebstrap (apt-get install mmdebstrap)", "mmdebstrap --version"),
    ("mount namespaces", "unshare --mount --pid --fork true"),
    ("a Rust of rustup", "rustup --version"),
];

/// Runs the script for each release, or says why this machine cannot.
pub(crate) fn check() -> anyhow::Result<()> {
    let is_missing = |check: &str| check_installed("sh", &["-c", check]) == Presence::Missing;
    let missing: Vec<&str> =
        REQUIREMENTS.iter().filter(|(_, check)| is_missing(check)).map(|(requirement, _)| *requirement).collect();
    if !missing.is_empty() {
        print_progress(&format!("xtask: bare SKIPPED, nothing was tried: this machine lacks {}", missing.join(", ")));
        return Ok(());
    }
    SUITES.iter().try_for_each(|suite| run("sh", &[SCRIPT, suite]))
}
