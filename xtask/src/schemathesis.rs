//! Schemathesis against a running server: requests that are made up from the OpenAPI document, good and bad ones.

use std::process::Command;

use anyhow::bail;

use crate::depth::Depth;
use crate::gatepost_server::GatepostServer;
use crate::run::{Presence, check_installed, root, run};

/// Where its Python environment is.
const ENVIRONMENT: &str = "target/schemathesis";
/// Where the server has its store, below target.
const DIRECTORY: &str = "schemathesis-store";
/// What is installed there.
const REQUIREMENTS: &str = "xtask/schemathesis.txt";
/// The same requests each time.
const SEED: &str = "1";
/// Requests of an operation and phase at most, and seconds of a run: at least 2,000 requests in all.
fn limit_arguments(depth: Depth) -> [&'static str; 4] {
    match depth {
        Depth::Quick => ["--max-examples", "10", "--max-time", "60"],
        Depth::Full => ["--max-examples", "100", "--max-time", "900"],
    }
}

/// Checks that are left out, and why.
const EXCLUDED_CHECKS: &[(&str, &str)] = &[
    (
        "positive_data_acceptance",
        "a request may fit the document and name a key, project or webhook address that is \
        refused: traps 4, 14 and 29 of the hosted product's clients",
    ),
    (
        "negative_data_rejection",
        "traps 1, 2, 9 and 13: JSON is read whatever its content type says, names of queries that \
        are not known are ignored, as is a body that is no object where none is taken, what is \
        read-only is accepted, and absent values arrive as null or undefined",
    ),
    ("use_after_free", "what was shut off stays readable, as in the hosted product: DELETE deactivates"),
    (
        "object_level_authorization",
        "needs two accounts; the access table of admin has every operation and \
        eleven kinds of callers",
    ),
];

/// Starts a server on a store of its own, and runs Schemathesis against it.
pub(crate) fn check(depth: Depth) -> anyhow::Result<()> {
    install()?;
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

fn install() -> anyhow::Result<()> {
    let program = root().join(ENVIRONMENT).join("bin/pip").display().to_string();
    if check_installed(&program, &["--version"]) == Presence::Missing {
        run("python3", &["-m", "venv", "--clear", ENVIRONMENT])?;
    }
    run(&program, &["install", "--quiet", "--disable-pip-version-check", "--requirement", REQUIREMENTS])
}
