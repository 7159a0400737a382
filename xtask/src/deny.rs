//! Checks of the dependencies: licences, sources, bans, and known vulnerabilities.

use std::process::Command;

use anyhow::Context;

use crate::install;
use crate::run::{print_progress, root, run};

/// Runs all checks of cargo-deny. If the advisory database is unavailable, advisories are skipped with a message.
pub(crate) fn check() -> anyhow::Result<()> {
    install::cargo_deny()?;
    run("cargo", &["deny", "--workspace", "check", "bans", "licenses", "sources"])?;
    match fetch_advisory_database()? {
        AdvisoryDatabase::Fetched => run("cargo", &["deny", "--workspace", "check", "advisories"]),
        AdvisoryDatabase::Unavailable(reason) => {
            print_progress(&format!("xtask: advisories SKIPPED, known vulnerabilities were not checked: {reason}"));
            Ok(())
        }
    }
}

/// State of the advisory database.
enum AdvisoryDatabase {
    Fetched,
    /// Reason for which fetching failed.
    Unavailable(String),
}

/// Fetches or updates the advisory database.
fn fetch_advisory_database() -> anyhow::Result<AdvisoryDatabase> {
    let arguments = ["deny", "fetch", "db"];
    let output = Command::new("cargo").args(arguments).current_dir(root()).output();
    let output = output.with_context(|| format!("cannot run: cargo {}", arguments.join(" ")))?;
    if output.status.success() {
        return Ok(AdvisoryDatabase::Fetched);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let reason = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("unknown reason");
    Ok(AdvisoryDatabase::Unavailable(reason.to_owned()))
}
