//! What the dependencies are and may be: licences, sources, bans, and known vulnerabilities.

use std::process::Command;

use anyhow::Context;

use crate::install;
use crate::run::{print_progress, root, run};

/// Runs all checks of cargo-deny. Advisories are left out, and said to be, where their database cannot be had.
pub(crate) fn check() -> anyhow::Result<()> {
    install::cargo_deny()?;
    run("cargo", &["deny", "--workspace", "check", "bans", "licenses", "sources"])?;
    match fetch_advisory_database()? {
        AdvisoryDatabase::Fetched => run("cargo", &["deny", "--workspace", "check", "advisories"]),
        AdvisoryDatabase::Unavailable(reason) => {
            print_progress(&format!("xtask: advisories SKIPPED, known vulnerabilities were not looked for: {reason}"));
            Ok(())
        }
    }
}

/// Whether the database of advisories is here.
enum AdvisoryDatabase {
    Fetched,
    /// Why not.
    Unavailable(String),
}

/// Fetches it, or updates it.
fn fetch_advisory_database() -> anyhow::Result<AdvisoryDatabase> {
    let arguments = ["deny", "fetch", "db"];
    let output = Command::new("cargo").args(arguments).current_dir(root()).output();
    let output = output.with_context(|| format!("cannot run: cargo {}", arguments.join(" ")))?;
    if output.status.success() {
        return Ok(AdvisoryDatabase::Fetched);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let reason = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no reason was given");
    Ok(AdvisoryDatabase::Unavailable(reason.to_owned()))
}
