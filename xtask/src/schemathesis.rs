//! Schemathesis against a running server: requests that are made up from the OpenAPI document, good and bad ones.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::TestOptions;
use crate::run::{Presence, is_there, root, run};

/// Where its Python environment is.
const ENVIRONMENT: &str = "target/schemathesis";
/// What is installed there.
const REQUIREMENTS: &str = "xtask/schemathesis.txt";
/// The same requests each time.
const SEED: &str = "1";
/// Requests of an operation and phase at most; ordinarily, and with --long: at least 2,000 in all.
const EXAMPLES: [&str; 2] = ["20", "100"];
/// Seconds of a run at most, likewise.
const MAX_TIME_S: [&str; 2] = ["120", "1800"];
/// How often the starting server is asked, and the pause between.
const MAX_TRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);

/// Checks that are left out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "positive_data_acceptance",
        "a request may fit the document and name a key, project or webhook address that is \
        refused: traps 4, 14 and 29 of the hosted product's clients",
    ),
    (
        "negative_data_rejection",
        "traps 2, 9 and 13: JSON is read whatever its content type says, members and query \
        names that are not known are ignored, and absent values arrive as null or undefined",
    ),
    ("use_after_free", "what was shut off stays readable, as in the hosted product: DELETE deactivates"),
    (
        "object_level_authorization",
        "needs two accounts; the access table of control-plane has every operation and \
        eleven kinds of callers",
    ),
];

/// A server that is killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the run has told.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts a server on a store of its own, and runs Schemathesis against it.
pub(crate) fn check(options: &TestOptions) -> anyhow::Result<()> {
    install()?;
    run("cargo", &["build", "--package", "gatepost", "--locked"])?;
    let directory = root().join("target/schemathesis-store");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    let server = start(&directory)?;
    let access_key = access_key(&directory)?;
    let place = usize::from(options.long);
    let document = format!("http://{}/openapi.json", server.address);
    let header = format!("x-api-key: {access_key}");
    let excluded: Vec<&str> = LEFT_OUT.iter().map(|(check, _)| *check).collect();
    let excluded = excluded.join(",");
    let program = format!("{ENVIRONMENT}/bin/st");
    let arguments = [
        &["run", &document, "--header", &header, "--checks", "all", "--exclude-checks", &excluded][..],
        &["--seed", SEED, "--max-examples", EXAMPLES[place], "--max-time", MAX_TIME_S[place]],
        &["--phases", "examples,coverage,fuzzing", "--warnings", "off", "--wait-for-schema", "30"],
    ];
    let status = Command::new(root().join(program)).args(arguments.concat()).current_dir(&directory).status()?;
    if status.success() { Ok(()) } else { bail!("schemathesis failed ({status})") }
}

fn install() -> anyhow::Result<()> {
    let program = root().join(ENVIRONMENT).join("bin/pip").display().to_string();
    if is_there(&program, &["--version"]) == Presence::Missing {
        run("python3", &["-m", "venv", "--clear", ENVIRONMENT])?;
    }
    run(&program, &["install", "--quiet", "--disable-pip-version-check", "--requirement", REQUIREMENTS])
}

fn start(directory: &Path) -> anyhow::Result<Server> {
    // Between here and its use somebody else could take it, which the run would tell.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let child = Command::new(root().join("target/debug/gatepost"))
        .args(["up", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
        .args(["--admin-listen", &address])
        .current_dir(directory)
        .stderr(Stdio::from(std::fs::File::create(directory.join("log"))?))
        .spawn()
        .context("cannot start the server")?;
    Ok(Server { child, address })
}

/// The access key that the server makes for its empty store.
fn access_key(directory: &Path) -> anyhow::Result<String> {
    let file = directory.join("gatepost-data/first-access-key");
    for _ in 0..MAX_TRIES {
        match std::fs::read_to_string(&file) {
            Ok(text) if !text.is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) | Err(_) => std::thread::sleep(PAUSE),
        }
    }
    bail!("the server did not start; its log is {}", directory.join("log").display())
}
