//! Headless Chromium.

use std::process::Command;

/// Page after its scripts have run.
#[derive(Debug)]
pub struct Page {
    /// DOM serialized as HTML.
    pub dom: String,
    /// Log of the browser and messages of the page's console.
    pub log: String,
}

/// Opens a page in a new browser profile, with additional arguments. Does not use a proxy of the environment.
///
/// # Panics
/// If Chromium is not installed.
pub fn browse(url: &str, extra_arguments: &[&str]) -> Page {
    let profile = tempfile::tempdir().expect("a temporary directory can be created");
    let mut chromium = Command::new("chromium");
    chromium
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=30000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(extra_arguments)
        .arg(url);
    let output = chromium.output().expect("Chromium is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Page { dom: text(&output.stdout), log: text(&output.stderr) }
}
