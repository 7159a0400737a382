//! npm packages of the end-to-end tests, as the lock file says.

use crate::run::{root, run};

/// Where they are.
const DIRECTORY: &str = "gatepost/tests/npm";

/// Installs them exactly as locked.
pub(crate) fn install() -> anyhow::Result<()> {
    let directory = root().join(DIRECTORY);
    run("npm", &["ci", "--silent", "--no-audit", "--no-fund", "--prefix", &directory.display().to_string()])
}
