//! Packages of the end-to-end tests, from npm and from PyPI.

use crate::python_environment;
use crate::run::{root, run};

const NPM_DIRECTORY: &str = "gatepost/tests/npm";
/// Python environment that the tests use.
const PYTHON_ENVIRONMENT: &str = "target/python-packages";
const PYTHON_REQUIREMENTS: &str = "gatepost/tests/python/requirements.txt";

/// Installs the packages exactly as in the lock file of npm, and as in the requirements with their hashes.
pub(crate) fn install() -> anyhow::Result<()> {
    let directory = root().join(NPM_DIRECTORY);
    run("npm", &["ci", "--silent", "--no-audit", "--no-fund", "--prefix", &directory.display().to_string()])?;
    python_environment::install(&root().join(PYTHON_ENVIRONMENT), &root().join(PYTHON_REQUIREMENTS))
}
