//! A Chromium without a window.

use std::process::Command;

/// A page as the browser has it once its scripts are done, and what the browser logged meanwhile.
#[derive(Debug)]
pub struct Page {
    /// Its elements, as HTML.
    pub dom: String,
    /// Messages of the browser and of the page's console.
    pub log: String,
}

/// Opens a page in a browser that has never been used, with further arguments. It takes no proxy of the machine.
///
/// # Panics
/// If Chromium is not installed.
pub fn browse(url: &str, extra_arguments: &[&str]) -> Page {
    let profile = tempfile::tempdir().expect("a temporary directory can be made");
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
