//! Schemathesis with a running server: valid and invalid requests, generated from the OpenAPI document.

use std::process::Command;

use anyhow::bail;

use crate::depth::Depth;
use crate::gatepost_server::GatepostServer;
use crate::python_environment;
use crate::run::root;

/// Python environment of Schemathesis.
const ENVIRONMENT: &str = "target/schemathesis";
/// Directory of the server, below target.
const DIRECTORY: &str = "schemathesis-store";
/// Packages to install.
const REQUIREMENTS: &str = "xtask/schemathesis.txt";
/// Fixed seed, so that each run sends the same requests.
const SEED: &str = "1";
/// Returns the maximum number of requests per operation and phase, and the maximum duration in seconds. A run sends at
/// least 2,000 requests.
fn limit_arguments(depth: Depth) -> [&'static str; 4] {
    match depth {
        Depth::Quick => ["--max-examples", "10", "--max-time", "60"],
        Depth::Full => ["--max-examples", "100", "--max-time", "900"],
    }
}

/// Excluded checks, with the reason.
const EXCLUDED_CHECKS: &[(&str, &str)] = &[
    (
        "positive_data_acceptance",
        "a request may be valid and name a key, project or webhook address that is rejected: \
        traps 4, 14 and 29 of the hosted product's clients",
    ),
    (
        "negative_data_rejection",
        "traps 1, 2, 9 and 13: JSON is parsed regardless of its content type, unknown query parameters \
        are ignored, as is a body that is not an object where none is expected, read-only members are \
        accepted, and missing values arrive as null or undefined",
    ),
    ("use_after_free", "deleted resources stay readable, as in the hosted product: DELETE deactivates"),
    (
        "object_level_authorization",
        "needs two accounts; the access table of admin covers every operation and eleven kinds \
        of callers",
    ),
];

/// Starts a server on a new store, and runs Schemathesis.
pub(crate) fn check(depth: Depth) -> anyhow::Result<()> {
    python_environment::install(&root().join(ENVIRONMENT), &root().join(REQUIREMENTS))?;
    let server = GatepostServer::start(DIRECTORY)?;
    let document = format!("http://{}/openapi.json", server.address);
    let header = format!("x-api-key: {}", server.access_key);
    let excluded: Vec<&str> = EXCLUDED_CHECKS.iter().map(|(check, _)| *check).collect();
    let excluded = excluded.join(",");
    let program = format!("{ENVIRONMENT}/bin/st");
    let arguments = [
        &["run", &document, "--header", &header, "--checks", "all", "--exclude-checks", &excluded][..],
        &["--seed", SEED],
        &limit_arguments(depth)[..],
        &["--phases", "examples,coverage,fuzzing", "--warnings", "off", "--wait-for-schema", "30"],
    ];
    let directory = root().join("target").join(DIRECTORY);
    let status = Command::new(root().join(program)).args(arguments.concat()).current_dir(directory).status()?;
    if status.success() { Ok(()) } else { bail!("schemathesis failed ({status})") }
}
