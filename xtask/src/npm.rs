//! npm packages of the end-to-end tests.

use crate::run::{root, run};

const DIRECTORY: &str = "gatepost/tests/npm";

/// Installs the packages exactly as in the lock file.
pub(crate) fn install() -> anyhow::Result<()> {
    let directory = root().join(DIRECTORY);
    run("npm", &["ci", "--silent", "--no-audit", "--no-fund", "--prefix", &directory.display().to_string()])
}
